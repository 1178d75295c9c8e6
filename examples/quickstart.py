"""Train on the Reuters newswires, or on BBC News without them, and classify two wires."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from slugline import SluglineError, reuters

OUT = Path("quickstart-out")

# Written for this example.
WIRES = """\
Wheat and maize exports fell in March as drought cut the harvest, the farm ministry said.
Net profit for the quarter rose to 12 mln dlrs, or 41 cts a share, on higher sales.
"""


def main() -> None:
    """Run the commands that you would type yourself."""
    try:
        reuters.load_wires("corrected")
        data = "reuters-corrected"
    except SluglineError:
        print("The Reuters newswires aren't available here, so this trains on BBC News instead.")
        data = "bbc"
    OUT.mkdir(exist_ok=True)
    model = OUT / f"{data}.slug"
    _slugline("train", data, "-o", str(model))
    print("\nTwo sample wires, and the topics that the model gives them:")
    print(WIRES, end="", flush=True)
    _slugline("predict", str(model), text=WIRES)


def _slugline(*arguments: str, text: str | None = None) -> None:
    print(f"\n$ slugline {' '.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "slugline", *arguments]
    done = subprocess.run(command, input=text, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
