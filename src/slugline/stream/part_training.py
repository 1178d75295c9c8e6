"""Training from parts of very many rows, one after the other."""

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
from slugline.learning.linear.heldout_rows import renormalize_rows
from slugline.learning.linear.parts import PartWeights
from slugline.learning.linear.problem import ABSENT_SCORE, LinearProblem
from slugline.stream.heldout import HeldOutRows, StreamResult, row_weights
from slugline.stream.part_files import PartFiles, PartRows

#: A function called with the number of parts that have been learned from, and of all parts.
PartReporter = Callable[[int, int], None]


class PartTraining:
    """Learns from one part after another; held-out rows come last, and are scored just before.

    Parameters
    ----------
    files : PartFiles
    n_columns : int
    topic_counts : int64 array, shape (n_topics,)
        Rows of each topic.
    topic_weights : float64 array, shape (n_topics,), or None
        The user's weight of the rows of each topic.
    context : FitContext
    n_passes : int
        Passes over the rows of each part.
    report : function
        A `PartReporter`.
    """

    def __init__(
        self,
        files: PartFiles,
        n_columns: int,
        topic_counts: I64,
        topic_weights: F64 | None,
        context: FitContext,
        n_passes: int,
        report: PartReporter,
    ) -> None:
        self._files, self._n_columns, self._topic_counts = files, n_columns, topic_counts
        self._is_weighted = topic_weights is not None
        self._topic_weights = np.ones(len(topic_counts)) if topic_weights is None else topic_weights
        self._context, self._n_passes = context, n_passes
        self._report = report
        self._parts = [*files.training_parts, *files.heldout_parts]
        self._n_rows = sum(part.n_rows for part in self._parts)
        self._weights = PartWeights(n_columns, len(topic_counts))
        self._n_done = 0  # parts the weights were trained on

    def learn(self, on_interrupt: Callable[[], None] = lambda: None) -> None:
        """Learn from all parts or, after Ctrl-C, only from those before it.

        After Ctrl-C, some topics may have learned from a part of which others have not. Before the
        first part has been learned from, KeyboardInterrupt is raised.
        """
        try:
            self._learn_parts()
        except KeyboardInterrupt:
            if not self._n_done:
                raise
            on_interrupt()

    @property
    def n_unlearned(self) -> int:
        """Number of rows that have not been learned from."""
        return sum(part.n_rows for part in self._parts[self._n_done :])

    def result(self) -> StreamResult:
        """Return the result of the parts that were learned from; to be called once."""
        heldout = self._heldout_rows()
        biases = self._weights.biases
        biases[self._topic_weights * self._topic_counts == 0] = ABSENT_SCORE
        return StreamResult(
            weights=self._weights.pop_weights(self._n_columns, None),
            biases=biases,
            calibration=heldout.calibration(self._topic_weights),
            heldout=heldout,
            n_unlearned=self.n_unlearned,
        )

    def _learn_parts(self) -> None:
        # The next part is read while one is learned from.
        n_threads = min(self._context.n_jobs, 2)
        for rows in map_in_order(self._files.read, self._parts, n_threads, n_waiting=0):
            if self._n_done == len(self._files.training_parts):
                self._heldout  # noqa: B018  scored before they are learned from
            self._learn(rows, self._n_done)
            self._n_done += 1
            self._report(self._n_done, len(self._parts))

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
        files = self._files
        labels, numbers = Labels.empty(multilabel=files.multilabel), np.zeros(0, dtype=np.int64)
        parts = [np.zeros((0, len(self._topic_counts)), dtype=np.float32)]
        for rows in map(files.read, files.heldout_parts):
            labels = Labels.concatenate(labels, rows.labels)
            numbers = np.concatenate([numbers, rows.numbers])
            parts.append(self._score(rows))
        return labels, numbers, np.concatenate(parts)

    def _score(self, rows: PartRows) -> F32:
        X, numbers = self._weights.take_columns(rows.X)
        X = renormalize_rows(X, self._weights.is_learned(numbers))
        return self._weights.score(X, numbers)

    def _heldout_rows(self) -> HeldOutRows:
        files, (labels, numbers, scores) = self._files, self._heldout
        totals = self._topic_weights * files.training_topic_counts
        # If training was interrupted before them, the final weights are those that scored them.
        is_learned = self._n_done > len(files.training_parts)
        fraction = 1 - len(numbers) / self._n_rows if is_learned else 1.0
        return HeldOutRows.from_scores(numbers, labels, scores, totals, fraction)
