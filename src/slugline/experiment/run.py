"""Fits a classifier to labelled texts and tests it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.checks import check_fraction, short_repr
from slugline.base.progress import Progress, check_progress
from slugline.base.wording import TitledRows, all_of, counted, have, one_line, percent
from slugline.classifier import TopicClassifier, to_fitted
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import check_texts
from slugline.corpus.topic_sets import are_topic_sets, is_indicator, sets_with_parents
from slugline.corpus.topics import add_parents
from slugline.errors import DataError, Message, OptionError, Parameter
from slugline.evaluation.evaluation import Evaluation, majority_baseline, shuffled_baseline
from slugline.evaluation.intervals import wilson
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.evaluation.paired import PairedComparison, compare_paired
from slugline.experiment import concerns
from slugline.learning.learner import choose_learner
from slugline.learning.net.training import History
from slugline.model.decider import Decider
from slugline.model.dense import encoder_warnings
from slugline.model.fit import fit
from slugline.model.fitted import Fitted, StreamRecord
from slugline.model.promise import AnswerCounts, PromiseCheck
from slugline.model.settings import FitSettings, draw_seed

if TYPE_CHECKING:
    from distributed import Client

    from slugline.stream.fit import StreamOptions

# Tests --------------------------------------------------------------------------------------------

#: The metrics of a classifier of one topic a document, or of several.
AnyEvaluation = Evaluation | MultilabelEvaluation


def evaluate(
    model: TopicClassifier | Fitted,
    corpus: Corpus,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> AnyEvaluation:
    """Return the evaluation of a classifier on a corpus; topics it doesn't know count as wrong.

    `seed` draws the bootstrap samples of the intervals, and `progress` receives that of an encoder.

    Raises
    ------
    DataError : if the model knows none of the topics, or gives one topic to a document where the
        corpus has several, or the reverse.
    """
    fitted = to_fitted(model)
    corpus = add_parents(corpus, fitted.separator)
    names = [str(name) for name in fitted.topics.names]
    check_same_kind(fitted, corpus)
    check_some_known(names, corpus)
    if fitted.dense is not None:
        fitted = replace(fitted, dense=replace(fitted.dense, progress=check_progress(progress)))
    proba = fitted.predict_proba(corpus.texts)
    if fitted.multilabel_rule is not None:
        return MultilabelEvaluation.from_probabilities(
            *(names, corpus.topics, proba, fitted.multilabel_rule.usual_thresholds),
            answered=fitted.multilabel_rule.decide(proba),
            seed=seed,
            separator=fitted.separator,
        )
    number = {name: i for i, name in enumerate(names)}
    y_true = [number.get(topic, -1) for topic in corpus.topics]
    return Evaluation.from_probabilities(names, np.array(y_true), proba, seed=seed)


def check_same_kind(fitted: Fitted, corpus: Corpus) -> None:
    """Check that a model and a corpus both have one topic a document, or both several."""
    if not corpus.topics or fitted.multilabel == corpus.multilabel:
        return
    if fitted.multilabel:
        raise DataError(
            f"the model gives a document several topics, and those of {corpus.name} have one each; "
            "give lists of topics (in a table, ",
            Parameter("topic_separator"),
            "), or use a model of one topic.",
        )
    raise DataError(
        f"the model gives each document one topic, and those of {corpus.name} have several; keep "
        "one of them, such as the first, or train a model on documents with several."
    )


def compare_evaluations(
    first: AnyEvaluation, second: AnyEvaluation, corpus: Corpus
) -> PairedComparison:
    """Return the comparison of two classifiers' evaluations on one corpus."""
    return compare_paired(
        corpus.topics,
        first.predicted,
        second.predicted,
        classes=(set(first.topics[: first.n_known]), set(second.topics[: second.n_known])),
        seed=first.seed,
    )


def estimator_answers(estimator: Any, corpus: Corpus) -> tuple[list[Any], set[str]]:
    """Return the answers of a fitted scikit-learn estimator, and the topics that it knows.

    Raises
    ------
    DataError : if it doesn't answer with a topic for each text, or with topics where there are
        several.
    OptionError : if it is not fitted, or can't read texts.
    """
    name = type(estimator).__name__
    try:
        given = estimator.predict(list(corpus.texts))
        known = getattr(estimator, "classes_", None)
    # What an estimator of the user's raises is the user's to mend.
    except Exception as error:
        raise OptionError(
            Parameter("against"),
            f" is a {name}, whose `predict` raises {type(error).__name__}: "
            f"{one_line(str(error), 300)}; give a fitted classifier of texts.",
        ) from error
    has_sets = is_indicator(given) or are_topic_sets(given)
    if len(given) != len(corpus) or has_sets != corpus.multilabel:
        each = "several topics" if has_sets else "one topic"
        raise DataError(
            Parameter("against"),
            f" is a {name}, whose `predict` gives {len(given):,} answers of {each} to "
            f"{len(corpus):,} texts; give a classifier that answers as these texts are labelled.",
        )
    if corpus.multilabel:
        if is_indicator(given):
            raise DataError(
                Parameter("against"),
                f" is a {name}, which answers with columns of 0 and 1 that have no names; "
                "give one whose `predict` returns the topics of each text.",
            )
        answers: list[Any] = [tuple(map(str, topics)) for topics in given]
        known = None
    else:
        answers = [str(topic) for topic in np.asarray(given, dtype=object).tolist()]
    classes = set(map(str, known)) if known is not None else set(corpus.all_topics())
    return answers, classes


def stored_metrics(
    evaluation: AnyEvaluation,
    majority: float,
    routing: DecisionResult | MultilabelDecisionResult | None = None,
) -> dict[str, float]:
    """Return the metrics of a test that a model file stores, by name.

    `routing` is how thresholds did on it, if a precision was asked for.
    """
    if isinstance(evaluation, MultilabelEvaluation):
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
    if routing is not None:
        _, n_answers, n_right, coverage = routing.answers
        metrics |= {"test_answers": float(n_answers), "test_right_answers": float(n_right)}
        metrics |= {"test_coverage": coverage}
    return metrics | {
        "test_documents": float(evaluation.n_documents),
        "majority_baseline": majority,
    }


def check_some_known(topics: Sequence[str], test: Corpus) -> None:
    """Check that a test has one of the topics; DataError if not."""
    others = test.topic_counts()
    if not set(topics) & others.keys():
        example = next(test.all_topics(), None)
        instead = "none at all" if example is None else f"ones like {short_repr(example)}"
        raise DataError(
            f"{test.name} has none of the model's topics, such as {short_repr(min(topics))}, but "
            f"{instead}; test on documents with the topics that the model learns."
        )


def check_several_topics(corpus: Corpus) -> None:
    """Check that a corpus has two topics or more; DataError if not."""
    if not len(corpus):
        raise DataError(f"{corpus.name} has no documents; give some with their topics.")
    if not corpus.multilabel and len(set(corpus.topics)) == 1:
        raise DataError(
            f"{all_of(len(corpus), 'document')} of {corpus.name} {have(len(corpus))} the topic "
            f"{short_repr(corpus.topics[0])}: there is nothing to tell apart. Add documents of "
            f"other topics."
        )


# Routing ------------------------------------------------------------------------------------------


class DecisionResult(NamedTuple):
    """How many test documents a decider answered, and how many of the answers are right."""

    n_documents: int
    n_answered: int
    n_right: int

    @property
    def coverage(self) -> float:
        """Share of the documents that were answered."""
        return self.n_answered / self.n_documents

    @property
    def precision(self) -> float | None:
        """Share of right answers; None if there are none."""
        return self.n_right / self.n_answered if self.n_answered else None

    @property
    def answers(self) -> AnswerCounts:
        """What `check_promise` needs."""
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
    """How many topics a decider gave to test documents, and how many of them are right."""

    n_documents: int
    # Topics that the documents have.
    n_true: int
    n_given: int
    n_right: int

    @property
    def recall(self) -> float | None:
        """Share of the topics of documents that were given; None if they have none."""
        return self.n_right / self.n_true if self.n_true else None

    @property
    def precision(self) -> float | None:
        """Share of the topics given that are right; None if there are none."""
        return self.n_right / self.n_given if self.n_given else None

    @property
    def answers(self) -> AnswerCounts:
        """What `check_promise` needs."""
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


def decide_test(decider: Decider, corpus: Corpus) -> DecisionResult | MultilabelDecisionResult:
    """Return how a decider does on labelled texts; topics that it doesn't know count as wrong."""
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


def decide_corpus(
    fitted: Fitted, corpus: Corpus
) -> DecisionResult | MultilabelDecisionResult | None:
    """Return how a model's own thresholds do on labelled texts; None if it has none."""
    decider = Decider.from_fitted(fitted)
    return None if decider.precision is None else decide_test(decider, corpus)


# An experiment -----------------------------------------------------------------------------------


class TestResult(NamedTuple):
    """The evaluation of a classifier, and the documents that it was tested on."""

    evaluation: Any  # AnyEvaluation
    test: Corpus


@dataclass(frozen=True, repr=False)
class Experiment(TitledRows):
    """A trained classifier, and its evaluation on documents it has not seen, if there are any.

    Attributes
    ----------
    fitted : Fitted
    name : str
        Name of the data.
    n_train, n_validation : int
        Training documents, and those of a validation file.
    warnings : tuple of str
        What may be wrong with the data or the settings.
    seconds : float
        Wall time of fitting.
    notes : tuple of str
        Decisions made while reading the training documents.
    n_skipped : int
        Rows that could not be used.
    test : Corpus or None
        The test documents; None if the classifier was not tested.
    test_fraction : float or None
        Their share of all documents, if the seed chose them.
    evaluation : Evaluation, MultilabelEvaluation or None
    majority_topic, majority : str, float
        The most common training topic, and its share of the test documents; NaN without a test.
    shuffled : float
        Accuracy of the test topics in random order; NaN without a test.
    routing : DecisionResult, MultilabelDecisionResult or None
        How many test documents got an answer, and how many of the answers are right; None without
        a test, or if no precision was asked for.
    """

    fitted: Fitted
    name: str
    n_train: int
    n_validation: int
    warnings: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    n_skipped: int = 0
    test: Corpus | None = None
    test_fraction: float | None = None
    evaluation: AnyEvaluation | None = None
    majority_topic: str = ""
    majority: float = math.nan
    shuffled: float = math.nan
    routing: DecisionResult | MultilabelDecisionResult | None = None

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        promise = self.promise
        rows = [("warning", promise.text)] if promise and promise.is_broken else []
        rows.append(
            ("learned from", f"{counted(self.n_learned, 'document')} in {self.seconds:.1f} s")
        )
        if self.evaluation is not None:
            rows.append(("tested on", counted(self.n_test, "other")))
        if self.fitted.dense is not None:
            rows.append(("encoder", self.fitted.dense.summary()))
        if self.evaluation is not None:
            accuracy = f"{self.evaluation.accuracy:.3f}, {self.evaluation.interval}"
            if isinstance(self.evaluation, MultilabelEvaluation):
                micro = f"{self.evaluation.micro.f1:.3f}, {self.evaluation.f1_intervals[0]}"
                rows += [("micro-F1", micro), ("exact match", accuracy)]
            else:
                rows.append(("accuracy", accuracy))
            always = short_repr(self.majority_topic)
            rows.append(("baseline", f"{self.majority:.3f}, always {always}"))
        rows += [("warning", warning) for warning in self.warnings]
        return f"Experiment on {self.name}: {counted(len(self.fitted.topics), 'topic')}", rows

    @property
    def tested(self) -> TestResult:
        """The evaluation and the test documents; OptionError if there are none."""
        if self.evaluation is None or self.test is None:
            raise OptionError(
                f"{self.name}: the classifier was not tested; give a ", Parameter("test"), "."
            )
        return TestResult(self.evaluation, self.test)

    @property
    def n_test(self) -> int:
        """Number of test documents."""
        return 0 if self.test is None else len(self.test)

    @property
    def history(self) -> History | None:
        """The search for the best epoch; None for a learner without epochs."""
        return self.fitted.history

    @property
    def was_interrupted(self) -> bool:
        """Whether Ctrl-C ended the training with the best epoch so far."""
        return self.history is not None and self.history.stopped_by == "interrupt"

    @property
    def n_learned(self) -> int:
        """Training documents, without those that an interrupt left held out."""
        return self.n_train - self.fitted.n_unlearned

    @property
    def best_epoch(self) -> int | None:
        """The best epoch, counted from 1, if the learner has epochs."""
        return self.history.best_epoch if self.history else None

    @property
    def promise(self) -> PromiseCheck | None:
        """Whether the precision that was asked for is kept; None if none was."""
        routing = self.routing
        return Decider.from_fitted(self.fitted).check_promise(routing.answers if routing else None)

    @property
    def threshold(self) -> float | None:
        """The probability from which all topics are given; None if there is none, or several."""
        decider = Decider.from_fitted(self.fitted)
        finite = {value for value in decider.thresholds.tolist() if 0 < value < math.inf}
        return finite.pop() if decider.precision is not None and len(finite) == 1 else None

    @property
    def metrics(self) -> dict[str, float] | None:
        """The metrics stored in a model file; None without a test."""
        if self.evaluation is None:
            return None
        return stored_metrics(self.evaluation, self.majority, self.routing)

    def to_dict(self) -> dict[str, Any]:
        """Return the results as plain data for JSON; some keys need a test, others a stream."""
        fitted, stream = self.fitted, self.fitted.stream
        result: dict[str, Any] = {
            "data": {
                "name": self.name,
                "n_train": self.n_train,
                "n_validation": self.n_validation,
                "n_test": self.n_test,
                "n_topics": len(fitted.topics),
                "n_skipped": self.n_skipped,
                "notes": list(self.notes),
            },
            "evaluation": None if self.evaluation is None else self.evaluation.to_dict(),
        }
        if stream is None:
            result["encoder"] = fitted.dense.to_dict() if fitted.dense else None
        else:
            result["heldout"] = _heldout_dict(stream, fitted.multilabel)
            result["n_passes"] = stream.n_passes
            result["interrupted"] = fitted.interrupted
        if self.evaluation is not None:
            result["baselines"] = {
                "majority": {"topic": self.majority_topic, "accuracy": self.majority},
                "shuffled": {"accuracy": self.shuffled},
            }
            result["best_epoch"] = self.best_epoch
            result["tuning"] = fitted.tuning.to_dict() if fitted.tuning else None
            result["history"] = self.history.history if self.history else None
        return result | {"warnings": list(self.warnings), "seconds": self.seconds}


def _heldout_dict(stream: StreamRecord, multilabel: bool) -> dict[str, Any] | None:
    """Return the accuracy on the texts that a stream held out; None if there are none.

    Of several topics, it is the exact match.
    """
    if not stream.n_evaluated:
        return None
    return {
        "n_documents": stream.n_evaluated,
        "exact_match" if multilabel else "accuracy": stream.accuracy,
        "interval": list(wilson(stream.n_right, stream.n_evaluated)),
    }


def run_experiment(
    classifier: TopicClassifier,
    train: Corpus,
    validation: Corpus | None = None,
    test: Corpus | None = None,
    *,
    test_fraction: float | None = 0.2,
    sample_weight: npt.ArrayLike | None = None,
    unlabelled: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Experiment:
    """Fit `classifier` and test it.

    Parameters
    ----------
    classifier : TopicClassifier
        Its settings and its `random_state` count; it is fitted in place. A seed is drawn from a
        `random_state` that is none, and takes its place, as the test is drawn with it, too.
    train : Corpus
    validation : Corpus, optional
        Documents to find the best epoch on; a part of `train` by default.
    test : Corpus, optional
        By default a stratified part of `train`, set aside before anything is learned.
    test_fraction : float or None, default 0.2
        The share of that part; None learns from all of `train`, and tests nothing without `test`.
    sample_weight : float array, shape (len(train),), optional
        The weight of each training document; only with a `test`, or without testing.
    unlabelled : iterable of str, optional
        Texts without labels; see `TopicClassifier.fit`. Those of test documents are left out.
    progress : Progress, optional

    Raises
    ------
    DataError : if nothing can be set aside, or the parts don't share their topics.
    """
    notes, n_skipped = train.notes, train.n_skipped
    classifier.random_state = seed = draw_seed(classifier.random_state)
    chosen_fraction = test_fraction if test is None else None
    if chosen_fraction is not None:
        check_fraction("test_fraction", chosen_fraction)
        check_two_documents(train, "test on", "test")
        train, test = train.split(chosen_fraction, seed)
    check_validation(classifier, train, validation)
    counts = train.topic_counts()
    if test is not None:
        check_some_known([*counts], test)
    if unlabelled is not None:
        tested = set() if test is None else {*test.texts}
        more = check_texts(unlabelled, "unlabelled")
        unlabelled = [text for text in more if text not in tested]
    seconds = timed_fit(
        classifier, train, validation, progress, sample_weight=sample_weight, unlabelled=unlabelled
    )
    fitted = classifier.fitted_
    warnings = concerns.topic_warnings(
        counts,
        classifier.descriptions or (),
        multilabel=train.multilabel,
        has_encoder=fitted.encoder is not None,
    )
    if test is not None:
        warnings += concerns.leak_warnings(train, test)
    warnings += encoder_warnings(fitted, classifier.encoder, has_unlabelled=unlabelled is not None)
    experiment = Experiment(
        fitted=fitted,
        name=train.name,
        n_train=len(train),
        n_validation=len(validation) if validation else 0,
        warnings=tuple(warnings),
        seconds=seconds,
        notes=notes,
        n_skipped=n_skipped,
    )
    if test is None:
        return replace(experiment, warnings=(*experiment.warnings, *concerns.fit_warnings(fitted)))
    return _with_test(experiment, train.topics, test, chosen_fraction, progress)


def _with_test(
    experiment: Experiment,
    topics: Sequence[Any],
    test: Corpus,
    test_fraction: float | None,
    progress: Progress | None,
) -> Experiment:
    """Return the experiment with its evaluation on a test."""
    fitted, warnings = experiment.fitted, experiment.warnings
    evaluation = evaluate(fitted, test, seed=fitted.seed, progress=progress)
    true: Sequence[Any] = test.topics
    if test.multilabel:
        topics, true = ([tuple(sorted(names)) for names in part] for part in (topics, true))
    majority_topic, majority = majority_baseline(topics, true)
    if isinstance(majority_topic, tuple):
        majority_topic = ", ".join(majority_topic) or "no topic"
    if evaluation.accuracy <= majority and len(fitted.topics) > 1:
        warnings += (
            Message(
                f"the model is no better than always answering {short_repr(majority_topic)}: that "
                f"is right in {percent(majority)} of the test documents, the model in "
                f"{percent(evaluation.accuracy)}. Use another ",
                Parameter("learner"),
                ", or more documents.",
            ),
        )
    return replace(
        experiment,
        test=test,
        test_fraction=test_fraction,
        evaluation=evaluation,
        majority_topic=majority_topic,
        majority=majority,
        shuffled=shuffled_baseline(true, fitted.seed),
        routing=decide_corpus(fitted, test),
        warnings=(*warnings, *concerns.model_warnings(fitted, test)),
    )


def run_stream(
    source: Any,
    settings: FitSettings,
    options: StreamOptions,
    *,
    name: str,
    client: Client | str | None = None,
    progress: Progress | None = None,
) -> Experiment:
    """Learn from a source of any size, called `name`; nothing is tested.

    See `slugline.stream.fit.fit_stream` for the other parameters.
    """
    from slugline.stream.fit import fit_stream

    started = time.perf_counter()
    fitted = fit_stream(source, settings, options, client=client, progress=progress)
    seconds = time.perf_counter() - started
    counts = zip(map(str, fitted.topics.names), fitted.topic_counts.tolist(), strict=True)
    by_count = dict(sorted(counts, key=lambda item: (-item[1], item[0])))
    return Experiment(
        fitted=fitted,
        name=name,
        n_train=fitted.n_documents,
        n_validation=0,
        warnings=tuple(concerns.topic_warnings(by_count)),
        seconds=seconds,
        n_skipped=0 if fitted.stream is None else fitted.stream.n_skipped,
    )


def check_validation(classifier: TopicClassifier, train: Corpus, validation: Corpus | None) -> None:
    """Check that the best epoch can be found on something; DataError if not."""
    if validation is not None:
        unknown = sorted(validation.topic_counts().keys() - train.topic_counts().keys())
        if unknown:
            raise DataError(
                f"{validation.name} has topics that {train.name} has no documents of, such as "
                f"{short_repr(unknown[0])}; validate on documents with the topics that the model "
                f"learns."
            )
    elif train.texts and choose_learner(classifier.learner).capabilities.has_epochs:
        check_two_documents(train, "find the best epoch on", "validation")


def timed_fit(
    classifier: TopicClassifier,
    train: Corpus,
    validation: Corpus | None,
    progress: Progress | None,
    *,
    sample_weight: npt.ArrayLike | None = None,
    unlabelled: Iterable[str] | None = None,
) -> float:
    """Fit `classifier` and return the wall time in seconds."""
    started = time.perf_counter()
    classifier._replace_fitted(
        fit(
            train,
            classifier.to_settings(),
            validation=validation,
            unlabelled=unlabelled,
            sample_weight=sample_weight,
            progress=progress,
        )
    )
    return time.perf_counter() - started


def check_two_documents(corpus: Corpus, purpose: str, parameter: str) -> None:
    """Check that a document can be set aside for a purpose; DataError if not."""
    if max(corpus.topic_counts().values(), default=0) < 2:
        raise DataError(
            f"{corpus.name} has no topic with two documents to set one aside and {purpose} it; "
            "check which column holds the topics, add documents, or give documents of their own "
            "with ",
            Parameter(parameter),
            ".",
        )
