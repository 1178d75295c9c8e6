"""Train linear weights on all documents at once.

Topics are trained in batches, so that weights are dense for only a few topics at a time.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32
from slugline.base.checks import release_memory
from slugline.learning.calibration import AnyCalibration
from slugline.learning.heldout import HeldOutScores
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import steps
from slugline.learning.linear.doubtful import without_doubtful
from slugline.learning.linear.folds import HeldOutFit
from slugline.learning.linear.problem import ABSENT_SCORE, FitLimits, LinearProblem
from slugline.learning.linear.training import FEW_WEIGHTS, LastRows, Training


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
        Whether to exclude rows with probably wrong topics. All rows are used if topics have very
        few rows, or if there are so many topics that each batch trains on a sample of rows.
    limits : FitLimits, optional
    """
    problem = LinearProblem.from_rows(X, labels, context, limits=limits)
    with closing(context.progress):
        return _fit_and_calibrate(problem, passes, clean)


def _fit_and_calibrate(problem: LinearProblem, passes: int | None, clean: bool) -> FittedLinear:
    rows = problem.counted_rows
    last = LastRows.choose(problem, rows, passes)
    training = Training.from_problem(problem, rows, passes, last=last)
    clean_rows = rows
    if clean and not problem.labels.multilabel:
        clean_rows = without_doubtful(training, rows)
        if len(clean_rows) < len(rows):
            training = Training.from_problem(problem, clean_rows, passes, last=last)
    heldout_fit = None
    if problem.labels.multilabel and training.last is None:
        # Fits with held-out rows share the threads with the fit to all rows, so that no thread
        # waits for a last batch. For single-label rows, dense weights of both would take too much
        # memory.
        heldout_fit = HeldOutFit.from_rows(problem, rows, clean_rows, passes, beside=training)
    ends, scores = training.finish_batches(heldout_fit.tasks() if heldout_fit else [])
    heldout = heldout_fit.join(scores) if heldout_fit else training.heldout_scores()
    start = training.coefficients
    del training, heldout_fit
    if problem.X.shape[1] * problem.context.n_topics > FEW_WEIGHTS:
        release_memory()  # before weights are duplicated in memory
    biases, parts = np.concatenate([bias_part for _, bias_part in ends]), [part for part, _ in ends]
    del ends  # so that each part can be freed once copied
    weights = steps.hstack_topics(parts)
    biases[problem.totals(clean_rows) == 0] = ABSENT_SCORE
    if heldout is None:
        heldout = HeldOutFit.from_rows(problem, rows, clean_rows, passes, start=start).score()
    calibration = heldout.calibration(problem.labels, problem.costs)
    return FittedLinear(weights, biases, calibration, len(rows) - len(clean_rows), heldout)
