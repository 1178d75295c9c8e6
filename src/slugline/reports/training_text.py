"""Sentences on a training run, its learning curves and its corrections.

Their wording is in the templates `run`, `training`, `multilabel`, `advice`, `curve` and
`corrections`; the functions here compute the numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from slugline.base.wording import join_words, percent
from slugline.corrections.gate import MIN_CHANGED, TopicChange
from slugline.corrections.learning import CorrectionResult
from slugline.evaluation.evaluation import Evaluation, TopicMetrics
from slugline.evaluation.intervals import Interval
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.evaluation.probabilities import CoverageCurve
from slugline.experiment.curve import LearningCurve, LearningCurves
from slugline.experiment.curve_intervals import FEWEST_DRAWS
from slugline.experiment.experiment import Experiment
from slugline.learning.encoder.registry import describe_names
from slugline.model.promise import describe_label_doubts
from slugline.reports.render import number, quoted, sentence, sentences

#: Topics with lower recall are missed more often than found.
MIN_RECALL = 0.5
#: Topics with lower precision are wrong more often than right.
MIN_PRECISION = 0.5
#: Maximum width of the accuracy interval for comparing settings.
WIDE_INTERVAL = 0.05
#: Maximum number of topics named in a sentence.
N_NAMED = 3
#: Fractions of the surest answers for which accuracy is stated.
COVERAGES = (0.5, 0.8)
#: Option that weights all topics equally, on the command line and in Python.
BALANCING = '`--balanced` (in Python, `class_weight="balanced"`)'


def section_texts(experiment: Experiment) -> dict[str, str]:
    """Return the text of each section by name."""
    evaluation = experiment.tested.evaluation
    shared = _shared_texts(experiment)
    if isinstance(evaluation, MultilabelEvaluation):
        n_topics = np.diff(evaluation.true.indptr)
        texts = shared | sentences(
            "multilabel.txt.j2",
            experiment=experiment,
            evaluation=evaluation,
            n_topics=n_topics,
            n_without=int(np.count_nonzero(n_topics == 0)),
        )
        texts["data"] += f" {texts.pop('topics')}"
        texts["baselines"] = f"{texts.pop('exact_match')} {texts['baselines']}"
        return texts
    texts = shared | sentences(
        "training.txt.j2",
        experiment=experiment,
        evaluation=evaluation,
        topics=_trained_topics(experiment),
    )
    if "unknown" in texts:
        texts["data"] += f" {texts.pop('unknown')}"
    return texts


def _shared_texts(experiment: Experiment) -> dict[str, str]:
    """Return the texts shared by single- and multi-label models."""
    topics = _by_size(_trained_topics(experiment))
    tested = [metrics for metrics in topics if metrics.n_documents]
    encoder = experiment.fitted.encoder
    return sentences(
        "run.txt.j2",
        experiment=experiment,
        knowledge="" if encoder is None else describe_names(encoder.name),
        topics=topics,
        # Untested topics are listed only if all topics fit into the sentence.
        listed_topics=topics if len(topics) <= 2 * N_NAMED else tested,
        n_named=N_NAMED,
        validation_fraction=_validation_fraction(experiment),
    )


def advice(experiment: Experiment) -> list[str]:
    """Return at least one suggestion for what to do next."""
    evaluation, on_labels = experiment.tested.evaluation, experiment.on_labels
    suggestions = [_broken_promise(experiment)]
    if isinstance(evaluation, MultilabelEvaluation):
        nothing = "nothing_multilabel"
        if on_labels is None:
            suggestions += [
                _missed_topics(experiment),
                _added_topics(evaluation),
                _few_tests(experiment, "micro-F1", evaluation.f1_intervals[0]),
            ]
    else:
        nothing = "nothing"
        suggestions[0] = suggestions[0] or _doubtful_labels(experiment)
        suggestions += [
            None if on_labels else _missed_topics(experiment),
            _confused_topics(experiment, evaluation),
            None if on_labels else _few_tests(experiment, "accuracy", evaluation.interval),
        ]
    if on_labels is not None:
        suggestions.insert(1, on_labels.advice)
    found = [suggestion for suggestion in suggestions if suggestion]
    return found or [sentence("advice.txt.j2", nothing)]


def _validation_fraction(experiment: Experiment) -> float | None:
    """Return the fraction held out to measure the loss by epoch, or None without epochs."""
    settings = experiment.fitted.learner.settings()
    # A mixture's curves come from its first learner with epochs.
    for part in (settings, *settings.get("learners", [])):
        if "validation_fraction" in part:
            return float(part["validation_fraction"])
    return None


# Advice -----------------------------------------------------------------------------------------


def _doubtful_labels(experiment: Experiment) -> str | None:
    """Return advice if labels are likely to be wrong, or None."""
    doubts = describe_label_doubts(experiment.fitted)
    return sentence("advice.txt.j2", "labels", doubts=doubts) if doubts else None


def _broken_promise(experiment: Experiment) -> str | None:
    """Return advice if the requested precision isn't reached, or None."""
    promise = experiment.promise
    if promise is None or not promise.is_missed:
        return None
    return promise.details


def _missed_topics(experiment: Experiment) -> str | None:
    """Return advice if topics are missed more often than found, or None."""
    tested = [metrics for metrics in _trained_topics(experiment) if metrics.n_documents]
    missed = [metrics for metrics in _by_size(tested) if metrics.recall < MIN_RECALL]
    if not missed:
        return None
    others = [metrics for metrics in tested if metrics.recall >= MIN_RECALL]
    return sentence(
        "advice.txt.j2",
        "missed",
        n_missed=len(missed),
        n_tested=len(tested),
        n_named=N_NAMED,
        examples=join_words([_with_recall(metrics) for metrics in missed[:N_NAMED]]),
        size=_mean_size(missed),
        other_size=_mean_size(others) if others else None,
        is_balanced=experiment.fitted.class_weight is not None,
        balancing=BALANCING,
    )


def _added_topics(evaluation: MultilabelEvaluation) -> str | None:
    """Return advice if topics are wrong more often than right, or None."""
    topics = [metrics for metrics in evaluation.per_topic() if metrics.precision < MIN_PRECISION]
    if not topics:
        return None
    examples = [
        f"{quoted(m.topic)} ({percent(m.precision, 0)} right)" for m in _by_size(topics)[:N_NAMED]
    ]
    return sentence(
        "advice.txt.j2",
        "added",
        n_topics=len(topics),
        n_named=N_NAMED,
        examples=join_words(examples),
    )


def _confused_topics(experiment: Experiment, evaluation: Evaluation) -> str | None:
    trained = {metrics.topic for metrics in _trained_topics(experiment)}
    confusions = evaluation.confusions(max_pairs=evaluation.confusion.size)
    mistakes = [(topic, other, n) for topic, other, n in confusions if topic in trained]
    # Mistakes in either direction.
    n_by_pair = Counter[frozenset[str]]()
    for topic, other, n in mistakes:
        n_by_pair[frozenset((topic, other))] += n
    n_confused = max(n_by_pair.values(), default=0)
    if n_confused < 2:
        return None
    # Break ties between pairs by their most common mistake.
    pair = next(
        (topic, other)
        for topic, other, _ in mistakes
        if n_by_pair[frozenset((topic, other))] == n_confused
    )
    return sentence(
        "advice.txt.j2",
        "confused",
        pair=pair,
        n_confused=n_confused,
        fraction=n_confused / (evaluation.n_documents - evaluation.n_right),
    )


def describe_surest(curve: CoverageCurve) -> str:
    """Return the accuracy of the surest answers, such as "90.1 % of the surest 50 %"."""
    points = [curve.with_coverage(coverage) for coverage in COVERAGES]
    return join_words(
        [f"{percent(p.accuracy)} of the surest {percent(p.coverage, 0)}" for p in points]
    )


def _few_tests(experiment: Experiment, metric: str, interval: Interval) -> str | None:
    """Return advice if a metric's interval is too wide, or None."""
    if experiment.has_biased_test or interval.high - interval.low <= WIDE_INTERVAL:
        return None
    return sentence(
        "advice.txt.j2",
        "few_tests",
        n_documents=experiment.n_test,
        metric=metric,
        interval=interval,
    )


# Topics ------------------------------------------------------------------------------------------


def _trained_topics(experiment: Experiment) -> list[TopicMetrics]:
    """Return the metrics of the topics known to the classifier."""
    return experiment.tested.evaluation.per_topic()[: len(experiment.fitted.topics)]


def _by_size(topics: Sequence[TopicMetrics]) -> list[TopicMetrics]:
    """Return topics sorted by their number of test documents, in descending order."""
    return sorted(topics, key=lambda metrics: -metrics.n_documents)


def _mean_size(topics: Sequence[TopicMetrics]) -> float:
    return sum(metrics.n_documents for metrics in topics) / len(topics)


def _with_recall(metrics: TopicMetrics) -> str:
    n_found = round(metrics.recall * metrics.n_documents)
    return f"{quoted(metrics.topic)} ({n_found} of {metrics.n_documents} found)"


# Learning curves ----------------------------------------------------------------------------------

#: A forecast with a wider interval is called a guess.
WIDE_FORECAST = 0.1
#: A smaller gain isn't worth the labels.
MIN_GAIN = 0.005


def curve_rows(curves: LearningCurves) -> list[list[str]]:
    """Return a table by labels per topic: documents, and each curve's accuracy and interval."""
    rows = [["labels per topic", "documents"]]
    for curve in curves.curves:
        rows[0] += [curve.name, "95 % interval"]
    longest = max((curve.points for curve in curves.curves), key=len)
    for index, point in enumerate(longest):
        labels = "all" if point.n_labels is None else number(point.n_labels, 0)
        cells = [cell for curve in curves.curves for cell in _cells(curve, index)]
        rows.append([labels, number(point.n_documents, 0), *cells])
    return rows


def _cells(curve: LearningCurve, index: int) -> list[str]:
    if index >= len(curve.points):  # not yet measured
        return ["-", "-"]
    point = curve.points[index]
    if point.interval is None:
        return [percent(point.accuracy), "-"]
    low, high = point.interval
    return [percent(point.accuracy), f"{100 * low:.1f} to {100 * high:.1f} %"]


def describe_intervals(curves: LearningCurves) -> str:
    """Describe the intervals of learning curves."""
    points = [point for curve in curves.curves for point in curve.points]
    n_draws = max((len(point.accuracies) for point in points), default=0)
    has_any = any(point.interval is not None for point in points)
    return sentence(
        "curve.txt.j2",
        "intervals",
        curves=curves,
        n_draws=n_draws,
        has_any=has_any,
        min_draws=FEWEST_DRAWS,
    )


def describe_forecast(curve: LearningCurve) -> str:
    """Describe the expected accuracy with twice as many labels, and its uncertainty."""
    return sentence("curve.txt.j2", "forecast", curve=curve, wide=WIDE_FORECAST, min_gain=MIN_GAIN)


# Corrections --------------------------------------------------------------------------------------

TOPIC_HEADER = ("topic", "documents", "corrections", "F1 before", "after", "better", "worse", "")
# Maximum number of new topics named in a sentence.
_N_NEW_TOPICS = 10


def summarize_corrections(outcome: CorrectionResult) -> list[tuple[str, str]]:
    """Return pairs of names and sentences about the corrections and their effect."""
    texts = sentences(
        "corrections.txt.j2",
        outcome=outcome,
        new_topics=join_words(outcome.training_sets.new_topics, _N_NEW_TOPICS, last=None),
        n_tested=sum(change.n_documents > 0 for change in outcome.topics),
        n_enough=sum(change.n_documents >= MIN_CHANGED for change in outcome.topics),
        min_documents=MIN_CHANGED,
    )
    return [(name.replace("_", " "), text) for name, text in texts.items()]


def topic_rows(outcome: CorrectionResult) -> list[tuple[str, ...]]:
    """Return a row under `TOPIC_HEADER` for each topic with corrections or changed answers.

    Topics that got clearly worse come first, then those with the most test documents.
    """
    changes = [c for c in outcome.topics if c.n_corrections or c.n_better or c.n_worse]
    return [_topic_row(change) for change in sorted(changes, key=lambda c: not c.is_worse)]


def _topic_row(change: TopicChange) -> tuple[str, ...]:
    return (
        change.topic,
        str(change.n_documents),
        str(change.n_corrections),
        _f1_cell(change.f1_before),
        _f1_cell(change.f1_after),
        str(change.n_better),
        str(change.n_worse),
        "clearly worse" if change.is_worse else "",
    )


def _f1_cell(f1: float) -> str:
    return "-" if math.isnan(f1) else f"{f1:.3f}"
