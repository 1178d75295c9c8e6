"""Outputs and steps of a net's first layer on sparse rows, by `_first_layer.c` or SciPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from slugline.base.arrays import F32, I32, Index, Integers, aligned
from slugline.text.sparse import has_kernel

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    import scipy.sparse as sp

try:
    from slugline.learning.net import _first_layer as _kernel
except ImportError:  # built without a compiler
    _kernel = None  # type: ignore[assignment]

kernel = _kernel

# Number of multiplications worth another thread: starting one takes about 50 microseconds.
_MIN_PART = 1 << 19
# Updating a column's weights takes as long as adding the gradients of this many entries.
_ENTRIES_PER_UPDATE = 16


class InputRows:
    """Rows of features, from which batches are taken.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
    n_threads : int, default 1
        Maximum number of threads per batch; results don't depend on it. With more than one, use
        the object as a context manager to stop them.
    """

    def __init__(self, X: sp.csr_array, n_threads: int = 1) -> None:
        self.X = X
        self.n_threads = n_threads
        self.arrays = (aligned(X.data), aligned(X.indices, np.int32), aligned(X.indptr, np.int64))
        self._column_bounds: dict[tuple[int, int], list[int]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> InputRows:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def take(self, rows: Integers | slice) -> RowBatch:
        """Return a batch of rows, in the given order."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(self.X.shape[0]))
        return RowBatch(self, aligned(rows, np.int32))

    def count_parts(self, n_rows: int, n_units: int) -> int:
        """Return the number of parts to split the work into, given its rows and units."""
        n_entries = n_rows * self.X.nnz // max(self.X.shape[0], 1)
        return max(1, min(self.n_threads, n_entries * n_units // _MIN_PART))

    def column_bounds(self, n_parts: int, n_rows: int) -> list[int]:
        """Return the bounds of column ranges that take about the same time for `n_rows` rows."""
        n_columns = self.X.shape[1]
        if n_parts == 1:
            return [0, n_columns]
        if (n_parts, n_rows) not in self._column_bounds:
            n_entries = self._column_lengths * (n_rows / max(self.X.shape[0], 1))
            work = np.cumsum(n_entries + _ENTRIES_PER_UPDATE * np.minimum(n_entries, 1))
            goals = work[-1] * np.arange(1, n_parts) / n_parts
            bounds = [0, *np.searchsorted(work, goals).tolist(), n_columns]
            self._column_bounds[n_parts, n_rows] = bounds
        return self._column_bounds[n_parts, n_rows]

    @cached_property
    def _column_lengths(self) -> Index:
        return np.bincount(self.X.indices, minlength=self.X.shape[1])

    def run_parts(self, work: Callable[[int], object], n_parts: int) -> None:
        """Call `work` with each part's number, on separate threads."""
        if n_parts == 1:
            work(0)
            return
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self.n_threads - 1, "slugline-net")
        futures = [self._pool.submit(work, part) for part in range(1, n_parts)]
        work(0)
        for future in futures:
            future.result()


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows of the input; `batch @ weights` multiplies them by the weights of a layer."""

    inputs: InputRows
    rows: I32  # shape (n_rows,)

    def __len__(self) -> int:
        return len(self.rows)

    def csr(self) -> sp.csr_array:
        """Return the rows, shape (n_rows, n_columns)."""
        return self.inputs.X[self.rows]

    def __matmul__(self, weights: F32) -> F32:
        """Return the product with weights, shape (n_rows, n_units)."""
        if not has_kernel():
            return np.asarray(self.csr() @ weights)
        n_units = weights.shape[1]
        product, weights = np.empty((len(self), n_units), dtype=np.float32), aligned(weights)
        n_parts = self.inputs.count_parts(len(self), n_units)
        bounds = [len(self) * part // n_parts for part in range(n_parts + 1)]

        def multiply(part: int) -> None:
            own = slice(bounds[part], bounds[part + 1])
            arrays = *self.inputs.arrays, self.rows[own], weights, product[own]
            kernel.multiply(*arrays, n_units)

        self.inputs.run_parts(multiply, n_parts)
        return product

    def descend(
        self,
        delta: F32,
        weights: F32,
        mean_squares: F32,
        last_steps: I32,
        *,
        step: int,
        learning_rate: float,
        complement: float,
        epsilon: float,
        decays: F32,
    ) -> None:
        """Take a step of RMSprop in place, with the kernel.

        Parameters
        ----------
        delta : float32 array, shape (n_rows, n_units)
            Derivative of the loss with respect to `self @ weights`.
        weights, mean_squares : float32 arrays, shape (n_columns, n_units)
        last_steps : int32 array, shape (n_columns,)
            The last step of each column.
        step : int
        learning_rate, complement, epsilon : float
            The options of `RMSprop`; `complement` is 1 - rho.
        decays : float32 array
            rho to the power of 0, 1, 2, ...
        """
        n_units, delta = weights.shape[1], aligned(delta)
        n_parts = self.inputs.count_parts(len(self), n_units)
        bounds = self.inputs.column_bounds(n_parts, len(self))
        is_sorted = bool(self.inputs.X.has_sorted_indices)

        def descend(part: int) -> None:
            kernel.descend(
                *self.inputs.arrays,
                self.rows,
                delta,
                weights,
                mean_squares,
                last_steps,
                decays,
                n_units,
                step,
                learning_rate,
                complement,
                epsilon,
                is_sorted,
                bounds[part],
                bounds[part + 1],
            )

        self.inputs.run_parts(descend, n_parts)
