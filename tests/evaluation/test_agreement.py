"""Agreement of coders: published examples, the krippendorff package, and intervals that hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from slugline.evaluation.agreement import (
    Coefficient,
    Ratings,
    TopicSetSimilarity,
    agreement_ratio,
    exact_agreement,
    krippendorff_alpha,
)

TopicSets = list[list[frozenset[str]]]


def topic_sets(observers: Sequence[str]) -> TopicSets:
    """Return the values of each unit from a string for each observer; a star is a missing value."""
    units = zip(*observers, strict=True)
    return [[frozenset(value) for value in unit if value != "*"] for unit in units]


def alpha_of(units: TopicSets) -> Coefficient:
    return krippendorff_alpha(Ratings.from_topic_sets(units))


def draw_units(
    rng: np.random.Generator, n: int, accuracy: float, probabilities: list[float]
) -> TopicSets:
    """Return labels of two coders, each of whom knows the topic with probability `accuracy`."""
    k = len(probabilities)
    topics = rng.choice(k, n, p=probabilities)
    guesses = rng.choice(k, (2, n), p=probabilities)
    labels = np.where(rng.random((2, n)) < accuracy, topics, guesses)
    return [[frozenset(str(label)) for label in pair] for pair in labels.T]


# Krippendorff (2011), Computing Krippendorff's alpha-reliability, sections A to C.
@pytest.mark.parametrize(
    ("observers", "alpha"),
    [
        pytest.param(["0100000010", "1110010000"], 0.095, id="two values"),
        pytest.param(["aabbdcccedda", "babbbccceddd"], 0.692, id="five values"),
        pytest.param(
            ["123321412***", "1233224125**", "*33323422513", "12332441251*"], 0.743, id="missing"
        ),
    ],
)
def test_krippendorff_alpha_is_that_of_published_examples(
    observers: list[str], alpha: float
) -> None:
    assert round(alpha_of(topic_sets(observers)).value, 3) == alpha


def test_krippendorff_alpha_is_that_of_the_package() -> None:
    package = pytest.importorskip("krippendorff")
    rng = np.random.default_rng(0)
    for _ in range(20):
        topics, guesses = rng.integers(0, 4, 30), rng.integers(0, 4, (4, 30))
        ratings = np.where(rng.random((4, 30)) < 0.6, topics, guesses).astype(float)
        ratings[rng.random((4, 30)) < 0.3] = np.nan
        units = [[frozenset([str(v)]) for v in unit if not np.isnan(v)] for unit in ratings.T]
        expected = package.alpha(reliability_data=ratings, level_of_measurement="nominal")
        assert alpha_of(units).value == pytest.approx(expected, abs=1e-12)


def test_krippendorff_alpha_of_sets_is_that_of_the_package_with_their_distances() -> None:
    package = pytest.importorskip("krippendorff")
    rng = np.random.default_rng(1)
    sets = [frozenset(each) for each in ("", "a", "b", "ab", "bc", "abc")]
    first, second = np.divmod(np.arange(36), 6)
    distances = 1 - TopicSetSimilarity(sets).of_pairs(first, second).reshape(6, 6)

    def distance(first: np.ndarray, second: np.ndarray, **_: object) -> np.ndarray:
        return distances[first.astype(int), second.astype(int)]

    ratings = rng.integers(0, 6, (3, 40)).astype(float)
    ratings[1:, :20] = ratings[0, :20]
    ratings[rng.random((3, 40)) < 0.2] = np.nan
    expected = package.alpha(reliability_data=ratings, level_of_measurement=distance)
    units = [[sets[int(v)] for v in unit if not np.isnan(v)] for unit in ratings.T]
    assert alpha_of(units).value == pytest.approx(expected, abs=1e-12)


def test_krippendorff_alpha_of_perfect_agreement_is_1_with_a_wide_interval_for_few() -> None:
    few, many = (alpha_of(topic_sets(["ab" * n, "ab" * n])) for n in (5, 500))
    assert few.value == many.value == 1
    assert [few.interval.high, many.interval.high] == pytest.approx([1, 1])
    assert few.interval.low < 0.5 < 0.98 < many.interval.low


def test_krippendorff_alpha_of_random_labels_is_about_0() -> None:
    units = draw_units(np.random.default_rng(0), 2000, 0.0, [0.5, 0.3, 0.2])
    alpha = alpha_of(units)
    assert abs(alpha.value) < 0.05
    assert alpha.interval.low < 0 < alpha.interval.high


@pytest.mark.parametrize("observers", [["aaa", "aaa"], ["abc", "***"], ["", ""]])
def test_krippendorff_alpha_is_undefined_without_variety_or_pairs(observers: list[str]) -> None:
    alpha = alpha_of(topic_sets(observers))
    assert not alpha.is_defined
    assert math.isnan(alpha.interval.low)


@pytest.mark.slow
@pytest.mark.parametrize("probabilities", [[0.5, 0.5], [0.125] * 8])
@pytest.mark.parametrize(("accuracy", "n"), [(0.9, 30), (0.97, 30), (0.6, 100)])
def test_interval_of_alpha_contains_the_truth(
    probabilities: list[float], accuracy: float, n: int
) -> None:
    rng = np.random.default_rng(2)
    alphas = [alpha_of(draw_units(rng, n, accuracy, probabilities)) for _ in range(200)]
    # Two coders agree beyond chance if both know the topic.
    inside = [each.interval.low <= accuracy**2 <= each.interval.high for each in alphas]
    assert np.mean(inside) > 0.91


def test_topic_set_similarity_is_that_of_the_paper() -> None:
    # Passonneau (2006), section 3: equal, subset, overlap, disjoint.
    pairs = [("ab", "ab"), ("ab", "abcd"), ("abc", "bcd"), ("ab", "cd"), ("", ""), ("", "a")]
    sets = [frozenset(each) for pair in pairs for each in pair]
    places = np.arange(0, len(sets), 2)
    assert TopicSetSimilarity(sets).of_pairs(places, places + 1) == pytest.approx(
        [1, 2 / 4 * 2 / 3, 2 / 4 / 3, 0, 1, 0]
    )


def test_exact_agreement_counts_pairs() -> None:
    ratings = Ratings.from_topic_sets(topic_sets(["aab", "aba", "abc"]))
    exact = exact_agreement(ratings)
    assert exact.value == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert exact.n_documents == 3


def test_agreement_ratio_of_units_of_one_document_is_as_uncertain_as_of_one() -> None:
    agreements, totals = np.tile([1.0, 0.0], 20), np.ones(40)
    apart = agreement_ratio(agreements, totals, np.arange(40))
    together = agreement_ratio(agreements, totals, np.arange(40) // 20 * 20 + np.arange(40) % 2)
    assert apart.value == together.value == 0.5
    assert together.n_documents == 4
    assert together.interval.low < apart.interval.low
