"""Processes that write to one file and are killed at random moments."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Sequence

from measure import child_command

# Most lines that a process prints before it may be killed.
_MAX_LINES = 20


def run_round(
    module: str,
    function: str,
    arguments: Sequence[Sequence[str]],
    rng: random.Random,
    *,
    at_once: bool,
) -> list[list[str]]:
    """Run processes, and kill each at its own random moment; return what they acknowledged.

    A process is killed up to a hundredth of a second after 1 to `_MAX_LINES` lines, so that the
    number of changes doesn't depend on how fast the machine is.

    Parameters
    ----------
    module, function : str
        A function of a benchmark module, which prints a line for each change that is acknowledged.
    arguments : sequence of sequence of str
        The arguments of the function in each process.
    rng : random.Random
    at_once : bool
        Whether a process may be killed before its first line.

    Returns
    -------
    The words of each complete line.
    """
    running = [
        subprocess.Popen(child_command(module, function, *each), stdout=subprocess.PIPE, text=True)
        for each in arguments
    ]
    acknowledged: list[list[str]] = []

    def listen(process: subprocess.Popen[str], n_lines: int, seconds: float) -> None:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(n_lines)]
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        lines += process.stdout
        acknowledged.extend(line.split() for line in lines if line.endswith("\n"))
        timer.join()

    listeners = []
    for process in running:
        n_lines = 0 if at_once else rng.randint(1, _MAX_LINES)
        seconds = rng.uniform(0, 0.6 if at_once else 0.01)
        listeners.append(threading.Thread(target=listen, args=[process, n_lines, seconds]))
    for listener in listeners:
        listener.start()
    for listener in listeners:
        listener.join()
    for process in running:
        if process.wait() != -9:
            raise SystemExit(f"a process ended by itself, with {process.returncode}")
        assert process.stdout is not None
        process.stdout.close()
    return acknowledged


def make_text(seed: str, n: int) -> str:
    """Return a text of 10 to 30,000 characters."""
    rng = random.Random(f"{seed} {n}")  # noqa: S311 - nothing secret
    return f"{rng.random()} " * int(10 ** rng.uniform(0, 3.2))
