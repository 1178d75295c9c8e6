"""Runs a script in a fresh process, and measures the process."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


class TookTooLong(Exception):  # noqa: N818
    """A process was ended because it took longer than it may."""


def run(
    script: str, *arguments: str, most_seconds: float | None = None, **environment: str
) -> dict[str, Any]:
    """Run a script in this folder that prints a JSON object as its last line.

    A script that takes over `most_seconds` is ended, along with what it has started, and raises
    TookTooLong.

    Returns
    -------
    That object, plus `process_seconds` from start to exit and `peak_mb` of memory.
    """
    command = [sys.executable, str(HERE / script), *arguments]
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | environment,
        start_new_session=True,
    )
    ended = threading.Event()

    def end() -> None:
        ended.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(most_seconds or threading.TIMEOUT_MAX, end)
    timer.daemon = True
    timer.start()
    assert process.stdout is not None
    output = process.stdout.read()
    timer.cancel()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if ended.is_set():
        raise TookTooLong(f"{script} took over {most_seconds:,.0f} s.")
    if process.returncode:
        raise SystemExit(f"{script} failed with status {process.returncode}; run it by hand.")
    metrics = json.loads(output.strip().splitlines()[-1])
    return metrics | {"process_seconds": seconds, "peak_mb": usage.ru_maxrss / 1024}


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the median of each metric over several runs."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def table(rows: list[list[str]]) -> str:
    """Return rows as a Markdown table; the first row is the header."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
