"""Fit a model to labelled texts and test it."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from slugline.base.checks import check_fraction, short_repr
from slugline.base.progress import Progress
from slugline.base.wording import TitledRows, counted, percent
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import check_texts
from slugline.errors import DataError, EncoderError, Message, OptionError, Parameter
from slugline.evaluation.evaluation import chance_baseline, majority_baseline
from slugline.evaluation.intervals import Interval, wilson
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.experiment import concerns
from slugline.experiment.evaluate import (
    AnyDecisionResult,
    AnyEvaluation,
    check_some_known,
    decide_corpus,
    evaluate_fitted,
    stored_metrics,
)
from slugline.learning.encoder.encoder import get_encoder
from slugline.learning.encoder.registry import ENCODERS, RECOMMENDED
from slugline.learning.learner import is_linear
from slugline.learning.net.training import History
from slugline.model.decider import Decider
from slugline.model.dense import encoder_warnings
from slugline.model.fit import fit
from slugline.model.fitted import Fitted, StreamRecord
from slugline.model.promise import PromiseCheck
from slugline.model.settings import FitSettings

if TYPE_CHECKING:
    from distributed import Client

    from slugline.model.parts.fit import StreamOptions


class TestResult(NamedTuple):
    """The evaluation of a classifier and its test documents."""

    evaluation: AnyEvaluation
    test: Corpus


class AccuracyOnLabels(NamedTuple):
    """Accuracy of a model on unlabelled texts, estimated as on the label page.

    Attributes
    ----------
    n_labels : int
        Number of labels used for the estimate.
    accuracy : float
        For multi-label models, the fraction of exact matches.
    interval : Interval
        Confidence interval that is valid at every look during labelling.
    majority_topic, majority : str, float
        Most common topic of the unlabelled texts, and its share.
    advice : str
        Suitable uses of the model, and the gain from more labels.
    """

    n_labels: int
    accuracy: float
    interval: Interval
    majority_topic: str
    majority: float
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data for JSON."""
        low, high = self.interval
        return {
            "n_labels": self.n_labels,
            "accuracy": self.accuracy,
            "interval": [low, high],
            "advice": self.advice,
        }

    def metrics(self) -> dict[str, float]:
        """Return the metrics that a model file stores, by name."""
        return {
            "estimated_accuracy": self.accuracy,
            "estimated_accuracy_low": self.interval.low,
            "estimated_accuracy_high": self.interval.high,
            "labels_of_estimate": float(self.n_labels),
        }


@dataclass(frozen=True, repr=False)
class Experiment(TitledRows):
    """A trained classifier, and its evaluation on test documents, if any.

    Attributes
    ----------
    fitted : Fitted
    name : str
        Name of the data.
    n_train : int
        Number of training documents.
    warnings : tuple of str
        Possible problems of the data or the settings.
    seconds : float
        Wall time of fitting.
    notes : tuple of str
        Decisions made while reading the training documents.
    n_skipped : int
        Number of unusable rows.
    test : Corpus or None
        The test documents; None if the classifier was not tested.
    test_fraction : float or None
        The fraction of documents drawn for the test, if the seed chose them.
    evaluation : Evaluation, MultilabelEvaluation or None
    majority_topic, majority : str, float
        The most common training topic, and its fraction of the test documents; NaN without a test.
    shuffled : float
        Mean accuracy of the test topics in random order; NaN without a test.
    decisions : DecisionResult, MultilabelDecisionResult or None
        Coverage and precision on the test documents; None without a test, or if no precision was
        requested.
    on_labels : AccuracyOnLabels or None
        Replaces the accuracy on test documents if the documents come from a label database, where
        many were selected because a model doubted them.
    """

    fitted: Fitted
    name: str
    n_train: int
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
    decisions: AnyDecisionResult | None = None
    on_labels: AccuracyOnLabels | None = None

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        promise = self.promise
        rows = [("warning", promise.text)] if promise and promise.is_missed else []
        rows.append(
            ("learned from", f"{counted(self.n_learned, 'document')} in {self.seconds:.1f} s")
        )
        if self.evaluation is not None:
            rows.append(("tested on", counted(self.n_test, "other")))
        if self.fitted.dense is not None:
            rows.append(("encoder", self.fitted.dense.summary()))
        if self.on_labels is not None:
            accuracy = f"{self.on_labels.accuracy:.3f}, {self.on_labels.interval}"
            rows.append(("accuracy", f"{accuracy}, estimated from labels"))
        elif self.has_biased_test:
            rows.append(("accuracy", "unknown: a model doubted many of the test documents"))
        elif self.evaluation is not None:
            accuracy = f"{self.evaluation.accuracy:.3f}, {self.evaluation.interval}"
            if isinstance(self.evaluation, MultilabelEvaluation):
                micro = f"{self.evaluation.micro.f1:.3f}, {self.evaluation.f1_intervals[0]}"
                rows += [("micro-F1", micro), ("exact match", accuracy)]
            else:
                rows.append(("accuracy", accuracy))
        if self.measured is not None:
            always = short_repr(self.majority_topic)
            rows.append(("baseline", f"{self.majority:.3f}, always {always}"))
        rows += [("warning", warning) for warning in self.warnings]
        return f"Experiment on {self.name}: {counted(len(self.fitted.topics), 'topic')}", rows

    @property
    def tested(self) -> TestResult:
        """The evaluation and the test documents; raises OptionError without a test."""
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
    def has_biased_test(self) -> bool:
        """True if many test documents were labelled because a model doubted them."""
        return self.test is not None and self.test.has_selection_bias

    @property
    def measured(self) -> AccuracyOnLabels | AnyEvaluation | None:
        """Estimated accuracy on new texts: from labels, else from an unbiased test, else None."""
        return self.on_labels or (None if self.has_biased_test else self.evaluation)

    @property
    def history(self) -> History | None:
        """The search for the best epoch; None for a learner without epochs."""
        return self.fitted.history

    @property
    def n_learned(self) -> int:
        """Number of training documents, excluding any still held out when interrupted."""
        return self.n_train - self.fitted.n_unlearned

    @property
    def best_epoch(self) -> int | None:
        """The best epoch, counted from 1, if the learner has epochs."""
        return self.history.best_epoch if self.history else None

    @property
    def promise(self) -> PromiseCheck | None:
        """Check of the requested precision; None if none was requested."""
        decisions = self.decisions
        return Decider.from_fitted(self.fitted).check_promise(
            decisions.answers if decisions else None
        )

    @property
    def threshold(self) -> float | None:
        """The threshold shared by all topics; None if topics have none or different ones."""
        decider = Decider.from_fitted(self.fitted)
        finite = {value for value in decider.thresholds.tolist() if 0 < value < math.inf}
        return finite.pop() if decider.precision is not None and len(finite) == 1 else None

    @property
    def metrics(self) -> dict[str, float] | None:
        """The metrics stored in a model file; None if nothing was measured."""
        measured: dict[str, float] | None = {} if self.has_biased_test else None
        if self.on_labels is not None:
            measured = self.on_labels.metrics()
        if self.evaluation is None:
            return measured
        return stored_metrics(self.evaluation, self.majority, self.decisions, measured=measured)

    def to_dict(self) -> dict[str, Any]:
        """Return the results as plain data for JSON; some keys need a test, others a stream."""
        fitted, stream = self.fitted, self.fitted.stream
        result: dict[str, Any] = {
            "data": {
                "name": self.name,
                "n_train": self.n_train,
                "n_test": self.n_test,
                "n_topics": len(fitted.topics),
                "n_skipped": self.n_skipped,
                "n_suspect_labels": fitted.n_suspect_labels,
                "notes": list(self.notes),
            },
            "evaluation": None if self.evaluation is None else self.evaluation.to_dict(),
        }
        if self.on_labels is not None:
            result["accuracy_on_texts_without_label"] = self.on_labels.to_dict()
        if stream is None:
            result["encoder"] = fitted.dense.to_dict() if fitted.dense else None
        else:
            result["heldout"] = _heldout_dict(stream, fitted.multilabel)
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
    """Return the accuracy on the held-out texts of a stream, if any.

    For multi-label data, it is the fraction of exact matches.
    """
    if not stream.n_evaluated:
        return None
    return {
        "n_documents": stream.n_evaluated,
        "exact_match" if multilabel else "accuracy": stream.accuracy,
        "interval": list(wilson(stream.n_right, stream.n_evaluated)),
    }


def run_experiment(
    settings: FitSettings,
    train: Corpus,
    test: Corpus | None = None,
    *,
    test_fraction: float | None = 0.2,
    unlabelled: Iterable[str] | None = None,
    on_labels: AccuracyOnLabels | None = None,
    progress: Progress | None = None,
) -> Experiment:
    """Fit a model and test it.

    Parameters
    ----------
    settings : FitSettings
        The settings; the test documents are also drawn with their `random_state`.
    train : Corpus
    test : Corpus, optional
        By default, a stratified part of `train`, set aside before fitting.
    test_fraction : float or None, default 0.2
        The fraction of `train` to set aside. With None, the model is fitted to all of `train`, and
        tested only on a given `test`.
    unlabelled : iterable of str, optional
        Unlabelled texts; see `TopicClassifier.fit`. Texts of test documents are excluded.
    on_labels : AccuracyOnLabels, optional
        Accuracy to report if `train` comes from a label database.
    progress : Progress, optional

    Raises
    ------
    DataError : if nothing can be set aside, or training and test documents have no common topic.
    """
    notes, n_skipped = train.notes, train.n_skipped
    fraction = test_fraction if test is None else None
    if fraction is not None:
        check_fraction("test_fraction", fraction)
        check_can_set_aside_test(train)
        train, test = train.split(fraction, settings.random_state)
    if train.texts and settings.learner.capabilities.has_epochs and not _has_pair(train):
        raise DataError(
            f"{train.name} has no topic with two documents, so none can be set aside to find the "
            "best epoch; check which column contains the topics, or add documents."
        )
    counts = train.topic_counts()
    if test is not None:
        check_some_known([*counts], test)
    if unlabelled is not None:
        tested = set() if test is None else {*test.texts}
        more = check_texts(unlabelled, "unlabelled")
        unlabelled = [text for text in more if text not in tested]
    started = time.perf_counter()
    fitted = fit(train, settings, unlabelled=unlabelled, progress=progress)
    seconds = time.perf_counter() - started
    warnings = concerns.topic_warnings(
        counts,
        settings.descriptions,
        multilabel=train.multilabel,
        has_encoder=fitted.encoder is not None and not fitted.encoder.is_fast,
    )
    if test is not None and on_labels is None:
        warnings += concerns.leak_warnings(train, test)
    warnings += encoder_warnings(fitted, settings, has_unlabelled=unlabelled is not None)
    experiment = Experiment(
        fitted=fitted,
        name=train.name,
        n_train=len(train),
        warnings=tuple(warnings),
        seconds=seconds,
        notes=notes,
        n_skipped=n_skipped,
        on_labels=on_labels,
    )
    if test is None:
        return replace(experiment, warnings=(*experiment.warnings, *concerns.fit_warnings(fitted)))
    return _with_test(experiment, train.topics, test, fraction, progress)


def _with_test(
    experiment: Experiment,
    topics: Sequence[Any],
    test: Corpus,
    test_fraction: float | None,
    progress: Progress | None,
) -> Experiment:
    """Return the experiment with its evaluation on test documents."""
    fitted, warnings = experiment.fitted, experiment.warnings
    evaluation = evaluate_fitted(fitted, test, random_state=fitted.seed, progress=progress)
    true: Sequence[Any] = test.topics
    if test.multilabel:
        topics, true = ([tuple(sorted(names)) for names in part] for part in (topics, true))
    majority_topic, majority = majority_baseline(topics, true)
    if isinstance(majority_topic, tuple):
        majority_topic = ", ".join(majority_topic) or "no topic"
    accuracy, tested = evaluation.accuracy, "test documents"
    if experiment.on_labels is not None:
        accuracy, tested = experiment.on_labels.accuracy, "texts without a label"
        majority_topic = experiment.on_labels.majority_topic
        majority = experiment.on_labels.majority
    is_measured = experiment.on_labels is not None or not test.has_selection_bias
    if is_measured and accuracy <= majority and len(fitted.topics) > 1:
        warnings += (
            Message(
                f"the model is no better than always answering {short_repr(majority_topic)}: its "
                f"accuracy on the {tested} is {percent(accuracy)}, and the baseline's is "
                f"{percent(majority)}. Try another ",
                Parameter("learner"),
                ", or add documents.",
            ),
        )
    return replace(
        experiment,
        test=test,
        test_fraction=test_fraction,
        evaluation=evaluation,
        majority_topic=majority_topic,
        majority=majority,
        shuffled=chance_baseline(true),
        decisions=decide_corpus(fitted, test),
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
    """Train on a source of any size, without a test; `name` is the name of the data.

    See `slugline.model.parts.fit.fit_stream` for the other parameters.
    """
    from slugline.model.parts.fit import fit_stream

    started = time.perf_counter()
    fitted = fit_stream(source, settings, options, client=client, progress=progress)
    seconds = time.perf_counter() - started
    counts = zip(map(str, fitted.topics.names), fitted.topic_counts.tolist(), strict=True)
    by_count = dict(sorted(counts, key=lambda item: (-item[1], item[0])))
    return Experiment(
        fitted=fitted,
        name=name,
        n_train=fitted.n_documents,
        warnings=tuple(concerns.topic_warnings(by_count)),
        seconds=seconds,
        n_skipped=0 if fitted.stream is None else fitted.stream.n_skipped,
    )


def check_can_set_aside_test(corpus: Corpus) -> None:
    """Raise DataError if no document can be set aside for testing."""
    if not _has_pair(corpus):
        raise DataError(
            f"{corpus.name} has no topic with two documents, so none can be set aside to test on; "
            "check which column contains the topics, add documents, or give separate ones with ",
            Parameter("test"),
            ".",
        )


def _has_pair(corpus: Corpus) -> bool:
    """True if some topic has at least two documents."""
    return max(corpus.topic_counts().values(), default=0) >= 2


# Encoder advice -----------------------------------------------------------------------------------

# Recommend an encoder up to this median number of documents per topic.
_FEW_DOCUMENTS = 20
# Up to this median, recommend it if the held-out accuracy is clearly below `_ACCURATE`. In
# `benchmarks/run.py accuracy`, such data sets gain 2 to 27 points.
_MORE_DOCUMENTS, _ACCURATE = 120, 0.85
# With a higher accuracy, there is hardly anything to gain.
_NEARLY_PERFECT = 0.98


def encoder_advice(experiment: Experiment, settings: FitSettings, train: Corpus) -> str | None:
    """Return a recommendation to use the sentence encoder, or None if it would hardly help.

    The advice is based on the number of documents per topic and the held-out accuracy. It is
    limited to linear learners without a sentence encoder.
    """
    evaluation = experiment.measured
    counts = train.topic_counts().values()
    is_default = is_linear(settings.learner) and not settings.needs_encoder
    if not is_default or len(counts) < 2 or train.multilabel:
        return None
    if evaluation and evaluation.accuracy > _NEARLY_PERFECT:
        return None
    typical = statistics.median(counts)
    if typical <= _FEW_DOCUMENTS:
        source = (
            " (with ten per topic, +12 points of accuracy over words alone, on average over nine "
            "sets of short English texts)"
        )
        return Message(
            "few documents per topic; a sentence encoder would probably help: ",
            _encoder_parameter(),
            source if experiment.fitted.encoder is None else "",
        )
    if evaluation and typical <= _MORE_DOCUMENTS and evaluation.interval.high < _ACCURATE:
        return Message(
            f"{percent(evaluation.accuracy)} of the held-out documents are right; a sentence "
            "encoder would probably help, in one of its 16 languages: ",
            _encoder_parameter(),
        )
    return None


def _encoder_parameter() -> Message:
    """Return the parameter for the encoder, after the installation command if it is missing."""
    try:
        get_encoder(RECOMMENDED)
    except EncoderError:
        return Message(
            f"{ENCODERS[RECOMMENDED].install_command}, then ", Parameter("encoder", RECOMMENDED)
        )
    return Message(Parameter("encoder", RECOMMENDED))
