"""How the benchmarks measure: fresh processes, medians of runs in turn, tables.

    python benchmarks/measure.py MODULE FUNCTION ARGUMENT ...

runs one function in this process and prints what it returns as JSON; `run_child` uses that. This
module imports nothing but the standard library, since it counts as memory of what it measures.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

FOLDER = Path(__file__).parent
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")

K = TypeVar("K")
T = TypeVar("T")
Metrics = dict[str, Any]


class ChildTimeout(Exception):  # noqa: N818
    """A child process was ended because it ran out of time."""


def child_command(module: str, function: str, *arguments: str) -> list[str]:
    """Return the command that runs a function of a benchmark module in a fresh process."""
    return [sys.executable, str(FOLDER / "measure.py"), module, function, *arguments]


def run_child(
    module: str, function: str, *arguments: str, timeout: float | None = None, **environment: str
) -> Metrics:
    """Return a function's metrics, with `process_seconds` and `peak_mb` of its fresh process.

    A process that runs longer than `timeout` seconds is ended with all that it started, and raises
    ChildTimeout.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        child_command(module, function, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | environment,
        start_new_session=True,
    )
    timed_out = threading.Event()

    def end() -> None:
        timed_out.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(timeout or threading.TIMEOUT_MAX, end)
    timer.daemon = True
    timer.start()
    assert process.stdout is not None
    output = process.stdout.read()
    timer.cancel()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    command = " ".join((module, function, *arguments))
    if timed_out.is_set():
        raise ChildTimeout(f"{command} took over {timeout:,.0f} s.")
    if process.returncode:
        raise SystemExit(
            f"{command} failed with status {process.returncode}; "
            f"see `python benchmarks/measure.py {command}`."
        )
    metrics = json.loads(output.strip().splitlines()[-1])
    return metrics | {"process_seconds": seconds, "peak_mb": usage.ru_maxrss / 1024}


def run_in_turn(functions: Mapping[K, Callable[[], T]], n_runs: int) -> dict[K, list[T]]:
    """Return the results of several runs of each function, all of which take turns."""
    results: dict[K, list[T]] = {name: [] for name in functions}
    for _ in range(n_runs):
        for name, function in functions.items():
            results[name].append(function())
    return results


def medians(runs: Sequence[Metrics]) -> dict[str, float]:
    """Return the median of each metric over several runs."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def timed(function: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    """Return what a call returns, and its seconds."""
    started = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - started


def seconds(function: Callable[..., object], *arguments: Any) -> float:
    """Return the seconds of a call."""
    return timed(function, *arguments)[1]


def median_seconds(function: Callable[[], object], n_runs: int) -> float:
    """Return the median time of several calls."""
    return statistics.median(seconds(function) for _ in range(n_runs))


def child_processor_seconds() -> float:
    """Return the processor time of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def peak_mb(who: int = resource.RUSAGE_SELF) -> float:
    """Return the peak memory of this process, or of its children that have ended."""
    return resource.getrusage(who).ru_maxrss / 1024


def map_processes(function: Callable[..., T], *arguments: Sequence[Any]) -> list[T]:
    """Return the results of calls in a process for each core, with one BLAS thread each."""
    with ProcessPoolExecutor(os.cpu_count(), initializer=_limit_threads) as pool:
        return list(pool.map(function, *arguments))


def map_seeds(function: Callable[..., T], names: Sequence[str], n_seeds: int) -> dict[str, list[T]]:
    """Return the results of a function of a name and of each seed from 0, by name."""
    jobs = [(name, seed) for name in names for seed in range(n_seeds)]
    results = map_processes(function, *zip(*jobs, strict=True))
    return {name: results[n * n_seeds : (n + 1) * n_seeds] for n, name in enumerate(names)}


def _limit_threads() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a Chromium without a window; yield Playwright's browser."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        raise SystemExit("There is no Chromium; install one.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


# Output -------------------------------------------------------------------------------------------


def progress(*values: object) -> None:
    """Print a line to standard error, so that standard output has the tables alone."""
    print(*values, file=sys.stderr, flush=True)


def four_digits(value: float) -> str:
    """Return a number with four digits that count, or all of a large one."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


def main() -> None:
    """Run one function, and print its metrics."""
    module, function, *arguments = sys.argv[1:]
    print(json.dumps(getattr(importlib.import_module(module), function)(*arguments)))


if __name__ == "__main__":
    main()
