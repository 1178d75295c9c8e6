"""Runs every benchmark and writes RESULTS.md. Use a machine with nothing else to do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import active
import answering
import choices
import classifier
import commands
import few
import imports
import leave_out
import lesson
import reproduction
import scale
import serving
import shipped_model
import tokenise
import trust

PACKAGES = (
    *("slugline", "numpy", "scipy", "scikit-learn"),
    *("keras", "tensorflow-cpu", "jax", "fasttext", "cleanlab"),
)
PARTS = (
    *(reproduction, lesson, tokenise, classifier, few, leave_out, choices, scale),
    *(active, trust, serving, shipped_model, imports, commands, answering),
)


def main() -> None:
    """Measure and write."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    head = (
        "# Results\n\n"
        "Written by `make bench`. Machines differ and are noisy: read the ratios.\n\n"
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}.\n"
    )
    sections = [part.report() for part in PARTS]
    text = "\n".join([head, *sections])
    Path(__file__).with_name("RESULTS.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
