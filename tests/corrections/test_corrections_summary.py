"""What corrections say, by topic, pair and person, and what a model still says of their texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from slugline.classifier import load
from slugline.corrections.summary import Confusion, UnresolvedCorrections, _batches, summarize
from slugline.errors import OptionError
from slugline.labels.store import Correction, LabelStore


def correction(
    text: str, topic: str, answer: str = "bank", who: str | None = None, at: str = ""
) -> Correction:
    return Correction(1, text, topic, answer, 0.5, "news", "abc", who, at)


def test_summarize_is_empty_without_corrections() -> None:
    found = summarize([])
    assert (found.n_corrections, found.pairs, found.first, found.last) == (0, (), None, None)
    assert found.to_dict()["still_wrong"] == []


def test_correction_with_the_given_answer_is_a_confirmation() -> None:
    assert correction("a", "bank").is_confirmation
    assert not correction("a", "grain").is_confirmation


def test_summarize_counts_by_topic_pair_and_person() -> None:
    found = summarize(
        [
            correction("a", "grain", who="Kim", at="2026-01-01"),
            correction("b", "grain"),
            correction("c", "7", "8", who="Kim"),
            correction("d", "bank", who="Lee", at="2026-02-02"),
        ]
    )
    assert found.n_corrections == 4
    assert list(found.by_topic.items()) == [("grain", 2), ("7", 1), ("bank", 1)]
    assert found.pairs == (Confusion("bank", "grain", 2), Confusion("8", "7", 1))
    assert found.n_confirmed == 1
    assert list(found.by_person.items()) == [("Kim", 2), ("", 1), ("Lee", 1)]
    assert (found.first, found.last) == ("2026-01-01", "2026-02-02")
    assert found.new_topics == ()
    assert found.still_wrong == ()


def test_summarize_sorts_equal_counts_by_name() -> None:
    found = summarize(correction("a", topic, who=topic) for topic in ("zinc", "acq", "oil"))
    assert list(found.by_topic) == list(found.by_person) == ["acq", "oil", "zinc"]
    assert [pair.topic for pair in found.pairs] == ["acq", "oil", "zinc"]


def test_summarize_lists_new_topics_and_wrong_answers_of_a_model(news_slug: Path) -> None:
    found = summarize(
        [
            correction("wheat and corn of the silo", "grain", "sport"),
            correction("wheat and barley harvest", "flowers", "grain"),
            correction("goal and penalty", "flowers", "sport"),
            correction("goal and penalty", "bank", "sport"),
        ],
        load(news_slug).fitted_,
    )
    assert found.new_topics == ("flowers",)
    assert found.still_wrong == (
        UnresolvedCorrections("flowers", 2, 2),
        UnresolvedCorrections("bank", 1, 1),
        UnresolvedCorrections("grain", 1, 0),
    )
    assert (found.n_asked, found.n_still_wrong) == (4, 3)


def test_summarize_asks_about_max_asked_and_counts_all(news_slug: Path) -> None:
    fitted = load(news_slug).fitted_
    given = [correction("wheat", "grain", "sport")] * 5
    assert summarize(given, fitted, max_asked=3).n_asked == 3
    assert summarize(given, fitted, max_asked=3).n_corrections == 5
    assert summarize(given, fitted, max_asked=0).n_asked == 0
    with pytest.raises(OptionError, match="`max_asked` is -1"):
        summarize(given, fitted, max_asked=-1)


def test_summarize_works_in_batches_and_bounds_keys(
    news_slug: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.corrections.summary._BATCH_TEXTS", 3)
    monkeypatch.setattr("slugline.corrections.summary._BATCH_CHARACTERS", 30)
    monkeypatch.setattr("slugline.corrections.summary._MAX_KEYS", 2)
    alive = 0

    def endless() -> Iterator[Correction]:
        nonlocal alive
        for n in itertools.count():
            alive = n
            yield correction("wheat " * (1 + n), "grain", "sport", who=str(n))

    found = summarize(itertools.islice(endless(), 10), load(news_slug).fitted_)
    assert alive == 9
    assert (found.n_asked, found.n_still_wrong) == (10, 0)
    assert len(found.by_person) == 2


@pytest.mark.parametrize(("length", "sizes"), [(31, [1] * 9), (15, [3] * 3), (1, [4, 4, 1])])
def test_summarize_batches_end_at_texts_or_characters(
    length: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.corrections.summary._BATCH_TEXTS", 4)
    monkeypatch.setattr("slugline.corrections.summary._BATCH_CHARACTERS", 30)
    batches = _batches([correction("x" * length, "grain")] * 9)
    assert [len(batch) for batch in batches] == sizes


def test_summarize_ignores_undone_corrections(tmp_path: Path) -> None:
    with LabelStore(tmp_path / "corrections.db") as store:
        for topic in ("grain", "grain", "sport"):
            kept = store.add_correction(
                text="x", topic=topic, answer="bank", probability=0.5, model="m", digest="d"
            )
        store.undo_correction(kept.id)
        assert summarize(store.corrections()).by_topic == {"grain": 2}
