"""How counts of terms become weights."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from slugline.errors import DataError

__all__ = ["WEIGHTINGS", "check_idf", "document_frequency", "idf", "weigh"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer]

#: How a term's count in a document becomes a number: present or not; how often; or how often, less
#: the more documents have it, with rows of length 1, where "log-tf-idf" takes 1 + ln(count).
WEIGHTINGS = ("multi-hot", "counts", "tf-idf", "log-tf-idf")

# idf is kept as float32, and counted on from that batch after batch.
_ROUNDING = 0.01


def idf(document_frequency: npt.NDArray[np.int64], n_documents: int) -> Floats:
    """Smoothed inverse document frequency of each term: ln((1 + N) / (1 + df)) + 1.

    Parameters
    ----------
    document_frequency : int array, shape (n_terms,)
        How many documents have each term.
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


def check_idf(idf: Floats, n_documents: int) -> None:
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


def document_frequency(idf: Floats, n_documents: int) -> npt.NDArray[np.int64]:
    """Undo `idf`: how many of the documents have each term, shape (n_terms,).

    Exact up to some millions of documents; beyond, float32 tells frequencies to seven digits.
    """
    return np.rint((1 + n_documents) / np.exp(idf.astype(np.float64) - 1) - 1).astype(np.int64)


def weigh(
    values: Floats, columns: Integers, lengths: Integers, weighting: str, idf: Floats | None = None
) -> None:
    """Turn counts into weights, in place; with idf, every row that has terms gets length 1.

    Parameters
    ----------
    values : float32 array, shape (n_values,)
        The counts of one row after another.
    columns : int array, shape (n_values,)
    lengths : int array, shape (n_rows,)
        How many values each row has.
    weighting : {"multi-hot", "counts", "tf-idf", "log-tf-idf"}
    idf : float32 array, shape (n_columns,), or None for a weighting without
    """
    if weighting == "multi-hot":
        values[:] = 1
    if weighting == "log-tf-idf":
        np.log(values, out=values)
        values += 1
    if idf is None or not len(values):
        return
    values *= idf[columns]
    lengths = lengths[lengths > 0]  # np.add.reduceat would take a value for an empty row
    squares = np.square(values, dtype=np.float64)
    norms = np.sqrt(np.add.reduceat(squares, np.cumsum(lengths) - lengths))
    values /= np.repeat(norms.astype(np.float32), lengths)
