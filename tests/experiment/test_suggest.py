"""What to label next: doubtful, typical, different, and the same every time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelled_texts import labelled_sets
from slugline.base.progress import SilentProgress
from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError
from slugline.experiment import suggest as module
from slugline.experiment.suggest import Suggestion, suggest
from slugline.model.fitted import Fitted
from slugline.model.multilabel_rule import MultilabelRule
from stand_ins import Meanings


@pytest.fixture(scope="module")
def fitted(news: list[tuple[str, str]]) -> Fitted:
    """Return what was learned from the news, and from a few that might be of two topics."""
    between = [
        (f"the {one.split()[1]} and {other.split()[1]}", topic)
        for (one, topic), (other, _) in pairwise(news[:6])
    ]
    texts, topics = zip(*news, *between, strict=True)
    return TopicClassifier(encoder=None).fit(texts, topics).fitted_


SURE = [f"wheat and corn and crop of {number}" for number in range(20)]
DOUBTFUL = ["the rate of wheat", "a goal for the loan", "corn at the match", "loan of a striker"]


def texts_of(found: Sequence[Suggestion]) -> list[str]:
    return [each.text for each in found]


def test_suggest_puts_doubtful_documents_first(fitted: Fitted) -> None:
    assert set(texts_of(suggest(fitted, SURE + DOUBTFUL, 8))[:4]) == set(DOUBTFUL)


def test_suggest_returns_row_guess_and_probability(fitted: Fitted) -> None:
    documents = SURE + DOUBTFUL
    assert suggest(TopicClassifier.from_fitted(fitted), documents, 3) == suggest(
        fitted, documents, 3
    )
    for each in suggest(fitted, documents, 3):
        assert documents[each.row] == each.text
        proba = fitted.predict_proba([each.text])[0]
        assert each.topic == fitted.topics.names[int(proba.argmax())]
        assert each.probability == pytest.approx(float(proba.max()))


def test_suggest_ignores_case_and_spaces_of_repeated_texts(fitted: Fitted) -> None:
    documents = [*DOUBTFUL, *(f"  {text.upper()} " for text in DOUBTFUL), *DOUBTFUL]
    found = suggest(fitted, documents, 10)
    assert len(found) == 4
    assert {each.row for each in found} == {0, 1, 2, 3}


def test_suggest_returns_near_duplicates_once(fitted: Fitted) -> None:
    long = "the rate of wheat and the loan for corn at the match of the team with a goal"
    documents = [f"{long}{mark}" for mark in ("!", "?", ".", " -")] + [f"{long} the", *DOUBTFUL]
    assert sum(long in text for text in texts_of(suggest(fitted, documents, 6))) == 1


def test_suggest_covers_groups_of_documents(fitted: Fitted) -> None:
    # Two kinds of documents that the model knows nothing of, one of them twice as common.
    many = [f"zebra quokka {a} {b}" for a, b in combinations(["alpha", *"abcdefg"], 2)]
    few = [f"yoghurt muffin {a} {b}" for a, b in combinations(["omega", *"vwxyz"], 2)]
    found = texts_of(suggest(fitted, many + few, 6))
    assert any("zebra" in text for text in found)
    assert any("muffin" in text for text in found)


def test_suggest_takes_a_text_without_words_among_others(fitted: Fitted) -> None:
    assert "the rate of wheat" in texts_of(suggest(fitted, ["...", "the rate of wheat"], 1))


@pytest.mark.parametrize("documents", [[], [" "], ["..."]], ids=["none", "blank", "dots"])
def test_suggest_rejects_texts_without_words(fitted: Fitted, documents: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        suggest(fitted, documents)
    assert str(caught.value) == (
        "no document contains a word; check which column contains the text."
    )


@given(st.lists(st.sampled_from(SURE + DOUBTFUL), min_size=1), st.integers(1, 30))
def test_suggest_returns_at_most_n_different_texts(
    fitted: Fitted, documents: list[str], n: int
) -> None:
    found = suggest(fitted, documents, n)
    assert 1 <= len(found) <= min(n, len(set(documents)))
    assert len(set(texts_of(found))) == len(found)


def test_suggest_does_not_depend_on_the_block_size(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = SURE + DOUBTFUL
    whole = suggest(fitted, documents, 5)
    monkeypatch.setattr(module, "_BLOCK", 3)
    assert suggest(fitted, documents, 5) == whole
    monkeypatch.setattr(module, "_N_TYPICAL", 6)
    assert set(texts_of(suggest(fitted, documents, 3))) <= set(documents)


def test_suggest_is_fixed_by_the_seed(fitted: Fitted) -> None:
    documents = [f"{a} {b}" for a in DOUBTFUL for b in SURE]
    assert suggest(fitted, documents, 7, random_state=2) == suggest(
        fitted, documents, 7, random_state=2
    )


def test_suggest_reports_progress(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 10)
    told: list[Any] = []

    class Keeping(SilentProgress):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            told.append((step, share, detail))

    suggest(fitted, SURE + DOUBTFUL, 2, progress=Keeping())
    assert told == [("classifying texts", n / 24, f"{n} texts") for n in (10, 20, 24)]


def test_suggest_compares_texts_without_spaces_by_characters() -> None:
    train = ["银行贷款利率上升", "债券和信贷", "足球比赛进球", "教练和球队"]
    fitted = TopicClassifier().fit(train, ["bank", "bank", "sport", "sport"]).fitted_
    # Each is one word to a reader who goes by spaces.
    alike = [f"小麦和玉米的收成很好{mark}" for mark in "呢吗吧啊"]
    found = texts_of(suggest(fitted, [*alike, "电影院今天放映新片"], 2))
    assert "电影院今天放映新片" in found
    assert len(set(found) & set(alike)) == 1


def test_suggest_with_an_encoder_compares_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUGLINE_CACHE", str(tmp_path))
    synonyms = [["wheat", "corn", "rye"], ["loan", "bond", "debt"], ["goal", "match", "cup"]]
    meanings = Meanings({word: row for row, words in enumerate(synonyms) for word in words})
    classifier = TopicClassifier(encoder=meanings).fit(["wheat", "loan"], ["grain", "bank"])
    classifier.save(tmp_path / "m.slug")
    fitted = load(tmp_path / "m.slug", meanings).fitted_
    meanings.n_texts = 0
    documents = ["goal", "match", "cup", "corn and debt", "rye with bond", "rye"]
    found = texts_of(suggest(fitted, documents, 2))
    assert len(set(found) & {"goal", "match", "cup"}) == 1
    assert len(set(found) & {"corn and debt", "rye with bond"}) == 1
    assert meanings.n_texts == 6  # each once, though it is classified, compared and grouped


def test_suggest_with_word_vectors_compares_terms() -> None:
    words = {
        "food": ["bread", "cheese", "butter", "sausage", "apple", "soup"],
        "music": ["guitar", "piano", "violin", "trumpet", "song", "opera"],
    }
    texts = [word for group in words.values() for word in group]
    topics = [topic for topic, group in words.items() for _ in group]
    fitted = TopicClassifier(encoder="vectors").fit(texts, topics).fitted_
    assert fitted.encoder is not None
    # Their vectors are nearly equal, but they have no word in common.
    synonyms = {"purchase lawyer", "purchases attorney"}
    assert {*texts_of(suggest(fitted, [*synonyms, "bread soup"], 3))} >= synonyms


def test_doubt_is_1_minus_the_margin_of_the_best_guess() -> None:
    proba = np.array([[0.5, 0.5, 0], [0.7, 0.1, 0.2], [0, 0, 1]], dtype=np.float32)
    assert module.doubt(proba) == pytest.approx([1, 0.5, 0], abs=1e-6)


def test_doubt_of_several_topics_is_nearness_to_thresholds() -> None:
    thresholds = np.array([0.5, 0.2], dtype=np.float32)
    decision = MultilabelRule(thresholds, at_least_one=True, max_topics=2)
    proba = np.array([[0.5, 0.2], [0.8, 0.2], [0, 1], [0.5, 0]], dtype=np.float32)
    # Odds of 4 are 4 times those of the threshold.
    assert module.doubt(proba, decision) == pytest.approx([2, 1.25, 0, 1], abs=1e-4)


def test_suggest_of_several_topics_guesses_the_topics_given() -> None:
    texts, sets, _ = labelled_sets(200, 0)
    fitted = TopicClassifier(n_jobs=1).fit(texts, sets).fitted_
    clear = [f"wheat corn crop barley n{number}" for number in range(20)]
    documents = [*clear, "wheat and goal", "the loan of a coach", "rate of the seed"]
    suggestions = suggest(fitted, documents, 6)
    assert {20, 21, 22} <= {each.row for each in suggestions}
    for each in suggestions:
        assert each.topic == fitted.predict_sets([each.text])[0]
        assert each.probability == pytest.approx(float(fitted.predict_proba([each.text]).max()))
