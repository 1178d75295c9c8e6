"""Training from all rows of a stream at once, as `fit` does, if they are few."""

from __future__ import annotations

from dataclasses import replace

from slugline.base.arrays import F64
from slugline.learning.learner import FitContext
from slugline.learning.linear.fit import fit_linear
from slugline.stream.heldout import HeldOutRows, StreamResult, row_weights
from slugline.stream.part_files import PartRows


def fit_rows(rows: PartRows, topic_weights: F64 | None, context: FitContext) -> StreamResult:
    """Return the result of learning from all rows.

    It is that of `fit_linear`, which leaves out no row as mislabelled here.

    Parameters
    ----------
    rows : PartRows
        All rows, in an order that depends only on their texts.
    topic_weights : float64 array, shape (n_topics,), or None
        The user's weight of the rows of each topic.
    context : FitContext
        Without a weight of each row.
    """
    labels = rows.labels
    if topic_weights is not None:
        context = replace(context, sample_weight=row_weights(labels, topic_weights))
    fitted = fit_linear(rows.X, labels, context, clean=False)
    scored = fitted.heldout.rows
    heldout = HeldOutRows(
        rows.numbers[scored],
        labels.take(scored),
        fitted.heldout.scores,
        in_folds=fitted.heldout.training is None,
    )
    return StreamResult(
        weights=fitted.weights,
        biases=fitted.biases,
        calibration=fitted.calibration,
        heldout=heldout,
    )
