"""The report on one training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from slugline.base.wording import join_words, percent
from slugline.corrections.learning import CorrectionResult
from slugline.evaluation.evaluation import Evaluation
from slugline.evaluation.intervals import wilson
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.evaluation.probabilities import Bin, CoverageCurve
from slugline.experiment.curve import LearningCurves
from slugline.experiment.evaluate import AnyEvaluation
from slugline.experiment.evidence import QualitativeEvidence
from slugline.experiment.experiment import Experiment
from slugline.experiment.quantization import QuantizationResult
from slugline.model.file.card import describe_learner
from slugline.model.file.content import library_versions
from slugline.model.file.generations import REPORT_GENERATOR
from slugline.model.fitted import Fitted
from slugline.model.promise import PromiseCheck
from slugline.reports import pictures, training_text
from slugline.reports.render import number, render, sentence
from slugline.text.feature_groups import FeatureGroup

# Sentences on probabilities -----------------------------------------------------------------------

#: Miscalibration is reported if the error is at least this multiple of the chance error of
#: perfectly calibrated probabilities.
MISCALIBRATION_FACTOR = 3
#: Target accuracy of the suggested threshold.
TARGET_ACCURACY = 0.95
#: Number of top-k accuracies in the report.
N_TOP = 3
# With fewer answers per group, group means are meaningless.
_MIN_PER_GROUP = 5

_sentence = partial(sentence, "probabilities.txt.j2")


def describe_reliability(
    evaluation: AnyEvaluation, bins: list[Bin], answers: str = "the classifier’s answers"
) -> str:
    """Describe how well probabilities match the fraction of right answers."""
    n, n_right = sum(b.n_documents for b in bins), sum(b.n_right for b in bins)
    return _sentence(
        "reliability",
        answers=answers,
        mean=sum(b.n_documents * b.probability for b in bins) / n,
        fraction_right=n_right / n,
        interval=wilson(n_right, n),
        error=evaluation.calibration_error,
        chance=evaluation.chance_error,
        miscalibration_factor=MISCALIBRATION_FACTOR,
        n_bins=len(bins),
        n=n,
        are_few=n < _MIN_PER_GROUP * len(bins),
    )


def describe_coverage(curve: CoverageCurve, promise: PromiseCheck | None = None) -> str:
    """Describe the accuracy of the surest answers and, if given, the `promise` of precision."""
    return _sentence(
        "coverage",
        surest=training_text.describe_surest(curve),
        promise=promise,
        point_at_target=curve.with_accuracy(TARGET_ACCURACY),
        target=TARGET_ACCURACY,
    )


def describe_metrics(evaluation: Evaluation) -> str:
    """Describe the metrics of probabilities and what each means."""
    ks = evaluation.top_ks[:N_TOP]
    parts = [f"the {k} likeliest for {percent(evaluation.top_k(k))}" for k in ks]
    return _sentence("metrics", evaluation=evaluation, top_k_phrase=join_words(parts) if ks else "")


def describe_rankings(evaluation: MultilabelEvaluation) -> str:
    """Describe the metrics of rankings and of single decisions, and what each means."""
    ranking = evaluation.ranking
    precisions = [f"{percent(ranking.precision_at(k))} (k = {k})" for k in evaluation.top_ks]
    gains = [f"{number(ranking.ndcg_at(k), 3)} (k = {k})" for k in evaluation.top_ks]
    return _sentence(
        "rankings",
        evaluation=evaluation,
        precisions=join_words(precisions),
        gains=join_words(gains),
    )


# The page -----------------------------------------------------------------------------------------

#: Maximum number of topics in the table of confusions.
N_CONFUSED = 12


def training_page(
    experiment: Experiment,
    learning_curves: LearningCurves | None = None,
    quantization: QuantizationResult | None = None,
    evidence: QualitativeEvidence | None = None,
    corrected: CorrectionResult | None = None,
) -> str:
    """Return the report as a self-contained HTML page.

    Parameters
    ----------
    experiment : Experiment
    learning_curves : LearningCurves, optional
        Results of the same settings with fewer labels, as a section of the report.
    quantization : QuantizationResult, optional
        The cost of quantized weights in accuracy.
    evidence : QualitativeEvidence, optional
        Characteristic words of each topic, and misclassified documents to quote.
    corrected : CorrectionResult, optional
        Changes due to corrections, as a section of the report.
    """
    evaluation = experiment.tested.evaluation
    topics = evaluation.per_topic()
    shared = {
        "generator": REPORT_GENERATOR,
        "section_texts": training_text.section_texts(experiment),
        "advice": training_text.advice(experiment),
        "experiment": experiment,
        "evaluation": evaluation,
        "epoch_charts": [] if experiment.history is None else experiment.history.charts(),
        "learning_curves": _learning_curves(learning_curves),
        "corrected": _corrections(corrected),
        "evidence": evidence,
        "promise": experiment.promise,
        "topics": sorted(topics, key=lambda metrics: (-metrics.n_documents, metrics.topic)),
        "settings": _settings(experiment.fitted),
        "quantization": quantization,
        "versions": library_versions(),
    }
    if isinstance(evaluation, MultilabelEvaluation):
        return render(
            "multilabel.html.j2",
            probabilities=_probabilities_multilabel(experiment, evaluation),
            pairs=evaluation.pairs(),
            thresholds=evaluation.thresholds_by_topic(),
            **shared,
        )
    return render(
        "training.html.j2",
        probabilities=_probabilities(experiment, evaluation),
        confusions=evaluation.confusions(),
        confused=confused_topics(evaluation),
        n_documents={metrics.topic: metrics.n_documents for metrics in topics},
        **shared,
    )


@dataclass(frozen=True)
class ConfusedTopic:
    """A row of the table of confusions: the answers to documents of one topic.

    Attributes
    ----------
    topic : str
    counts : list of int
        Number of answers with each topic of the table, in the order of its rows.
    n_elsewhere : int
        Number of answers with a topic outside the table.
    """

    topic: str
    counts: list[int]
    n_elsewhere: int

    @property
    def n_documents(self) -> int:
        """Number of documents that have the topic."""
        return sum(self.counts) + self.n_elsewhere


def confused_topics(evaluation: Evaluation, max_topics: int = N_CONFUSED) -> list[ConfusedTopic]:
    """Return the rows of the confusion matrix with the most common mistakes, most common first.

    Returns at most `max_topics` rows, and none without mistakes.
    """
    topics: dict[str, None] = {}  # a set that keeps its order
    for topic, predicted, _ in evaluation.confusions(max_pairs=evaluation.confusion.size):
        with_both = topics | {topic: None, predicted: None}
        if len(with_both) <= max_topics:
            topics = with_both
    indices = [evaluation.topics.index(topic) for topic in topics]
    rows = []
    for index in indices:
        counts = evaluation.confusion[index, indices].tolist()
        n_elsewhere = int(evaluation.confusion[index].sum()) - sum(counts)
        rows.append(ConfusedTopic(evaluation.topics[index], counts, n_elsewhere))
    return rows


def _probabilities(experiment: Experiment, evaluation: Evaluation) -> dict[str, Any] | None:
    """Return the charts of probabilities, with their sentences."""
    curve = evaluation.coverage()
    # Probabilities of texts that a model doubted are not representative.
    if curve is None or experiment.has_biased_test:
        return None
    bins = evaluation.reliability()
    threshold = experiment.threshold
    point = None if threshold is None else curve.at(threshold)
    return {
        "pictures": [pictures.reliability_diagram(bins), pictures.coverage_chart(curve, point)],
        "reliability": describe_reliability(evaluation, bins),
        "coverage": describe_coverage(curve, experiment.promise),
        "metrics": describe_metrics(evaluation),
    }


def _probabilities_multilabel(
    experiment: Experiment, evaluation: MultilabelEvaluation
) -> dict[str, Any] | None:
    """Return charts of the probabilities of a multilabel model, with their sentences."""
    curve, bins = evaluation.coverage(), evaluation.reliability()
    if curve is None or not bins or experiment.has_biased_test:
        return None
    n_decisions = number(sum(b.n_documents for b in bins), 0)
    answers = f"all {n_decisions} topic decisions with a probability above 5 %"
    return {
        "pictures": [
            pictures.reliability_diagram(bins),
            pictures.coverage_chart(curve, answers="topics given"),
        ],
        "reliability": describe_reliability(evaluation, bins, answers),
        "coverage": _sentence(
            "coverage_of_topics",
            surest=training_text.describe_surest(curve),
            promise=experiment.promise,
        ),
        "metrics": describe_rankings(evaluation),
    }


def _learning_curves(curves: LearningCurves | None) -> dict[str, Any] | None:
    """Return the chart of accuracy by number of labels, with its table and sentences."""
    if curves is None:
        return None
    head, *rows = training_text.curve_rows(curves)
    return {
        "picture": pictures.accuracy_by_labels(curves),
        "head": head,
        "rows": rows,
        "sentences": [training_text.describe_forecast(curve) for curve in curves.curves],
        "intervals": training_text.describe_intervals(curves),
        "notes": curves.notes,
    }


def _corrections(outcome: CorrectionResult | None) -> dict[str, Any] | None:
    """Return the effect of corrections as named sentences and a table of topics."""
    if outcome is None:
        return None
    return {
        "facts": training_text.summarize_corrections(outcome),
        "head": training_text.TOPIC_HEADER,
        "rows": training_text.topic_rows(outcome),
    }


def _settings(fitted: Fitted) -> dict[str, Any]:
    return {
        **dict(describe_learner(fitted.learner.settings())),
        "terms": _terms(fitted.features.feature_groups),
        **({"encoder": fitted.dense.summary()} if fitted.dense else {}),
        **({"class weight": fitted.class_weight} if fitted.class_weight else {}),
        "seed": fitted.seed,
    }


def _terms(groups: Sequence[FeatureGroup]) -> str:
    """Return the kinds of terms and their weightings; a shared weighting appears once."""
    weightings = {group.weighting for group in groups}
    if len(weightings) == 1:
        return f"{join_words([group.kind for group in groups])} ({groups[0].weighting})"
    return join_words([f"{group.kind} ({group.weighting})" for group in groups])
