"""Results of a model's decisions on labelled documents."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from slugline.base.wording import percent
from slugline.corpus.corpus import Corpus
from slugline.corpus.topic_sets import sets_with_parents
from slugline.model.decider import Decider
from slugline.model.fitted import Fitted
from slugline.model.promise import AnswerCounts


class DecisionResult(NamedTuple):
    """Numbers of test documents, of answers, and of right answers of a decider."""

    n_documents: int
    n_answered: int
    n_right: int

    @property
    def coverage(self) -> float:
        """Fraction of documents with an answer."""
        return self.n_answered / self.n_documents

    @property
    def precision(self) -> float | None:
        """Fraction of answers that are right; None if there are no answers."""
        return self.n_right / self.n_answered if self.n_answered else None

    @property
    def answers(self) -> AnswerCounts:
        """Counts for `check_promise`."""
        return AnswerCounts(self.n_documents, self.n_answered, self.n_right, self.coverage)

    def summary(self) -> str:
        """Return coverage and precision in words."""
        if self.precision is None:
            return "none answered"
        return f"{percent(self.coverage)} answered, {percent(self.precision)} of them right"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return {**self._asdict(), "coverage": self.coverage, "precision": self.precision}


class MultilabelDecisionResult(NamedTuple):
    """Numbers of true topics, of topics given by a decider, and of given topics that are right."""

    n_documents: int
    # Number of true topics.
    n_true: int
    n_given: int
    n_right: int

    @property
    def recall(self) -> float | None:
        """Fraction of true topics that were given; None if there are no true topics."""
        return self.n_right / self.n_true if self.n_true else None

    @property
    def precision(self) -> float | None:
        """Fraction of given topics that are right; None if none were given."""
        return self.n_right / self.n_given if self.n_given else None

    @property
    def answers(self) -> AnswerCounts:
        """Counts for `check_promise`."""
        return AnswerCounts(self.n_documents, self.n_given, self.n_right, self.recall or 0.0)

    def summary(self) -> str:
        """Return precision and recall in words."""
        if self.precision is None:
            return "no topic given"
        return (
            f"recall {percent(self.recall or 0)} of the topics that documents have, "
            f"precision {percent(self.precision)} of the topics given"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return {**self._asdict(), "recall": self.recall, "precision": self.precision}


#: The result of single-label or multi-label decisions.
AnyDecisionResult: TypeAlias = DecisionResult | MultilabelDecisionResult


def decide_test(decider: Decider, corpus: Corpus) -> AnyDecisionResult:
    """Return a decider's results on labelled texts; unknown topics count as errors."""
    decisions = decider.decide(corpus.texts)
    if decider.fitted.multilabel:
        sets = [tuple(map(str, decision.topics or ())) for decision in decisions]
        predicted = list(map(set, sets_with_parents(sets, decider.fitted.separator)))
        n_right = sum(len(a & {*b}) for a, b in zip(predicted, corpus.topics, strict=True))
        n_true = sum(map(len, corpus.topics))
        return MultilabelDecisionResult(len(decisions), n_true, sum(map(len, predicted)), n_right)
    topics = [decision.topic for decision in decisions]
    answered = [
        str(topic_given) == topic
        for topic_given, topic in zip(topics, corpus.topics, strict=True)
        if topic_given is not None
    ]
    return DecisionResult(len(topics), len(answered), sum(answered))


def decide_corpus(fitted: Fitted, corpus: Corpus) -> AnyDecisionResult | None:
    """Return the results of a model's own thresholds on labelled texts, or None without any."""
    decider = Decider.from_fitted(fitted)
    return None if decider.precision is None else decide_test(decider, corpus)
