"""Evaluate models, their decisions, and scikit-learn estimators on labelled documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from slugline.base.checks import short_repr
from slugline.base.progress import Progress, check_progress
from slugline.base.wording import all_of, have, one_line, percent
from slugline.classifier import TopicClassifier, to_fitted
from slugline.corpus.corpus import Corpus
from slugline.corpus.topic_sets import are_topic_sets, is_indicator, sets_with_parents
from slugline.corpus.topics import add_parents
from slugline.errors import DataError, OptionError, Parameter
from slugline.evaluation.evaluation import Evaluation
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.evaluation.paired import PairedComparison, compare_paired
from slugline.model.decider import Decider
from slugline.model.fitted import Fitted
from slugline.model.promise import AnswerCounts
from slugline.model.settings import draw_seed

#: The metrics of a single-label or multi-label classifier.
AnyEvaluation = Evaluation | MultilabelEvaluation


def evaluate_fitted(
    model: TopicClassifier | Fitted,
    corpus: Corpus,
    *,
    random_state: int = 0,
    progress: Progress | None = None,
) -> AnyEvaluation:
    """Return the evaluation of a classifier on a corpus; unknown topics count as errors.

    `random_state` is the seed of the bootstrap samples for intervals; `progress` reports the
    encoding of texts.

    Raises
    ------
    DataError : if the model knows none of the topics, or only one of the model and the corpus is
        multi-label.
    """
    fitted, seed = to_fitted(model), draw_seed(random_state)
    corpus = add_parents(corpus, fitted.separator)
    names = [str(name) for name in fitted.topics.names]
    check_evaluable(fitted, corpus)
    if fitted.dense is not None:
        fitted = replace(fitted, dense=replace(fitted.dense, progress=check_progress(progress)))
    proba = fitted.predict_proba(corpus.texts)
    if fitted.multilabel_rule is not None:
        return MultilabelEvaluation.from_probabilities(
            names,
            corpus.topics,
            proba,
            fitted.multilabel_rule.usual_thresholds,
            answered=fitted.multilabel_rule.decide(proba),
            seed=seed,
            separator=fitted.separator,
        )
    number = {name: i for i, name in enumerate(names)}
    y_true = [number.get(topic, -1) for topic in corpus.topics]
    return Evaluation.from_probabilities(names, np.array(y_true), proba, seed=seed)


def check_evaluable(fitted: Fitted, corpus: Corpus, *name: str | Parameter) -> None:
    """Check quickly that a model can be evaluated on a corpus.

    Raises
    ------
    DataError : if not; see `evaluate_fitted`. The message begins with `name`, the model's name if
        there are two models.
    """
    beginning = (*name, ": ") if name else ()
    try:
        _check_same_kind(fitted, corpus)
        topics = [str(topic) for topic in fitted.topics.names]
        check_some_known(topics, add_parents(corpus, fitted.separator))
    except DataError as error:
        raise DataError(*beginning, *error.parts) from None


def _check_same_kind(fitted: Fitted, corpus: Corpus) -> None:
    """Raise DataError unless model and corpus are both single-label or both multi-label."""
    if not corpus.topics or fitted.multilabel == corpus.multilabel:
        return
    if fitted.multilabel:
        raise DataError(
            f"the model is multi-label, but documents of {corpus.name} have one topic each; give "
            "lists of topics (in a table, ",
            Parameter("topic_separator"),
            "), or use a single-label model.",
        )
    raise DataError(
        f"the model is single-label, but {corpus.name} is multi-label; keep one topic of each "
        "document, or use a multi-label model."
    )


def compare_evaluations(
    first: AnyEvaluation, second: AnyEvaluation, corpus: Corpus
) -> PairedComparison:
    """Compare two classifiers' evaluations on the same corpus."""
    return compare_paired(
        corpus.topics,
        first.predicted,
        second.predicted,
        classes=(set(first.topics[: first.n_known]), set(second.topics[: second.n_known])),
        seed=first.seed,
    )


def estimator_answers(estimator: Any, corpus: Corpus) -> tuple[list[Any], set[str]]:
    """Return the answers of a fitted scikit-learn estimator and its topics.

    Raises
    ------
    DataError : if it doesn't return a topic for each text, or a set of topics for multi-label
        data.
    OptionError : if it is not fitted, or doesn't accept texts.
    """
    name = type(estimator).__name__
    try:
        given = estimator.predict(list(corpus.texts))
        known = getattr(estimator, "classes_", None)
    # Report exceptions from the user's estimator as the user's errors.
    except Exception as error:
        raise OptionError(
            Parameter("against"),
            f" is a {name}, whose `predict` raised {type(error).__name__}: "
            f"{one_line(str(error), 300)}; pass a fitted text classifier.",
        ) from error
    has_sets = are_topic_sets(given)
    if is_indicator(given) or len(given) != len(corpus) or has_sets != corpus.multilabel:
        each = "several topics" if has_sets else "one topic"
        each = "columns of 0 and 1" if is_indicator(given) else each
        raise DataError(
            Parameter("against"),
            f" is a {name}, whose `predict` returned {len(given):,} answers of {each} for "
            f"{len(corpus):,} texts; pass a classifier that answers in the format of the labels.",
        )
    if corpus.multilabel:
        answers: list[Any] = [tuple(map(str, topics)) for topics in given]
        known = None
    else:
        answers = [str(topic) for topic in np.asarray(given, dtype=object).tolist()]
    classes = set(map(str, known)) if known is not None else set(corpus.all_topics())
    return answers, classes


def check_some_known(topics: Sequence[str], test: Corpus) -> None:
    """Raise DataError unless a test document has one of the topics."""
    others = test.topic_counts()
    if not set(topics) & others.keys():
        example = next(test.all_topics(), None)
        instead = "none at all" if example is None else f"ones like {short_repr(example)}"
        raise DataError(
            f"{test.name} has none of the model's topics, such as {short_repr(min(topics))}, but "
            f"{instead}; test on documents with the model's topics."
        )


def check_several_topics(corpus: Corpus) -> None:
    """Raise DataError unless a corpus contains at least two topics."""
    if not len(corpus):
        raise DataError(f"{corpus.name} contains no documents; add labelled documents.")
    if not corpus.multilabel and len(set(corpus.topics)) == 1:
        raise DataError(
            f"{all_of(len(corpus), 'document')} of {corpus.name} {have(len(corpus))} the topic "
            f"{short_repr(corpus.topics[0])}. Add documents of other topics."
        )


# Decisions ----------------------------------------------------------------------------------------


class DecisionResult(NamedTuple):
    """A decider's numbers of test documents, answers and right answers."""

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
    """Numbers of true topics, topics assigned by a decider, and correctly assigned topics."""

    n_documents: int
    # Number of true topics.
    n_true: int
    n_given: int
    n_right: int

    @property
    def recall(self) -> float | None:
        """Fraction of true topics that were assigned; None if there are no true topics."""
        return self.n_right / self.n_true if self.n_true else None

    @property
    def precision(self) -> float | None:
        """Fraction of assigned topics that are right; None if none were assigned."""
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
    """Return the results of a model's thresholds on labelled texts, or None if it has none."""
    decider = Decider.from_fitted(fitted)
    return None if decider.precision is None else decide_test(decider, corpus)


def stored_metrics(
    evaluation: AnyEvaluation,
    majority: float,
    decisions: AnyDecisionResult | None = None,
    *,
    measured: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return the test metrics to store in a model file, by name.

    `decisions` are the results of thresholds on the test, if a precision was requested. `measured`
    replaces the test metrics if the test documents are not representative.
    """
    if measured is not None:
        metrics = dict(measured)
    elif isinstance(evaluation, MultilabelEvaluation):
        metrics = {
            "test_micro_f1": evaluation.micro.f1,
            "test_macro_f1": evaluation.macro_f1,
            "test_f1_per_document": evaluation.samples.f1,
            "test_exact_match": evaluation.accuracy,
        }
    else:
        metrics = {
            "test_accuracy": evaluation.accuracy,
            "test_macro_f1": evaluation.macro_f1,
            "test_log_loss": evaluation.log_loss,
        }
    if decisions is not None:
        _, n_answers, n_right, coverage = decisions.answers
        metrics |= {"test_answers": float(n_answers), "test_right_answers": float(n_right)}
        metrics |= {"test_coverage": coverage}
    return metrics | {
        "test_documents": float(evaluation.n_documents),
        "majority_baseline": majority,
    }
