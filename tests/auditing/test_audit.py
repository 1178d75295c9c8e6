"""The audit: wrong topics come first, copies are evidence, and what else is wrong is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from string import ascii_lowercase
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from labelled_texts import WORDS, labelled, labelled_sets
from slugline.auditing.audit import Audit, SimilarTopics, _leads, audit_corpus
from slugline.auditing.evidence import Neighbours, OddText
from slugline.auditing.findings import Findings
from slugline.auditing.scores import heldout_scores
from slugline.base.progress import SilentProgress
from slugline.corpus.corpus import Corpus
from slugline.errors import DataError, OptionError
from slugline.reports.audit import other_findings
from slugline.text.feature_groups import default_feature_groups
from slugline.text.features import Features


def audited(texts: list[str], topics: Sequence[Any], **options: object) -> Audit:
    return audit_corpus(Corpus(texts, [*topics], "news.csv"), n_jobs=1, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def noisy() -> tuple[Audit, list[int]]:
    """Return the audit of 240 texts, 16 of which have a wrong topic, and which."""
    texts, topics, wrong = labelled(240, 16)
    return audited(texts, topics), wrong


def test_audit_corpus_ranks_wrong_topics_first_and_finds_the_right_ones(
    noisy: tuple[Audit, list[int]],
) -> None:
    audit, wrong = noisy
    assert set(audit.order[:16].tolist()) == set(wrong)
    assert set(audit.suspects().tolist()) == set(wrong)
    _, right, _ = labelled(240, 0)
    assert [audit.likely[row] for row in wrong] == [right[row] for row in wrong]


def test_audit_corpus_finds_wrong_and_missing_topics_of_several() -> None:
    texts, sets, changed = labelled_sets(300, 24)
    audit = audited(texts, sets)
    assert set(audit.order[:24].tolist()) == set(changed)
    findings = Findings(audit)
    for row, topic in changed.items():
        finding = findings[row]
        is_added = topic in sets[row]
        assert (topic in finding.likely) != is_added
        assert finding.topic == sets[row]
        verdict, words = ("wrong", "are not") if is_added else ("missing", "are")
        (reason,) = [reason for reason in finding.reasons if reason.startswith(f"{topic} is ")]
        assert reason.startswith(
            f"{topic} is probably {verdict}: the words {words} typical of it; "
        )
        # Words of a topic that is missing speak for the likely topics.
        weights = {
            texts[row][start:end]: weight
            for start, end, weight in findings.spans(row, finding.topic, finding.likely)
        }
        of_topic = [weight for word, weight in weights.items() if word in WORDS[topic]]
        assert is_added or (of_topic and min(of_topic) > 0)
    right = [row for row in range(300) if row not in changed]
    assert audit.suspicion[right].max() < audit.suspicion[[*changed]].min()
    assert findings.to_dict(1)["suspects"][0]["topic"] in sets


def test_audit_corpus_prefers_the_better_supported_copy() -> None:
    texts, sets, _ = labelled_sets(120, 0)
    assert len(sets[1]) == 2
    audit = audited([*texts, texts[1], texts[2]], [*sets, sets[1][:1], sets[2]])
    assert len(audit.contradicting) == 1
    assert audit.likely[120] == sets[1]
    names = ", ".join(sets[1])
    assert f"the same text has the topic {names} (document 2)" in Findings(audit)[120].reasons


def test_audit_corpus_does_not_judge_a_topic_of_one_document() -> None:
    texts, sets, _ = labelled_sets(120, 0)
    audit = audited(texts, [("rare",), *sets[1:]])
    column = [*audit.topics.names].index("rare")
    assert not audit.evidence.errors[:, column].any()  # type: ignore[union-attr]


def test_audit_orders_documents_by_suspicion(noisy: tuple[Audit, list[int]]) -> None:
    audit, _ = noisy
    assert (np.diff(audit.suspicion[audit.order]) <= 1e-8).all()
    assert (len(audit.contradicting), audit.copies.identical, audit.copies.leaks) == (0, [], [])
    findings = Findings(audit)
    assert findings.to_review(3) == audit.order[:16].tolist()
    assert findings.to_review(20) == audit.order[:20].tolist()
    weights = audit.features.transform(audit.corpus.texts)
    n_words = audit.words.shape[1]
    assert n_words == audit.features.vocabularies_[0].n_columns < weights.shape[1]
    assert np.array_equal(audit.words.toarray(), weights.toarray()[:, :n_words])


def test_audit_suspicion_is_a_low_probability_for_right_topics(
    noisy: tuple[Audit, list[int]],
) -> None:
    audit, wrong = noisy
    assert ((audit.suspicion > 0) & (audit.suspicion < 1)).all()
    assert np.delete(audit.suspicion, wrong).max() < 0.1


def test_findings_give_reasons_words_and_a_document_to_compare(
    noisy: tuple[Audit, list[int]],
) -> None:
    audit, wrong = noisy
    findings = Findings(audit)
    found = findings[wrong[0]]
    text = audit.corpus.texts[wrong[0]]
    assert found.reasons[0] == f"its words are typical of {found.likely} rather than {found.topic}"
    assert found.comparison_row is not None
    assert audit.corpus.topics[found.comparison_row] == found.likely
    speaking = {text[a:b] for a, b, share in findings.spans(wrong[0], found.topic, found.likely)
                if share > 0}  # fmt: skip
    from labelled_texts import WORDS

    assert speaking & set(WORDS[str(found.likely)])
    assert not speaking & set(WORDS[str(found.topic)])


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_audit_corpus_depends_on_the_seed_and_not_on_threads(n_jobs: int) -> None:
    texts, topics, _ = labelled(90, 8)
    corpus = Corpus(texts, topics, "news.csv")
    first = audit_corpus(corpus, random_state=3, n_jobs=1)
    again = audit_corpus(corpus, random_state=3, n_jobs=n_jobs)
    assert first.suspicion.tobytes() == again.suspicion.tobytes()
    other = audit_corpus(corpus, random_state=4, n_jobs=n_jobs)
    assert first.suspicion.tobytes() != other.suspicion.tobytes()


@pytest.mark.parametrize("step", [1, 4])
def test_audit_corpus_announces_long_work(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count(0, step)
    clock = SimpleNamespace(perf_counter=lambda: next(seconds))
    monkeypatch.setattr("slugline.auditing.audit.time", clock)
    notes: list[str] = []

    class Notes(SilentProgress):
        def note(self, text: str) -> None:
            notes.append(text)

    audited(["wheat corn", "loan bank"] * 5, ["grain", "bank"] * 5, progress=Notes())
    note = "each of 10 documents is compared with all others, which takes about 2 minutes"
    assert notes == ([note] if step > 1 else [])


def test_audit_corpus_does_not_depend_on_the_order() -> None:
    texts, topics, wrong = labelled(150, 12)
    turned = audited(texts[::-1], topics[::-1])
    assert {149 - row for row in turned.order[:12].tolist()} == set(wrong)


def test_findings_spans_follow_the_formula() -> None:
    texts, topics, _ = labelled(60, 0)
    long = "wheat corn crop export tonnes silo rate loan bond fed credit yield "
    long += "goal match team coach cup league"
    audit = audited([*texts, long, long.upper(), long], [*topics, "grain", "bank", "grain"])
    row, names = 60, audit.topics.names
    y, words = audit.evidence.y, audit.words.toarray()
    expected: list[tuple[float, str]] = []
    for column in np.flatnonzero(words[row]).tolist():
        value = float(words[row, column])
        logs = []
        for topic in ("bank", "grain"):
            number = names.index(topic)
            n_copies = sum(int(y[copy]) == number for copy in (60, 62))
            weight = words[y == number, column].sum() - value * n_copies
            logs.append(np.log(max(weight, 0) / (words[y == number].sum() + 1) + 1e-4))
        expected.append((value * (logs[1] - logs[0]), audit.features.term(column) or ""))
    expected.sort()
    strongest = {term: weight for weight, term in [*expected[:8], *expected[-8:]] if weight}
    spans = Findings(audit).spans(row, "bank", "grain")
    assert spans == sorted(spans)
    found = {long[start:end]: weight for start, end, weight in spans}
    assert found == pytest.approx(strongest, rel=1e-3)


def findings_of(audit: Audit, **changed: Any) -> Findings:
    """Return the findings about the first document, a text about banks, with other evidence."""
    near = changed.pop("near", [])
    rows = np.full((len(audit), 10), -1)
    rows[0, : len(near)] = near
    nearest = Neighbours(rows, np.zeros((len(audit), 10), dtype=np.float32))
    scores = audit.evidence.scores.copy()
    scores[0] = changed.pop("scores", [1, 0, 0])
    likely = [changed.pop("likely", "grain"), *audit.likely[1:]]
    by_topic = replace(audit.evidence, scores=scores)
    odd = [OddText(0, "cut off", "it ends in dots"), OddText(0, "blank", "no word")]
    return Findings(replace(audit, nearest=nearest, evidence=by_topic, likely=likely, odd=odd))


@pytest.mark.parametrize(
    ("changed", "reasons", "beside"),
    [
        ({}, [], None),
        ({"scores": [0, 0.1, 0]}, ["its words are typical of grain rather than bank"], None),
        ({"scores": [0, 0, 0.1]}, [], None),
        ({"scores": [-0.6, 0, 0.1]}, ["its words are not typical of bank"], None),
        ({"scores": [-0.5, -1, -1]}, [], None),
        ({"near": [3, 4]}, [], 4),
        ({"near": [5, 3, 7, 4, 10]},
         ["of the 5 nearest documents, 3 are grain and 1 is bank"], 7),
        ({"near": [5, 4, 2]}, ["of the 3 nearest documents, 1 is grain and none is bank"], 4),
        ({"near": [4, 7, 0, 3, 6]}, [], 4),
        ({"near": [3, 5, 8]}, [], 5),
        ({"near": [3, 6]}, [], None),
    ],
    ids=str,
)  # fmt: skip
def test_findings_reasons_are_scores_neighbours_and_oddities(
    copied: Audit, changed: dict[str, Any], reasons: list[str], beside: int | None
) -> None:
    found = findings_of(copied, **changed)[0]
    assert found.reasons == [*reasons, "cut off: it ends in dots", "blank: no word"]
    assert (found.comparison_row, found.is_copy) == (beside, False)
    assert found.to_dict() == {
        "suspicion": round(float(copied.suspicion[0]), 4),
        "topic": "bank",
        "likely": "grain",
        "reasons": found.reasons,
    }


# Copies -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copied() -> Audit:
    """Return the audit of 30 texts, three of which stand under two topics."""
    texts, topics, _ = labelled(30, 0)
    return audited([*texts, *texts[1:2] * 3], [*topics, "sport", "bank", "grain"])


def test_findings_compare_with_the_best_supported_copy(copied: Audit) -> None:
    suspicion = copied.suspicion.copy()
    suspicion[[1, 30, 31, 32]] = 0.2, 0.6, 0.5, 0.1
    findings = Findings(replace(copied, suspicion=suspicion))
    assert [(findings[row].comparison_row, findings[row].is_copy) for row in (1, 30, 31, 32)] == [
        *((31, True), (32, True), (32, True), (31, True))
    ]
    (reason,) = {findings[row].reasons[0] for row in (1, 32)}
    assert reason == "the same text has the topic sport (document 31) and bank (document 32)"


def test_audit_corpus_suspects_the_worse_supported_copy() -> None:
    texts, topics, _ = labelled(120, 0)
    audit = audited([*texts, texts[0]], [*topics, "sport"])
    assert audit.order[0] == 120
    found = Findings(audit)[120]
    assert found.reasons[0] == "the same text has the topic bank (document 1)"
    assert (found.likely, found.comparison_row, found.is_copy) == ("bank", 0, True)
    assert audit.suspicion[0] < 0.1
    assert len(audit.contradicting) == 1


def test_audit_corpus_lets_no_copies_judge_each_other() -> None:
    # Five copies of a text about grain, all of them under sport, would outvote anybody.
    texts, topics, _ = labelled(120, 0)
    texts, topics = texts + ["wheat corn crop barley tonnes silo seed"] * 5, topics + ["sport"] * 5
    audit = audited(texts, topics)
    assert set(audit.order[:5].tolist()) == set(range(120, 125))
    assert {audit.likely[row] for row in range(120, 125)} == {"grain"}
    assert (len(audit.contradicting), audit.copies.near) == (0, [])
    reason = (
        "the same text occurs in document 121, document 122, document 123 and 1 more, with the "
    )
    assert Findings(audit)[124].reasons[0] == f"{reason}same topic"


def test_audit_corpus_finds_near_copies_and_lets_none_judge_another() -> None:
    texts, topics, _ = labelled(120, 0)
    near = "wheat corn crop barley tonnes silo seed harvest export of the year"
    audit = audited([*texts, f"{near} end", f"{near} ends"], [*topics, "sport", "sport"])
    assert [rows.tolist() for rows in audit.copies.near] == [[120, 121]]
    assert set(audit.order[:2].tolist()) == {120, 121}


def test_audit_corpus_finds_leaks() -> None:
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
    assert Findings(audit).place(89) == "document 90"
    assert [Findings(audit)[row].part for row in (89, 90)] == ["train", "test"]
    suspects = Findings(audit).to_dict(len(audit))["suspects"]
    assert [(suspect["at"], suspect["part"] == "test") for suspect in suspects] == [
        (row - 89, True) if row >= 90 else (row + 1, False) for row in audit.order.tolist()
    ]


# Bad input --------------------------------------------------------------------------------------


def test_audit_corpus_rejects_one_topic() -> None:
    with pytest.raises(DataError) as raised:
        audited(["wheat", "corn"], ["grain", "grain"])
    assert str(raised.value) == (
        "news.csv: every document has the topic 'grain', but an audit requires two "
        "topics. Check which column contains the topic, or add documents of others."
    )


def test_audit_corpus_rejects_topics_of_one_document_each() -> None:
    with pytest.raises(DataError) as raised:
        audited(["wheat", "goal"], ["grain", "sport"])
    assert str(raised.value) == (
        "news.csv: each of 2 documents has a different topic. "
        "Check which column contains the topic, or add a second document of some topic."
    )


def test_other_findings_have_one_note_for_a_topic_like_many(noisy: tuple[Audit, list[int]]) -> None:
    audit = noisy[0]
    pairs = [SimilarTopics("tiny", name, "half", 0.5) for name in ("bank", "grain", "sport")]
    pairs.append(SimilarTopics("bank", "grain", "half of them", 0.5))
    notes = [note for note in other_findings(replace(audit, alike=pairs)) if "topic" in note]
    assert notes == [
        "topic tiny (0 documents) looks like 3 others: bank, grain, sport; add documents to it, or "
        "merge it",
        "topics bank and grain: half of them",
    ]


def test_audit_corpus_rejects_copies_of_one_text() -> None:
    with pytest.raises(DataError) as raised:
        audited(["the wheat"] * 4, ["a", "b", "a", "b"])
    assert str(raised.value) == (
        "news.csv: all 4 texts are identical or nearly identical. "
        "Check which column contains the text."
    )


@pytest.mark.parametrize(
    ("texts", "topics", "message"),
    [
        ([], [], "news.csv: no documents; an audit requires at least two topics."),
        (["!", "?"], ["a", "b"], "no document contains a word; check which column"),
    ],
    ids=["none", "no words"],
)
def test_audit_corpus_rejects_empty_data(texts: list[str], topics: list[str], message: str) -> None:
    with pytest.raises(DataError) as raised:
        audited(texts, topics)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("seed", [-1, 1 << 32])
def test_audit_corpus_rejects_a_seed_out_of_range(seed: int) -> None:
    message = f"`random_state` is {seed}; give a whole number from 0 to 4294967295."
    with pytest.raises(OptionError, match=message):
        audited(["a b", "c d"], ["x", "y"], random_state=seed)


class Steps(SilentProgress):
    """Keeps all steps."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float | None]] = []

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        self.steps.append((step, share))


@pytest.mark.parametrize("n", [4, 5, 7])
def test_audit_corpus_takes_a_handful_of_documents(n: int) -> None:
    texts = ["wheat corn", "goal match", "bond loan", "crop", "team", "fed rate", "silo"][:n]
    topics = ["grain", "sport", "bank", "grain", "sport", "bank", "grain"][:n]
    progress = Steps()
    audit = audited(texts, topics, random_state=(1 << 32) - 1, progress=progress)
    assert sorted(audit.order.tolist()) == list(range(n))
    assert np.isfinite(audit.suspicion).all()
    assert progress.steps == [
        *(("reading texts", 0), ("comparing texts", 1 / 5)),
        *(("judging topics", share / 5) for share in (2, 3, 4)),
    ]


def test_audit_corpus_does_not_suspect_the_only_text_of_a_topic() -> None:
    texts, topics, wrong = labelled(120, 8)
    audit = audited([*texts, *["cocoa cocoa butter ghana"] * 2], [*topics, "cocoa", "cocoa"])
    assert set(audit.order[:8].tolist()) == set(wrong)
    mean = audit.suspicion[:120].mean()
    assert audit.suspicion[120:].tolist() == pytest.approx([mean, mean])


def test_audit_corpus_leaves_suspects_out_of_later_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, topics, wrong = labelled(200, 8)
    doubted: list[np.ndarray] = []

    def scores(rows: object, labels: object, context: Any, *others: Any) -> np.ndarray:
        suspects = others[2]
        scores = np.full((200, context.n_topics), -1, dtype=np.float32)
        scores[np.arange(200), np.arange(200) % 3] = 1
        doubted.append(suspects(scores))
        return scores

    monkeypatch.setattr("slugline.auditing.audit.heldout_scores", scores)
    audit = audited(texts, topics)
    assert doubted[0].sum() == 16
    assert set(np.flatnonzero(doubted[0]).tolist()) >= set(wrong)
    assert set(audit.order[:8].tolist()) == set(wrong)


# The fourth word of each list is in no other text.
MEANINGS = {
    "food": ("bread", "cheese", "butter", "sausage"),
    "law": ("court", "judge", "lawyer", "prosecutor"),
    "music": ("guitar", "piano", "violin", "trumpet"),
}


def test_audit_corpus_knows_the_meaning_of_words_that_no_other_document_has() -> None:
    texts, topics = [], []
    for topic, words in MEANINGS.items():
        texts += [f"{a} {b} {number}" for number in range(4) for a in words[:3] for b in words[:3]]
        topics += [topic] * 36
    audit = audited([*texts, "sausage", "prosecutor"], [*topics, "music", "law"])
    assert audit.order[0] == len(texts)
    assert audit.likely[len(texts)] == "food"


def test_audit_corpus_judges_texts_in_an_unknown_script_by_words_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts, topics, _ = labelled(120, 8)
    georgian = str.maketrans(
        {letter: chr(ord(letter) - ord("a") + 0x10D0) for letter in ascii_lowercase}
    )
    texts = [text.translate(georgian) for text in texts]
    suspicion = audited(texts, topics).suspicion
    monkeypatch.setattr(
        "slugline.auditing.audit.heldout_scores",
        lambda rows, *rest: heldout_scores(replace(rows, vectors=None), *rest),
    )
    assert audited(texts, topics).suspicion.tolist() == suspicion.tolist()


def test_leads_are_the_first_48_words() -> None:
    word = "w" * 99
    texts = ["the wheat " * 24 + "corn", " goal and cup", f"{word} " * 47 + "oil gas"]
    X = Features(default_feature_groups("log-tf-idf"), 1).fit_transform(texts)
    short = ["the wheat " * 24, "goal and cup", f"{word} " * 47 + "oil"]
    expected = Features(default_feature_groups("log-tf-idf"), 1).fit_transform(short)
    assert np.array_equal(_leads(texts, X, 1).toarray(), expected.toarray())
    assert _leads(["the wheat " * 24, " goal and cup\n"], X, 1) is X
    assert _leads(["! " * 50 + "wheat"], X, 1) is X  # no word among the first


def test_audit_corpus_handles_a_topic_of_form_letters() -> None:
    texts, topics, wrong = labelled(200, 11)
    letter = (
        "dear customer this is the newsletter of our shop with all offers of this week and more"
    )
    letters = [f"{letter} number{n}" for n in range(14)]
    audit = audited([*texts, *letters], [*topics, *["news"] * 14])
    assert [len(rows) for rows in audit.copies.near] == [14]
    assert set(audit.suspects().tolist()) == set(wrong)
    assert audit.alike == []


def test_audit_corpus_takes_texts_of_megabytes_and_without_words() -> None:
    texts, topics, _ = labelled(60, 0)
    audit = audited([*texts, "wheat " * 200_000, "?!"], [*topics, "grain", "bank"])
    assert np.isfinite(audit.suspicion).all()
    assert [(odd.row, odd.kind) for odd in audit.odd] == [(61, "blank")]


def test_likely_topics_follow_the_best_supported_copy() -> None:
    texts, topics, _ = labelled(120, 0)
    copy = "wheat corn crop export tonnes barley silo"
    audit = audit_corpus(
        Corpus([*texts, copy, copy, copy], [*topics, "bank", "sport", "grain"], "made up")
    )
    assert audit.likely[120:122] == ["grain", "grain"]
    assert audit.suspicion[122] < audit.suspicion[[120, 121]].min()
