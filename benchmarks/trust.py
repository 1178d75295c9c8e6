"""Whether Slugline can be trusted: runs each `trust_*.py` in turn, and prints what they print."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PARTS = ("audit", "routing", "explain", "evaluation", "compare")


def report(parts: Sequence[str] = PARTS) -> str:
    """Return all the parts say, in Markdown; each is measured in a process of its own."""
    return "\n".join(map(_measured, parts))


def _measured(part: str) -> str:
    command = [sys.executable, Path(__file__).with_name(f"trust_{part}.py")]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    print(report(parser.parse_args().parts))


if __name__ == "__main__":
    main()
