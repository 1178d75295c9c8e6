"""Sentences that say why counts may be wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slugline.counting.concerns import (
    TextTotals,
    confidence_concerns,
    few_text_concerns,
    group_shift_concerns,
    group_text_concerns,
    group_unsure_concerns,
    heldout_concerns,
    shift_concerns,
    text_concerns,
    unsure_concerns,
)
from slugline.counting.estimation import estimate_group
from slugline.counting.shares import HeldoutSample
from slugline.text.features import UnknownWordRate

USUAL = UnknownWordRate(0.1, 2.0)


def sample(proba: float, n: int = 100) -> HeldoutSample:
    """Return held-out documents of two topics, whose right answers have a probability."""
    topics = np.arange(n) % 2
    rows = np.full((n, 2), 1 - proba)
    rows[np.arange(n), topics] = proba
    return HeldoutSample(rows, topics, np.array([n / 2, n / 2]))


@pytest.mark.parametrize(
    ("n_texts", "n_by_group", "concerns"),
    [
        (1, [], ["1 text is too few for shares to mean much; read them instead."]),
        (9, [4, 5], ["9 texts are too few for shares to mean much; read them instead."]),
        (10, [], []),
        (50, [40, 10], []),
        (
            50,
            [42, 8],
            [
                "1 of 2 weeks has fewer than 10 texts, too few for shares to mean much. No change "
                "from or to these was tested."
            ],
        ),
    ],
)
def test_few_text_concerns(n_texts: int, n_by_group: list[int], concerns: list[str]) -> None:
    assert [*few_text_concerns(n_texts, n_by_group, "week")] == concerns


@pytest.mark.parametrize(
    ("totals", "beginning"),
    [
        (TextTotals(1000, 10_000, 1000, 10), None),  # one in a hundred is usual
        (TextTotals(20, 200, 90, 4), None),  # too few texts to tell
        (TextTotals(1000, 10_000, 2500, 120), "12 % of the texts have more unknown words"),
        (TextTotals(1000, 10_000, 8000, 900), "Don't believe these counts: 80 % of the words"),
    ],
)
def test_unknown_words_are_named_if_many_texts_have_them(
    totals: TextTotals, beginning: str | None
) -> None:
    found = [*text_concerns(totals, USUAL)]
    assert len(found) == (beginning is not None)
    if beginning is not None:
        assert found[0].startswith(beginning)


def test_unknown_words_are_not_named_if_the_model_has_no_rate() -> None:
    assert [*text_concerns(TextTotals(1000, 10_000, 8000, 900), None)] == []


def test_unsure_answers_are_named_if_they_have_risen() -> None:
    shares = np.array([0.5, 0.5])
    assert [*unsure_concerns(TextTotals(500, n_unsure=20), sample(0.9), shares)] == []
    [concern] = unsure_concerns(TextTotals(500, n_unsure=200), sample(0.9), shares)
    assert concern == (
        "The model is unsure of 40 % of the texts, and 0 % would be usual with these shares: some "
        "may have topics that it doesn't know."
    )


def test_unsure_answers_are_compared_with_those_of_the_same_topics() -> None:
    # The model is always unsure of the second topic, which has become common.
    proba = np.array([[0.9, 0.05, 0.05], [0.4, 0.45, 0.15]] * 50)
    heldout = HeldoutSample(proba, np.arange(100) % 2, np.array([90.0, 10.0, 0.0]))
    totals = TextTotals(500, n_unsure=450)
    assert [*unsure_concerns(totals, heldout, np.array([0.1, 0.9, 0.0]))] == []
    assert len([*unsure_concerns(totals, heldout, np.array([0.9, 0.1, 0.0]))]) == 1


def test_drop_of_confidence_is_named_if_shares_do_not_explain_it() -> None:
    rng = np.random.default_rng(0)

    def draw(confidence: tuple[float, float], n_each: tuple[int, int]) -> HeldoutSample:
        """Return documents of two topics, of which the model is sure to some degree each."""
        topics = np.repeat([0, 1], n_each)
        right = np.clip(rng.normal(np.array(confidence)[topics], 0.1), 0.02, 0.98)
        rows = np.stack([right, 1 - right], axis=1)
        rows[topics == 1] = rows[topics == 1][:, ::-1]
        return HeldoutSample(rows, topics, np.array(n_each, dtype=np.float64))

    def concerns(texts: HeldoutSample) -> list[str]:
        weights = np.ones(len(texts))
        return [
            *confidence_concerns(estimate_group(heldout, texts.proba, weights, seed=0, n_sets=50))
        ]

    heldout = draw((0.9, 0.7), (200, 100))
    # The topic of which the model is less sure has become common.
    assert concerns(draw((0.9, 0.7), (50, 250))) == []
    [concern] = concerns(draw((0.7, 0.6), (50, 250)))
    assert concern.startswith(
        "The model is less sure of these texts than if only shares had changed: their most likely "
        "topics have a probability of"
    )


def test_drop_of_confidence_by_a_point_is_not_named() -> None:
    estimate = estimate_group(sample(0.9), sample(0.9).proba, np.ones(100), seed=0, n_sets=50)
    simulated = replace(estimate.simulated, confidence_drops=np.full(50, 1e-4))
    certain = replace(estimate, simulated=simulated, usual_confidence=0.92)
    assert [*confidence_concerns(replace(certain, confidence=0.91))] == []
    assert len([*confidence_concerns(replace(certain, confidence=0.88))]) == 1


def test_topics_with_too_few_heldout_documents_are_named() -> None:
    topics = np.array([0] * 20 + [1] * 3)
    heldout = HeldoutSample(np.full((23, 3), 1 / 3), topics, np.array([20.0, 3.0, 1.0]))
    none, few = heldout_concerns([heldout], ["a", "b", "c"])
    assert none.startswith("1 topic (c) had no held-out document in training")
    assert few.startswith("1 topic (b) had fewer than 10 held-out documents in training")


def test_disagreement_names_the_topics_of_a_multilabel_model() -> None:
    estimate = estimate_group(sample(0.9), sample(0.9).proba, np.ones(100), seed=0, n_sets=50)
    shifted = replace(estimate, disagreement=2.0)
    assert [*shift_concerns([estimate, estimate], ["a", "b"])] == []
    [concern] = shift_concerns([estimate, shifted], ["a", "b"])
    assert concern.startswith("Two ways to count disagree by more than chance for b: more than")


# Groups -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("march", "total", "beginnings"),
    [
        (TextTotals(200, 2000, 200, 4), TextTotals(2000, n_unusual=22), []),
        (TextTotals(200, 2000, 500, 40), TextTotals(2000, n_unusual=58), ["Of the texts of March"]),
        # By chance, one of the groups has more than others, and more than twice the usual.
        (TextTotals(100, 1000, 200, 6), TextTotals(2000, n_unusual=25), []),
        # All texts are like that, which is said of all.
        (TextTotals(200, 2000, 500, 40), TextTotals(2000, n_unusual=300), []),
        (TextTotals(9, 90, 80, 9), TextTotals(2000), ["Don't believe the counts of March"]),
    ],
)
def test_group_text_concerns_name_groups_with_unknown_words(
    march: TextTotals, total: TextTotals, beginnings: list[str]
) -> None:
    groups = {"March": march, "April": TextTotals(1800, 18_000, 1800, 18)}
    found = [*group_text_concerns(groups, total, USUAL)]
    assert len(found) == len(beginnings)
    assert all(
        each.startswith(beginning) for each, beginning in zip(found, beginnings, strict=True)
    )
    assert [*group_text_concerns(groups, total, None)] == []


def test_group_unsure_concerns_name_groups_with_unsure_answers() -> None:
    shares = np.array([0.5, 0.5])
    groups = {"March": TextTotals(200, n_unsure=80), "April": TextTotals(1800, n_unsure=20)}

    def concerns(total: TextTotals) -> list[str]:
        by_group = dict.fromkeys(groups, shares)
        return [
            *group_unsure_concerns(groups, sample(0.9), by_group, total=total, total_shares=shares)
        ]

    assert concerns(TextTotals(2000, n_unsure=100)) == [
        "The model is unsure of 40 % of the texts of March, and 0 % would be usual with their "
        "shares: some may have topics that it doesn't know."
    ]
    # All texts are like that, which is said of all.
    assert concerns(TextTotals(2000, n_unsure=600)) == []


def test_group_shift_concerns_name_groups_that_disagree_most() -> None:
    usual = estimate_group(sample(0.9), sample(0.9).proba, np.ones(100), seed=0, n_sets=50)
    shifted, far_shifted = (replace(usual, disagreement=value) for value in (2.0, 3.0))
    groups = {"March": [shifted], "April": [usual], "May": [usual, far_shifted]}
    [concern] = group_shift_concerns(groups, [usual])
    assert concern.startswith("Two ways to count disagree by more than chance in March and May: ")
    [concern] = group_shift_concerns(groups, [shifted])
    assert " in May: " in concern
