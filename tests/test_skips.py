"""With an option, tests that are skipped for a reason that is not on the list are a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("options", "reason", "code"),
    [
        (["--known-skips-only"], "root may write anywhere", 0),
        (["--known-skips-only"], "the moon is full", 1),
        ([], "the moon is full", 0),
    ],
)
def test_conftest_fails_skips_for_reasons_not_on_the_list(
    tmp_path: Path, options: list[str], reason: str, code: int
) -> None:
    for name in ("conftest.py", "browsers.py"):
        shutil.copy(Path(__file__).with_name(name), tmp_path)
    (tmp_path / "test_it.py").write_text(
        f"import pytest\ndef test_that(): pytest.skip({reason!r})\ndef test_this(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "."]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert ended.returncode == code
    assert (f"not on the list: {reason}\n" in ended.stdout) == (code == 1)
