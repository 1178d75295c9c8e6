"""Metrics of a classifier, their intervals, and tests of differences."""

from __future__ import annotations

from slugline.evaluation.evaluation import (
    Evaluation,
    ScoredPredictions,
    TopicMetrics,
    majority_baseline,
    shuffled_baseline,
)
from slugline.evaluation.intervals import Z_95, Interval, wilson
from slugline.evaluation.paired import PairedComparison, compare_paired, mcnemar
from slugline.evaluation.probabilities import (
    Bin,
    CoverageCurve,
    CoveragePoint,
    calibration_error,
    chance_error,
    coverage_curve,
    reliability_curve,
)

__all__ = [
    "Z_95",
    "Bin",
    "CoverageCurve",
    "CoveragePoint",
    "Evaluation",
    "Interval",
    "PairedComparison",
    "ScoredPredictions",
    "TopicMetrics",
    "calibration_error",
    "chance_error",
    "compare_paired",
    "coverage_curve",
    "majority_baseline",
    "mcnemar",
    "reliability_curve",
    "shuffled_baseline",
    "wilson",
]
