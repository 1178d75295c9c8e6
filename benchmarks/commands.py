"""How long a whole process takes: `echo text | slugline predict` with the shipped model."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from processes import table

N_RUNS = 21
TEXT = b"Wheat exports rose as drought cut the harvest\n"
COMMANDS = {
    "an empty interpreter": [sys.executable, "-c", "pass"],
    "`echo text \\| slugline predict`": [
        str(Path(sys.executable).with_name("slugline")),
        "predict",
    ],
}


def report() -> str:
    """Measure in turn and return a Markdown section."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(N_RUNS):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, input=TEXT, capture_output=True, check=True)
            seconds[name].append(time.perf_counter() - started)
    rows = [["command", "median", "minimum"]]
    rows += [
        [name, f"{statistics.median(times):.3f} s", f"{min(times):.3f} s"]
        for name, times in seconds.items()
    ]
    return f"## Whole processes\n\n{N_RUNS} runs each, in turn.\n\n{table(rows)}\n"


if __name__ == "__main__":
    print(report())
