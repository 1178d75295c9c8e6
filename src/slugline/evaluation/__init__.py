"""Metrics of classifiers, with confidence intervals and tests of differences."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from slugline.base.lazy import import_name

if TYPE_CHECKING:
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

__getattr__ = partial(
    import_name,
    __name__,
    {
        "slugline.evaluation.evaluation": ["Evaluation", "majority_baseline", "shuffled_baseline"],
        "slugline.evaluation.multilabel": ["MultilabelEvaluation"],
        "slugline.evaluation.paired": ["PairedComparison", "compare_paired"],
    },
)
