"""Train linear weights on a whole data set.

Topics are trained in batches, so that only a few topics have dense weights at a time.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, I64, Index, Mask
from slugline.base.memory import release_memory
from slugline.learning.calibration import AnyCalibration
from slugline.learning.heldout import HeldOutScores
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear.folds import HeldOutFit
from slugline.learning.linear.problem import ABSENT_SCORE, FitLimits, LinearProblem
from slugline.learning.linear.training import FEW_WEIGHTS, Training, choose_last_rows

# A document is doubtful if its topic scores this much below the highest-scoring topic.
_MARGIN = 1.0
# Up to this fraction, doubtful documents count as hard cases rather than mislabelled.
_EXPECTED_DOUBTFUL = 0.03
# A small sample is tried first, because its fraction of doubtful rows is nearly as high: with a
# tenth of the topics wrong, 0.082 of 5,000 and 0.092 of 20,000 rows. At or below `_FEW_DOUBTFUL`,
# no larger sample is tried.
_FEW_TRIED, _MIN_TRIED_PER_TOPIC, _FEW_DOUBTFUL = 5_000, 50, 0.003
# With fewer rows per topic, scores from before training are uninformative.
_MIN_ROWS_PER_TOPIC = 10


@dataclass(frozen=True)
class FittedLinear:
    """Result of `fit_linear`."""

    weights: sp.csr_array  # shape (n_columns, n_topics): without negligible weights
    biases: F32  # shape (n_topics,)
    calibration: AnyCalibration
    # Number of rows excluded because their topic looked wrong.
    n_suspect_labels: int
    heldout: HeldOutScores  # scores used for calibration


def fit_linear(
    X: sp.csr_array,
    labels: Labels,
    context: FitContext,
    *,
    passes: int | None = None,
    clean: bool = True,
    limits: FitLimits | None = None,
) -> FittedLinear:
    """Fit weights, biases and calibration to rows.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
    labels : Labels
    context : FitContext
    passes : int, optional
        Passes over the rows; by default, depends on the number of rows.
    clean : bool, default True
        Exclude rows with probably wrong topics. Has no effect if topics have very few rows, or if
        there are so many topics that each batch trains on a sample of rows.
    limits : FitLimits, optional
    """
    problem = LinearProblem.from_rows(X, labels, context, limits=limits)
    with closing(context.progress):
        return _fit_and_calibrate(problem, passes, clean)


def _fit_and_calibrate(problem: LinearProblem, passes: int | None, clean: bool) -> FittedLinear:
    rows = problem.counted_rows
    last = choose_last_rows(problem, rows, passes)
    training = Training.from_problem(problem, rows, passes, last=last)
    clean_rows = rows
    if clean and not problem.labels.multilabel:
        clean_rows = _without_doubtful(training, rows)
        if len(clean_rows) < len(rows):
            training = Training.from_problem(problem, clean_rows, passes, last=last)
    heldout_fit = None
    if problem.labels.multilabel and training.last is None:
        # Fits with held-out rows share threads with the fit to all rows, so that none of them is
        # idle during the last batch. For single-label rows, both would need too much memory.
        heldout_fit = HeldOutFit.from_rows(problem, rows, clean_rows, passes, full_fit=training)
    ends, scores = training.finish_batches(heldout_fit.tasks() if heldout_fit else [])
    heldout = heldout_fit.join(scores) if heldout_fit else training.heldout_scores()
    del training, heldout_fit
    if problem.X.shape[1] * problem.context.n_topics > FEW_WEIGHTS:
        release_memory()  # before weights are duplicated in memory
    biases = np.concatenate([bias_part for _, bias_part in ends])
    weights = sp.hstack([part for part, _ in ends], format="csr")
    del ends
    biases[problem.totals(clean_rows) == 0] = ABSENT_SCORE
    if heldout is None:
        heldout = HeldOutFit.from_rows(problem, rows, clean_rows, passes).score()
    calibration = heldout.calibration(problem.labels, problem.costs)
    return FittedLinear(weights, biases, calibration, len(rows) - len(clean_rows), heldout)


# Rows with probably wrong topics ------------------------------------------------------------------


def _without_doubtful(training: Training, rows: Index) -> Index:
    """Drop rows with probably wrong topics if there are more of them than expected."""
    problem = training.problem
    if len(rows) < _MIN_ROWS_PER_TOPIC * problem.context.n_topics or problem.is_sampled:
        return rows
    many_rows = problem.limits.many_rows
    if not training.fits and len(rows) > many_rows:
        # Try samples first: excluding rows would waste a first pass over all of them.
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
    # A topic that would lose most of its rows is hard or rare rather than mislabelled.
    n_rows, n_far_below = np.bincount(y), np.bincount(y, is_far_below)
    return is_far_below & (2 * n_far_below <= n_rows)[y]
