"""`slugline serve` beside FastAPI around a scikit-learn pipeline; needs wrk and Chromium."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import slugline
from hostile import KINDS
from hostile_requests import KINDS as REQUESTS
from hostile_requests import REFUSED
from measure import FOLDER, child_command, chromium, four_digits, progress, run_in_turn, table
from slugline import reuters
from slugline.model.file.shipped import model_path

BIN = Path(sys.executable).parent

# Servers and load ---------------------------------------------------------------------------------

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
    """Result of a load of requests.

    Attributes
    ----------
    rate : float
        Requests a second.
    p99 : float
        Milliseconds within which 99 in 100 requests were answered.
    n_errors : int
        Failed connections, and responses other than success.
    """

    rate: float
    p99: float
    n_errors: int


def apply_load(
    url: str, bodies: Sequence[str], *, connections: int, n_seconds: int, pause: float = 0
) -> Load:
    """Send requests as fast as responses come, or `pause` milliseconds apart on average."""
    if shutil.which("wrk") is None:
        raise SystemExit("There is no wrk, which sends the requests; install it.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "bodies").write_text("".join(f"{body}\n" for body in bodies))
        script = path / "load.lua"
        script.write_text(SCRIPT % {"bodies": path / "bodies", "pause": pause})
        output = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{n_seconds}s", "-s", script, url],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
    result = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", output)
    assert result, output
    requests, microseconds, p99, n_errors = map(int, result.groups())
    return Load(requests / microseconds * 1e6, p99 / 1000, n_errors)


class Server(NamedTuple):
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]
    seconds_to_ready: float

    def pids(self) -> list[int]:
        """Return the ids of the process and its children."""
        pids = [self.process.pid]
        for pid in pids:
            with contextlib.suppress(OSError):
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                pids += map(int, children)
        return pids

    def memory(self) -> float:
        """Return the megabytes in memory of all of them."""
        return sum(_memory_kb(pid, "VmRSS") for pid in self.pids()) / 1024

    def cpu_seconds(self) -> float:
        """Return the seconds of CPU that they have taken."""
        fields = (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids()
        )
        return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def _memory_kb(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(rf"{name}:\s+(\d+) kB", status)
    return int(match[1]) if match else 0


@contextlib.contextmanager
def serve_slugline(*arguments: str, command: str = "serve") -> Iterator[Server]:
    """Run `slugline serve`, or `slugline label`."""
    port = str(_free_port())
    words = [str(BIN / "slugline"), command, "-q", "--port", port, *arguments]
    with _running(words, port, "/ready" if command == "serve" else "/health") as server:
        yield server


@contextlib.contextmanager
def serve_peer(model: Path) -> Iterator[Server]:
    """Run the peer, as `uvicorn serving_peer:app` does."""
    port = str(_free_port())
    command = [str(BIN / "uvicorn"), "--app-dir", str(FOLDER), "serving_peer:app", "--port", port]
    command += ["--no-access-log", "--log-level", "warning"]
    with _running(command, port, PEER_MODEL=str(model)) as server:
        yield server


@contextlib.contextmanager
def _running(
    command: list[str], port: str, probe: str = "/ready", **environment: str
) -> Iterator[Server]:
    started = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | environment, cwd=FOLDER)
    url = f"http://127.0.0.1:{port}"
    try:
        while not _is_ready(f"{url}{probe}"):
            assert process.poll() is None, command
            time.sleep(0.005)
        yield Server(url, process, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - ours
            return response.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _metric(url: str, name: str) -> float:
    """Return a counter of `slugline serve`."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as response:  # noqa: S310 - ours
        lines = response.read().decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


def request_bodies(texts: Sequence[str], size: int) -> list[str]:
    """Return requests of `size` texts each, as JSON."""
    return [
        json.dumps({"texts": texts[start : start + size]})
        for start in range(0, len(texts) - size + 1, size)
    ]


# Benchmarks ---------------------------------------------------------------------------------------


def load(rounds: int = 3, seconds: int = 8) -> str:
    """Requests a second, latency at half of that, and memory, beside FastAPI."""
    import joblib
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    wires = reuters.load_wires("corrected")
    texts = list(wires.test.texts)
    single, many = request_bodies(texts, 1), request_bodies(texts, 100)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "peer.joblib")
        pipeline = make_pipeline(TfidfVectorizer(), LinearSVC())
        joblib.dump(pipeline.fit(wires.train.texts, wires.train.topics), model)

        def measure_slugline() -> list[float]:
            with serve_slugline() as server:
                return _load_metrics(server, "/v1/classify", single, many, seconds)

        def measure_peer() -> list[float]:
            with serve_peer(model) as server:
                metrics = _load_metrics(server, "/classify", single, many, seconds)
                empty = apply_load(f"{server.url}/empty", single, connections=32, n_seconds=seconds)
                return [*metrics, empty.rate]

        runs = run_in_turn({"slugline": measure_slugline, "peer": measure_peer}, rounds)
    ours, (*theirs, empty) = (
        [statistics.median(values) for values in zip(*metrics, strict=True)]
        for metrics in runs.values()
    )
    names = (
        "single texts a second, 32 connections",
        "documents a second, in requests of 100, 4 connections",
        "p99 at half of its own peak rate, ms",
        "memory after that, MB",
    )
    rows = [
        [name, f"{four_digits(our)} ({_ratio(our, their)})", four_digits(their)]
        for name, our, their in zip(names, ours, theirs, strict=True)
    ]
    rows.append(["the same single texts, by FastAPI without a model", "-", four_digits(empty)])
    return (
        f"One process each; requests over loopback by wrk, on the same {os.cpu_count()} cores. The "
        "peer is FastAPI around TfidfVectorizer + LinearSVC, trained on the corrected wires; texts "
        f"are the test wires. Medians of {rounds} rounds in turn.\n\n"
        f"{table(['', 'Slugline', 'peer'], rows)}"
    )


def _load_metrics(
    server: Server, path: str, single: Sequence[str], many: Sequence[str], n_seconds: int
) -> list[float]:
    url = server.url + path
    apply_load(url, single, connections=8, n_seconds=1)  # to warm up
    peak = apply_load(url, single, connections=32, n_seconds=n_seconds)
    hundreds = apply_load(url, many, connections=4, n_seconds=n_seconds)
    half = _apply_rate(url, single, peak.rate / 2, n_seconds)
    assert not peak.n_errors + hundreds.n_errors + half.n_errors
    return [peak.rate, 100 * hundreds.rate, half.p99, server.memory()]


def _apply_rate(url: str, bodies: Sequence[str], rate: float, n_seconds: int) -> Load:
    """Send about `rate` requests a second; short tries find the pause for it."""
    pause = 32 / rate * 1000
    for _ in range(3):
        tried = apply_load(url, bodies, connections=32, n_seconds=2, pause=pause)
        pause = max(1.0, pause + 32 / rate * 1000 - 32 / tried.rate * 1000)
    return apply_load(url, bodies, connections=32, n_seconds=n_seconds, pause=pause)


def _ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f} of the peer's" if ours < theirs else f"{ours / theirs:.1f} times"


def endurance(seconds: int = 60, swaps: int = 20) -> str:
    """Errors and memory under a minute of load, and while models are replaced."""
    texts = list(reuters.load_wires("corrected").test.texts)
    with tempfile.TemporaryDirectory() as folder:
        rows = [_measure_growth(texts, seconds), _measure_swaps(texts, swaps, Path(folder))]
    return table(["", "Slugline"], rows)


def _measure_growth(texts: Sequence[str], n_seconds: int) -> list[str]:
    bodies = request_bodies(texts, 1)
    with serve_slugline() as server:
        url = f"{server.url}/v1/classify"
        apply_load(url, bodies, connections=64, n_seconds=min(8, n_seconds))
        before = server.memory()
        result = apply_load(url, bodies, connections=64, n_seconds=n_seconds)
        growth = server.memory() / before - 1
    name = f"{n_seconds} s on 64 connections: errors, growth of memory"
    return [name, f"{result.n_errors}, {growth:+.1%}"]


def _measure_swaps(texts: Sequence[str], n_swaps: int, folder: Path) -> list[str]:
    """Replace the model file under load, and count requests that fail."""
    versions = [folder / "a.slug", folder / "b.slug"]
    shutil.copy(model_path("reuters46"), versions[0])
    slugline.load("reuters46").save(versions[1], quantize="int8")
    served = folder / "served.slug"
    shutil.copy(versions[0], served)
    with serve_slugline(str(served)) as server:
        results: list[Load] = []
        bodies, n_seconds = request_bodies(texts, 1), 2 * n_swaps + 4

        def send() -> None:
            url = f"{server.url}/v1/classify"
            results.append(apply_load(url, bodies, connections=32, n_seconds=n_seconds))

        sender = threading.Thread(target=send)
        sender.start()
        for number in range(1, n_swaps + 1):
            time.sleep(2)
            unfinished = folder / "unfinished"
            shutil.copy(versions[number % 2], unfinished)
            unfinished.replace(served)
        sender.join()
        n_swapped = _metric(server.url, "slugline_model_swaps_total")
    name = f"model swapped {n_swapped:.0f} times under load: requests that failed"
    return [name, f"{results[0].n_errors} of {results[0].rate * n_seconds:,.0f}"]


def start(runs: int = 7) -> str:
    """Time from the command to readiness, and memory then."""
    times, memory = [], []
    for _ in range(runs):
        with serve_slugline() as server:
            times.append(server.seconds_to_ready)
            memory.append(server.memory())
    rows = [
        ["from the command to /ready, s", f"{statistics.median(times):.2f}"],
        ["memory once ready, MB", f"{statistics.median(memory):.0f}"],
    ]
    return table(["", "Slugline"], rows)


def page(views: int = 7, drops: int = 3, texts: int = 10_000) -> str:
    """The page in Chromium: first paint, size, and a table of texts dropped on it."""
    wires = reuters.load_wires("corrected")
    dropped_texts = [*wires.test.texts, *wires.train.texts][:texts]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "wires.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "text"])
            writer.writerows(enumerate(dropped_texts))
        with serve_slugline() as server, chromium() as browser:
            viewed = [_view(browser, server.url) for _ in range(views)]
            dropped = [_drop(browser, server.url, path, texts) for _ in range(drops)]
    paint, n_bytes = (statistics.median(values) for values in zip(*viewed, strict=True))
    seconds, slowest = zip(*dropped, strict=True)
    rows = [
        ["first paint in Chromium, ms", f"{paint:.0f}"],
        ["the page with all that it loads, kB", f"{n_bytes / 1000:.0f}"],
        [
            f"a CSV of {texts:,} wires dropped on the page: until all are shown, s",
            f"{statistics.median(seconds):.1f}",
        ],
        ["the slowest single text meanwhile, s", f"{max(slowest):.2f}"],
    ]
    return table(["", "Slugline"], rows)


def _view(browser: Any, url: str) -> tuple[float, int]:
    """Open the page in a fresh context; return milliseconds to first paint, and bytes."""
    context = browser.new_context()
    page = context.new_page()
    sizes: list[int] = []
    page.on("response", lambda response: sizes.append(len(response.body())))
    page.goto(url)
    page.wait_for_load_state("networkidle")
    paint = page.evaluate("performance.getEntriesByName('first-paint')[0].startTime")
    context.close()
    return float(paint), sum(sizes)


def _drop(browser: Any, url: str, path: Path, n_rows: int) -> tuple[float, float]:
    """Drop a table; return seconds until it is done, and the slowest single text meanwhile."""
    import httpx

    page = browser.new_page()
    page.goto(f"{url}/table")
    is_over = threading.Event()
    times: list[float] = []

    def classify_single_texts() -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not is_over.wait(0.05):
                started = time.perf_counter()
                client.post("/v1/classify", json={"text": "Wheat exports rose"}).raise_for_status()
                times.append(time.perf_counter() - started)

    thread = threading.Thread(target=classify_single_texts)
    thread.start()
    started = time.perf_counter()
    page.set_input_files("#file", path)
    page.wait_for_selector("#download:not([disabled])", timeout=60_000)
    seconds = time.perf_counter() - started
    is_over.set()
    thread.join()
    counts = page.text_content("#counts") or ""
    assert f"{n_rows:,}" in counts, counts
    page.close()
    return seconds, max(times)


# Hostile clients ----------------------------------------------------------------------------------


def hostile(connections: int = 500, seconds: int = 60) -> str:
    """Memory, and answers to probes, while hostile clients of fourteen kinds connect."""
    body = json.dumps({"texts": ["Wheat exports rose"] * 2500, "top": 20}).encode()
    rows = []
    for kind in (*KINDS, ""):
        with serve_slugline() as server:
            for _ in range(3):  # what an honest request of the largest size takes, it has taken
                _time_request(server.url + "/v1/classify", body)
            rows.append([kind or "all kinds", *_attack(server, kind, connections, seconds)])
    header = ["kind", "connections", "probes, p99, ms", "memory, MB"]
    return (
        f"{connections} clients at a time for {seconds} s, each of which connects again when its "
        "connection ends. /health is asked twenty times a second on a connection of its own.\n\n"
        f"{table(header, rows)}"
    )


def _attack(server: Server, kind: str, connections: int, n_seconds: int) -> list[str]:
    before = server.memory()
    # Elsewhere, clients don't share the server's cores.
    command = ["nice", "-n", "19", *child_command("hostile", "attack")]
    command += [server.url.rpartition(":")[2], str(connections), str(n_seconds), kind]
    memory: list[float] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as attack, _probing(server) as times:
        until = time.monotonic() + n_seconds
        while time.monotonic() < until:
            memory.append(server.memory())
            time.sleep(0.1)
        assert attack.stdout is not None
        n_connections = json.loads(attack.stdout.read())
    p99 = f"{1000 * _p99(times):.0f}"
    return [f"{n_connections:,}", p99, f"{max(memory) - before:+.0f}"]


def requests(patience: float = 5, most_kinds: int = 100) -> str:
    """Waits for probes, memory, and time after it left, of one hostile request or upload."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (kind, make) in enumerate(REQUESTS.items()):
            if number == most_kinds:
                break
            progress(kind)
            with serve_slugline("--corrections", f"{folder}/{number}.db") as server:
                rows.append([kind, *_measure_request(server, make(), patience)])
    most = [max(float(row[column]) for row in rows) for column in range(2, 5)]
    rows.append(["**the most**", "", *map(four_digits, most)])
    header = ["request", "reply", "longest wait, ms", "memory, MB", "CPU after the client left, s"]
    return (
        f"One request of at most 16 MB to a fresh server, of {len(rows) - 1} kinds. The client "
        f"leaves {patience:g} s after it has sent it, unless the reply ends before. /health is "
        f"asked all the time.\n\n{table(header, rows)}"
    )


def refused(n_requests: int = 200) -> str:
    """Memory that refused uploads of 11 MB and refused JSON of 16 MB leave behind."""
    rows = []
    for kind, make in REFUSED.items():
        progress(kind)
        request = make()
        with serve_slugline() as server:
            port, before = int(server.url.rpartition(":")[2]), server.memory()
            statuses, memory = set(), []
            for _ in range(n_requests):
                statuses.add(_send_request(port, request, patience=60))
                memory.append(server.memory())
            time.sleep(1)
            left = server.memory() - before
        most = max(memory) - before
        rows.append([kind, ", ".join(sorted(statuses)), f"{most:+.0f}", f"{left:+.0f}"])
    header = ["request", "replies", "most memory, MB", "memory a second afterwards, MB"]
    return f"{n_requests} requests in turn to a fresh server.\n\n{table(header, rows)}"


def _measure_request(server: Server, request: bytes, patience: float) -> list[str]:
    before = {pid: _memory_kb(pid, "VmRSS") for pid in server.pids()}
    for pid in before:  # begin the peak anew
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    with _probing(server, pause=0.01) as times:
        time.sleep(0.2)
        status = _send_request(int(server.url.rpartition(":")[2]), request, patience)
        cpu = _cpu_until_idle(server)
        time.sleep(0.2)
    growth = max(_memory_kb(pid, "VmHWM") - kb for pid, kb in before.items()) / 1000
    return [status, f"{1000 * max(times):.0f}", f"{growth:.0f}", f"{cpu:.2f}"]


def _send_request(port: int, request: bytes, patience: float) -> str:
    """Send a request, and return the status of the reply, "-" if there is none in time."""
    reply, until = b"", time.monotonic() + patience
    with socket.create_connection(("127.0.0.1", port)) as client:
        with contextlib.suppress(OSError):
            client.settimeout(patience)
            client.sendall(request)
        with contextlib.suppress(OSError):
            while (left := until - time.monotonic()) > 0:
                client.settimeout(left)
                piece = client.recv(1 << 20)
                reply = reply or piece
                if not piece:
                    break
    return reply[9:12].decode() or "-"


def _cpu_until_idle(server: Server, n_seconds: float = 30) -> float:
    """Return the seconds of CPU that a server takes until it only answers probes."""
    first = last = server.cpu_seconds()
    until = time.monotonic() + n_seconds
    while time.monotonic() < until:
        time.sleep(0.5)
        before, last = last, server.cpu_seconds()
        if last - before < _IDLE_SECONDS:
            break
    return last - first


# Of CPU that probes take in half a second.
_IDLE_SECONDS = 0.15


@contextlib.contextmanager
def _probing(server: Server, pause: float = 0.05) -> Iterator[list[float]]:
    """Ask /health again and again; yield the seconds that each answer took."""
    is_over, times = threading.Event(), list[float]()

    def ask() -> None:
        while not is_over.wait(pause):
            times.append(_time_request(f"{server.url}/health") / 1000)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield times
    finally:
        is_over.set()
        thread.join()


def _time_request(url: str, body: bytes | None = None) -> float:
    started = time.perf_counter()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - ours
        response.read()
    return 1000 * (time.perf_counter() - started)


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[-1]


BENCHMARKS = {
    "load": load,
    "endurance": endurance,
    "start": start,
    "page": page,
    "hostile": hostile,
    "requests": requests,
    "refused": refused,
}
QUICK = {
    "load": {"rounds": 1, "seconds": 2},
    "endurance": {"seconds": 4, "swaps": 2},
    "start": {"runs": 1},
    "page": {"views": 1, "drops": 1, "texts": 1000},
    "hostile": {"connections": 60, "seconds": 2},
    "requests": {"patience": 1.0, "most_kinds": 5},
    "refused": {"n_requests": 2},
}
