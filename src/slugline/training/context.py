"""What fitting needs besides rows and topics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slugline.base.arrays import F32, I64, Index

if TYPE_CHECKING:
    from slugline.progress import Progress

__all__ = ["FitContext"]


@dataclass(frozen=True)
class FitContext:
    """What every learner receives for fitting, besides rows and topics.

    Attributes
    ----------
    n_topics : int
    sample_weight : float32 array, shape (n_rows,), or None if all are 1
    weighted_topics : bool
        Whether `sample_weight` includes weights of topics that the user has set. If not, a learner
        may choose its own.
    validation_data : (X, y) or None
        Rows that the user keeps for validation; nothing is learned from them.
    seed : int
        Determines every random choice.
    first : bool
        Only for `partial_fit`: whether to start from nothing, not from what was learned before.
    n_jobs : int
        Threads; what is learned is the same for any number.
    cross_validate : bool
        Whether scores of all rows by weights that were learned from others, and from nearly as many
        as there are, are worth the time of several fits. If not, a linear learner has scores of
        some rows, by weights learned from few: good enough for calibration, but lower.
    moved : int array, shape (n_columns_before,), or None if no column has moved
        Only for `partial_fit`: where each column of the rows before is now, among new ones.
    progress : Progress, optional
        Receives reports on progress.
    """

    n_topics: int
    sample_weight: F32 | None = None
    weighted_topics: bool = False
    validation_data: tuple[Any, I64] | None = None
    seed: int = 0
    first: bool = False
    n_jobs: int = 1
    cross_validate: bool = False
    moved: Index | None = None
    progress: Progress | None = None
