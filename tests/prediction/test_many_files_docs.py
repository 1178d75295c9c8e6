"""What docs/howto/many-files.md says is so."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.prediction.processes import MAX_DEATHS
from slugline.prediction.record import FORMATS

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "many-files.md"
TEXT = PAGE.read_text("utf-8")
Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def _folder(news_slug: Path, tmp_path: Path, write_parquet: Callable[..., None]) -> None:
    """Have model.slug in the folder, and tables in in/."""
    (tmp_path / "model.slug").write_bytes(news_slug.read_bytes())
    (tmp_path / "in").mkdir()
    write_parquet(tmp_path / "in/a.parquet", {"body": ("VARCHAR", ["wheat", "goal"])})


def test_the_first_command_and_the_python_do_what_they_say(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    command = re.findall(r"^slugline (.*)$", TEXT, re.MULTILINE)[0].replace("'", "").split()
    assert run(*command).code == 0
    assert Path("out/a.parquet").exists()
    Path("out").rename("before")
    python = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[0]
    exec(python, {})  # noqa: S102 (our own page)
    assert capsys.readouterr().out == "1 2 []\n"


def test_its_flags_formats_and_numbers_are_those_of_the_command(run: Run) -> None:
    told = run("predict", "--help").out
    flags = set(re.findall(r"--[a-z-]+", TEXT))
    assert flags >= {"--to", "--workers", "--scheduler", "--overwrite", "--strict"}
    assert [flag for flag in flags if flag not in told] == []
    (formats,) = re.findall(r"--to (\w+)` \(or (\w+), (\w+),\s+(\w+)\)", TEXT)
    assert {*formats} == {*FORMATS}
    assert MAX_DEATHS == 5
    assert "after five\n" in TEXT


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert len(links) == 2
    assert all((PAGE.parent / link).exists() for link in links)
