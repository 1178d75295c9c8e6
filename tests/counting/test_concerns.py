"""Sentences that say why counts may be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from slugline.counting.concerns import (
    CountedTexts,
    TextTotals,
    capitals_concerns,
    few_label_concerns,
    heldout_concerns,
    model_concerns,
    sample_concern,
)
from slugline.counting.drift import Drift
from slugline.counting.labelled import MatchedLabels
from slugline.counting.results import GroupCount, TopicCount
from slugline.counting.shares import HeldoutSample
from slugline.evaluation.intervals import Interval
from slugline.text.features import UnknownWordRate

USUAL = UnknownWordRate(0.1, 2.0)


def counted_texts(totals: TextTotals, drift: Drift | None = None) -> CountedTexts:
    return CountedTexts(np.zeros(1), np.zeros(1, dtype=np.int64), totals, drift=drift)


@pytest.mark.parametrize(
    ("totals", "beginning"),
    [
        (TextTotals(1000, 10_000, 1000, 10), None),  # one in a hundred is usual
        (TextTotals(20, 200, 90, 4), None),  # too few texts to tell
        (TextTotals(1000, 10_000, 2500, 120), None),
        (TextTotals(1000, 10_000, 8000, 900), "Don't trust these counts: 80 % of the words"),
    ],
)
def test_unknown_words_are_named_if_most_texts_have_them(
    totals: TextTotals, beginning: str | None
) -> None:
    found = [*model_concerns(USUAL, counted_texts(totals), {})]
    assert len(found) == (beginning is not None)
    if beginning is not None:
        assert found[0].startswith(beginning)


def test_unknown_words_are_not_named_if_the_model_has_no_rate() -> None:
    texts = counted_texts(TextTotals(1000, 10_000, 8000, 900))
    assert [*model_concerns(None, texts, {})] == []


def test_topics_with_too_few_heldout_documents_are_named() -> None:
    topics = np.array([0] * 20 + [1] * 3)
    heldout = HeldoutSample(np.full((23, 3), 1 / 3), topics, np.array([20.0, 3.0, 1.0]))
    none, few = heldout_concerns([heldout], ["a", "b", "c"])
    assert none.startswith("1 topic (c) had no held-out document in training")
    assert few.startswith("1 topic (b) had fewer than 10 held-out documents in training")
    assert [*heldout_concerns([heldout], ["a", "b", "c"], shown=["b"])] == [few]
    assert [*heldout_concerns([heldout], ["a", "b", "c"], shown=["a"])] == []


# Groups -------------------------------------------------------------------------------------------


def test_each_cause_has_one_warning() -> None:
    usual, unknown = TextTotals(200, 2000, 200, 2), TextTotals(200, 2000, 1600, 180)
    drift = Drift(1e-6)

    def concerns(total: CountedTexts, **groups: CountedTexts) -> list[str]:
        return [*model_concerns(USUAL, total, groups)]

    by_words = counted_texts(unknown, drift)
    [concern] = concerns(by_words)
    assert concern.startswith("Don't trust these counts: 80 % of the words are unknown")
    by_texts = counted_texts(usual, drift)
    [concern] = concerns(by_texts)
    assert concern.startswith("Not only the topic shares have changed since training")
    [concern] = concerns(by_texts, March=by_texts, April=counted_texts(usual))
    assert "the texts of March differ from the training texts" in concern
    [concern] = concerns(counted_texts(usual), March=by_words, April=counted_texts(usual))
    assert concern == (
        "Don't trust the counts of March: 80 % of the words are unknown to the model, against "
        "10 % in training. The texts may be in another language or about something else; train on "
        "texts like these. Changes from or to these were not tested."
    )


# Labels -------------------------------------------------------------------------------------------


def test_sample_that_is_not_random_is_named() -> None:
    rng = np.random.default_rng(3)
    proba = rng.dirichlet(np.ones(3), 100).astype(np.float32)
    rows = MatchedLabels(proba, [("a",)] * 100, np.ones(100), np.full(100, None))
    mean = proba.mean(axis=0).astype(np.float64)
    assert sample_concern(rows, mean, ["a", "b", "c"]) is None
    concern = sample_concern(rows, np.array([0.1, 0.2, 0.7]), ["a", "b", "c"])
    assert concern is not None
    assert concern.startswith(
        "Don't trust these counts: the labelled texts don't look like a random sample. The model"
    )


def test_groups_with_few_labels_are_counted() -> None:
    known = TopicCount("a", 0.5, Interval(0.4, 0.6), 100, 50)
    groups = [
        GroupCount("2026-01", 100, (known,)),
        GroupCount("2026-02", 100, (known._replace(method="labels"),)),
        GroupCount("2026-03", 100, (TopicCount.unknown("a", 100, 50),)),
    ]
    by_model, blank = few_label_concerns(groups, "month")
    assert by_model == (
        "1 of 3 months has fewer than 15 labels and is counted by the model: label more texts, or "
        "count by a longer period."
    )
    assert blank == (
        "1 of 3 months has fewer than 15 labels, and the model can't count them because it has no "
        "held-out predictions, so its counts are blank: label more texts, or count by a longer "
        "period."
    )
    [concern] = few_label_concerns(groups[:2], None)
    assert concern.startswith("1 of 2 groups has fewer")
    assert concern.endswith("or count by another column.")


def test_topics_of_labels_in_other_capitals_are_named() -> None:
    assert [*capitals_concerns(["Waste", "pool"], ["noise", "waste"])] == [
        "'Waste' in the labels differs from the model's 'waste' only in case and is counted "
        "separately; use the same spelling."
    ]
