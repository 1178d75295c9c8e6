"""The report on one training run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slugline.corrections.learning import Outcome
from slugline.curve import LearningCurves
from slugline.evaluation import Evaluation
from slugline.experiment.evidence import Evidence
from slugline.experiment.run import Experiment
from slugline.experiment.smaller_file import SmallerFile
from slugline.fitted import Fitted
from slugline.report.corrections_text import TOPIC_HEAD, said_of, topic_rows
from slugline.report.curve_text import curve_rows, doubling, intervals
from slugline.report.page import render, write_page
from slugline.report.probability_charts import coverage_chart, reliability_diagram
from slugline.report.probability_text import coverage_said, metrics_said, reliability_said
from slugline.report.training_text import advice, findings
from slugline.report.words import listed
from slugline.saving.card import describe_learner
from slugline.saving.classifier_file import library_versions
from slugline.text.block import Block

__all__ = ["training_page", "write_training_report"]

#: How many topics a table of confusions can have and stay readable.
N_CONFUSED = 12


def write_training_report(
    experiment: Experiment,
    path: str | os.PathLike[str],
    by_labels: LearningCurves | None = None,
    smaller: SmallerFile | None = None,
    evidence: Evidence | None = None,
    threshold: float | None = None,
    taught: Outcome | None = None,
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
    evidence: Evidence | None = None,
    threshold: float | None = None,
    taught: Outcome | None = None,
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
    evaluation = experiment.evaluation
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
    from slugline.report.pictures import learning_curves

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
    from slugline.report.pictures import label_curves

    head, *rows = curve_rows(curves)
    return {
        "picture": label_curves(curves),
        "head": head,
        "rows": rows,
        "says": [doubling(curve) for curve in curves.curves],
        "intervals": intervals(curves),
        "notes": curves.notes,
    }


def _taught(outcome: Outcome | None) -> dict[str, Any] | None:
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
