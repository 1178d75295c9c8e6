"""Order-independent sufficient statistics for linear discriminant analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I64
from slugline.errors import DataError

# Power of a topic's fraction of rows in its prior. With 1, rare topics would seldom be predicted.
_PRIOR_POWER = 0.5
#: Values are rounded to multiples of 1 / `UNIT`, so that sums of up to 2^27 rows of unit length are
#: exact in double precision. Rounding changed no answer on the data sets measured.
UNIT = 8192
# Maximum length of a rounded row.
_MAX_LENGTH = 1.01
# Number of rows multiplied at a time.
_AT_ONCE = 4096


def log_prior(totals: F64) -> F64:
    """Return the log prior of topics, up to a constant, given the total weights of their rows."""
    return _PRIOR_POWER * np.log(np.where(totals > 0, totals, 1))


@dataclass(frozen=True, eq=False)
class ClassSums:
    """Sums over rows by topic, which can be added and subtracted.

    Without weights, sums are exact: they don't depend on the order of rows, and subtracting some
    rows leaves the sums of the others.

    Attributes
    ----------
    n_rows : int
        Number of rows of nonzero weight.
    totals : float64 array, shape (n_topics,)
        Total weight of each topic's rows.
    sums : float64 array, shape (n_topics, n_columns)
        Weighted sum of each topic's rows.
    products : float64 array, shape (n_columns, n_columns)
        X.T @ diag(weight) @ X.
    """

    n_rows: int
    totals: F64
    sums: F64
    products: F64

    @classmethod
    def empty(cls, n_topics: int, n_columns: int) -> ClassSums:
        """Return the sums of no rows."""
        return cls(
            0, np.zeros(n_topics), np.zeros((n_topics, n_columns)), np.zeros((n_columns, n_columns))
        )

    @classmethod
    def from_rows(
        cls, X: F32, y: I64, n_topics: int, sample_weight: F32 | None = None
    ) -> ClassSums:
        """Return the sums of rows.

        Parameters
        ----------
        X : float32 array, shape (n_rows, n_columns)
        y : int array, shape (n_rows,)
        n_topics : int
        sample_weight : float32 array, shape (n_rows,), optional
        """
        weight = np.ones(len(y), dtype=np.float32) if sample_weight is None else sample_weight
        n_columns = X.shape[1]
        totals, sums = np.zeros(n_topics), np.zeros((n_topics, n_columns))
        products = np.zeros((n_columns, n_columns))
        for start in range(0, len(y), _AT_ONCE):
            batch = slice(start, start + _AT_ONCE)
            rows = X[batch].astype(np.float64)
            rows *= UNIT
            np.rint(rows, out=rows)
            rows *= 1 / UNIT  # exact: a power of 2
            row_weights = weight[batch].astype(np.float64)
            by_topic = sp.csr_array(
                (row_weights, y[batch], np.arange(len(rows) + 1)), shape=(len(rows), n_topics)
            ).T
            weighted = rows if sample_weight is None else row_weights[:, np.newaxis] * rows
            totals += np.bincount(y[batch], row_weights, n_topics)
            sums += by_topic @ rows
            products += weighted.T @ rows
        return cls(int(np.count_nonzero(weight)), totals, sums, products)

    def arrays(self) -> dict[str, F32]:
        """Return the arrays for a model file; only a triangle of the symmetric products."""
        triangle = self.products[np.triu_indices(len(self.products))]
        arrays = {"totals": self.totals, "sums": self.sums, "products": triangle}
        return {name: array.astype(np.float32) for name, array in arrays.items()}

    @classmethod
    def restore(cls, n_rows: int, arrays: Mapping[str, F32], shape: tuple[int, int]) -> ClassSums:
        """Rebuild sums of shape (n_topics, n_columns) from the untrusted arrays of a model file.

        Raises
        ------
        DataError : if arrays have other shapes or can't be sums of rows of unit length.
        """
        n_topics, n_columns = shape
        totals, sums, triangle = (
            arrays[name].astype(np.float64) for name in ("totals", "sums", "products")
        )
        upper = np.triu_indices(n_columns)
        if totals.shape != (n_topics,) or sums.shape != shape or triangle.shape != upper[0].shape:
            raise DataError("encoder sums with the wrong shape")
        lengths = np.linalg.norm(sums, axis=1)
        if totals.min() < 0 or not totals.any() or (lengths > _MAX_LENGTH * totals).any():
            raise DataError("inconsistent encoder sums")
        products = np.zeros((n_columns, n_columns))
        products[upper] = triangle
        products.T[upper] = triangle
        return cls(n_rows, totals, sums, products)

    def __add__(self, other: ClassSums) -> ClassSums:
        return ClassSums(
            self.n_rows + other.n_rows,
            self.totals + other.totals,
            self.sums + other.sums,
            self.products + other.products,
        )

    def __sub__(self, other: ClassSums) -> ClassSums:
        return ClassSums(
            self.n_rows - other.n_rows,
            self.totals - other.totals,
            self.sums - other.sums,
            self.products - other.products,
        )

    def with_topic_weights(self, weights: F64) -> ClassSums:
        """Return the sums of unweighted rows with topic weights, shape (n_topics,).

        The covariance around topic means stays the same.
        """
        if not self.n_rows:
            return self
        counts = np.where(self.totals > 0, self.totals, 1)[:, np.newaxis]
        within = self.products - self.sums.T @ (self.sums / counts)
        totals, sums = weights * self.totals, weights[:, np.newaxis] * self.sums
        within *= totals.sum() / self.totals.sum()
        n_rows = int(self.totals[weights > 0].sum())
        return ClassSums(n_rows, totals, sums, within + sums.T @ (self.sums / counts))

    def solve(self, penalty: float) -> tuple[F32, F32]:
        """Return the weights and biases of a discriminant analysis; requires rows.

        Parameters
        ----------
        penalty : float
            Penalty for rows of unit length with a mean weight of 1.

        Returns
        -------
        weights : float32 array, shape (n_columns, n_topics)
        biases : float32 array, shape (n_topics,)
            Topics without rows score below all others for any row of unit length.

        Raises
        ------
        numpy.linalg.LinAlgError : if the products are inconsistent.
        """
        n_columns, total = len(self.products), self.totals.sum()
        is_known = self.totals > 0
        totals, sums = self.totals[is_known], self.sums[is_known]
        means = sums / totals[:, np.newaxis]
        within = self.products - sums.T @ means
        within += penalty * total / self.n_rows * np.eye(n_columns)
        # Centring changes the scores of all topics by the same amount.
        centre = sums.sum(axis=0) / total
        means -= centre
        np.linalg.cholesky(within)  # fails if the products are inconsistent
        known_weights = total * np.linalg.solve(within, means.T)
        known_biases = -(means * known_weights.T).sum(axis=1) / 2 - centre @ known_weights
        known_biases += log_prior(totals)
        weights = np.zeros((n_columns, len(is_known)))
        min_bias = (known_biases - np.linalg.norm(known_weights, axis=0)).max() - 1
        biases = np.full(len(is_known), min_bias)
        weights[:, is_known], biases[is_known] = known_weights, known_biases
        return weights.astype(np.float32), biases.astype(np.float32)
