"""`slugline suggest`: a table to fill in, which `train` reads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
LINES = ["the rate of wheat", "", "a goal for the bank", "corn at the match", 'say "loan", striker']


@pytest.fixture(autouse=True)
def _files(news_slug: Path, tmp_path: Path) -> None:
    """Have news.slug and new.txt in the folder."""
    (tmp_path / "new.txt").write_text("\n".join(LINES) + "\n")


def test_a_table_with_an_empty_column_of_topics(run: Run) -> None:
    result = run("suggest", "news.slug", "new.txt", "-n", 3, "-q")
    assert result.code == 0
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert list(rows[0]) == ["topic", "text", "guess", "probability"]
    assert len(rows) == 3
    for row in rows:
        assert row["topic"] == ""
        assert row["text"] in LINES
        assert row["guess"] in ("bank", "grain", "sport")
        assert 0 < float(row["probability"]) <= 1
    assert result.err == "warning: new.txt: skipped 1 row without a text to read\n"


def test_what_was_filled_in_can_be_learned_from(run: Run, tmp_path: Path) -> None:
    result = run("suggest", "news.slug", "new.txt", "-n", 2, "-o", "label.csv", "-q")
    assert result.out == "2 of 4 texts to label: label.csv\n"
    table = (tmp_path / "label.csv").read_text()
    (tmp_path / "label.csv").write_text(table.replace("\n,", "\nsport,"))
    done = run("train", "label.csv", "-q", "--test-fraction", 0, "-o", "more.slug")
    assert done.code == 0
    assert "learned 1 topic from all 2 documents" in done.out


def test_json_says_where_each_stands(run: Run) -> None:
    result = run("suggest", "news.slug", "new.txt", "-n", 1, "-q", "--json")
    (found,) = json.loads(result.out)
    assert list(found) == ["line", "text", "guess", "probability"]
    assert LINES[found["line"] - 1] == found["text"]


def test_fewer_than_asked_for_are_told(run: Run) -> None:
    result = run("suggest", "news.slug", "-", "-n", 9, stdin="the rate of wheat\nThe Rate of wheat")
    assert result.err.splitlines()[-1] == (
        "standard input: only 1 text differs enough to be suggested"
    )
    result = run("suggest", "news.slug", "-", "-n", 9, stdin="the rate of wheat\nThe goal and cup")
    # Where all are suggested, there is nothing to explain.
    assert result.err == "100%  classifying texts  2 texts\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "a.txt"], "--output a.txt: it is a CSV file; name it a.csv."),
        (["-o", "a.csv", "--json"], "--output is for CSV, and --json prints; leave one of them"),
        (["-n", "0"], ""),
    ],
    ids=["no CSV", "both", "none"],
)
def test_wrong_options(run: Run, options: list[str], message: str) -> None:
    result = run("suggest", "news.slug", "new.txt", *options)
    assert result.code == 2
    assert message in result.err


def test_a_table_does_not_overwrite_the_texts(run: Run, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("text\nthe rate of wheat\n")
    result = run("suggest", "news.slug", "new.csv", "-o", "new.csv")
    assert result.code == 2
    assert result.err == (
        "slugline: error: --output new.csv: would overwrite an input file; name another one.\n"
    )
