"""Learning from corrections beside documents: which counts, what is tested, and what changed."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.corpus.loading import load_corpus
from slugline.corrections.learning import (
    CorrectionResult,
    NewlyCorrected,
    count_newly_corrected,
    learn_from_corrections,
    merge_corrections,
    normalize_spaces,
    to_corpus,
)
from slugline.errors import DataError
from slugline.labels.store import Correction, LabelStore

News = list[tuple[str, str]]


def corrected(*pairs: tuple[str, str]) -> list[Correction]:
    return [
        Correction(n, text, topic, "bank", 0.5, "news", "abc", None, "2026-01-01T00:00:00.000Z")
        for n, (text, topic) in enumerate(pairs, start=1)
    ]


def corpus(pairs: Sequence[tuple[str, str]], name: str = "news") -> Corpus:
    return Corpus([text for text, _ in pairs], [topic for _, topic in pairs], name)


# What there is to learn from --------------------------------------------------------------------


def test_to_corpus_uses_the_latest_correction_of_a_text() -> None:
    found = to_corpus(
        corrected(("one", "a"), ("two", "7"), ("one\r\n", "b"), ("  one ", "b"), (" ", "a")), "c.db"
    )
    assert (found.texts, found.topics) == (["two", "  one "], ["7", "b"])
    assert found.notes == (
        "5 corrections of 2 texts",
        "1 correction gave a text a different topic from an earlier correction; the latest counts",
    )
    assert found.n_skipped == 1
    assert found.place(1) == "correction 4"


@pytest.mark.parametrize("given", [[], corrected((" \n", "a"))], ids=["none", "blank"])
def test_to_corpus_rejects_a_file_without_corrections(given: list[Correction]) -> None:
    with pytest.raises(DataError) as caught:
        to_corpus(given, "c.db")
    assert str(caught.value) == (
        "c.db contains no corrections of non-blank texts; correct some answers first."
    )


def test_to_corpus_uses_corrections_of_chosen_models() -> None:
    given = corrected(("one", "a"), ("two", "b"), ("three", "c"))
    given[2] = given[2]._replace(model="tickets")
    assert to_corpus(given, "c.db", ["news"]).texts == ["one", "two"]
    assert to_corpus(given, "c.db", ["news", "tickets"]).texts == ["one", "two", "three"]
    with pytest.raises(DataError) as caught:
        to_corpus(given, "c.db", ["other"])
    assert str(caught.value) == (
        "c.db contains no corrections of other of non-blank texts; it has corrections of "
        "news (2), tickets (1); to learn from these, name the model with `corrections_of`."
    )


def test_merge_corrections_replaces_documents_with_their_text() -> None:
    train = corpus([("one", "a"), ("two", "a"), (" one", "b"), ("three", "b")])
    test = corpus([("two", "a"), ("four", "b")])
    found = to_corpus(corrected(("one", "c"), ("two ", "b"), ("new", "a")), "c.db")
    merged = merge_corrections(train, test, found)
    assert merged.base == train
    assert merged.learned.texts == ["three", "one", "two ", "new"]
    assert merged.learned.topics == ["b", "c", "b", "a"]
    assert merged.test.texts == ["four"]
    assert (merged.n_replaced, merged.n_from_test, merged.new_topics) == (3, 1, ["c"])
    assert merged.without([1]).texts == ["three", "one", "new"]


def test_merge_corrections_rejects_a_test_set_that_is_all_corrected() -> None:
    found = to_corpus(corrected(("one", "a")), "c.db")
    with pytest.raises(DataError) as caught:
        merge_corrections(corpus([("two", "a")]), corpus([("one", "b")]), found)
    assert str(caught.value) == (
        "news: the only test document has a text corrected in c.db; add documents, or give others "
        "with `test`."
    )


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [("a  b\n", "\ta b", True), ("a b", "ab", False), ("A", "a", False)],
)
def test_normalize_spaces_ignores_spaces_and_line_ends(one: str, other: str, is_same: bool) -> None:
    assert (normalize_spaces(one) == normalize_spaces(other)) is is_same


# What is learned --------------------------------------------------------------------------------


def a_text_to_test_on(news: News) -> str:
    """Return the text of a document that the seed sets aside to test on."""
    return corpus(news).split(0.3, random_state=0)[1].texts[0]


@pytest.fixture(scope="module")
def outcome(news: News) -> CorrectionResult:
    """Learn that flowers are a topic, and that a document to test on has another one."""
    flowers = [(f"a tulip and a rose of garden {n}", "flowers") for n in range(9)]
    found = to_corpus(corrected(*flowers, (a_text_to_test_on(news), "sport")), "c.db")
    return learn_from_corrections(
        TopicClassifier().to_settings(), corpus(news), found, test_fraction=0.3
    )


def test_learn_from_corrections_predicts_corrected_topics(outcome: CorrectionResult) -> None:
    fitted = outcome.experiment.fitted
    assert fitted.predict(["tulip and rose of the garden"]).tolist() == ["flowers"]
    assert outcome.training_sets.new_topics == ["flowers"]
    assert outcome.corrected_accuracy.n_asked == 10
    assert outcome.corrected_accuracy.n_before == 0
    assert outcome.corrected_accuracy.n_after == 9, "flowers, from other flowers"


def test_learn_from_corrections_tests_on_no_corrected_text(
    outcome: CorrectionResult, news: News
) -> None:
    train, test = corpus(news).split(0.3, random_state=0)
    text = a_text_to_test_on(news)
    assert outcome.training_sets.n_from_test == test.texts.count(text) > 0
    assert outcome.training_sets.base.texts == train.texts
    assert outcome.experiment.tested.test.texts == [other for other in test.texts if other != text]
    assert text in outcome.training_sets.learned.texts
    assert outcome.experiment.test_fraction == 0.3


def test_learn_from_corrections_compares_models_on_the_same_documents(
    outcome: CorrectionResult,
) -> None:
    test = outcome.experiment.tested.test
    assert outcome.paired.n_documents == len(test)
    after = outcome.experiment.fitted.predict(test.texts)
    right = np.mean(after == np.array(test.topics, dtype=object))
    assert outcome.paired.accuracy.first == pytest.approx(right)
    base = TopicClassifier().fit(
        outcome.training_sets.base.texts, outcome.training_sets.base.topics
    )
    assert outcome.paired.accuracy.second == pytest.approx(base.score(test.texts, test.topics))
    assert sum(change.n_documents for change in outcome.topics) == len(test)
    assert outcome.passes
    assert outcome.why_not() == ""


def test_correction_result_to_dict_is_plain_data(outcome: CorrectionResult) -> None:
    found = json.loads(json.dumps(outcome.to_dict(), allow_nan=False))
    assert found["new_topics"] == ["flowers"]
    assert [change["topic"] for change in found["topics"]][-1] == "flowers"
    assert outcome.experiment.notes[-1].startswith(
        "learned from 10 corrected texts of c.db as well, each of which counts as a document"
    )
    assert re.fullmatch(
        r"Learned from 10 corrected texts as well, each of which counted as a document "
        r"\(SHA-256 [0-9a-f]{64}\)\.",
        outcome.card_notes(),
    )


def test_why_not_names_a_topic_that_got_worse(news: News) -> None:
    grains = [text for text, topic in news if topic == "grain"]
    wrong = [(f"{text} {n}", "sport") for text in grains for n in range(10)]
    found = to_corpus(corrected(*wrong), "c")
    harmed = learn_from_corrections(
        TopicClassifier(encoder=None).to_settings(), corpus(news), found, test_fraction=0.4
    )
    assert not harmed.passes
    assert "grain" in [change.topic for change in harmed.worse_topics]
    assert harmed.why_not().startswith(
        "topic 'grain' got clearly worse: of its 12 test documents, 0 get it and 12 did "
        "before, most others now get 'sport'; of all others, 0 get it and 0 did before; "
    )
    assert harmed.to_dict()["why_not"] == harmed.why_not()


@pytest.mark.parametrize("min_precision", [0.9, None])
def test_why_not_names_lower_coverage(news: News, min_precision: float | None) -> None:
    documents = [(f"{text} x{n}", topic) for n in range(4) for text, topic in news]
    banks = [text for text, topic in documents if topic == "bank"]
    # Every third one is wrong: bank stays the best guess, but is no longer a sure one.
    found = [(f"{text} c", "grain" if n % 3 == 0 else "bank") for n, text in enumerate(banks)]
    classifier = TopicClassifier(encoder=None, min_precision=min_precision)
    outcome = learn_from_corrections(
        classifier.to_settings(),
        corpus(documents),
        to_corpus(corrected(*found), "c.db"),
        test_fraction=0.4,
    )
    promise = outcome.promise
    assert not outcome.worse_topics
    assert not outcome.is_accuracy_worse
    if min_precision is None:  # nobody asked for sure answers
        assert (promise.precision_before, promise.n_answered_after) == (
            0,
            len(outcome.training_sets.test),
        )
        assert outcome.passes
        return
    assert (promise.precision_before, promise.precision_after) == (0.9, 0.9)
    assert promise.n_answered_after < promise.n_answered_before <= len(outcome.training_sets.test)
    assert outcome.why_not() == (
        f"clearly fewer texts are answered: {promise.n_answered_after} of the test documents, "
        f"instead of {promise.n_answered_before} before"
    )
    assert not outcome.passes
    more = to_corpus(corrected(*((f"{text} c", topic) for text, topic in news[:30])), "c.db")
    harmless = learn_from_corrections(
        TopicClassifier(min_precision=0.9).to_settings(), corpus(documents), more, test_fraction=0.4
    )
    assert harmless.passes
    assert harmless.promise.precision_after == 0.9


def test_why_not_counts_many_worse_topics(outcome: CorrectionResult) -> None:
    change = dataclasses.replace(outcome.topics[0], is_worse=True)
    many = dataclasses.replace(outcome, topics=(change,) * 5, is_accuracy_worse=True)
    assert many.why_not().count("got clearly worse: ") == 3
    assert "2 more topics got clearly worse; of all 26 test documents, 0 are right only" in (
        many.why_not()
    )


def test_learn_from_corrections_takes_a_single_correction(news: News) -> None:
    found = to_corpus(corrected(("tulip", "flowers")), "c.db")
    assert learn_from_corrections(
        TopicClassifier().to_settings(), corpus(news), found
    ).corrected_accuracy == (1, 0, 0)


def test_learn_from_corrections_asks_about_a_third_with_many_documents(
    news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.corrections.learning._MAX_CROSS_VALIDATED", 10)
    found = to_corpus(corrected(*((f"tulip {n}", "flowers") for n in range(9))), "c.db")
    assert (
        learn_from_corrections(
            TopicClassifier().to_settings(), corpus(news), found
        ).corrected_accuracy.n_asked
        == 3
    )


def test_learn_from_corrections_trains_a_net(news: News) -> None:
    flowers = [(f"tulip {n}", "flowers") for n in range(6)]
    found = learn_from_corrections(
        TopicClassifier(learner="network").to_settings(),
        corpus(news[:60]),
        to_corpus(corrected(*flowers), "c.db"),
        corpus(news[60:], "test"),
    )
    assert found.experiment.test_fraction is None
    assert found.corrected_accuracy.n_asked == 6


def test_learn_from_corrections_asks_nothing_if_all_data_are_corrected(news: News) -> None:
    found = learn_from_corrections(
        TopicClassifier().to_settings(),
        corpus(news[:1]),
        to_corpus(corrected(*news[:1]), "c.db"),
        test=corpus(news[60:], "test"),
    )
    assert found.corrected_accuracy == (0, 0, 0)


def test_learn_from_corrections_takes_data_that_are_all_corrected(news: News) -> None:
    some = news[:12]
    found = learn_from_corrections(
        TopicClassifier().to_settings(),
        corpus(some),
        to_corpus(corrected(*some), "c.db"),
        test=corpus(news[60:], "test"),
    )
    assert found.training_sets.n_replaced == len({text for text, _ in some})
    assert found.experiment.notes[-1].endswith("; 12 documents with these texts left out")


# Exported ---------------------------------------------------------------------------------------


def test_load_corpus_reads_exported_corrections(tmp_path: Path) -> None:
    lines = tmp_path / "corrections.jsonl"
    with LabelStore(tmp_path / "corrections.db") as store:
        for text, topic in (("wheat, \n corn \U0001f33d", "grain"), ("goal", "sport")):
            store.add_correction(
                text=text, topic=topic, answer="b", probability=0.5, model="m", digest="d"
            )
        lines.write_text(
            "".join(json.dumps(row._asdict()) + "\n" for row in store.corrections()),
            encoding="utf-8",
        )
    found = load_corpus(lines)
    assert found.texts == ["wheat, \n corn \U0001f33d", "goal"]
    assert found.topics == ["grain", "sport"]


def test_count_newly_corrected_counts_texts_that_only_the_new_model_answers(
    outcome: CorrectionResult,
) -> None:
    sets, after = outcome.training_sets, outcome.experiment.fitted
    texts, topics = sets.corrections.texts, sets.corrections.topics
    assert count_newly_corrected(after, after, [], []) is None
    same = count_newly_corrected(after, after, texts, topics)
    assert same == NewlyCorrected(len(texts), 0)
    assert not dataclasses.replace(outcome, newly_corrected=same).passes
    before = TopicClassifier().fit(sets.base.texts, sets.base.topics).fitted_
    better = count_newly_corrected(before, after, texts, topics)
    assert better is not None
    assert better.n_better > 0
    assert dataclasses.replace(outcome, newly_corrected=better).why_not() == outcome.why_not()


def test_why_not_names_corrected_texts_that_stay_wrong(outcome: CorrectionResult) -> None:
    assert outcome.why_not() == ""
    stuck = dataclasses.replace(outcome, newly_corrected=NewlyCorrected(2, 0))
    assert stuck.why_not() == "the new model fixes none of 2 newly corrected texts"
