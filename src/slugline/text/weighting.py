"""Turns counts of terms into weights."""

from __future__ import annotations

import math

import numpy as np

from slugline.base.arrays import F32, F64, I64, Integers
from slugline.errors import DataError

__all__ = ["WEIGHTINGS", "check_idf", "document_frequency", "idf", "squares", "weigh"]


#: How a term's count in a document becomes a weight: 1 if it occurs; the count; or the count times
#: `idf`, of which rows get length 1. "log-tf-idf" takes 1 + ln(count) in place of the count.
WEIGHTINGS = ("multi-hot", "counts", "tf-idf", "log-tf-idf")

# idf is kept as float32, and counted on from that batch after batch.
_ROUNDING = 0.01


def idf(document_frequency: I64, n_documents: int) -> F32:
    """Return the smoothed inverse document frequency of terms: ln((1 + N) / (1 + df)) + 1.

    Parameters
    ----------
    document_frequency : int array, shape (n_terms,)
        How many documents contain each term.
    n_documents : int

    Returns
    -------
    float32 array, shape (n_terms,); natural-log units, at least 1.

    References
    ----------
    Unsmoothed form: Manning, Raghavan and Schuetze (2008), Introduction to Information Retrieval,
    6.2.1. Smoothed as scikit-learn's TfidfTransformer does.
    """
    return (np.log((1 + n_documents) / (1 + document_frequency)) + 1).astype(np.float32)


def check_idf(idf: F32, n_documents: int) -> None:
    """Make sure that idf can be what `idf` gives for so many documents.

    Raises
    ------
    DataError : if a value is below 1 or over that of a term that no document has.
    """
    if not len(idf):
        return
    most = math.log(1 + n_documents) + 1
    least, largest = float(idf.min()), float(idf.max())
    if not 1 - _ROUNDING <= least <= largest <= most + _ROUNDING:
        raise DataError(
            f"idf runs from {least:.3g} to {largest:.3g}, but with {n_documents:,} documents it is "
            f"between 1 and {most:.3g}"
        )


def document_frequency(idf: F32, n_documents: int) -> I64:
    """Return how many documents contain each term, shape (n_terms,), by undoing `idf`.

    Exact up to a few million documents; beyond that, float32 limits it to seven digits.
    """
    return np.rint((1 + n_documents) / np.exp(idf.astype(np.float64) - 1) - 1).astype(np.int64)


def weigh(values: F32, columns: Integers, weighting: str, idf: F32 | None = None) -> None:
    """Turn counts into weights, in place; rows are not yet scaled to length 1.

    Parameters
    ----------
    values : float32 array, shape (n_values,)
        The counts, row after row.
    columns : int array, shape (n_values,)
    weighting : {"multi-hot", "counts", "tf-idf", "log-tf-idf"}
    idf : float32 array, shape (n_columns,), or None if the weighting does not use it
    """
    if weighting == "multi-hot":
        values[:] = 1
    if weighting == "log-tf-idf":
        np.log(values, out=values)
        values += 1
    if idf is not None:
        values *= idf.take(columns)


def squares(values: F32, lengths: Integers) -> F64:
    """Return each row's sum of squares, shape (n_rows,).

    Parameters
    ----------
    values : float32 array, shape (n_values,)
        Row after row.
    lengths : int array, shape (n_rows,)
        Number of values in each row.
    """
    owner = np.arange(len(lengths)).repeat(lengths)
    # Added one after the other, as in the compiled kernel.
    sums = np.bincount(owner, np.square(values, dtype=np.float64), len(lengths))
    return sums.astype(np.float64, copy=False)
