"""What is said and drawn of a comparison, from results made up for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slugline.comparison.results import Comparison, ModelResult
from slugline.reports.comparison import comparison_page, comparison_rows, verdict

pytestmark = pytest.mark.slow


def model(name: str, *n_right: int, of: int = 100, **others: Any) -> ModelResult:
    """Return a result with so many right answers in each fold."""
    right = [place < n for n in n_right for place in range(of)]
    n_folds = len(n_right)
    values: dict[str, Any] = {
        "macro_f1": 0.5,
        "fit_seconds": (0.2,) * n_folds,
        "answer_seconds": (0.1,) * n_folds,
        "peak_mb": 120.0,
        "file_bytes": 5_200,
    }
    return ModelResult(name, "made up", tuple(right), (of,) * n_folds, **values | others)


def compared(*models: ModelResult, **others: Any) -> Comparison:
    values: dict[str, Any] = {"n_threads": 1}
    return Comparison("made up", "00", 500, 3, 5, 0, models=models, **values | others)


GOOD = model("good", 90, 92, 91, 93, 90)
NEAR = model("near", 91, 91, 90, 92, 91)
BAD = model("bad", 70, 73, 70, 74, 71)
STEADY = model("steady", 80, 82, 81, 83, 80)
FAILED = ModelResult("failed", "made up", error="crashed (SIGSEGV)")


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (
            (GOOD, BAD),
            "good is right most often: 91.2 %. The next one, bad, is 19.6 points behind, which is "
            "more than chance.",
        ),
        (
            (GOOD, NEAR, BAD),
            "good is right most often: 91.2 %. Its lead over near may be chance (p of "
            "0.05 or more): among these, choose by time, memory and size.",
        ),
        (
            (GOOD, STEADY),
            "good is right most often: 91.2 %. The next one, steady, is 10.0 points behind in "
            "every fold.",
        ),
        ((GOOD, FAILED), "Only good was measured: 91.2 % of its answers are right."),
        ((FAILED,), "No model could be measured."),
    ],
    ids=["better", "alike", "in every fold", "alone", "none"],
)
def test_verdict_says_no_more_than_the_test(models: tuple[ModelResult, ...], said: str) -> None:
    assert verdict(compared(*models)) == said


def test_comparison_prefers_the_quicker_of_equal_models() -> None:
    slow = model("slow", 90, 92, 91, 93, 90, fit_seconds=(9.0,) * 5)
    comparison = compared(slow, GOOD)
    assert comparison.best is GOOD
    assert comparison.differences()["slow"].p_value == 1


def test_comparison_rows_have_the_best_first_and_dashes() -> None:
    unknown = model("unknown", 70, 73, 70, 74, 71, peak_mb=None, file_bytes=None)
    head, *rows = comparison_rows(compared(FAILED, unknown, GOOD))
    assert [len(row) for row in rows] == [len(head)] * 3
    assert rows[0] == [
        *("good", "0.912", "0.884 to 0.934", "0.500", "", "", "0.2 s", "1,000", "120 MB"),
        "5.2 kB",
    ]
    assert rows[1][-2:] == ["-", "-"]
    assert rows[2] == ["failed", *["-"] * 9]


def test_comparison_to_dict_has_no_nan() -> None:
    same = model("same", 80, 82, 81, 83, 80)  # ten less in every fold
    data = compared(GOOD, same, FAILED).to_dict()
    json.dumps(data, allow_nan=False)
    assert data["models"][1]["difference"] == {
        "accuracy": pytest.approx(-0.1),
        "interval": None,
        "p_value": None,
    }


def test_comparison_page_escapes_names() -> None:
    hostile = model("<script>alert(1)</script>:x", 50, 52, 51, 50, 50)
    page = comparison_page(compared(hostile, GOOD, notes=("<b>note</b>",)))
    assert "<script>" not in page
    assert "<b>note" not in page
