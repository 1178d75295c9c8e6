"""Learns from an encoder's rows what to add to the scores of words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from slugline.base.arrays import F32, I64, Index
from slugline.calibration import Calibration
from slugline.training.combining import combine
from slugline.training.context import FitContext
from slugline.training.dense_head import fit_dense_head
from slugline.training.new_topics import new_topic_line

__all__ = ["EncoderHead", "fit_encoder_head", "nearest_means"]


# What cosines are multiplied by where there is nothing to measure on: of the numbers tried, the one
# with the lowest log loss over a few data sets, with one document or the name of each topic.
_SHARPNESS = 15.0


class EncoderHead(NamedTuple):
    """What was learned; see `slugline.learners.dense_head.DenseHead`."""

    weights: F32
    biases: F32
    sparse_factor: float
    calibration: Calibration
    share: float


def fit_encoder_head(
    rows: F32, y: I64, n_documents: int, context: FitContext, left_out: tuple[Index, F32]
) -> EncoderHead | None:
    """Return what is best added to the scores of words; None if that is nothing.

    Parameters
    ----------
    rows : float32 array, shape (n_rows, n_columns)
        Of unit length: those of documents first, then those of descriptions.
    y : int array, shape (n_rows,)
        Their topics.
    n_documents : int
    context : FitContext
        With a weight for each row.
    left_out : (int array, shape (n_judged,), float32 array, shape (n_judged, n_topics))
        Some of the documents, and their scores by words had they not been learned from.
    """
    judged, words = left_out
    if len(np.unique(y[judged])) < 2:
        return nearest_means(rows, y, context)
    is_known = np.bincount(y[:n_documents], minlength=context.n_topics) > 0
    known, number = np.flatnonzero(is_known), np.cumsum(is_known) - 1
    weight, used = context.sample_weight, is_known[y]
    costs = None if weight is None else weight[judged]
    # The number of threads would show in the last bits.
    with threadpool_limits(1, "blas"):
        found = fit_dense_head(
            rows[used], number[y[used]], len(known), None if weight is None else weight[used]
        )
        # Documents come first and all are used, so that their numbers stay. What is the same for
        # all known topics makes no difference between them, but to a new one it would.
        by_words, by_encoder = words[:, known], _centred(found.scores[judged])
        combined = combine(by_words, by_encoder, number[y[judged]], costs)
        sparse_factor, factor = combined.sparse_factor, np.float32(combined.dense_factor)
        weights = np.zeros((rows.shape[1], context.n_topics), dtype=np.float32)
        biases = np.zeros(context.n_topics, dtype=np.float32)
        weights[:, known] = factor * _centred(found.weights)
        biases[known] = factor * _centred(found.biases)
        head = EncoderHead(weights, biases, sparse_factor, combined.calibration, combined.share)
        if is_known.all():
            return head if combined.share else None
        summed = np.float32(sparse_factor) * by_words + factor * by_encoder
        examples = _examples(y, n_documents, known)
        cosines = rows[judged] @ rows[examples].T
    is_other = judged[:, np.newaxis] != examples
    slope, offset = new_topic_line(summed, cosines, number[y[judged]], is_other)
    # What is left to fill in of the head's arrays.
    new = y[~used]
    weights[:, new] = np.float32(slope) * rows[~used].T
    # Words have much against a topic that no document has.
    biases[new] = offset - sparse_factor * words[:, new].mean(axis=0)
    return head


def _centred(scores: F32) -> F32:
    return scores - scores.mean(axis=-1, keepdims=True)


def _examples(y: I64, n_documents: int, known: Index) -> Index:
    """Return a row of each topic: that of its description or, without one, its first document."""
    # Of several rows of one topic, the last one that is written stays.
    order = np.concatenate([np.arange(n_documents)[::-1], np.arange(n_documents, len(y))])
    examples = dict(zip(y[order].tolist(), order.tolist(), strict=True))
    return np.array([examples[topic] for topic in known.tolist()], dtype=np.intp)


def nearest_means(rows: F32, y: I64, context: FitContext) -> EncoderHead:
    """Return a head whose scores are multiples of cosines with the mean of each topic's rows.

    One row a topic is enough, but none shows how sure to be. Parameters are those of
    `fit_encoder_head`.
    """
    weight = context.sample_weight
    sums = np.zeros((context.n_topics, rows.shape[1]))
    np.add.at(sums, y, rows if weight is None else rows * weight[:, np.newaxis])
    lengths = np.linalg.norm(sums, axis=1)
    weights = _SHARPNESS * (sums / np.where(lengths > 0, lengths, 1)[:, np.newaxis]).T
    # No cosine is as low as this of a topic without rows.
    biases = np.where(lengths > 0, 0, -2 * _SHARPNESS)
    return EncoderHead(
        np.ascontiguousarray(weights, dtype=np.float32),
        biases.astype(np.float32),
        sparse_factor=0.0,
        calibration=Calibration(1.0),
        share=1.0,
    )
