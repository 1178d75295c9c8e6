"""The newswire lesson in Keras and in Slugline: fit time, process time, peak memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from processes import medians, run, table

N_RUNS = 5


def report() -> str:
    """Measure in turn, in fresh processes, and return a Markdown section."""
    with tempfile.TemporaryDirectory() as home:
        # Keras looks for its data here before it downloads them.
        cache = Path(home, "datasets")
        cache.mkdir()
        shutil.copy(Path(os.environ["SLUGLINE_DATA"], "reuters", "reuters.npz"), cache)
        contenders = {
            "Keras on TensorFlow": ("lesson_keras.py", "tensorflow"),
            "Keras on JAX": ("lesson_keras.py", "jax"),
            "Slugline": ("lesson_slugline.py", "none"),
        }
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
        for _ in range(N_RUNS):
            for name, (script, backend) in contenders.items():
                runs[name].append(run(script, KERAS_BACKEND=backend, KERAS_HOME=home))
    metrics = {name: medians(of) for name, of in runs.items()}
    ours = metrics["Slugline"]
    rows = [["", "fit", "whole process", "peak memory", "test accuracy"]]
    rows += [
        [
            name,
            f"{of['fit_seconds']:.2f} s",
            f"{of['process_seconds']:.2f} s",
            f"{of['peak_mb']:,.0f} MB",
            f"{of['test_accuracy']:.3f}",
        ]
        for name, of in metrics.items()
    ]
    rows += [
        [
            f"{name} / Slugline",
            *(f"{of[k] / ours[k]:.1f}x" for k in ("fit_seconds", "process_seconds", "peak_mb")),
            "",
        ]
        for name, of in metrics.items()
        if name != "Slugline"
    ]
    return (
        "## The newswire lesson, 8 epochs\n\n"
        "Load, vectorise, build, fit with validation, evaluate. "
        f"Medians of {N_RUNS} fresh processes each, in turn.\n\n{table(rows)}\n"
    )


if __name__ == "__main__":
    print(report())
