"""Trains the weights of word vectors on a stream in a single pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, F64, I32, I64, U64, Index
from slugline.corpus.documents import Topic, Topics
from slugline.learning.calibration import AnyCalibration
from slugline.learning.encoder.class_sums import UNIT, ClassSums
from slugline.learning.heldout import HeldOutScores, log_proba_gains
from slugline.model.dense import MAX_WITHOUT_TRIAL, encode_names
from slugline.model.parts.heldout import HELDOUT_RATIO, N_KEYS, HeldOutRows, max_heldout_rows
from slugline.text.vector_sums import TextSums

if TYPE_CHECKING:
    from slugline.learning.encoder.encoder import CheckedEncoder
    from slugline.learning.encoder.head import DenseHead
    from slugline.learning.encoder.head_state import HeadState
    from slugline.learning.encoder.vectors import WordVectorEncoder

# Type of row values, stored as multiples of 1 / `UNIT`.
_ROW_TYPE = np.int16
# With up to about this many documents, all may be held out, regardless of their keys.
_MIN_CANDIDATES = 4096


def _max_candidate_key(n_documents: int, n_heldout: int) -> int:
    """Return the maximum key of documents that may be held out, given the number of documents.

    The key decreases with the number of documents.

    Parameters
    ----------
    n_documents : int
    n_heldout : int
        Maximum number of rows held out from many documents.
    """
    of_many = min(N_KEYS // HELDOUT_RATIO, N_KEYS * n_heldout // n_documents + 1)
    return min(N_KEYS - 1, max(of_many, N_KEYS * _MIN_CANDIDATES // n_documents))


# Reading ------------------------------------------------------------------------------------------


class VectorBlock(NamedTuple):
    """Sums over the rows of a block's documents, and the rows that may be held out.

    Rows are sums of word vectors, scaled to length 1, or zeros for texts unknown to the table.

    Attributes
    ----------
    sums : ClassSums
        Sums for the block's topics.
    topics : tuple of topics
    positions : int64 array, shape (n_candidates,)
        Positions in the block of the documents that may be held out.
    keys : uint64 array, shape (n_candidates,)
    rows : int16 array, shape (n_candidates, n_columns)
        Row values as multiples of 1 / `UNIT`.
    """

    sums: ClassSums
    topics: tuple[Topic, ...]
    positions: I64
    keys: U64
    rows: npt.NDArray[np.int16]


class VectorSummer:
    """Sums the rows of a block's documents, chunk by chunk.

    Parameters
    ----------
    encoder : WordVectorEncoder
    y : int32 array, shape (n_documents,)
        Numbers of the topics of the documents.
    topics : sequence of topics
    keys : uint64 array, shape (n_documents,)
    """

    def __init__(
        self, encoder: WordVectorEncoder, y: I32, topics: Sequence[Topic], keys: U64
    ) -> None:
        self._encoder, self._y, self._topics, self._keys = encoder, y, tuple(topics), keys
        self._sums = ClassSums.empty(len(topics), encoder.table.header.n_columns)
        self._candidates: list[tuple[I64, F32]] = []
        self._n_documents = 0
        # At least the maximum key for all documents.
        self._max_key = np.uint64(_max_candidate_key(len(keys), len(keys)))

    def add(self, text_sums: TextSums) -> None:
        """Add the next documents."""
        lengths = text_sums.lengths(self._encoder.min_known_fraction)
        scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        rows: F32 = text_sums.sums * scale[:, np.newaxis]
        first = self._n_documents
        self._n_documents += len(rows)
        y, keys = self._y[first : self._n_documents], self._keys[first : self._n_documents]
        is_known = lengths > 0
        self._sums += ClassSums.from_rows(
            rows[is_known], y[is_known].astype(np.int64), len(self._topics)
        )
        candidates = np.flatnonzero(keys <= self._max_key)
        self._candidates.append((candidates.astype(np.int64) + first, rows[candidates]))

    def block(self) -> VectorBlock:
        """Return the sums and rows of all documents."""
        positions = np.concatenate([positions for positions, _ in self._candidates])
        rows = np.concatenate([rows for _, rows in self._candidates])
        return VectorBlock(
            self._sums,
            self._topics,
            positions,
            self._keys[positions],
            np.rint(rows * UNIT).astype(_ROW_TYPE),
        )


class VectorStatistics:
    """Sums over the rows of all documents, added block by block, and rows that may be held out.

    Sums are exact, so they don't depend on the blocks.

    Parameters
    ----------
    encoder : CheckedEncoder
        Encoder that sums word vectors.
    """

    def __init__(self, encoder: CheckedEncoder) -> None:
        self.encoder = encoder
        self._n_rows = self._n_documents = 0
        self._totals: dict[Topic, float] = {}
        self._sums: dict[Topic, F64] = {}
        self._products: F64 | float = 0.0
        self._positions = np.zeros(0, dtype=np.int64)
        self._keys = np.zeros(0, dtype=np.uint64)
        self._rows = np.zeros((0, _n_columns(encoder)), dtype=_ROW_TYPE)

    def add(self, block: VectorBlock, n_documents: int) -> None:
        """Add the next block of a number of documents."""
        self._n_rows += block.sums.n_rows
        for topic, total, row in zip(
            block.topics, block.sums.totals.tolist(), block.sums.sums, strict=True
        ):
            self._totals[topic] = self._totals.get(topic, 0.0) + total
            self._sums[topic] = self._sums.get(topic, 0.0) + row
        self._products = self._products + block.sums.products
        self._add_candidates(block, n_documents)

    def _add_candidates(self, block: VectorBlock, n_documents: int) -> None:
        """Add rows that may be held out, and drop rows that exceed the limit."""
        positions = block.positions + self._n_documents
        self._n_documents += n_documents
        rows = np.concatenate([self._rows, block.rows])
        positions = np.concatenate([self._positions, positions])
        keys = np.concatenate([self._keys, block.keys])
        n_heldout = max_heldout_rows(len(self._totals), multilabel=False)
        is_candidate = keys <= np.uint64(_max_candidate_key(self._n_documents, n_heldout))
        self._positions, self._keys = positions[is_candidate], keys[is_candidate]
        self._rows = rows[is_candidate]

    def class_sums(self, topics: Topics) -> ClassSums:
        """Return the sums of all documents."""
        return ClassSums(
            self._n_rows,
            np.array([self._totals[name] for name in topics.names]),
            np.stack([self._sums[name] for name in topics.names]),
            np.asarray(self._products),
        )

    def heldout_rows(self, rows: I64) -> tuple[Index, F32]:
        """Return the encoder's rows of held-out documents, given their numbers in reading order.

        Returns
        -------
        (int array, shape (n_present,), float32 array, shape (n_present, n_columns))
            Indices in `rows` of the available rows, and the rows.
        """
        present = np.flatnonzero(np.isin(rows, self._positions))
        places = np.searchsorted(self._positions, rows[present])
        return present, self._rows[places].astype(np.float32) / np.float32(UNIT)


def _n_columns(encoder: CheckedEncoder) -> int:
    return 0 if encoder.summing_encoder is None else encoder.summing_encoder.table.header.n_columns


# Learning -----------------------------------------------------------------------------------------


class StreamHead(NamedTuple):
    """Head of word vectors, and its scores of held-out rows.

    Attributes
    ----------
    state : HeadState
    head : DenseHead or None
        None if vectors don't help.
    scores, proba : float32 arrays, shape (n_heldout, n_topics)
        Held-out results from words and vectors together, or from words alone without a head.
    """

    state: HeadState
    head: DenseHead | None
    scores: F32
    proba: F32


def fit_head(
    vectors: VectorStatistics,
    heldout: HeldOutRows,
    calibration: AnyCalibration,
    topics: Topics,
    n_documents: int,
    topic_weights: F64 | None,
) -> StreamHead | None:
    """Return the head of word vectors; None if no document has a vector.

    Held-out rows are scored by a head fitted to the other rows or, like words, by heads fitted
    without their fold, and are then used for training too. With many documents, vectors are dropped
    unless they lower the held-out log loss by more than a standard error.

    Parameters
    ----------
    vectors : VectorStatistics
    heldout : HeldOutRows
        Scored from words.
    calibration : Calibration
        Calibration of the word scores.
    topics : Topics
    n_documents : int
    topic_weights : float64 array, shape (n_topics,), optional
        User-defined weights of the documents of each topic.
    """
    from slugline.learning.encoder.batches import learn_batch, make_head, score_in_folds, score_rows
    from slugline.learning.encoder.head_state import HeadState

    total = vectors.class_sums(topics)
    if not total.n_rows or len(topics) == 1:
        return None
    names = encode_names(topics, vectors.encoder, n_documents)
    present, rows = vectors.heldout_rows(heldout.rows)
    is_known = rows.any(axis=1)
    known, rows = present[is_known], rows[is_known]
    y, words = heldout.labels.topics[known], heldout.scores[known]
    training = total - ClassSums.from_rows(rows, y, len(topics))
    weights = None
    if topic_weights is not None:
        training, total = (sums.with_topic_weights(topic_weights) for sums in (training, total))
        weights = topic_weights.astype(np.float32)[y]
    state = replace(HeadState.empty(vectors.encoder, *total.sums.shape), sums=training)
    if not heldout.in_folds:
        # Mark the training rows as used, so a head fitted to all of them scores held-out rows.
        state = replace(state, n_learned=np.inf)
    by_words = HeldOutScores(np.arange(len(known)), words)
    state = learn_batch(state, rows, y, weights, by_words, names)
    state = replace(state, sums=total, n_learned=np.inf)
    head = make_head(state, names, n_documents)
    scores, proba = heldout.scores.copy(), calibration.proba(heldout.scores)
    fusion = state.fusion
    if head is None or fusion is None:
        return StreamHead(state, head, scores, proba)
    if heldout.in_folds:
        encoded = score_in_folds(training, rows, y, weights, by_words, names)
    else:
        encoded = score_rows(training, names, rows)
    summed = np.float32(fusion.sparse_factor) * words + np.float32(fusion.dense_factor) * encoded
    by_both = fusion.calibration.proba(summed)
    if n_documents > MAX_WITHOUT_TRIAL and not _is_better(by_both, proba[known], y):
        return StreamHead(state, None, scores, proba)
    scores[known], proba[known] = summed, by_both
    return StreamHead(state, head, scores, proba)


def _is_better(proba: F32, before: F32, y: I64) -> bool:
    """Return True if probabilities lower the log loss by more than a standard error."""
    gains = log_proba_gains(proba, before, y)
    return bool(gains.mean() > gains.std() / np.sqrt(len(gains)))
