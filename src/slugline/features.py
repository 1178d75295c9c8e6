"""Documents to weighted CSR rows: which words count, and how much."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline import errors
from slugline.errors import DataError, OptionError
from slugline.vocabulary import Vocabulary

__all__ = ["WEIGHTINGS", "Features", "idf", "tf_idf"]

#: How a word's count in a document becomes a number: present or not; how often; or how often,
#: less the more documents have it, with rows of length 1.
WEIGHTINGS = ("multi-hot", "counts", "tf-idf")


class Features:
    """Learns a vocabulary, and turns documents into rows over it.

    Parameters
    ----------
    weighting : {"multi-hot", "counts", "tf-idf"}, default "multi-hot"
    num_words : int or None, default 10_000
        Keep the most frequent words, at most so many; None keeps all.
    n_jobs : int, default 1
        Threads. The rows are the same for any number.

    Attributes
    ----------
    vocabulary_ : Vocabulary
    idf_ : float32 array, shape (n_words,), or None
        Only for tf-idf.
    """

    def __init__(
        self, weighting: str = "multi-hot", num_words: int | None = 10_000, n_jobs: int = 1
    ) -> None:
        if weighting not in WEIGHTINGS:
            raise OptionError(
                f"unknown weighting {weighting!r}; choose one of {', '.join(WEIGHTINGS)}."
            )
        self.weighting = weighting
        self.num_words = num_words
        self.n_jobs = n_jobs
        self.vocabulary_: Vocabulary | None = None
        self.idf_: npt.NDArray[np.float32] | None = None

    @classmethod
    def restore(
        cls, weighting: str, vocabulary: Vocabulary, idf: npt.NDArray[np.float32] | None
    ) -> Features:
        """Make fitted features from their parts, as a model file holds them."""
        features = cls(weighting, len(vocabulary))
        features.vocabulary_ = vocabulary
        features.idf_ = idf
        return features

    def fit(self, texts: Iterable[str]) -> Features:
        """Learn the vocabulary, and for tf-idf how many documents have each word."""
        if self.weighting == "tf-idf":
            texts = list(texts)
        self.vocabulary_ = Vocabulary.fit(texts, self.num_words, n_threads=self.n_jobs)
        if not len(self.vocabulary_):
            raise DataError("no document has a word in it; check which column holds the text.")
        if self.weighting == "tf-idf":
            self.idf_ = idf(self.vocabulary_.transform(texts, self.n_jobs))
        return self

    def transform(self, texts: Iterable[str]) -> sp.csr_array:
        """Give one float32 CSR row per document, shape (n_documents, n_words)."""
        if self.vocabulary_ is None:
            raise errors.NotFittedError("the features have no vocabulary yet; call fit first.")
        counts = self.vocabulary_.transform(texts, self.n_jobs)
        if self.weighting == "multi-hot":
            counts.data[:] = 1
        elif self.idf_ is not None:
            return tf_idf(counts, self.idf_)
        return counts


def idf(counts: sp.csr_array) -> npt.NDArray[np.float32]:
    """Smoothed inverse document frequency of each word: ln((1 + N) / (1 + df)) + 1.

    Parameters
    ----------
    counts : CSR array, shape (n_documents, n_words)

    Returns
    -------
    float32 array, shape (n_words,); natural-log units, at least 1.

    References
    ----------
    Unsmoothed form: Manning, Raghavan and Schuetze (2008), Introduction to Information Retrieval,
    6.2.1. Smoothed as scikit-learn's TfidfTransformer does.
    """
    n_documents, n_words = counts.shape
    document_frequency = np.bincount(counts.indices, minlength=n_words)
    return (np.log((1 + n_documents) / (1 + document_frequency)) + 1).astype(np.float32)


def tf_idf(counts: sp.csr_array, idf: npt.NDArray[np.float32]) -> sp.csr_array:
    """Weigh counts by `idf` and scale every row to length 1; a row without words stays empty.

    Returns
    -------
    float32 CSR array of the same shape.
    """
    data = counts.data * idf[counts.indices]
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    lengths = np.sqrt(np.bincount(rows, data.astype(np.float64) ** 2, minlength=counts.shape[0]))
    data /= lengths[rows].astype(np.float32)
    return sp.csr_array((data, counts.indices, counts.indptr), shape=counts.shape)
