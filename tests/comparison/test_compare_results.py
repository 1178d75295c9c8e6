"""Results of a comparison, from answers made up for it: accuracies, differences, plain data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from slugline.comparison.fold import FoldResult
from slugline.comparison.models import Model
from slugline.comparison.results import (
    AccuracyDifference,
    Comparison,
    ModelResult,
    adjust_p_values,
    combine_folds,
    compare_accuracies,
)
from slugline.evaluation.intervals import wilson

MODEL = Model("it", "made up")
NAMES = ["arts", "earn", "grain"]
TOPICS = [np.array([0, 1, 2]), np.array([0, 1])]
FOLDS = [
    FoldResult(0, (0, 1, 1), 2.0, 0.5, peak_mb=90.0),
    FoldResult(1, (-1, 1), 3.0, 0.75, peak_mb=120.0, file_bytes=5),
]


def combined(error: str | None = None) -> ModelResult:
    folds = FOLDS if error is None else FOLDS[:1]
    return combine_folds(MODEL, folds, TOPICS, NAMES, error)


def compared(*models: ModelResult) -> Comparison:
    return Comparison("made up", "00", 5, 3, 2, 7, n_threads=4, models=models)


# One model --------------------------------------------------------------------------------------


def test_combine_folds_joins_answers_of_all_folds() -> None:
    found = combined()
    assert found.right == (True, True, False, False, True)
    assert (found.name, found.about, found.error) == ("it", "made up", None)
    assert found.n_documents == (3, 2)
    assert found.accuracy == 0.6
    assert found.accuracies == pytest.approx([2 / 3, 1 / 2])
    assert found.interval == wilson(3, 5)
    assert (found.fit_seconds, found.answer_seconds) == ((2.0, 3.0), (0.5, 0.75))
    assert found.documents_per_second == 5 / 1.25
    assert (found.peak_mb, found.file_bytes) == (120.0, 5)


def test_macro_f1_equals_scikit_learn_with_no_answer_for_unknown_topics() -> None:
    expected = f1_score([0, 1, 2, 0, 1], [0, 1, 1, -1, 1], labels=[0, 1, 2], average="macro")
    assert combined().macro_f1 == pytest.approx(expected)


def test_combine_folds_keeps_the_folds_before_a_failure() -> None:
    found = combined("crashed")
    assert (found.right, found.n_documents) == ((True, True, False), (3,))
    assert (found.macro_f1, found.error, found.file_bytes) == (None, "crashed", None)


# Differences ------------------------------------------------------------------------------------


def test_compare_accuracies_corrects_for_overlapping_folds() -> None:
    ours, theirs = [0.80, 0.82, 0.79, 0.83, 0.81], [0.78, 0.79, 0.78, 0.79, 0.80]
    found = compare_accuracies(ours, theirs)
    # Differences 0.02, 0.03, 0.01, 0.04, 0.01: mean 0.022, variance 0.00017.
    error = math.sqrt((1 / 5 + 1 / 4) * 0.00017)
    assert found.accuracy == pytest.approx(0.022)
    assert found.interval == pytest.approx((0.022 - 2.776445 * error, 0.022 + 2.776445 * error))
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.022 / error, 4))
    # Without the correction, it would be the usual paired test.
    usual = stats.ttest_rel(ours, theirs)
    assert found.p_value > usual.pvalue
    assert 0.022 / error == pytest.approx(usual.statistic / math.sqrt(1 + 5 / 4))


def test_compare_accuracies_of_a_constant_difference_has_no_interval() -> None:
    found = compare_accuracies([0.5, 0.7, 0.9], [0.4, 0.6, 0.8])
    assert (found.interval, found.p_value) == (None, None)
    assert found.accuracy == pytest.approx(0.1)


def test_adjust_p_values_corrects_for_the_number_of_models() -> None:
    p_values = {"a": 0.01, "b": 0.04, "unknown": None, "c": 0.03, "d": 0.9}
    found = adjust_p_values({name: AccuracyDifference(0, None, p) for name, p in p_values.items()})
    # 4 x 0.01, 3 x 0.03, then 2 x 0.04 = 0.08, which may not be less than the one before.
    expected = {"a": 0.04, "b": 0.09, "unknown": None, "c": 0.09, "d": 0.9}
    assert {name: d.p_value for name, d in found.items()} == pytest.approx(expected)


# All models -------------------------------------------------------------------------------------


def result(name: str, right: str, macro_f1: float = 0.5, seconds: float = 1.0) -> ModelResult:
    """Return a result of two folds, with 1 for right answers."""
    hits, n = tuple(hit == "1" for hit in right), len(right) // 2
    return ModelResult(name, "made up", hits, (n, n), macro_f1, (seconds,) * 2, (1.0,) * 2)


def test_best_is_by_accuracy_then_macro_f1_then_time() -> None:
    models = [
        result("wrong", "1000", 0.9, 0.1),
        result("slow", "1110", 0.6, 9.0),
        result("quick", "1110", 0.6, 2.0),
        result("rough", "1110", 0.4, 0.1),
        combined("crashed"),
    ]
    best = compared(*models).best
    assert best is not None
    assert best.name == "quick"
    names = [model.name for model in compared(*models).measured]
    assert names == ["quick", "slow", "rough", "wrong"]
    assert compared(combined("crashed")).best is None
    assert compared(combined("crashed")).differences() == {}


def test_differences_compare_each_model_with_the_best() -> None:
    good, near, bad = (
        result("good", "11111110"),
        result("near", "11101110"),
        result("bad", "10000100"),
    )
    found = compared(near, good, bad).differences()
    assert list(found) == ["near", "bad"]
    expected = adjust_p_values(
        {m.name: compare_accuracies(m.accuracies, good.accuracies) for m in (near, bad)}
    )
    assert found == expected
    assert found["near"].accuracy == -0.125


def test_to_dict_holds_all_results() -> None:
    other = result("other", "1000")
    data = compared(combined(), other, combined("crashed")).to_dict()
    models: list[dict[str, Any]] = data.pop("models")
    assert data == {
        "data": {"name": "made up", "sha256": "00", "n_documents": 5, "n_topics": 3},
        "folds": 2,
        "seed": 7,
        "threads": 4,
        "test": "corrected resampled t-test (Nadeau and Bengio, 2003), p-values adjusted by Holm "
        "(1979)",
        "best": "it",
        "baseline": None,
        "same_answers": [],
        "notes": [],
        "interrupted": False,
    }
    behind = compared(combined(), other).differences()["other"]
    assert behind.interval is not None
    assert models[1]["difference"] == {
        "accuracy": behind.accuracy,
        "interval": list(behind.interval),
        "p_value": behind.p_value,
    }
    assert models[0] == {
        "name": "it",
        "about": "made up",
        "error": None,
        "accuracy": 0.6,
        "accuracy_interval": list(wilson(3, 5)),
        "macro_f1": combined().macro_f1,
        "accuracies": combined().accuracies,
        "difference": None,
        "fit_seconds": [2.0, 3.0],
        "documents_per_second": 4.0,
        "peak_memory_mb": 120.0,
        "file_bytes": 5,
    }
    failed = models[2]
    assert failed["error"] == "crashed"
    assert failed["accuracies"] == pytest.approx([2 / 3])
    names = ("accuracy", "accuracy_interval", "macro_f1", "difference", "documents_per_second")
    assert [failed[name] for name in names] == [None] * 5
    assert compared(combined("crashed")).to_dict()["best"] is None
