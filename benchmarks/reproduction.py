"""The newswire lesson's numbers over ten seeds, from `slugline reproduce --json`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from processes import table

N_SEEDS = 10


def report() -> str:
    """Run the command as a user would, and return a Markdown section."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "slugline", "reproduce"]
        command += ["--seeds", str(N_SEEDS), "--out", out, "--json", "--quiet"]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - started
    metrics = json.loads(done.stdout)
    best = metrics["curves"]["best_epoch"]["values"]
    rows = [
        ["what", f"mean and sd of {N_SEEDS} seeds", "the lesson"],
        ["test accuracy after 8 epochs", _spread(metrics["retrained"]["test_accuracy"]), "0.781"],
        [
            "test accuracy, own best epoch, all 8,982 wires",
            _spread(metrics["retrained_on_all"]["test_accuracy"]),
            "-",
        ],
        ["best epoch by validation loss", f"{sorted(best)}", "8"],
        [
            "bottleneck 64-4: validation peak",
            _spread(metrics["bottleneck"]["val_accuracy_peak"]),
            "0.708",
        ],
        ["bottleneck 64-4: test", _spread(metrics["bottleneck"]["test_accuracy"]), "-"],
    ]
    rows += [
        [f"hidden layers {e['hidden']}, 8 epochs: test", _spread(e["test_accuracy"]), "-"]
        for e in metrics["experiments"]
    ]
    majority = metrics["baselines"]["majority"]
    return (
        "## The lesson's numbers\n\n"
        f"`slugline reproduce --seeds {N_SEEDS}`, {seconds:.0f} s. "
        f"Majority baseline: {json.dumps(majority)}.\n\n{table(rows)}\n"
    )


def _spread(of: dict[str, Any]) -> str:
    return f"{of['mean']:.3f} +- {of['sd']:.3f}"


if __name__ == "__main__":
    print(report())
