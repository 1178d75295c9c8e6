"""The report on one training run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slugline.corrections.learning import RetrainingResult
from slugline.evaluation.evaluation import Evaluation
from slugline.evaluation.probabilities import Bin, CoverageCurve, CoveragePoint
from slugline.experiment.curve import LearningCurves
from slugline.experiment.evidence import QualitativeEvidence
from slugline.experiment.run import Experiment
from slugline.experiment.smaller_file import SmallerFile
from slugline.model.file.content import library_versions
from slugline.model.file.schema import describe_learner
from slugline.model.fitted import Fitted
from slugline.reports.page import listed, number, percent, points, render, write_page
from slugline.reports.pictures import (
    accuracy_by_labels,
    coverage_chart,
    learning_curves,
    reliability_diagram,
)
from slugline.reports.training_text import (
    TOPIC_HEAD,
    advice,
    curve_rows,
    doubling,
    findings,
    intervals,
    said_of,
    topic_rows,
)
from slugline.text.blocks import Block

__all__ = [
    "coverage_said",
    "metrics_said",
    "reliability_said",
    "training_page",
    "write_training_report",
]


# What a test says of a classifier's probabilities, and of answering only when it is sure ----------

#: The accuracy that is looked for where no threshold is given.
WANTED = 0.95
#: The shares of documents whose answers are looked at.
SHARES = (0.5, 0.8)
#: For how many of the likeliest topics it is said how often the right one is among them.
N_TOP = 3


def reliability_said(evaluation: Evaluation, bins: list[Bin]) -> str:
    """Return whether answers are right as often as their probabilities say."""
    mean = sum(b.n_documents * b.probability for b in bins) / evaluation.n_documents
    low, high = evaluation.interval
    sure = "too sure" if mean > high else "too cautious" if mean < low else None
    verdict = f"it is {sure}" if sure else "it is as sure as it should be, as far as one can tell"
    error, chance = evaluation.calibration_error, evaluation.chance_error
    groups = "in one group" if len(bins) == 1 else f"in {len(bins)} groups of equally many answers"
    return (
        "Of answers with a probability of 80 %, eight in ten should be right. On average, the "
        f"classifier gives its answers {percent(mean)}, and {percent(evaluation.accuracy)} of them "
        f"are right: {verdict}. "
        f"Sorted by probability, {groups}, what it says and what is right differ by "
        f"{points(error)} on average (calibration error); chance alone would make "
        f"{points(chance)}."
    )


def coverage_said(curve: CoverageCurve, chosen: CoveragePoint | None) -> str:
    """Return what is right if only sure answers are given; `chosen` is the model's threshold."""
    parts = [curve.covering(share) for share in SHARES]
    halves = listed(
        [f"{percent(p.accuracy)} of the surest {percent(p.coverage, 0)}" for p in parts]
    )
    said = f"Answers that are not sure enough can be left to people. It is right for {halves}."
    return f"{said} {_with_threshold(chosen) if chosen else _wanted(curve)}"


def metrics_said(evaluation: Evaluation) -> str:
    """Return the metrics of probabilities, each with what it means."""
    ks = evaluation.top_ks[:N_TOP]
    among = listed([f"the {k} likeliest for {percent(evaluation.top_k(k))}" for k in ks] or [""])
    top = f"The right topic is among {among} of the test documents. " if ks else ""
    return (
        f"{top}Log loss: {number(evaluation.log_loss, 3)} (0 would be certainty in the right "
        f"topic). Brier score: {number(evaluation.brier_score, 3)} (the mean squared error of all "
        "probabilities; 0 is best and 2 worst)."
    )


def _with_threshold(chosen: CoveragePoint) -> str:
    if not chosen.n_answered:
        return (
            f"With the threshold of {number(chosen.threshold)}, it answers none of the test "
            "documents."
        )
    low, high = (100 * share for share in chosen.interval)
    return (
        f"With the threshold of {number(chosen.threshold)}, it answers {percent(chosen.coverage)} "
        f"of the test documents and is right for {percent(chosen.accuracy)} of these (95 % "
        f"confidence interval: {low:.1f} to {high:.1f} %)."
    )


def _wanted(curve: CoverageCurve) -> str:
    point, wanted = curve.reaching(WANTED), percent(WANTED, 0)
    if point is None:
        return f"However sure it has to be, fewer than {wanted} of its answers are right."
    if point.n_answered == point.n_documents:
        return f"At least {wanted} are right even if it answers everything."
    return (
        f"In this test, at least {wanted} of its answers are right if it gives only those with a "
        f"probability of at least {number(point.threshold)}: {percent(point.coverage)} of the "
        "documents."
    )


# The report on one training run -------------------------------------------------------------------

#: How many topics a table of confusions can have and stay readable.
N_CONFUSED = 12


def write_training_report(
    experiment: Experiment,
    path: str | os.PathLike[str],
    by_labels: LearningCurves | None = None,
    smaller: SmallerFile | None = None,
    evidence: QualitativeEvidence | None = None,
    threshold: float | None = None,
    taught: RetrainingResult | None = None,
) -> Path:
    """Write `training_page` to a file, completely or not at all; create folders as needed.

    Raises
    ------
    SluglineError : if it can't be written there.
    """
    page = training_page(experiment, by_labels, smaller, evidence, threshold, taught)
    return write_page(page, path)


def training_page(
    experiment: Experiment,
    by_labels: LearningCurves | None = None,
    smaller: SmallerFile | None = None,
    evidence: QualitativeEvidence | None = None,
    threshold: float | None = None,
    taught: RetrainingResult | None = None,
) -> str:
    """Return the report as one HTML page that needs no other file.

    Parameters
    ----------
    experiment : Experiment
    by_labels : LearningCurves, optional
        The same settings with fewer labels, for a section of its own.
    smaller : SmallerFile, optional
        How the model's file was made smaller, and what that cost.
    evidence : Evidence, optional
        Words of topics and documents got wrong, which are then quoted.
    threshold : float, optional
        The probability from which on the model gives an answer alone, to be marked.
    taught : Outcome, optional
        What corrections changed, for a section of its own.
    """
    evaluation = experiment.tested.evaluation
    topics = evaluation.per_topic()
    return render(
        "training.html.j2",
        experiment=experiment,
        evaluation=evaluation,
        says=findings(experiment),
        advice=advice(experiment),
        curves=_curves(experiment),
        by_labels=_by_labels(by_labels),
        taught=_taught(taught),
        probabilities=_probabilities(evaluation, threshold),
        evidence=evidence,
        confusions=evaluation.confusions(),
        confused=confused_topics(evaluation),
        n_documents={metrics.topic: metrics.n_documents for metrics in topics},
        topics=sorted(topics, key=lambda metrics: (-metrics.n_documents, metrics.topic)),
        settings=_settings(experiment.fitted),
        smaller=smaller,
        versions=library_versions(),
    )


@dataclass(frozen=True)
class ConfusedTopic:
    """A row of the table of confusions: which topics the documents of one topic were given.

    Attributes
    ----------
    topic : str
    counts : list of int
        One for each topic, in the order of the table's rows.
    n_elsewhere : int
        Documents that were given a topic that is not in the table.
    """

    topic: str
    counts: list[int]
    n_elsewhere: int

    @property
    def n_documents(self) -> int:
        """Number of documents that have the topic."""
        return sum(self.counts) + self.n_elsewhere


def confused_topics(evaluation: Evaluation, most: int = N_CONFUSED) -> list[ConfusedTopic]:
    """Return the part of the confusion matrix with the most common mistakes.

    Parameters
    ----------
    evaluation : Evaluation
    most : int
        How many topics to include.

    Returns
    -------
    list of ConfusedTopic, those of the most common mistake first; empty if there is no mistake.
    """
    chosen: dict[str, None] = {}  # a set that keeps its order
    for topic, predicted, _ in evaluation.confusions(most=evaluation.confusion.size):
        if len(chosen | {topic: None, predicted: None}) <= most:
            chosen |= {topic: None, predicted: None}
    places = [evaluation.topics.index(topic) for topic in chosen]
    return [
        ConfusedTopic(
            topic=evaluation.topics[place],
            counts=(counts := evaluation.confusion[place, places].tolist()),
            n_elsewhere=int(evaluation.confusion[place].sum()) - sum(counts),
        )
        for place in places
    ]


def _curves(experiment: Experiment) -> list[str]:
    """Return the learning curves; a classifier without epochs has none."""
    return [] if experiment.history is None else learning_curves(experiment.history)


def _probabilities(evaluation: Evaluation, threshold: float | None) -> dict[str, Any] | None:
    """Return the pictures of what probabilities are worth, and what they say."""
    curve = evaluation.coverage()
    if curve is None:
        return None
    bins = evaluation.reliability()
    chosen = None if threshold is None else curve.at(threshold)
    return {
        "pictures": [reliability_diagram(bins), coverage_chart(curve, chosen)],
        "reliability": reliability_said(evaluation, bins),
        "coverage": coverage_said(curve, chosen),
        "metrics": metrics_said(evaluation),
    }


def _by_labels(curves: LearningCurves | None) -> dict[str, Any] | None:
    """Return the picture of learning curves, their table, and what they say."""
    if curves is None:
        return None
    head, *rows = curve_rows(curves)
    return {
        "picture": accuracy_by_labels(curves),
        "head": head,
        "rows": rows,
        "says": [doubling(curve) for curve in curves.curves],
        "intervals": intervals(curves),
        "notes": curves.notes,
    }


def _taught(outcome: RetrainingResult | None) -> dict[str, Any] | None:
    """Return what corrections changed, as pairs of a name and words, and the table of topics."""
    if outcome is None:
        return None
    return {"says": said_of(outcome), "head": TOPIC_HEAD, "rows": topic_rows(outcome)}


def _settings(fitted: Fitted) -> dict[str, Any]:
    return {
        **dict(describe_learner(fitted.learner.settings())),
        "terms": _terms(fitted.features.blocks),
        **({"encoder": fitted.dense.summary()} if fitted.dense else {}),
        **({"class weight": fitted.class_weight} if fitted.class_weight else {}),
        "seed": fitted.seed,
    }


def _terms(blocks: Sequence[Block]) -> str:
    """Return the families of terms and their weighting, named once if all share it."""
    weightings = {block.weighting for block in blocks}
    if len(weightings) == 1:
        return f"{listed([block.kind for block in blocks])} ({blocks[0].weighting})"
    return listed([f"{block.kind} ({block.weighting})" for block in blocks])
