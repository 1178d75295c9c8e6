"""Tests of changes between groups."""

from __future__ import annotations

import numpy as np
import pytest

from slugline.counting.changes import find_changes
from slugline.counting.estimation import ShareEstimate, estimate_group
from slugline.counting.labelled import estimate_labelled_share
from slugline.counting.results import Change, GroupCount, TopicCount
from slugline.counting.shares import HeldoutSample
from slugline.evaluation.intervals import Interval, wilson

TOPICS = ("a", "b")


def draw(share: float, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of texts by a calibrated model of equal shares, and their topics."""
    topics = (rng.random(n) > share).astype(np.intp)
    x = np.where(topics == 0, -1.0, 1.0) + rng.normal(size=n)
    first = 1 / (1 + np.exp(2 * x))
    return np.stack([first, 1 - first], axis=1), topics


def change_tests(shares: list[float], n: int, seed: int, *, is_time: bool = True) -> list[Change]:
    """Return the changes between groups of texts with these shares of the first topic."""
    rng = np.random.default_rng(seed)
    proba, topics = draw(0.5, 500, rng)
    sample = HeldoutSample(proba, topics, np.array([250.0, 250.0]))
    estimates: list[list[ShareEstimate]] = []
    groups = []
    for i, share in enumerate(shares):
        texts, _ = draw(share, n, rng)
        estimate = estimate_group(sample, texts, np.ones(n), seed=seed, n_sets=50, group=i + 1)
        estimates.append([estimate])
        counts = zip(TOPICS, estimate.shares.tolist(), estimate.intervals(), strict=True)
        groups.append(
            GroupCount(f"2026-{i + 1:02}", n, tuple(TopicCount(*each, n, None) for each in counts))
        )
    return find_changes(groups, estimates, is_time=is_time)


def test_changes_are_between_neighbours_and_before_and_after_each_boundary() -> None:
    changes = change_tests([0.3, 0.4, 0.5], 50, 0)
    assert {(c.before, c.after, c.is_lasting) for c in changes if c.topic == "a"} == {
        ("2026-01", "2026-02", False),
        ("2026-02", "2026-03", False),
        ("2026-01", "2026-02", True),
        ("2026-02", "2026-03", True),
    }
    assert len(changes) == 8


def test_a_lasting_change_is_found_that_no_pair_of_periods_shows() -> None:
    changes = change_tests([0.3] * 4 + [0.5] * 4, 60, 0)
    significant = [change for change in changes if change.is_significant]
    assert {change.is_lasting for change in significant} == {True}
    assert significant[0].after == "2026-05"


def test_changes_between_noisy_periods_are_not_called_changes() -> None:
    shares = [0.25, 0.4, 0.25, 0.4, 0.4, 0.25, 0.25, 0.4]
    assert any(change.is_significant for change in change_tests(shares, 400, 0, is_time=False))
    assert not any(change.is_significant for change in change_tests(shares, 400, 0))


def test_a_lasting_change_is_found_between_noisy_periods() -> None:
    before = [0.2, 0.28, 0.28, 0.2, 0.24, 0.2]
    shares = [*before, *(share + 0.3 for share in before)]
    first, *_ = change_tests(shares, 400, 0)
    assert first.is_significant
    assert (first.is_lasting, first.after) == (True, "2026-07")


def test_a_change_does_not_count_as_noise_between_periods() -> None:
    first, *_ = change_tests([0.2] * 4 + [0.7] * 4, 400, 0)
    assert first.is_significant
    assert (first.is_lasting, first.after) == (True, "2026-05")


def test_standard_errors_are_larger_by_as_much_as_periods_differ() -> None:
    [calm, *_] = change_tests([0.25, 0.25, 0.25, 0.25, 0.4], 400, 0)
    [noisy, *_] = change_tests([0.25, 0.4, 0.25, 0.4, 0.4], 400, 0)
    assert noisy.interval.high - noisy.interval.low > 1.5 * (calm.interval.high - calm.interval.low)


def test_groups_that_are_not_periods_are_compared_with_the_first() -> None:
    changes = change_tests([0.3, 0.4, 0.5], 50, 0, is_time=False)
    assert {c.before for c in changes} == {"2026-01"}


def test_changes_are_found_and_the_smallest_p_value_is_first() -> None:
    first, *_ = change_tests([0.2, 0.2, 0.8], 400, 1)
    assert first.p_value < 0.001
    assert first.after == "2026-03"
    assert 0.4 < abs(first.difference) < 0.75
    assert first.interval.low < first.difference < first.interval.high


def test_changes_by_chance_are_rarely_called_more() -> None:
    n_false = sum(
        any(change.is_significant for change in change_tests([0.3] * 4, 100, seed))
        for seed in range(30)
    )
    assert n_false <= 3


@pytest.mark.parametrize(("n_labels", "has_model"), [(15, False), (200, True)])
def test_changes_by_chance_are_rarely_called_more_with_labels(
    n_labels: int, has_model: bool
) -> None:
    rng, shares = np.random.default_rng(0), np.array([0.3, 0.3, 0.2, 0.1, 0.05, 0.05])

    def draw_group(name: str) -> GroupCount:
        topics = rng.choice(6, 400, p=shares)
        answers = np.where(rng.random(400) < 0.85, topics, rng.integers(0, 6, 400))
        proba = np.where(answers[:, np.newaxis] == np.arange(6), 0.8, 0.04)
        chosen, counts = rng.choice(400, n_labels, replace=False), []
        for topic in range(6):
            estimate = estimate_labelled_share(
                (topics[chosen] == topic).astype(np.float64),
                np.ones(n_labels),
                400,
                proba=proba[chosen, topic] if has_model else None,
                mean_proba=float(proba[:, topic].mean()),
            )
            share, interval, method = estimate
            counts.append(TopicCount(str(topic), share, interval, 400, None, method))
        return GroupCount(name, 400, tuple(counts))

    n_false = 0
    for _ in range(60):
        groups = [draw_group(f"2026-{month:02}") for month in range(1, 13)]
        changes = find_changes(groups, [[]] * 12, is_time=True, has_labels=True)
        n_false += any(change.is_significant for change in changes)
    assert n_false <= 3  # 5 %


def test_changes_between_single_texts_of_which_the_model_is_sure_are_chance() -> None:
    first = np.repeat([0.999, 0.001], 250)
    proba = np.stack([first, 1 - first], axis=1)
    sample = HeldoutSample(proba, np.repeat([0, 1], 250), np.array([250.0, 250.0]))
    estimates = [
        estimate_group(sample, proba[[row]], np.ones(1), seed=0, n_sets=50) for row in (0, -1)
    ]
    groups = [
        GroupCount(
            name, 1, tuple(TopicCount(topic, 0.5, Interval(0.0, 1.0), 1, None) for topic in TOPICS)
        )
        for name in ("Monday", "Tuesday")
    ]
    changes = find_changes(groups, [[each] for each in estimates], is_time=True)
    assert len(changes) == 2
    for change in changes:
        assert abs(change.difference) > 0.9
        assert not change.is_significant
        assert -1 <= change.interval.low <= change.interval.high <= 1


def labelled_group(name: str, share: float) -> GroupCount:
    low, high = wilson(share * 100, 100)
    return GroupCount(
        name, 400, (TopicCount("a", share, Interval(low, high), 400, None, "labels"),)
    )


def test_changes_are_by_labels_if_both_groups_have_enough() -> None:
    groups = [labelled_group("2026-01", 0.2), labelled_group("2026-02", 0.6)]
    [change] = find_changes(groups, [[], []], is_time=True, has_labels=True)
    assert change.is_significant
    assert change.difference == pytest.approx(0.4)
    assert change.describe().endswith(", by labels)")


def test_changes_without_labels_of_both_groups_need_the_model() -> None:
    [first, *_] = change_tests([0.2, 0.8], 400, 1)
    assert first.basis == ""
    by_model = labelled_group("2026-02", 0.6)
    by_model = by_model._replace(topics=(by_model.topics[0]._replace(method="model"),))
    groups = [labelled_group("2026-01", 0.2), by_model]
    assert find_changes(groups, [[], []], is_time=True, has_labels=True) == []


@pytest.mark.parametrize(
    ("difference", "interval", "sentence"),
    [
        (0.3, Interval(0.2, 0.4), "a rose by 30.0 points from x to y (95 % interval 20.0 to 40.0)"),
        (
            -0.3,
            Interval(-0.4, -0.2),
            "a fell by 30.0 points from x to y (95 % interval 20.0 to 40.0)",
        ),
        (
            -0.1,
            Interval(-0.3, 0.1),
            "a fell by 10.0 points from x to y (95 % interval -10.0 to 30.0)",
        ),
    ],
    ids=["rise", "fall", "chance"],
)
def test_change_is_described_in_its_direction(
    difference: float, interval: Interval, sentence: str
) -> None:
    assert Change("a", "x", "y", difference, interval, 0.5).describe() == sentence


def test_change_between_groups_that_are_no_periods_is_a_difference() -> None:
    change = Change("complaint", "app", "web", -0.1, Interval(-0.15, -0.05), 0.01, is_time=False)
    assert change.describe() == (
        "The share of complaint is 10.0 points lower in web than in app (95 % interval 5.0 to 15.0)"
    )
