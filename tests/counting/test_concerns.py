"""Sentences that say why counts may be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from slugline.counting.concerns import (
    ModelConcerns,
    ModelCount,
    TextTotals,
    few_text_concerns,
    heldout_concerns,
    text_concerns,
)
from slugline.counting.drift import Drift
from slugline.counting.shares import HeldoutSample
from slugline.text.features import UnknownWordRate

USUAL = UnknownWordRate(0.1, 2.0)


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
        (TextTotals(1000, 10_000, 2500, 120), None),
        (TextTotals(1000, 10_000, 8000, 900), "Don't believe these counts: 80 % of the words"),
    ],
)
def test_unknown_words_are_named_if_most_texts_have_them(
    totals: TextTotals, beginning: str | None
) -> None:
    found = [*text_concerns(totals, USUAL)]
    assert len(found) == (beginning is not None)
    if beginning is not None:
        assert found[0].startswith(beginning)


def test_unknown_words_are_not_named_if_the_model_has_no_rate() -> None:
    assert [*text_concerns(TextTotals(1000, 10_000, 8000, 900), None)] == []


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

    def concerns(total: ModelCount, **groups: ModelCount) -> list[str]:
        return [*ModelConcerns([], [], USUAL, total=total, groups=groups)]

    by_words = ModelCount(unknown, drift=drift)
    [concern] = concerns(by_words)
    assert concern.startswith("Don't believe these counts: 80 % of the words are unknown")
    by_texts = ModelCount(usual, drift=drift)
    [concern] = concerns(by_texts)
    assert concern.startswith("More than the shares of topics has changed since training")
    [concern] = concerns(by_texts, March=by_texts, April=ModelCount(usual))
    assert concern.startswith("The texts of March differ from the training texts")
    [concern] = concerns(ModelCount(usual), March=by_words, April=ModelCount(usual))
    assert concern == (
        "Don't believe the counts of March: 80 % of the words are unknown to the model, against "
        "10 % in training. The texts may be in another language, or about something else. No "
        "change from or to these was tested."
    )
