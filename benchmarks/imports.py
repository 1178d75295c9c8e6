"""How long `import slugline` takes, and the imports of a first prediction."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from processes import table

N_RUNS = 11
STATEMENTS = [
    "pass",
    "import slugline",
    "from slugline import load",
    "from slugline import Network",
]


def report() -> str:
    """Measure in turn, in fresh processes, and return a Markdown section."""
    seconds: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for _ in range(N_RUNS):
        for statement in STATEMENTS:
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            seconds[statement].append(time.perf_counter() - started)
    base = statistics.median(seconds["pass"])
    rows = [["statement", "more than an empty interpreter"]]
    rows += [
        [f"`{statement}`", f"{statistics.median(times) - base:.3f} s"]
        for statement, times in seconds.items()
        if statement != "pass"
    ]
    return f"## Imports\n\nMedians of {N_RUNS} fresh processes.\n\n{table(rows)}\n"


if __name__ == "__main__":
    print(report())
