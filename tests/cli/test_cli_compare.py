"""`slugline compare`: a table, files, progress, and wrong usage."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
NAMED = ["--text", "body", "--topic", "queue"]
QUICK = [*NAMED, "--folds", 2, "--threads", 1]
ROOT = Path(__file__).parents[2]

FAILS = """
class Fails:
    def fit(self, X, y):
        raise ValueError("an <b>unlucky</b> day")

    def predict(self, X):
        return X
"""


@pytest.fixture(autouse=True)
def _news(news_csv: Path) -> None:
    """Have news.csv in the folder."""


@pytest.fixture
def fails(tmp_path: Path) -> str:
    """Name a model that fails."""
    (tmp_path / "mine.py").write_text(FAILS)
    return "mine:Fails"


def test_compare_prints_a_table_with_the_best_first(run: Run) -> None:
    result = run("compare", "news.csv", *QUICK, "-q", "--models", "majority,default")
    assert (result.code, result.err) == (0, "")
    head, names, default, majority, verdict, *reading = result.out.splitlines()
    assert head == "news.csv: 90 documents, 3 topics, 2 folds"
    assert re.split(r"  +", names) == [
        *("model", "accuracy", "95 % interval", "macro-F1", "behind", "p"),
        *("fit", "documents/s", "memory", "file"),
    ]
    assert default.split()[:2] == ["default", "1.000"]
    assert majority.split()[:6] == ["majority", "0.333", "0.245", "to", "0.436", "0.167"]
    # All answers of the one are right, and a third of the other's, in both folds.
    assert majority.split()[6:8] == ["0.667", "-"]
    assert verdict.startswith("default is right most often: 100.0 %.")
    assert len(reading) == 3


def test_compare_json_has_every_number(run: Run) -> None:
    result = run("compare", "news.csv", *QUICK, "-q", "--models", "majority,default", "--json")
    data = json.loads(result.out)
    majority, default = data["models"]
    assert data["best"] == "default"
    assert data["data"]["n_documents"] == 90
    assert default["accuracy"] == 1
    assert default["difference"] is None
    assert majority["accuracies"] == [pytest.approx(1 / 3)] * 2
    assert majority["difference"]["accuracy"] == pytest.approx(-2 / 3)
    assert len(majority["fit_seconds"]) == 2


def test_compare_output_writes_page_json_and_chart(run: Run, tmp_path: Path, fails: str) -> None:
    models = f"default,{fails}"
    result = run("compare", "news.csv", *QUICK, "-q", "--models", models, "-o", "deep/found")
    folder = tmp_path / "deep" / "found"
    assert result.out.splitlines()[-1] == "page    deep/found/comparison.html"
    assert sorted(path.name for path in folder.iterdir()) == [
        "comparison.html",
        "comparison.json",
        "comparison.svg",
    ]
    assert json.loads((folder / "comparison.json").read_text())["best"] == "default"
    assert (folder / "comparison.svg").read_text().startswith("<svg xmlns=")
    page = (folder / "comparison.html").read_text()
    assert "2 models on news.csv" in page
    assert "Accuracy of each model, and the seconds that training takes" in page
    assert "mine:Fails has no result: raised ValueError: an &lt;b&gt;unlucky&lt;/b&gt; day" in page
    assert not re.search(r'(src|href)="(?!#)', page)  # needs no other file


def test_compare_fails_if_all_models_fail(run: Run, tmp_path: Path, fails: str) -> None:
    result = run("compare", "news.csv", *QUICK, "--models", fails, "-q", "-o", "found")
    assert result.code == 1
    assert result.out.splitlines()[-2:] == [
        "No model could be measured.",
        "page    found/comparison.html",
    ]
    assert result.err == "slugline: error: no model could be measured; see the reasons above.\n"
    assert "Missing results" in (tmp_path / "found" / "comparison.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--models", ","], "--models is empty; choose one or more of majority, "),
        (
            ["--models", "mojority"],
            "--models contains the unknown model 'mojority'; did you mean maj",
        ),
        (["--models", "nowhere:x"], "--models names nowhere:x: no module nowhere in "),
        (["--folds", 1], "--folds is 1; give a whole number of at least 2."),
        (
            ["--folds", 91],
            "--folds is 91, but news.csv has only 90 documents; use at most that many ",
        ),
        (["--timeout", -1], "--timeout is -1.0; give a number over 0 and under "),
        (["-o", "news.csv"], "--output news.csv: the folder can't be created (Not a directory); c"),
        (["-o", "news.csv/x"], "--output news.csv/x: the folder can't be created (Not a directo"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_compare_rejects_invalid_options(run: Run, options: list[Any], message: str) -> None:
    result = run("compare", "news.csv", *NAMED, "-q", *options)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"slugline: error: {message}")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a b,x\nc d,x", "all 2 documents of it.csv have the topic 'x'. Add documents"),
        ("same,x\nsame,y", "all 2 documents of it.csv have the same text: no model can tell"),
    ],
    ids=["one topic", "one text"],
)
def test_compare_rejects_documents_with_nothing_to_compare(
    run: Run, tmp_path: Path, rows: str, message: str
) -> None:
    (tmp_path / "it.csv").write_text(f"text,topic\n{rows}\n")
    result = run("compare", "it.csv", "-q", "--models", "majority")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"slugline: error: {message}")
