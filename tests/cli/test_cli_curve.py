"""`slugline curve`: a table, words, a picture, and an early end."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
NAMED = ["--text", "body", "--topic", "queue"]


@pytest.fixture(autouse=True)
def _news(news_csv: Path) -> None:
    """Have news.csv in the folder."""


def test_curve_prints_a_table_and_what_twice_the_labels_would_bring(run: Run) -> None:
    result = run("curve", "news.csv", *NAMED, "-q", "--draws", 3)
    assert (result.code, result.err) == (0, "")
    head, names, *rows = result.out.splitlines()
    assert head == "news.csv: 3 topics, 72 documents to learn from, 18 others to test on"
    assert names.split("  ")[:2] == ["labels per topic", "documents"]
    assert [row.split()[:2] for row in rows[:4]] == [
        ["5", "15"],
        ["10", "30"],
        ["20", "60"],
        ["all", "72"],
    ]
    assert rows[4].startswith("For the same number of other documents, expect a result within")
    assert rows[5].startswith("Slugline: no mistake in 18 test documents")
    assert len(rows) == 6


def test_curve_reports_progress_on_standard_error(run: Run) -> None:
    result = run("curve", "news.csv", *NAMED, "--draws", 1)
    # On a busy machine, a line says how much time is left, and a long step has several.
    lines = [re.sub(r"  [\d:]+ left", "", line) for line in result.err.splitlines()]
    assert [*dict.fromkeys(lines)] == [
        "  0%  Slugline: 5 labels per topic, draw 1",
        " 25%  Slugline: 10 labels per topic, draw 1",
        " 50%  Slugline: 20 labels per topic, draw 1",
        " 75%  Slugline: all labels, draw 1",
    ]


def test_curve_chart_writes_an_svg_file(run: Run, tmp_path: Path) -> None:
    result = run("curve", "news.csv", *NAMED, "-q", "--draws", 1, "--chart", "curve.svg")
    assert result.out.splitlines()[-1] == "chart   curve.svg"
    content = (tmp_path / "curve.svg").read_text()
    assert content.startswith("<svg xmlns=")
    assert "Accuracy by number of training documents" in content


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--chart", "curve.pdf"], "--chart curve.pdf: name it curve.svg"),
        (["--test-fraction", 0], "--test-fraction is 0.0; give a number over 0 and under 1."),
    ],
    ids=["no SVG", "nothing to test on"],
)
def test_curve_rejects_invalid_options_before_the_work(
    run: Run, options: list[Any], message: str
) -> None:
    result = run("curve", "news.csv", *NAMED, *options)
    assert result.code == 2
    assert result.err.startswith(f"slugline: error: {message}")


def test_curve_rejects_a_single_topic(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("text,topic\nwheat rose,grain\ncorn fell,grain\n")
    result = run("curve", "one.csv", "-q")
    assert result.code == 1
    assert result.err == (
        "slugline: error: all 2 documents of one.csv have the topic 'grain'. Add documents of "
        "other topics.\n"
    )


def test_curve_interrupted_prints_the_points_so_far(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slugline.classifier import TopicClassifier

    fit, n_fits = TopicClassifier.fit, iter(range(10))

    def interrupted(self: TopicClassifier, *args: Any, **options: Any) -> Any:
        if next(n_fits) == 2:
            raise KeyboardInterrupt
        return fit(self, *args, **options)

    monkeypatch.setattr(TopicClassifier, "fit", interrupted)
    result = run("curve", "news.csv", *NAMED, "-q")
    assert result.code == 130
    assert result.err == (
        "warning: interrupted; showing the points so far, some from fewer draws\n"
    )
    assert [row.split()[0] for row in result.out.splitlines()[2:4]] == ["5", "10"]
    assert result.out.splitlines()[-1] == (
        "Slugline: not measured with all labels, so the gain from more labels can't be estimated."
    )


def test_train_curve_adds_the_curve_to_report_and_output(run: Run, tmp_path: Path) -> None:
    result = run("train", "news.csv", *NAMED, "-q", "-o", "news.slug", "--curve")
    assert result.code == 0
    assert "Slugline: no mistake in 18 test documents" in result.out
    page = (tmp_path / "news.html").read_text()
    assert "Expected gain from more labels" in page
    assert "Accuracy by number of training documents" in page
    run("train", "news.csv", *NAMED, "-q", "-o", "news.slug")
    assert "Expected gain from more labels" not in (tmp_path / "news.html").read_text()


def test_train_curve_of_a_tuned_model_searches_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slugline.learning import tuning

    tune, n_searches = tuning.tune, []

    def counted(*args: Any, **options: Any) -> Any:
        n_searches.append(1)
        return tune(*args, **options | {"budget": 1})

    monkeypatch.setattr(tuning, "tune", counted)
    result = run("train", "news.csv", *NAMED, "-q", "-o", "news.slug", "--tune", "--curve")
    assert result.code == 0
    assert len(n_searches) == 1
