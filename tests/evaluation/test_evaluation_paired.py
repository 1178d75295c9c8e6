"""Two classifiers on the same documents: McNemar's test and differences with intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics

from slugline.errors import DataError
from slugline.evaluation.paired import compare_paired, mcnemar

seeds = st.integers(0, 10_000)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_equals_the_binomial_test_of_scipy(n_first: int, n_second: int) -> None:
    n = n_first + n_second
    expected = binomtest(n_first, n).pvalue if n else 1.0
    assert mcnemar(n_first, n_second) == pytest.approx(expected)
    assert mcnemar(n_first, n_second) == mcnemar(n_second, n_first)


# Fagerland, Lydersen and Laake (2013), The McNemar test for binary matched-pairs data: 1 and 7
# discordant pairs, of which the exact conditional test makes 0.0703.
def test_mcnemar_gives_the_published_value() -> None:
    assert mcnemar(1, 7) == pytest.approx(0.0703, abs=5e-5)


def answers(seed: int, n: int = 200) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    made = [np.where(rng.random(n) < share, y, rng.integers(0, 5, n)) for share in (0.8, 0.5)]
    return [[f"t{topic}" for topic in of] for of in (y, *made)]


@settings(max_examples=20)
@given(seeds)
def test_compare_paired_counts_and_metrics_are_those_of_each(seed: int) -> None:
    y, one, other = answers(seed)
    found = compare_paired(y, one, other)
    right = np.array(y) == np.array(one), np.array(y) == np.array(other)
    assert found.n_both == (right[0] & right[1]).sum()
    assert found.n_first == (right[0] & ~right[1]).sum()
    assert found.n_second == (~right[0] & right[1]).sum()
    assert found.n_documents == len(y)
    assert found.accuracy.first == pytest.approx(right[0].mean())
    assert found.accuracy.second == pytest.approx(right[1].mean())
    for ours, of in ((found.macro_f1.first, one), (found.macro_f1.second, other)):
        expected = metrics.f1_score(y, of, average="macro", zero_division=0)
        assert ours == pytest.approx(expected)


def test_compare_paired_intervals_are_of_the_paired_difference() -> None:
    y, one, other = answers(1, 1000)
    found = compare_paired(y, one, other, seed=3)
    low, high = found.accuracy.interval
    assert low < found.accuracy.difference < high
    assert found.macro_f1.interval.low < found.macro_f1.difference < found.macro_f1.interval.high
    # The standard error of a paired difference, Agresti (2013), 11.1.1.
    n, b, c = found.n_documents, found.n_first, found.n_second
    error = np.sqrt(b + c - (b - c) ** 2 / n) / n
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.12)


def test_compare_paired_is_fixed_by_the_seed() -> None:
    assert compare_paired(*answers(1), seed=1) == compare_paired(*answers(1), seed=1)
    assert compare_paired(*answers(1), seed=1) != compare_paired(*answers(1), seed=2)


def test_compare_paired_swaps_counts_with_the_classifiers() -> None:
    y, one, other = answers(2)
    found, swapped = compare_paired(y, one, other), compare_paired(y, other, one)
    assert (found.n_first, found.n_second) == (swapped.n_second, swapped.n_first)
    assert found.accuracy.difference == -swapped.accuracy.difference
    assert found.p_value == swapped.p_value


def test_compare_paired_of_equal_answers_is_zero() -> None:
    y, one, _ = answers(4)
    found = compare_paired(y, one, one)
    assert (found.accuracy.difference, found.p_value) == (0, 1)
    assert found.accuracy.interval == found.macro_f1.interval == (0, 0)


def test_compare_paired_takes_one_topic_and_one_document() -> None:
    told = compare_paired(["a"], ["a"], ["a"]).to_dict()
    assert (told["n_both_right"], told["accuracy"], told["mcnemar_p"]) == (1, [1, 1], 1)


@pytest.mark.parametrize(
    "parts", [([], [], []), (["a"], ["a"], []), (["a"], ["a", "b"], ["a"])], ids=str
)
def test_compare_paired_rejects_answers_to_other_documents(parts: tuple[list[str], ...]) -> None:
    with pytest.raises(DataError) as caught:
        compare_paired(*parts)
    y, one, other = map(len, parts)
    assert str(caught.value) == (
        f"there are {y} topics, but {one} and {other} answers; pass one answer of each classifier "
        "per topic, and at least one topic."
    )


def several_topics(seed: int, n: int = 400) -> list[list[tuple[str, ...]]]:
    """Return topics and two predictions, of which the first is better."""
    rng = np.random.default_rng(seed)
    true = rng.random((n, 6)) < 0.25
    flips = [rng.random((n, 6)) < share for share in (0, 0.05, 0.1)]
    return [
        [tuple(f"t{number}" for number in np.flatnonzero(row)) for row in true != flip]
        for flip in flips
    ]


def indicators(sets: list[tuple[str, ...]]) -> np.ndarray:
    return np.array([[f"t{number}" in topics for number in range(6)] for topics in sets])


def test_compare_paired_of_several_topics_uses_the_exact_match() -> None:
    sets = several_topics(0)
    paired, (true, first, second) = compare_paired(*sets), map(indicators, sets)
    right = (true == first).all(axis=1), (true == second).all(axis=1)
    assert paired.n_both == (right[0] & right[1]).sum()
    assert paired.n_first == (right[0] & ~right[1]).sum()
    assert paired.n_second == (~right[0] & right[1]).sum()
    assert paired.n_documents == len(true)
    assert paired.micro_f1 is not None
    for average, ours in (
        ("micro", (paired.micro_f1.first, paired.micro_f1.second)),
        ("macro", (paired.macro_f1.first, paired.macro_f1.second)),
    ):
        expected = [metrics.f1_score(true, part, average=average) for part in (first, second)]
        assert ours == pytest.approx(expected)


def test_compare_paired_intervals_of_several_topics_equal_resampling() -> None:
    sets = several_topics(1)
    paired, (true, first, second) = compare_paired(*sets), map(indicators, sets)
    rng = np.random.default_rng(0)

    def micro_f1(answered: np.ndarray, rows: np.ndarray) -> float:
        n_right = (true[rows] & answered[rows]).sum()
        return float(2 * n_right / (true[rows].sum() + answered[rows].sum()))

    differences = [
        micro_f1(first, rows) - micro_f1(second, rows)
        for rows in (rng.integers(len(true), size=len(true)) for _ in range(500))
    ]
    assert paired.micro_f1 is not None
    low, high = paired.micro_f1.interval
    assert 0 < low < paired.micro_f1.difference < high
    assert (low, high) == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.01)
    data = paired.to_dict()
    assert data["micro_f1_difference_interval"] == [low, high]
    assert "micro_f1" not in compare_paired(*answers(1)).to_dict()


def test_compare_paired_of_equal_sets_is_zero() -> None:
    true, first, _ = several_topics(2)
    paired = compare_paired(true, first, first)
    assert paired.p_value == 1
    assert paired.micro_f1 is not None
    assert paired.micro_f1.interval == paired.macro_f1.interval == (0, 0)


def test_compare_paired_macro_f1_uses_topics_known_to_each() -> None:
    true = [("a",), ("b", "x"), ("x",)]
    paired = compare_paired(
        true, [("a",), ("b",), ()], [("a",), ("x",), ("x",)], classes=({"a", "b"}, {"a", "b", "x"})
    )
    assert paired.micro_f1 is not None
    assert (paired.macro_f1.first, paired.macro_f1.second) == pytest.approx((1, 2 / 3))
    assert (paired.micro_f1.first, paired.micro_f1.second) == pytest.approx((2 / 3, 6 / 7))
