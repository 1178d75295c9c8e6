"""Exclude rows with probably wrong topics from training."""

from __future__ import annotations

import numpy as np

from slugline.base.arrays import F32, I64, Index, Mask
from slugline.learning.linear.problem import LinearProblem
from slugline.learning.linear.training import Training

# A document is doubtful if the score of its topic is below the highest score by more than this.
_MARGIN = 1.0
# Up to this fraction, doubtful documents are treated as hard cases rather than wrong topics.
_EXPECTED_DOUBTFUL = 0.03
# A small sample has nearly the same fraction of doubtful rows as a larger one: with a tenth of the
# topics wrong, 0.082 of 5,000 and 0.092 of 20,000 rows. At or below this fraction, no larger sample
# is tried.
_FEW_TRIED, _MIN_TRIED_PER_TOPIC, _FEW_DOUBTFUL = 5_000, 50, 0.003
# With fewer rows per topic, scores from before training are uninformative.
_MIN_ROWS_PER_TOPIC = 10


def without_doubtful(training: Training, rows: Index) -> Index:
    """Drop rows with probably wrong topics if there are more of them than expected."""
    problem = training.problem
    if len(rows) < _MIN_ROWS_PER_TOPIC * problem.context.n_topics or problem.is_sampled:
        return rows
    many_rows = problem.limits.many_rows
    if not training.fits and len(rows) > many_rows:
        # Try samples of the rows first, since excluding rows would waste a first pass over all.
        n_few = max(_FEW_TRIED, _MIN_TRIED_PER_TOPIC * problem.context.n_topics)
        for n_tried, most in ((n_few, _FEW_DOUBTFUL), (many_rows, _EXPECTED_DOUBTFUL)):
            if n_tried <= many_rows and _fraction_doubtful(problem, rows, n_tried) <= most:
                return rows
    doubtful = _doubtful(training, rows)
    return rows[~doubtful] if doubtful.mean() > _EXPECTED_DOUBTFUL else rows


def _fraction_doubtful(problem: LinearProblem, rows: Index, n_tried: int) -> float:
    """Return the fraction of rows with probably wrong topics in a sample."""
    sample = rows[:: -(-len(rows) // n_tried)]
    return float(_doubtful(Training.from_problem(problem, sample, 1), sample).mean())


def _doubtful(training: Training, rows: Index) -> Mask:
    """Return a mask of rows with probably wrong topics according to the first pass."""
    highest, right = training.first_scores(rows)
    return find_doubtful(highest, right, training.problem.labels.topics[rows])


def find_doubtful(highest: F32, right: F32, y: I64) -> Mask:
    """Return a mask of rows with probably wrong topics, given their scores before training.

    Parameters
    ----------
    highest, right : float32 array, shape (n_rows,)
        The highest score of each row, and the score of its topic.
    y : int array, shape (n_rows,)
    """
    is_far_below = right < highest - _MARGIN
    # If a topic would lose most of its rows, it is hard or rare rather than mislabelled.
    n_rows, n_far_below = np.bincount(y), np.bincount(y, is_far_below)
    return is_far_below & (2 * n_far_below <= n_rows)[y]
