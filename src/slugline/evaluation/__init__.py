"""Metrics of classifiers, with confidence intervals and tests of differences."""

from __future__ import annotations

from slugline.evaluation.evaluation import Evaluation, majority_baseline, shuffled_baseline
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.evaluation.paired import PairedComparison, compare_paired

__all__ = [
    "Evaluation",
    "MultilabelEvaluation",
    "PairedComparison",
    "compare_paired",
    "majority_baseline",
    "shuffled_baseline",
]
