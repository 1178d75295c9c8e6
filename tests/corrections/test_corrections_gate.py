"""What got clearly worse, and what luck alone may explain."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from slugline.corrections.gate import (
    ALPHA,
    MIN_CHANGED,
    PromiseChange,
    TopicChanges,
    clearly_worse,
    sign_test_p_value,
    topic_changes,
)


def changes_of(
    topics: list[str],
    before: list[str],
    after: list[str],
    corrected: list[str],
    n_newly: int,
    n_lost: int,
) -> TopicChanges:
    return topic_changes(
        topics, before, after, corrected, n_newly_answered=n_newly, n_no_longer_answered=n_lost
    )


@pytest.mark.parametrize(
    ("better", "worse", "p_value"),
    [(0, 0, 1), (5, 0, 1), (0, 1, 1 / 2), (0, 5, 1 / 32), (1, 5, 7 / 64), (3, 3, 42 / 64)],
)
def test_sign_test_p_value_is_that_of_a_fair_coin(better: int, worse: int, p_value: float) -> None:
    assert sign_test_p_value(better, worse) == pytest.approx(p_value)


def test_clearly_worse_needs_five_documents_that_all_got_worse() -> None:
    assert clearly_worse([(0, MIN_CHANGED)]) == [True]
    assert clearly_worse([(0, MIN_CHANGED - 1)]) == [False]
    assert clearly_worse([(1, MIN_CHANGED)]) == [False]
    assert clearly_worse([(MIN_CHANGED, 0)]) == [False]


def test_clearly_worse_corrects_for_many_topics_that_changed() -> None:
    many = [(4, 4)] * 9
    assert clearly_worse([(1, 7)]) == [True]  # 9 / 256
    assert clearly_worse([(1, 7), *many])[0] is False
    assert clearly_worse([(0, 8), *many])[0] is True  # 1 / 256


def test_clearly_worse_keeps_its_error_rate() -> None:
    rng = np.random.default_rng(0)
    n_held = 0
    for _ in range(2000):
        n_changed = rng.integers(0, 30, size=12)
        worse = rng.binomial(n_changed, 0.5)
        n_held += any(
            clearly_worse([(int(n - k), int(k)) for n, k in zip(n_changed, worse, strict=True)])
        )
    assert n_held / 2000 <= ALPHA


def test_topic_changes_count_answers() -> None:
    topics = ["a", "a", "a", "b", "b", "c"]
    before = ["a", "a", "b", "b", "a", "c"]
    after = ["a", "b", "b", "b", "b", "d"]
    changes, is_worse, _ = changes_of(topics, before, after, ["b", "e"], n_newly=0, n_lost=0)
    assert not is_worse
    assert [change.topic for change in changes] == ["a", "b", "c", "d", "e"]
    a, b, c, d, e = changes
    assert (a.n_documents, a.n_true_positives_before, a.n_true_positives_after) == (3, 2, 1)
    assert (a.n_predicted_before, a.n_predicted_after) == (3, 1)
    assert (a.n_better, a.n_worse, a.lost_to) == (1, 1, "b")  # one no longer a wrong "a"
    assert (b.n_better, b.n_worse, b.n_corrections, b.lost_to) == (1, 1, 1, None)
    assert (c.n_true_positives_before, c.n_true_positives_after) == (1, 0)
    assert (c.n_worse, c.lost_to) == (1, "d")
    assert (d.n_documents, d.n_predicted_after, d.n_worse) == (0, 1, 1)
    assert (e.n_documents, e.n_corrections) == (0, 1)
    assert a.f1_before == pytest.approx(2 / 3)
    assert a.f1_after == pytest.approx(1 / 2)
    assert math.isnan(e.f1_after)
    assert a.to_dict()["p_value"] == pytest.approx(3 / 4)


def test_topic_changes_find_a_lost_topic_worse() -> None:
    topics = ["a"] * 20 + ["b"] * 20
    changes, is_worse, _ = changes_of(topics, topics, ["a"] * 40, [], n_newly=0, n_lost=0)
    assert is_worse
    assert {change.topic: change.is_worse for change in changes} == {"a": True, "b": True}


def test_topic_changes_find_many_small_losses_worse_together() -> None:
    names = [f"{n:02}" for n in range(30)]
    topics = [name for name in names for _ in range(2)]
    # Each topic loses one document to a topic that there is not, too few to be seen alone.
    after = [*itertools.chain.from_iterable((name, f"x{name}") for name in names)]
    changes, is_worse, _ = changes_of(topics, topics, after, [], n_newly=0, n_lost=0)
    assert is_worse
    assert not any(change.is_worse for change in changes)


def test_topic_changes_find_lower_coverage_worse() -> None:
    topics = ["a"] * 40
    assert changes_of(topics, topics, topics, [], n_newly=0, n_lost=MIN_CHANGED)[1:] == (
        False,
        True,
    )
    assert changes_of(topics, topics, topics, [], n_newly=0, n_lost=MIN_CHANGED - 1)[1:] == (
        False,
        False,
    )
    assert changes_of(topics, topics, topics, [], n_newly=20, n_lost=20)[1:] == (False, False)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (PromiseChange(0, 0, 9, 9, False), ""),
        (PromiseChange(0, 0.9, 9, 8, False), ""),
        (PromiseChange(0.9, 0.95, 9, 8, False), ""),
        (
            PromiseChange(0.9, 0, 90, 0, True),
            "the model to be replaced promises answers with a precision of 0.9, but now "
            "no precision can be promised",
        ),
        (
            PromiseChange(0.9, 0.8, 90, 95, False),
            "the model to be replaced promises answers with a precision of 0.9, but now "
            "only 0.8 can be promised",
        ),
        (
            PromiseChange(0.9, 0.9, 1200, 1000, True),
            "clearly fewer texts are answered: 1,000 of the test documents, instead of 1,200 "
            "before",
        ),
    ],
)
def test_promise_change_is_worse_if_lower_or_with_less_coverage(
    change: PromiseChange, why: str
) -> None:
    assert change.why_not() == why
