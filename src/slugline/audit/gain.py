"""What repaired documents are worth: how much better a classifier gets that learns from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slugline.audit.others import N_FOLDS, folds_of
from slugline.base.arrays import Index
from slugline.errors import DataError
from slugline.fit_settings import FitSettings
from slugline.fitting import fit
from slugline.labels import Topics
from slugline.learners.linear import LinearLearner

if TYPE_CHECKING:
    from slugline.progress import StepProgress

__all__ = ["Gain", "measure_gain"]


# Standard errors from the mean to the ends of a 95 % interval.
_95_PERCENT = 1.96


@dataclass(frozen=True)
class Gain:
    """How many held-out documents are right, learned from the documents before and after repair.

    Attributes
    ----------
    n_tested : int
        Documents tested on: those that were kept, under their repaired topics.
    n_before, n_after : int
        How many of them are right.
    n_better, n_worse : int
        How many are right only after the repair, and only before it.
    """

    n_tested: int
    n_before: int
    n_after: int
    n_better: int
    n_worse: int

    @property
    def points(self) -> float:
        """Percentage points of accuracy that the repair brings."""
        return 100 * (self.n_after - self.n_before) / self.n_tested

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the points, by the documents on which the two differ."""
        differ = self.n_better + self.n_worse
        variance = differ - (self.n_better - self.n_worse) ** 2 / self.n_tested
        margin = 100 * _95_PERCENT * math.sqrt(max(variance, 0)) / self.n_tested
        return self.points - margin, self.points + margin

    def to_dict(self) -> dict[str, object]:
        """Return plain data."""
        return {
            "tested": self.n_tested,
            "accuracy_before": self.n_before / self.n_tested,
            "accuracy_after": self.n_after / self.n_tested,
            "points": self.points,
            "points_interval": list(self.interval),
        }


def measure_gain(
    texts: Sequence[str],
    before: Sequence[str],
    after: Sequence[str | None],
    groups: Index,
    *,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: StepProgress | None = None,
) -> Gain:
    """Cross-validate the default classifier on documents before and after repair, in equal folds.

    Both are tested on the repaired documents, as nothing else tells which topics are right. Where
    the decisions are only those of an audit, that flatters both of them, but not the difference
    much.

    Parameters
    ----------
    texts, before : sequence of str
        The documents and their topics before.
    after : sequence of str or None
        Their topics after; None for a document that was dropped.
    groups : int array, shape (n_documents,)
        Copies have one group, and are never learned from and tested on at once.
    seed, n_jobs, progress : see `slugline.audit.auditing.audit_corpus`

    Raises
    ------
    DataError : if documents are too few to be learned from.
    """
    kept = np.array([topic is not None for topic in after])
    targets = np.array([topic or "" for topic in after], dtype=object)
    sources = np.array(before, dtype=object)
    names = Topics.fit([*before, *(topic for topic in after if topic)])
    folds = folds_of(names.encode(sources), groups, seed)
    n_folds = int(folds.max()) + 1
    if n_folds < 2 or not kept.any():
        raise DataError("the documents are too few to be tested on; add some.")
    right = np.zeros((2, len(texts)), dtype=bool)
    for fold in range(n_folds):
        held = np.flatnonzero((folds == fold) & kept)
        for number, (topics, told) in enumerate(((sources, folds != fold), (targets, kept))):
            learn = np.flatnonzero((folds != fold) & told)
            if progress is not None:
                progress("measuring the gain", 2 * fold + number, 2 * N_FOLDS)
            found = _answers(texts, topics, learn, held, seed, n_jobs)
            right[number, held] = found == targets[held]
    first, then = right[:, kept]
    return Gain(
        n_tested=int(kept.sum()),
        n_before=int(first.sum()),
        n_after=int(then.sum()),
        n_better=int((then & ~first).sum()),
        n_worse=int((first & ~then).sum()),
    )


def _answers(
    texts: Sequence[str],
    topics: npt.NDArray[np.object_],
    learn: Index,
    held: Index,
    seed: int,
    n_jobs: int | None,
) -> npt.NDArray[np.object_]:
    """Return the topics of the held-out documents, by the default classifier."""
    if not len(held):
        return np.zeros(0, dtype=object)
    settings = FitSettings(
        learner=LinearLearner(),
        blocks=None,
        class_weight=None,
        tune=False,
        n_jobs=n_jobs,
        random_state=seed,
    )
    fitted = fit([texts[row] for row in learn], topics[learn].tolist(), settings)
    proba = fitted.predict_proba([texts[row] for row in held])
    return np.array([fitted.topics.names[best] for best in proba.argmax(axis=1)], dtype=object)
