"""The state of training in parts, and its arrays in the files of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32
from slugline.base.checks import short_repr
from slugline.learning.linear.parts import PartWeights
from slugline.stream.checkpoint import ArraysByName

# Names of the files: of biases and held-out scores, and of the weights of each batch of topics.
_STATE, _WEIGHTS = "state", "weights-"
# Maximum number of bytes of a file in addition to those of weights.
_MAX_EXTRA_BYTES = 1 << 30


@dataclass
class PartState:
    """State of training in parts: the weights after some of them."""

    weights: PartWeights
    n_columns: int
    n_parts: int
    n_heldout: int  # Number of held-out rows
    n_done: int = 0  # Parts that have been learned from
    # shape (n_heldout, n_topics); None before held-out rows are scored
    heldout_scores: F32 | None = None

    @property
    def max_file_bytes(self) -> int:
        """Maximum number of bytes of a file of arrays."""
        width = max(topics.stop - topics.start for topics in self.weights.batches)
        return _MAX_EXTRA_BYTES + 16 * self.n_columns * width

    def to_files(self) -> Iterator[tuple[str, ArraysByName]]:
        """Yield the name and arrays of each file."""
        arrays: dict[str, npt.NDArray[Any]] = {"biases": self.weights.biases}
        if self.heldout_scores is not None:
            arrays["scores"] = self.heldout_scores
        yield _STATE, arrays
        batches = self.weights.batches, self.weights.weights, self.weights.sums
        for topics, weights, sums in zip(*batches, strict=True):
            masks, halves = weights.arrays()
            yield f"{_WEIGHTS}{topics.start}", {"masks": masks, "halves": halves, "sums": sums}

    def restore(self, files: Mapping[str, ArraysByName]) -> None:
        """Restore the arrays from untrusted files, given `n_done`.

        Raises
        ------
        ValueError, LookupError, TypeError : if files are inconsistent, or hold NaN or infinity.
        """
        _check_finite(files)
        if not 0 <= self.n_done <= self.n_parts:
            raise ValueError(f"{self.n_done} of {self.n_parts} parts have been learned from")
        arrays, n_topics = files[_STATE], len(self.weights.biases)
        self.weights.biases[:] = _check_array(arrays["biases"], np.float32, (n_topics,))
        if "scores" in arrays:
            shape = self.n_heldout, n_topics
            self.heldout_scores = _check_array(arrays["scores"], np.float32, shape)
        for number, topics in enumerate(self.weights.batches):
            arrays = files[f"{_WEIGHTS}{topics.start}"]
            masks = _check_array(arrays["masks"], np.uint32, (self.n_columns,))
            halves = _check_array(arrays["halves"], np.uint16, (None,))
            self.weights.weights[number].restore(masks, halves)
            sums = _check_array(arrays["sums"], np.float32, (self.n_columns + 1,))
            self.weights.sums[number] = sums


def _check_finite(files: Mapping[str, ArraysByName]) -> None:
    for name, array in (item for arrays in files.values() for item in arrays.items()):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"array {short_repr(name)} holds NaN or infinity")


def _check_array(array: npt.NDArray[Any], dtype: type, shape: tuple[int | None, ...]) -> Any:
    """Return the array if it has the type and shape, in which None is any length."""
    fits = len(array.shape) == len(shape) and all(
        expected in (None, length) for length, expected in zip(array.shape, shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        raise ValueError(f"an array has type {array.dtype} and shape {array.shape}")
    return array
