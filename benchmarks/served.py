"""Servers to measure, and the load on them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
# wrk sends the bodies of a file in turn; with a pause, at a lower rate, as of a Poisson process.
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local requests, number = {}, 0
function init()
  for line in io.lines("%(bodies)s") do
    requests[#requests + 1] = wrk.format(nil, nil, nil, line)
  end
end
function request()
  number = number %% #requests + 1
  return requests[number]
end
local pause = %(pause)g
if pause > 0 then
  function delay() return math.floor(-pause * math.log(1 - math.random()) + 0.5) end
end
function done(summary, latency)
  local e = summary.errors
  print(string.format("RESULT %%d %%d %%d %%d", summary.requests, summary.duration,
    latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class Load(NamedTuple):
    """What a load of requests came to.

    Attributes
    ----------
    rate : float
        Requests a second.
    p99 : float
        Milliseconds within which 99 in 100 were answered.
    n_errors : int
        Of connections, and answers that are none.
    """

    rate: float
    p99: float
    n_errors: int


def load(
    url: str, bodies: Sequence[str], *, connections: int, seconds: int, pause: float = 0
) -> Load:
    """Ask as fast as answers come, or after a pause of so many milliseconds on average."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "bodies").write_text("".join(f"{body}\n" for body in bodies))
        script = path / "load.lua"
        script.write_text(SCRIPT % {"bodies": path / "bodies", "pause": pause})
        output = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script, url],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", output)
    assert found, output
    requests, microseconds, p99, n_errors = map(int, found.groups())
    return Load(requests / microseconds * 1e6, p99 / 1000, n_errors)


class Server(NamedTuple):
    """A server that runs."""

    url: str
    process: subprocess.Popen[bytes]
    seconds_to_ready: float

    def memory(self) -> float:
        """Return megabytes in memory of the process and those that it started."""
        pids = [self.process.pid]
        for pid in pids:
            with contextlib.suppress(OSError):
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                pids += map(int, children)
        return sum(map(_resident, pids))


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


@contextlib.contextmanager
def slugline(*arguments: str) -> Iterator[Server]:
    """Run `slugline serve`."""
    port = str(_free_port())
    with _running([str(BIN / "slugline"), "serve", "-q", "--port", port, *arguments], port) as run:
        yield run


@contextlib.contextmanager
def peer(model: Path) -> Iterator[Server]:
    """Run the peer, as `uvicorn serving_peer:app` does."""
    port = str(_free_port())
    command = [str(BIN / "uvicorn"), "--app-dir", str(HERE), "serving_peer:app", "--port", port]
    command += ["--no-access-log", "--log-level", "warning"]
    with _running(command, port, PEER_MODEL=str(model)) as run:
        yield run


@contextlib.contextmanager
def _running(command: list[str], port: str, **environment: str) -> Iterator[Server]:
    started = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | environment, cwd=HERE)
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(f"{url}/ready"):
            assert process.poll() is None, command
            time.sleep(0.005)
        yield Server(url, process, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - ours
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bodies(texts: Sequence[str], n_each: int) -> list[str]:
    """Return requests of so many texts each, as JSON."""
    return [
        json.dumps({"texts": texts[start : start + n_each]})
        for start in range(0, len(texts) - n_each + 1, n_each)
    ]


def has_wrk() -> bool:
    """Return whether there is wrk to make load with."""
    return shutil.which("wrk") is not None


def metric(url: str, name: str) -> float:
    """Return a counter of `slugline serve`."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:  # noqa: S310 - ours
        lines = answer.read().decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))
