"""Training from all rows of a stream: part by part or, if they are few, at once as `fit` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np

from slugline.base.arrays import F32, F64, I64
from slugline.base.threads import map_in_order
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import steps
from slugline.learning.linear.fit import fit_linear
from slugline.learning.linear.heldout_rows import renormalize_rows
from slugline.learning.linear.parts import PartWeights
from slugline.learning.linear.problem import ABSENT_SCORE, LinearProblem
from slugline.stream.heldout import HeldOutRows, StreamResult, row_weights
from slugline.stream.part_files import KeyRange, PartReader, PartRows

#: A function called with the number of parts that have been learned from, and of all parts.
PartReporter = Callable[[int, int], None]


def fit_rows(rows: PartRows, topic_weights: F64 | None, context: FitContext) -> StreamResult:
    """Return the result of learning from all rows at once.

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


class PartTraining:
    """Learns from one part after another; held-out rows come last, and are scored just before.

    Parameters
    ----------
    reader : PartReader
    training, heldout : list of KeyRange
        The parts of training rows, and of held-out rows.
    topic_counts : int64 array, shape (n_topics,)
        Rows of each topic.
    topic_weights : float64 array, shape (n_topics,), or None
        The user's weight of the rows of each topic.
    context : FitContext
    n_rows : int
        Number of rows of all parts.
    n_passes : int
        Passes over the rows of each part.
    report : function
        A `PartReporter`.
    """

    def __init__(
        self,
        reader: PartReader,
        training: list[KeyRange],
        heldout: list[KeyRange],
        topic_counts: I64,
        topic_weights: F64 | None,
        context: FitContext,
        *,
        n_rows: int,
        n_passes: int,
        report: PartReporter,
    ) -> None:
        self._reader, self._training_parts, self._heldout_parts = reader, training, heldout
        self._topic_counts, self._is_weighted = topic_counts, topic_weights is not None
        self._topic_weights = np.ones(len(topic_counts)) if topic_weights is None else topic_weights
        self._context, self._n_passes = context, n_passes
        self._report = report
        self._weights = PartWeights(reader.n_columns, len(topic_counts))
        self._n_rows = self.n_unlearned = n_rows
        self._n_done = 0  # parts the weights were trained on

    def learn(self, on_interrupt: Callable[[], None] = lambda: None) -> None:
        """Learn from all parts or, after Ctrl-C, only from those before it.

        After Ctrl-C, some topics may have learned from a part of which others have not. Raises
        KeyboardInterrupt if interrupted before the first part is complete.
        """
        try:
            self._learn_parts()
        except KeyboardInterrupt:
            if not self._n_done:
                raise
            on_interrupt()

    def result(self) -> StreamResult:
        """Return the result of the parts that were learned from; to be called once."""
        heldout = self._heldout_rows()
        biases = self._weights.biases
        biases[self._topic_weights * self._topic_counts == 0] = ABSENT_SCORE
        return StreamResult(
            weights=self._weights.pop_weights(self._reader.n_columns, None),
            biases=biases,
            calibration=heldout.calibration(self._topic_weights),
            heldout=heldout,
            n_unlearned=self.n_unlearned,
        )

    def _learn_parts(self) -> None:
        parts = [*self._training_parts, *self._heldout_parts]
        # The next part is read while one is learned from.
        n_threads = min(self._context.n_jobs, 2)
        for rows in map_in_order(self._reader.read, parts, n_threads, n_waiting=0):
            if self._n_done == len(self._training_parts):
                self._heldout  # noqa: B018  scored before they are learned from
            n_rows = rows.X.shape[0]
            if n_rows:
                self._learn(rows, self._n_done)
            self._n_done += 1
            self.n_unlearned -= n_rows
            self._report(self._n_done, len(parts))

    def _learn(self, rows: PartRows, number: int) -> None:
        weights = self._weights
        X, numbers = weights.take_columns(rows.X)
        context = replace(self._context, sample_weight=self._costs(rows.labels))
        problem = LinearProblem.from_rows(X, rows.labels, context, weights.batches)
        rng = np.random.default_rng((context.seed, number))
        minibatches = steps.Minibatches(X, problem.counted_rows, rng, self._n_passes, self._n_rows)
        # With the user's weights, the number of rows of topics doesn't matter.
        weights.learn(problem, numbers, self._topic_counts.astype(np.float64), minibatches)

    def _costs(self, labels: Labels) -> F32 | None:
        """Return the weight of each row; None if all are 1."""
        if not self._is_weighted:
            return None
        return row_weights(labels, self._topic_weights)

    @cached_property
    def _heldout(self) -> tuple[Labels, I64, F32]:
        """The labels, numbers and scores of held-out rows.

        They are scored when this is first used, by the weights before they are learned from.
        """
        labels, numbers = Labels.empty(multilabel=self._reader.multilabel), [np.zeros(0, np.int64)]
        scores = [np.zeros((0, len(self._topic_counts)), dtype=np.float32)]
        for rows in map(self._reader.read, self._heldout_parts):
            labels = Labels.concatenate(labels, rows.labels)
            numbers.append(rows.numbers)
            scores.append(self._score(rows))
        return labels, np.concatenate(numbers), np.concatenate(scores)

    def _score(self, rows: PartRows) -> F32:
        X, numbers = self._weights.take_columns(rows.X)
        X = renormalize_rows(X, self._weights.is_learned(numbers))
        return self._weights.score(X, numbers)

    def _heldout_rows(self) -> HeldOutRows:
        labels, numbers, scores = self._heldout
        heldout_counts = np.bincount(labels.topics, minlength=len(self._topic_counts))
        totals = self._topic_weights * (self._topic_counts - heldout_counts)
        # If training was interrupted before them, the final weights are those that scored them.
        is_learned = self._n_done > len(self._training_parts)
        fraction = 1 - len(numbers) / self._n_rows if is_learned else 1.0
        return HeldOutRows.from_scores(numbers, labels, scores, totals, fraction)
