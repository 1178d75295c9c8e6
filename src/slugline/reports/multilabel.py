"""Sentences on a training run with multilabel data.

Their wording is in the templates `multilabel`, `probabilities` and `advice`; the functions here
compute the numbers.
"""

from __future__ import annotations

import numpy as np

from slugline.base.wording import join_words, percent
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.evaluation.probabilities import CoverageCurve
from slugline.experiment.experiment import Experiment
from slugline.model.promise import PromiseCheck
from slugline.reports.render import number, quoted, sentence, sentences
from slugline.reports.training_text import (
    N_NAMED,
    broken_promise,
    by_size,
    describe_surest,
    few_tests,
    missed_topics,
    shared_texts,
)

#: Topics with a lower precision are wrong more often than right.
MIN_PRECISION = 0.5


def section_texts(experiment: Experiment, evaluation: MultilabelEvaluation) -> dict[str, str]:
    """Return the text of each section, by its name."""
    n_topics = np.diff(evaluation.true.indptr)
    texts = shared_texts(experiment) | sentences(
        "multilabel.txt.j2",
        experiment=experiment,
        evaluation=evaluation,
        n_topics=n_topics,
        n_without=int(np.count_nonzero(n_topics == 0)),
    )
    texts["data"] += f" {texts.pop('topics')}"
    texts["baselines"] = f"{texts.pop('exact_match')} {texts['baselines']}"
    return texts


# Probabilities ------------------------------------------------------------------------------------


def describe_coverage(curve: CoverageCurve, promise: PromiseCheck | None = None) -> str:
    """Describe how many of the surest topics are right; `promise` is the promise of the model."""
    return sentence(
        "probabilities.txt.j2", "coverage_of_topics", surest=describe_surest(curve), promise=promise
    )


def describe_rankings(evaluation: MultilabelEvaluation) -> str:
    """Describe the metrics of rankings and of single decisions, and what each means."""
    ranking = evaluation.ranking
    precisions = [f"{percent(ranking.precision_at(k))} (k = {k})" for k in evaluation.top_ks]
    gains = [f"{number(ranking.ndcg_at(k), 3)} (k = {k})" for k in evaluation.top_ks]
    return sentence(
        "probabilities.txt.j2",
        "rankings",
        evaluation=evaluation,
        precisions=join_words(precisions),
        gains=join_words(gains),
    )


# Advice -------------------------------------------------------------------------------------------


def advice(experiment: Experiment, evaluation: MultilabelEvaluation) -> list[str]:
    """Return suggestions for what to do next, at least one."""
    if experiment.on_labels is not None:
        suggestions = [broken_promise(experiment), experiment.on_labels.advice]
        return [suggestion for suggestion in suggestions if suggestion]
    suggestions = [
        broken_promise(experiment),
        missed_topics(experiment),
        _added_topics(evaluation),
        few_tests(experiment, "micro-F1", evaluation.f1_intervals[0]),
    ]
    found = [suggestion for suggestion in suggestions if suggestion]
    return found or [sentence("advice.txt.j2", "nothing_multilabel")]


def _added_topics(evaluation: MultilabelEvaluation) -> str | None:
    topics = [metrics for metrics in evaluation.per_topic() if metrics.precision < MIN_PRECISION]
    if not topics:
        return None
    examples = [
        f"{quoted(m.topic)} ({percent(m.precision, 0)} right)" for m in by_size(topics)[:N_NAMED]
    ]
    return sentence(
        "advice.txt.j2",
        "added",
        n_topics=len(topics),
        n_named=N_NAMED,
        examples=join_words(examples),
    )
