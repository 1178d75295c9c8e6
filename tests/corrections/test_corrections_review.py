"""Which corrections are learned before anybody has approved them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from slugline import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.corrections.doubts import Approval, Doubt
from slugline.corrections.gate import PersonContradictions
from slugline.corrections.review import Review, review
from slugline.corrections.store import Correction
from slugline.errors import DataError
from slugline.model.fitted import Fitted

WORDS = {
    "bill": [
        "invoice",
        "amount",
        "wrong",
        "charged",
        "twice",
        "refund",
        "money",
        "reminder",
        "tax",
    ],
    "ship": ["parcel", "late", "courier", "damaged", "box", "address", "delivery", "tracking"],
    "tech": ["app", "crashes", "screen", "black", "update", "error", "printer", "network"],
}


LEARNED: dict[str, Any] = {"learned": "2026-01-01T09:00:00.000Z", "learned_by": "abc"}


def text_of(topic: str, rng: random.Random, n_words: int = 5) -> str:
    return " ".join(rng.sample(WORDS[topic], n_words))


@pytest.fixture(scope="module")
def train() -> Corpus:
    rng = random.Random(0)
    topics = [[*WORDS][number % 3] for number in range(150)]
    return Corpus([f"{text_of(topic, rng)} {n}" for n, topic in enumerate(topics)], topics)


def fit(corpus: Corpus) -> Fitted:
    return TopicClassifier(random_state=0).fit(corpus.texts, corpus.topics).fitted_


def correct(
    pairs: Sequence[tuple[str, Any]], who: str = "anna", first: int = 1, day: int = 1, **more: Any
) -> list[Correction]:
    """Return corrections by somebody with a token, on one day."""
    return [
        Correction(
            *(number, text, topic, "bill", 0.5, "m", "d", who),
            f"2026-01-{day:02}T08:00:00.000Z",
            is_named=True,
            **more,
        )
        for number, (text, topic) in enumerate(pairs, first)
    ]


def kinds(result: Review) -> dict[int, list[str]]:
    return {number: [doubt.kind for doubt in doubts] for number, doubts in result.held.items()}


def ids(result: Review) -> list[int]:
    return [correction.id for correction in result.learnable]


def test_review_holds_a_burst_of_wrong_corrections(train: Corpus) -> None:
    rng = random.Random(1)
    result = review(correct([(text_of("bill", rng), "tech") for _ in range(10)]), train, fit)
    assert ids(result) == []
    assert [*result.held] == [*range(1, 11)]
    assert all("burst" in found for found in kinds(result).values())
    assert all("contradicted" in found for found in kinds(result).values())


def test_review_contradicts_wrong_corrections_that_come_slowly(train: Corpus) -> None:
    rng = random.Random(1)
    wrong = [
        row
        for number in range(1, 11)
        for row in correct([(text_of("bill", rng), "tech")], first=number, day=3 * number - 2)
    ]
    result = review(wrong, train, fit)
    assert kinds(result) == {key: ["contradicted"] for key in range(1, 11)}
    doubt = result.held[1][0]
    assert doubt.topic == "bill"
    assert doubt.probability > 0.9


def by_people(*people: str, days: int = 3) -> list[Correction]:
    """Return corrections to "bill" with the word "dunning", by people in turn, some days apart."""
    return [
        row
        for number, person in enumerate(people)
        for row in correct(
            [(f"tax amount dunning{number} dunning", "bill")],
            person,
            first=number + 1,
            day=1 + days * number,
        )
    ]


def test_review_holds_an_unknown_word_of_one_or_two_people_however_slowly(train: Corpus) -> None:
    for people in (["anna"] * 4, ["anna", "ben", "anna", "ben"]):
        result = review(by_people(*people), train, fit)
        doubt = Doubt("unknown word", 4, "bill", "dunning")
        assert result.held == dict.fromkeys(range(1, 5), (doubt,))
    assert ids(review(by_people("anna", "ben", "carl"), train, fit)) == [1, 2, 3]


def test_review_accepts_an_unknown_word_that_was_approved_or_occurs_once(train: Corpus) -> None:
    first, *later = by_people("anna", "anna", "anna")
    assert ids(review([first], train, fit)) == [1]
    approved = first._replace(approved="2026-02-01T08:00:00.000Z")
    assert ids(review([approved, *later], train, fit)) == [1, 2, 3]


def test_review_holds_an_unknown_word_that_a_model_has_learned_once(train: Corpus) -> None:
    first, *later = by_people("anna", "anna", "anna")
    result = review([first._replace(**LEARNED), *later], train, fit)
    assert ids(result) == [1]
    assert kinds(result) == {2: ["unknown word"], 3: ["unknown word"]}


def test_review_accepts_corrections_that_a_burst_contradicts(train: Corpus) -> None:
    rng = random.Random(1)
    texts = [f"{word} received" for word in ("dunning", "letter", "voucher")]
    topic, other = "bill", "ship"
    honest = [
        row
        for number, text in enumerate(texts)
        for row in correct([(text, topic)], f"ben {number}", first=9 + number)
    ]
    others = [(text_of(topic, rng), other) for _ in range(5)]
    wrong = correct([(text, other) for text in texts] + others)
    result = review(wrong + honest, train, fit)
    assert ids(result) == [9, 10, 11]
    assert kinds(result)[1] == ["burst", "unknown word", "conflict"]


def test_review_asks_models_that_learned_from_no_burst(train: Corpus) -> None:
    rng = random.Random(1)
    honest: list[Correction] = []
    for person in ("ben", "carl", "dora", "emil"):
        texts = [f"a dunning letter {person}{n}" for n in range(2)]
        honest += correct([(text, "bill") for text in texts], person, first=20 * len(honest) + 1)
    # It begins after the first of four people, and says something else of their texts.
    wrong = [*((row.text, "tech") for row in honest), (text_of("ship", rng), "tech")]
    burst = correct(wrong, first=11)

    def fitted(corrections: list[Correction]) -> set[frozenset[str]]:
        found = []

        def fit_noted(corpus: Corpus) -> Fitted:
            found.append(frozenset(corpus.texts))
            return fit(corpus)

        assert ids(review(corrections, train, fit_noted)) == [row.id for row in honest]
        return {*found}

    assert fitted(honest) <= fitted(honest + burst)


def test_review_accepts_approved_corrections(train: Corpus) -> None:
    rng = random.Random(1)
    when = "2026-02-01T08:00:00.000Z"
    wrong = correct([(text_of("bill", rng), "tech") for _ in range(10)], approved=when)
    result = review(wrong, train, fit)
    assert ids(result) == [*range(1, 11)]
    assert dict(result.doubts) == {}


def test_review_holds_all_or_none_by_approval(train: Corpus) -> None:
    rng = random.Random(1)
    rows = correct([(text_of("bill", rng), "tech") for _ in range(6)])
    rows += correct([("dunning letter", "bill")], "ben", first=7)
    none = review(rows, train, fit, "none")
    assert ids(none) == [*range(1, 8)]
    assert none.held == {}
    assert none.people() == (PersonContradictions("anna", 6, 6), PersonContradictions("ben", 1, 0))
    unapproved = review(rows, train, fit, "all")
    assert unapproved.held == dict.fromkeys(range(1, 8), (Doubt("unapproved"),))
    assert ids(unapproved) == []


@pytest.mark.parametrize("approval", ["doubtful", "none"])
def test_review_holds_both_sides_of_a_conflict(train: Corpus, approval: Approval) -> None:
    rows = correct([("Dunning  letter", "bill")]) + correct([("Dunning letter", "ship")], "ben", 2)
    result = review(rows, train, fit, approval)
    assert result.doubts == {
        1: (Doubt("conflict", topic="ship"),),
        2: (Doubt("conflict", topic="bill"),),
    }
    assert ids(result) == ([] if approval == "doubtful" else [1, 2])


def test_review_uses_the_latest_correction_of_a_person(train: Corpus) -> None:
    rows = correct([("dunning letter", "ship"), ("dunning letter", "bill")])
    result = review(rows, train, fit)
    assert ids(result) == [2]
    assert result.held == {}


def test_review_keeps_an_approved_correction_until_another_is_approved(train: Corpus) -> None:
    when = "2026-02-01T08:00:00.000Z"
    approved = correct([("dunning letter", "bill")], approved=when)
    same = correct([("dunning letter", "bill")], "ben", 2)
    other = correct([("dunning letter", "ship")], "ben", 2)
    assert ids(review(approved + same, train, fit)) == [1]
    assert review(approved + same, train, fit).held == {}
    result = review(approved + other, train, fit)
    assert ids(result) == [1]
    assert result.held == {2: (Doubt("conflict", topic="bill"),)}


def test_review_holds_another_topic_for_a_training_text(train: Corpus) -> None:
    rows = correct([(f" {train.texts[0]}\n", "tech"), (train.texts[1], train.topics[1])])
    result = review(rows, train, fit)
    assert [*result.held] == [1]
    assert result.held[1][0] == Doubt("known text", topic="bill")
    assert ids(result) == [2]


def test_review_holds_a_new_topic_with_few_corrections(train: Corpus) -> None:
    rows = correct([(f"{word} {n}", "garden") for n, word in enumerate(("tulip", "rose", "oak"))])
    assert kinds(review(rows[:2], train, fit)) == {1: ["thin topic"], 2: ["thin topic"]}
    assert ids(review(rows, train, fit)) == [1, 2, 3]


def test_review_holds_corrections_that_change_answers_to_training_texts() -> None:
    """A rare topic, whose few texts a correction would take over."""
    rng = random.Random(0)
    topics = [[*WORDS][number % 3] for number in range(90)] + ["rare"] * 2
    texts = [f"{text_of(topic, rng)} {n}" for n, topic in enumerate(topics[:90])]
    texts += ["zebra quagga okapi", "zebra okapi gnu"]
    train = Corpus(texts, topics)
    rows = correct([(f"zebra okapi {n}", "tech") for n in range(5)])
    assert fit(train).predict(texts[90:]).tolist() == ["rare", "rare"]
    result = review(rows, train, fit)
    corpus = Corpus(
        texts + [row.text for row in result.learnable], topics + ["tech"] * len(result.learnable)
    )
    assert fit(corpus).predict(texts[90:]).tolist() == ["rare", "rare"]
    reasons = {doubt.kind for doubts in result.held.values() for doubt in doubts}
    assert reasons & {"changes answers", "contradicted"}


def test_review_handles_several_topics() -> None:
    rng = random.Random(0)
    sets: list[tuple[str, ...]] = [("bill",), ("ship",), ("tech",), ("bill", "ship"), ()]
    topics = [sets[number % 5] for number in range(200)]
    texts = [
        " ".join([*(text_of(topic, rng, 4) for topic in names), "hello", str(n)])
        for n, names in enumerate(topics)
    ]
    train = Corpus(texts, topics)
    wrong = correct([(f"{text_of('bill', rng)} hello", ()) for _ in range(10)])
    assert ids(review(wrong, train, fit)) == []
    fine = correct([("dunning letter hello", ("bill",))])
    assert ids(review(fine, train, fit)) == [1]
    with pytest.raises(DataError, match="has corrections to one topic"):
        review(correct([("dunning letter", "bill")]), train, fit)


# What a model has learned from -------------------------------------------------------------------


def test_review_keeps_learned_corrections_in_a_later_burst(train: Corpus) -> None:
    first = correct([(f"voucher gift card {n}", "gift") for n in range(3)], **LEARNED)
    later = correct([(f"tax {n}", "bill") for n in range(9)], first=4, day=2)
    result = review(first + later, train, fit)
    assert [row.id for row in result.learnable][:3] == [1, 2, 3]
    assert {*result.held} <= {*range(4, 13)}
    assert all("burst" in found for found in kinds(result).values())
    assert ids(review(first, train, fit, "all")) == [1, 2, 3]


def test_review_drops_a_learned_correction_that_an_approved_one_contradicts(train: Corpus) -> None:
    [old] = correct([("voucher", "bill")], **LEARNED)
    [new] = correct([("voucher", "ship")], "ben", first=2, approved="2026-01-02T09:00:00.000Z")
    result = review([old, new], train, fit)
    assert ids(result) == [2]
    assert kinds(result) == {1: ["conflict"]}


def test_review_holds_a_later_correction_of_a_learned_text(train: Corpus) -> None:
    [old] = correct([("voucher", "bill")], **LEARNED)
    [new] = correct([("voucher", "ship")], "ben", first=2)
    result = review([old, new], train, fit)
    assert ids(result) == [1]
    assert kinds(result) == {2: ["conflict"]}


def test_review_contradicts_wrong_corrections_despite_learned_ones(train: Corpus) -> None:
    rng = random.Random(1)
    first = correct([(text_of("bill", rng), "tech") for _ in range(5)], **LEARNED)
    later = correct([(text_of("bill", rng), "tech") for _ in range(5)], first=6, day=20)
    assert kinds(review(first + later, train, fit)) == {n: ["contradicted"] for n in range(6, 11)}
