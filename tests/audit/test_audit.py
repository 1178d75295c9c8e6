"""The audit: wrong topics come first, copies are evidence, and what else is wrong is found."""

from __future__ import annotations

import numpy as np
import pytest

from labelled_texts import labelled
from slugline.audit.audit import Audit, audit_corpus, group_copies
from slugline.audit.findings import Findings
from slugline.audit.repair import measure_gain
from slugline.corpus.corpus import Corpus
from slugline.errors import DataError, OptionError


def audited(texts: list[str], topics: list[str], **options: object) -> Audit:
    return audit_corpus(Corpus(texts, topics, "news.csv"), n_jobs=1, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def noisy() -> tuple[Audit, list[int]]:
    """Return the audit of 240 texts, 16 of which have a wrong topic, and which."""
    texts, topics, wrong = labelled(240, 16)
    return audited(texts, topics), wrong


def test_wrong_topics_come_first_and_their_own_topic_is_found(
    noisy: tuple[Audit, list[int]],
) -> None:
    audit, wrong = noisy
    assert set(audit.order[:16].tolist()) == set(wrong)
    assert set(audit.suspects().tolist()) == set(wrong)
    _, right, _ = labelled(240, 0)
    assert [audit.likely[row] for row in wrong] == [right[row] for row in wrong]


def test_suspicion_is_a_probability_that_is_low_for_right_topics(
    noisy: tuple[Audit, list[int]],
) -> None:
    audit, wrong = noisy
    assert ((audit.suspicion > 0) & (audit.suspicion < 1)).all()
    assert np.delete(audit.suspicion, wrong).max() < 0.1


def test_a_suspect_has_reasons_words_and_a_document_beside_it(
    noisy: tuple[Audit, list[int]],
) -> None:
    audit, wrong = noisy
    findings = Findings(audit)
    found = findings[wrong[0]]
    text = audit.corpus.texts[wrong[0]]
    assert found.reasons[0] == f"its words are those of {found.likely} rather than of {found.topic}"
    assert found.beside is not None
    assert audit.corpus.topics[found.beside] == found.likely
    speaking = {text[a:b] for a, b, share in findings.spans(wrong[0], found.topic, found.likely)
                if share > 0}  # fmt: skip
    from labelled_texts import WORDS

    assert speaking & set(WORDS[found.likely])
    assert not speaking & set(WORDS[found.topic])


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_threads_change_nothing_and_the_seed_decides(n_jobs: int) -> None:
    texts, topics, _ = labelled(90, 8)
    corpus = Corpus(texts, topics, "news.csv")
    first = audit_corpus(corpus, seed=3, n_jobs=1)
    again = audit_corpus(corpus, seed=3, n_jobs=n_jobs)
    assert first.suspicion.tobytes() == again.suspicion.tobytes()
    other = audit_corpus(corpus, seed=4, n_jobs=n_jobs)
    assert first.suspicion.tobytes() != other.suspicion.tobytes()


def test_the_order_of_the_file_says_nothing() -> None:
    texts, topics, wrong = labelled(150, 12)
    turned = audited(texts[::-1], topics[::-1])
    assert {149 - row for row in turned.order[:12].tolist()} == set(wrong)


# Copies -----------------------------------------------------------------------------------------


def test_of_copies_with_two_topics_the_worse_supported_one_is_suspect() -> None:
    texts, topics, _ = labelled(120, 0)
    audit = audited([*texts, texts[0]], [*topics, "sport"])
    assert audit.order[0] == 120
    found = Findings(audit)[120]
    assert found.reasons[0] == "the same text stands under bank (document 1)"
    assert (found.likely, found.beside, found.is_copy) == ("bank", 0, True)
    assert audit.suspicion[0] < 0.1


def test_copies_do_not_judge_each_other() -> None:
    # Five copies of a text about grain, all of them under sport, would outvote anybody.
    texts, topics, _ = labelled(120, 0)
    texts, topics = texts + ["wheat corn crop barley tonnes silo seed"] * 5, topics + ["sport"] * 5
    audit = audited(texts, topics)
    assert set(audit.order[:5].tolist()) == set(range(120, 125))
    assert {audit.likely[row] for row in range(120, 125)} == {"grain"}


def test_near_copies_are_found_and_do_not_judge_each_other() -> None:
    texts, topics, _ = labelled(120, 0)
    near = "wheat corn crop barley tonnes silo seed harvest export of the year"
    audit = audited([*texts, f"{near} end", f"{near} ends"], [*topics, "sport", "sport"])
    assert [rows.tolist() for rows in audit.copies.near] == [[120, 121]]
    assert set(audit.order[:2].tolist()) == {120, 121}


def test_test_documents_that_are_training_documents_are_leaks() -> None:
    texts, topics, _ = labelled(90, 0)
    new, new_topics, _ = labelled(30, 0, seed=9)
    train = Corpus(texts, topics, "train.csv")
    test = Corpus(
        [*new, texts[4].upper(), texts[7] + " it"], [*new_topics, "grain", "bank"], "test"
    )
    audit = audit_corpus(train, test, n_jobs=1)
    assert [(leak.row, leak.test_row) for leak in audit.copies.leaks] == [(4, 120), (7, 121)]
    assert audit.copies.leaks[0].likeness == 1
    assert 0.8 <= audit.copies.leaks[1].likeness < 1
    assert Findings(audit).place(120) == "test document 31"


# Bad input --------------------------------------------------------------------------------------


def test_one_topic_can_not_be_audited() -> None:
    with pytest.raises(DataError) as raised:
        audited(["wheat", "corn"], ["grain", "grain"])
    assert str(raised.value) == (
        "news.csv: every document has the topic 'grain', so that none can be wrong; give documents "
        "of two topics, and check which column holds the topic."
    )


def test_copies_of_one_text_can_not_be_audited() -> None:
    with pytest.raises(DataError) as raised:
        audited(["the wheat"] * 4, ["a", "b", "a", "b"])
    assert str(raised.value) == (
        "news.csv: all 4 texts are the same, or nearly; there is nothing to compare them with. "
        "Check which column holds the text."
    )


@pytest.mark.parametrize(
    ("texts", "topics", "message"),
    [
        ([], [], "news.csv holds no documents; an audit needs some of two topics."),
        (["!", "?"], ["a", "b"], "no document has a word in it; check which column"),
    ],
    ids=["none", "no words"],
)
def test_what_can_not_be_audited(texts: list[str], topics: list[str], message: str) -> None:
    with pytest.raises(DataError) as raised:
        audited(texts, topics)
    assert str(raised.value).startswith(message)


def test_a_seed_out_of_range() -> None:
    with pytest.raises(OptionError, match="`seed` is -1; give a whole number from 0"):
        audited(["a b", "c d"], ["x", "y"], seed=-1)


@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_a_handful_of_documents(n: int) -> None:
    texts = ["wheat corn", "goal match", "bond loan", "crop", "team", "fed rate", "silo"][:n]
    audit = audited(texts, ["grain", "sport", "bank", "grain", "sport", "bank", "grain"][:n])
    assert sorted(audit.order.tolist()) == list(range(n))
    assert np.isfinite(audit.suspicion).all()


def test_of_the_only_document_of_a_topic_nothing_is_known() -> None:
    texts, topics, wrong = labelled(120, 8)
    audit = audited([*texts, "cocoa cocoa butter ghana"], [*topics, "cocoa"])
    assert set(audit.order[:8].tolist()) == set(wrong)
    assert audit.suspicion[120] < 0.2


def test_a_topic_of_form_letters_spoils_nothing() -> None:
    texts, topics, wrong = labelled(200, 11)
    letter = (
        "dear customer this is the newsletter of our shop with all offers of this week and more"
    )
    letters = [f"{letter} number{n}" for n in range(14)]
    audit = audited([*texts, *letters], [*topics, *["news"] * 14])
    assert [len(rows) for rows in audit.copies.near] == [14]
    assert set(audit.suspects().tolist()) == set(wrong)
    assert audit.alike == []


def test_a_text_of_megabytes_and_one_without_words() -> None:
    texts, topics, _ = labelled(60, 0)
    audit = audited([*texts, "wheat " * 200_000, "?!"], [*topics, "grain", "bank"])
    assert np.isfinite(audit.suspicion).all()
    assert [(odd.row, odd.kind) for odd in audit.odd] == [(61, "blank")]


# Gain -------------------------------------------------------------------------------------------


def test_repair_is_worth_something_where_topics_are_wrong() -> None:
    texts, before, wrong = labelled(180, 50)
    _, right, _ = labelled(180, 0)
    after = [None if row in wrong[:5] else topic for row, topic in enumerate(right)]
    gain = measure_gain(Corpus(texts, before, "news"), after, group_copies(texts), n_jobs=1)
    assert gain.n_tested == 175
    assert gain.n_after - gain.n_before == gain.n_better - gain.n_worse > 0
    low, high = gain.interval
    assert low <= gain.points <= high
    assert gain.to_dict()["accuracy_after"] == gain.n_after / 175


def test_no_repair_is_worth_nothing() -> None:
    texts, topics, _ = labelled(60, 0)
    gain = measure_gain(Corpus(texts, topics, "news"), topics, group_copies(texts), n_jobs=1)
    assert (gain.points, gain.interval) == (0, (0, 0))
