"""How good a classifier's answers are: counts first, and ratios, tests and intervals from them."""

from __future__ import annotations

from slugline.evaluation.answers import Answers
from slugline.evaluation.baselines import majority_baseline, shuffled_baseline
from slugline.evaluation.coverage import CoverageCurve, CoveragePoint, coverage_curve
from slugline.evaluation.evaluation import Evaluation
from slugline.evaluation.intervals import Z_95, Interval, wilson
from slugline.evaluation.paired import Paired, compare_paired, mcnemar
from slugline.evaluation.reliability import Bin, calibration_error, chance_error, reliability_curve
from slugline.evaluation.topic_figures import TopicFigures

__all__ = [
    "Z_95",
    "Answers",
    "Bin",
    "CoverageCurve",
    "CoveragePoint",
    "Evaluation",
    "Interval",
    "Paired",
    "TopicFigures",
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
