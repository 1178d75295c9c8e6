"""With an option, tests that are skipped for a reason that is not on the list are a failure."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("options", "reasons"), [(["--known-skips-only"], ["the moon is full"]), ([], [])]
)
def test_conftest_fails_skips_for_reasons_not_on_the_list(
    tmp_path: Path, options: list[str], reasons: list[str]
) -> None:
    for name in ("conftest.py", "browsers.py"):
        shutil.copy(Path(__file__).with_name(name), tmp_path)
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "def test_it(): pytest.skip('root may write anywhere')\n"
        "def test_that(): pytest.skip('the moon is full')\n"
        "def test_this(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "."]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert re.findall("not on the list: (.*)\n", ended.stdout) == reasons
    assert ended.returncode == (1 if reasons else 0)
