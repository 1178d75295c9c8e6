"""Training on rows in files: part by part or, for few rows, all at once like `fit`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I32, I64, Mask
from slugline.base.interruption import catch_interrupt
from slugline.base.memory import release_memory
from slugline.base.progress import INTERRUPTED, Progress
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import steps
from slugline.learning.linear.fit import fit_linear
from slugline.learning.linear.problem import (
    ABSENT_SCORE,
    INITIAL_BIAS,
    INITIAL_SQUARED_SUM,
    LinearProblem,
    renormalize_rows,
    topic_batches,
)
from slugline.model.parts.files import PartReader, PartRows, divide_keys
from slugline.model.parts.heldout import HeldOutRows, PartsResult, find_min_key, row_weights
from slugline.text.sparse import narrow_offsets, row_lengths, row_offsets

# Maximum number of documents in a part, and of entries, which limits parts of long documents. With
# larger parts, weights would be looked up and stored less often, but rows would take more memory.
_PART_SIZE, _PART_ENTRIES = 25_000, 1 << 23
# Number of topics trained at a time.
_TOPICS_AT_A_TIME = 32
# Between parts, weights below this fraction of their root mean square are dropped. Chosen by
# cross-validation on training splits in 20 parts: 0.5 loses up to 1.0 points of accuracy.
_STORED = 0.25
# After the last part, weights below `steps.drop_threshold` of their root mean square are dropped.
# Weights dropped between parts raise that mean. The factor corrects for this: as many weights
# remain as if none had been dropped before, with the same cross-validated accuracy.
_FINAL_FACTOR = 0.45


@dataclass(frozen=True)
class RowCosts:
    """Cost of an error on each row, from the user's weights.

    Attributes
    ----------
    topic_weights : float64 array, shape (n_topics,), optional
        Weight of the rows of each topic.
    sample_weight : float32 array, shape (n_rows,), optional
        Weight of each row, in reading order.
    """

    topic_weights: F64 | None = None
    sample_weight: F32 | None = None

    def of_rows(self, labels: Labels, numbers: I64) -> F32 | None:
        """Return the costs of rows, given their numbers; None if all are 1."""
        if self.sample_weight is not None:
            return self.sample_weight[numbers]
        if self.topic_weights is not None:
            return row_weights(labels, self.topic_weights)
        return None


def fit_rows(rows: PartRows, costs: RowCosts, context: FitContext) -> PartsResult:
    """Train on all rows at once.

    The result equals `fit_linear` without excluding mislabelled rows.

    Parameters
    ----------
    rows : PartRows
        All rows, in an order that depends only on their texts.
    costs : RowCosts
    context : FitContext
        Without a weight of each row.
    """
    labels = rows.labels
    context = replace(context, sample_weight=costs.of_rows(labels, rows.numbers))
    fitted = fit_linear(rows.X, labels, context, clean=False)
    scored = fitted.heldout.rows
    heldout = HeldOutRows(
        rows.numbers[scored],
        labels.take(scored),
        fitted.heldout.scores,
        in_folds=fitted.heldout.training is None,
    )
    return PartsResult(
        weights=fitted.weights,
        biases=fitted.biases,
        calibration=fitted.calibration,
        heldout=heldout,
    )


def fit_parts(
    reader: PartReader, totals: F64, costs: RowCosts, context: FitContext, n_passes: int = 1
) -> PartsResult:
    """Train on one part of the rows after another.

    After Ctrl-C, return the result of the completed parts. Some topics may have been trained on one
    part more than others.

    Parameters
    ----------
    reader : PartReader
    totals : float64 array, shape (n_topics,)
        Total cost of each topic's rows; ignored if the user gave topic weights.
    costs : RowCosts
    context : FitContext
        Without a weight of each row.
    n_passes : int, default 1
        Passes over the rows of each part.

    Raises
    ------
    KeyboardInterrupt : after Ctrl-C before the first part is complete.
    """
    training = _PartTraining(reader, totals, costs, context, n_passes)
    progress = context.progress
    try:
        training.learn()
    except KeyboardInterrupt:
        if not training.n_done:
            raise
        outcome = f"keeping what was learned from {training.n_learned:,} documents"
        progress.note(INTERRUPTED.format(outcome))
    with finishing(progress, interrupted=training.n_learned < reader.n_rows):
        return training.result()


def finishing(progress: Progress, *, interrupted: bool) -> AbstractContextManager[object]:
    """Catch Ctrl-C while the model is finished, unless this would be the second Ctrl-C."""
    return nullcontext() if interrupted else catch_interrupt(progress, "the model")


class PartWeights:
    """The weights of all topics, sparse between parts and dense while training on a part.

    Parameters
    ----------
    n_columns, n_topics : int

    Attributes
    ----------
    biases : float32 array, shape (n_topics,)
    batches : list of slice
        The topics trained together.
    """

    def __init__(self, n_columns: int, n_topics: int) -> None:
        self.biases = np.full(n_topics, INITIAL_BIAS, dtype=np.float32)
        self.batches = topic_batches(n_topics, _TOPICS_AT_A_TIME)
        self._n_columns = n_columns
        self._weights = [
            sp.csr_array((n_columns, batch.stop - batch.start), dtype=np.float32)
            for batch in self.batches
        ]
        # For each batch, the sum of squared gradients of each term, then of the biases.
        self._sums = [
            steps.initial_squared_sums(n_columns, INITIAL_SQUARED_SUM) for _ in self.batches
        ]

    def take_columns(self, X: sp.csr_array) -> tuple[sp.csr_array, I32]:
        """Return the rows without empty columns, and the indices of the remaining columns."""
        is_present = np.zeros(self._n_columns, dtype=bool)
        is_present[X.indices] = True
        places = np.cumsum(is_present, dtype=np.int32) - np.int32(1)
        columns = np.flatnonzero(is_present).astype(np.int32)
        arrays = X.data, places[X.indices], X.indptr
        return sp.csr_array(arrays, shape=(X.shape[0], len(columns))), columns

    def score(self, X: sp.csr_array, columns: I32) -> F32:
        """Return the scores of rows with only these columns, shape (n_rows, n_topics)."""
        scores = [X @ weights[columns].toarray() for weights in self._weights]
        return np.asarray(np.concatenate(scores, axis=1) + self.biases)

    def is_learned(self, columns: I32) -> Mask:
        """Return a mask of the given columns whose weights have changed."""
        is_learned: Mask = np.zeros(len(columns), dtype=bool)
        for sums in self._sums:
            is_learned |= sums[columns] > INITIAL_SQUARED_SUM
        return is_learned

    def learn(
        self, problem: LinearProblem, columns: I32, totals: F64, minibatches: steps.Minibatches
    ) -> None:
        """Train on the rows of a part.

        Parameters
        ----------
        problem : LinearProblem
            Problem with the rows, and the batches of these weights.
        columns : int32 array
            The rows' columns, from `take_columns`.
        totals : float64 array, shape (n_topics,)
            The total cost of each topic's rows in all parts; ignored if the user gave topic
            weights.
        minibatches : Minibatches
            Minibatches of the training rows.
        """
        row_costs = problem.sample_costs(totals)
        rates = np.full(1, problem.learning_rate(minibatches.n_in_all), dtype=np.float32)
        places = np.append(columns, -1)  # the sum of the biases is the last

        def learn_topics(topics: slice) -> None:
            number = self.batches.index(topics)
            weights, sums = self._weights[number][columns].toarray(), self._sums[number][places]
            steps.AdaGradDescent(topics, weights, self.biases[topics], sums, row_costs, rates).run(
                minibatches
            )
            self._replace(number, columns, weights)
            self._sums[number][places] = sums

        problem.map_batches(learn_topics)

    def _replace(self, number: int, columns: I32, dense: F32) -> None:
        """Replace the weights of some columns, given in ascending order, in one batch of topics."""
        before, chosen = self._weights[number], steps.sparsify(dense, _STORED)
        is_replaced = np.zeros(self._n_columns, dtype=bool)
        is_replaced[columns] = True
        lengths = row_lengths(before.indptr)
        stays = ~is_replaced.repeat(lengths)
        lengths[columns] = row_lengths(chosen.indptr)
        is_new = is_replaced.repeat(lengths)
        data = np.empty(len(is_new), dtype=np.float32)
        topics = np.empty(len(is_new), dtype=np.int32)
        data[is_new], topics[is_new] = chosen.data, chosen.indices
        data[~is_new], topics[~is_new] = before.data[stays], before.indices[stays]
        arrays = data, topics, narrow_offsets(row_offsets(lengths))
        self._weights[number] = sp.csr_array(arrays, shape=before.shape)

    def weights(self) -> sp.csr_array:
        """Return the weights without negligible ones: float32, shape (n_columns, n_topics)."""
        threshold = _FINAL_FACTOR * steps.drop_threshold(self._n_columns * len(self.biases))
        parts = []
        for weights in self._weights:
            squares = float(np.square(weights.data, dtype=np.float64).sum())
            least = threshold * np.sqrt(squares / max(1, weights.nnz))
            kept = weights.copy()
            kept.data[np.abs(kept.data) < least] = 0
            kept.eliminate_zeros()
            parts.append(kept)
        return sp.hstack(parts, format="csr")


class _PartTraining:
    """Trains part by part; held-out rows are scored first, then trained on last.

    For the parameters, see `fit_parts`.
    """

    def __init__(
        self, reader: PartReader, totals: F64, costs: RowCosts, context: FitContext, n_passes: int
    ) -> None:
        self._reader, self._totals, self._costs = reader, totals, costs
        self._context, self._n_passes = context, n_passes
        n_rows, n_topics = reader.n_rows, context.n_topics
        min_key = find_min_key(n_rows, n_topics, multilabel=reader.multilabel)
        part_size = min(_PART_SIZE, max(1, _PART_ENTRIES * n_rows // reader.n_entries))
        self._training_parts, self._heldout_parts = divide_keys(min_key, n_rows, part_size)
        self._weights = PartWeights(reader.n_columns, n_topics)
        # Total cost of each topic's rows used so far.
        self._learned_totals = np.zeros(n_topics)
        self.n_done = self.n_learned = 0  # parts, and their rows
        self._heldout: HeldOutRows | None = None
        self._n_learned_before_scoring = 0

    def learn(self) -> None:
        """Train on all parts."""
        parts = [*self._training_parts, *self._heldout_parts]
        for rows in map(self._reader.read, parts):
            if self.n_done == len(self._training_parts):
                self._heldout = self._score_heldout()
            n_rows = rows.X.shape[0]
            if n_rows:
                self._learn(rows)
            del rows
            release_memory()  # before the next part is read
            self.n_done += 1
            self.n_learned += n_rows
            detail = f"part {self.n_done:,} of {len(parts):,}"
            self._context.progress.update("learning", self.n_done / len(parts), detail)

    def result(self) -> PartsResult:
        """Return the result of the completed parts."""
        heldout = self._score_heldout() if self._heldout is None else self._heldout
        biases = self._weights.biases
        biases[self._learned_totals == 0] = ABSENT_SCORE
        heldout = heldout.scaled(self._n_learned_before_scoring / self.n_learned)
        costs = self._costs.of_rows(heldout.labels, heldout.rows)
        return PartsResult(
            weights=self._weights.weights(),
            biases=biases,
            calibration=heldout.calibration(costs),
            heldout=heldout,
            n_unlearned=self._reader.n_rows - self.n_learned,
        )

    def _learn(self, rows: PartRows) -> None:
        weights = self._weights
        X, columns = weights.take_columns(rows.X)
        costs = self._costs.of_rows(rows.labels, rows.numbers)
        context = replace(self._context, sample_weight=costs)
        problem = LinearProblem.from_rows(X, rows.labels, context, weights.batches)
        counted = problem.counted_rows
        self._learned_totals += problem.totals(counted)
        rng = np.random.default_rng((context.seed, self.n_done))
        minibatches = steps.Minibatches(X, counted, rng, self._n_passes, self._reader.n_rows)
        weights.learn(problem, columns, self._totals, minibatches)

    def _score_heldout(self) -> HeldOutRows:
        """Score the held-out rows with the current weights, which have not been trained on them."""
        self._n_learned_before_scoring = self.n_learned
        labels, numbers = Labels.empty(multilabel=self._reader.multilabel), [np.zeros(0, np.int64)]
        scores = [np.zeros((0, self._context.n_topics), dtype=np.float32)]
        for rows in map(self._reader.read, self._heldout_parts):
            labels = Labels.concatenate(labels, rows.labels)
            numbers.append(rows.numbers)
            scores.append(self._score(rows))
        heldout = HeldOutRows(np.concatenate(numbers), labels, np.concatenate(scores))
        return heldout.without_topics(self._learned_totals == 0)

    def _score(self, rows: PartRows) -> F32:
        X, columns = self._weights.take_columns(rows.X)
        X = renormalize_rows(X, self._weights.is_learned(columns))
        return self._weights.score(X, columns)
