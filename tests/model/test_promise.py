"""Whether a precision is kept, and the sentences that say so."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from slugline.classifier import TopicClassifier
from slugline.model.fitted import Fitted
from slugline.model.promise import AnswerCounts, check_promise, describe_label_doubts
from slugline.model.thresholds import ConfidentErrors

WORDS = {"bank": "loan rate bond", "grain": "wheat corn crop", "sport": "goal team match"}


def learned(n: int, wrong: float = 0.0) -> Fitted:
    """Return a model of `n` easy documents, a share of which have a wrong topic."""
    draw = random.Random(0)
    texts, topics = [], []
    for number in range(n):
        topic = [*WORDS][number % 3]
        words = [draw.choice(WORDS[topic].split()) for _ in range(3)]
        texts.append(" ".join([*words, str(number % 50)]))
        is_wrong = draw.random() < wrong
        topics.append(draw.choice([name for name in WORDS if name != topic]) if is_wrong else topic)
    return TopicClassifier(random_state=0).fit(texts, topics).fitted_


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return learned(90)


@pytest.mark.parametrize(
    ("tested", "status", "said"),
    [
        (
            AnswerCounts(100, 80, 78, 0.8),
            "kept",
            "The model answers 80.0 % of the test documents, and 97.5 % of these answers are right "
            "(95 % confidence interval: 91.3 to 99.3 %); it was trained for a precision of 0.95.",
        ),
        (
            AnswerCounts(100, 100, 95, 1.0),
            "kept",
            "The model answers all test documents, and 95.0 % of these answers are right (95 % "
            "confidence interval: 88.8 to 97.8 %); it was trained for a precision of 0.95.",
        ),
        (
            AnswerCounts(100, 80, 75, 0.8),
            "uncertain",
            "In the test, 93.8 % of 80 answers are right (95 % confidence interval: 86.2 to "
            "97.3 %): less than the precision of 0.95 that the model was trained for, but the "
            "difference may be chance.",
        ),
        (
            AnswerCounts(100, 80, 60, 0.8),
            "broken",
            "The precision of 0.95 that the model was trained for is not kept in the test: of 80 "
            "answers, 75.0 % are right (95 % confidence interval: 64.5 to 83.2 %). Check whether "
            "the test documents are like the training documents: newer documents, or documents "
            "from another source, often differ.",
        ),
        (
            AnswerCounts(1, 0, 0, 0.0),
            "silent",
            "The test document isn't answered, so nothing shows whether the model keeps the "
            "precision of 0.95 that it was trained for.",
        ),
        (
            None,
            "untested",
            "Answers that the model gives are right in 95 of 100 cases, with 90 % confidence, on "
            "documents like those that it was trained on; of other texts it says that it is "
            "unsure.",
        ),
    ],
    ids=["kept", "all answered", "uncertain", "broken", "silent", "untested"],
)
def test_check_promise_compares_the_precision_with_the_test(
    fitted: Fitted, tested: AnswerCounts | None, status: str, said: str
) -> None:
    promise = check_promise(fitted, 0.95, None, tested)
    assert promise.status == status
    assert promise.is_missed == (status == "broken")
    assert promise.text == said


def test_check_promise_reports_an_unreachable_precision_before_any_test(fitted: Fitted) -> None:
    promise = check_promise(fitted, 0.95, "Label more.", AnswerCounts(100, 80, 80, 0.8))
    assert promise.is_missed
    assert promise.text == (
        "The model is unsure of every text, and none of the 100 test documents is answered: no "
        "threshold reaches the precision of 0.95 that it was trained for. Label more."
    )
    assert promise.to_dict() == {"status": "unreachable", "text": promise.text}


def test_check_promise_of_several_topics_counts_topics_given(fitted: Fitted) -> None:
    several = replace(fitted, multilabel_rule=object())  # type: ignore[arg-type]
    assert several.multilabel
    promise = check_promise(several, 0.9, None, AnswerCounts(50, 40, 38, 0.5))
    assert promise.text == (
        "In the test, the model gives 50.0 % of the topics that documents have, and 95.0 % of 40 "
        "topics given are right (95 % confidence interval: 83.5 to 98.6 %); it was trained for a "
        "precision of 0.9."
    )


def test_confident_errors_tell_wrong_labels_from_hard_documents() -> None:
    probabilities = np.linspace(0.5, 1, 400)
    is_hard, is_mislabelled = np.ones((2, 400), dtype=bool)
    is_hard[:60] = False  # the least sure
    is_mislabelled[::7] = False  # whatever the probability
    assert not ConfidentErrors.from_predictions(probabilities, is_hard).has_likely_label_errors
    errors = ConfidentErrors.from_predictions(probabilities, is_mislabelled)
    assert errors.has_likely_label_errors
    assert (errors.n_sure, errors.n_wrong) == (100, 15)
    assert not ConfidentErrors.from_predictions(
        probabilities[:0], is_hard[:0]
    ).has_likely_label_errors


def test_label_doubts_are_said_only_of_wrong_labels(fitted: Fitted) -> None:
    assert describe_label_doubts(fitted) == ""
    assert describe_label_doubts(learned(900)) == ""
    mislabelled = learned(900, wrong=0.1)
    doubts = describe_label_doubts(mislabelled)
    n_suspect_labels = mislabelled.learner.settings()["n_suspect_labels"]
    assert doubts == f"{n_suspect_labels} training documents have topics that look wrong."
    promise = check_promise(mislabelled, 0.95, None, AnswerCounts(100, 100, 80, 1.0))
    assert promise.details == f"{doubts} First correct those that `slugline audit` finds."
    # A learner that leaves nothing out, such as one of few documents.
    plain = replace(fitted, heldout_predictions=mislabelled.heldout_predictions)
    assert describe_label_doubts(plain) == (
        "Of the 181 held-out answers with the highest probabilities, 22 contradict the given "
        "topic: if documents were only hard to tell apart, fewer would."
    )
