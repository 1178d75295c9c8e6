"""Installing: from an empty environment to the first answer."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from measure import child_processor_seconds, medians, seconds, table

TEXT = b"Wheat exports rose as drought cut the harvest\n"


def wheel(dist: str = "dist", runs: int = 3) -> str:
    """Seconds from an empty environment to the first answer, with packages that pip has cached."""
    (sdist,), (built,) = Path(dist).glob("slugline-*.tar.gz"), Path(dist).glob("slugline-*.whl")
    environment = {name: value for name, value in os.environ.items() if name[:6] != "PYTHON"}
    _measure(built, environment)  # fills the cache
    measured = [_measure(built, environment) for _ in range(runs)]
    install, answer = (medians(measured)[name] for name in ("install", "answer"))
    rows = [
        ["source distribution, MB", f"{sdist.stat().st_size / 1e6:.2f}"],
        ["wheel, MB", f"{built.stat().st_size / 1e6:.2f}"],
        ["installed with all that it requires, MB", f"{medians(measured)['megabytes']:,.0f}"],
        ["`pip install`, s", f"{install:.1f}"],
        ["its processor time, s", f"{medians(measured)['processor']:.1f}"],
        ["`slugline predict` of one text right afterwards, s", f"{answer:.2f}"],
        ["both together, s", f"{install + answer:.1f}"],
        ["both together in the slowest run, s", f"{max(map(_total, measured)):.1f}"],
    ]
    return table(["", "Slugline"], rows)


def _measure(built: Path, environment: Mapping[str, str]) -> dict[str, float]:
    """Return the seconds of both steps in an empty environment, and the size of all packages."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        site = next(Path(folder).glob("lib/python*/site-packages"))
        before = _megabytes(site)

        def run(program: str, *arguments: str) -> None:
            command = [f"{folder}/bin/{program}", *arguments]
            subprocess.run(
                command, input=TEXT, stdout=subprocess.DEVNULL, check=True, env=environment
            )

        started = child_processor_seconds()
        install = seconds(run, "pip", "install", "--quiet", str(built))
        return {
            "install": install,
            "processor": child_processor_seconds() - started,
            "answer": seconds(run, "slugline", "predict"),
            "megabytes": _megabytes(site) - before,
        }


def _total(run: Mapping[str, float]) -> float:
    return run["install"] + run["answer"]


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


BENCHMARKS = {"wheel": wheel}
QUICK = {"wheel": {"runs": 1}}
