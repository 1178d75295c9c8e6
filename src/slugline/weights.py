"""What each row counts in a loss: the user's weight for it, times that of its topic."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slugline.errors import DataError

__all__ = ["row_weights"]

Floats = npt.NDArray[np.float32]


def row_weights(
    n_rows: int, sample_weight: npt.ArrayLike | None, topic_weight: Floats | None
) -> Floats | None:
    """Multiply two weights per row into one.

    Parameters
    ----------
    n_rows : int
    sample_weight : float array, shape (n_rows,), or None if all are 1
    topic_weight : float32 array, shape (n_rows,), or None if all are 1
        The weight of each row's topic.

    Returns
    -------
    float32 array, shape (n_rows,), or None if all are 1.

    Raises
    ------
    DataError : if there is not one weight per row, or one is negative or not finite, or all are 0.
    """
    if sample_weight is None and topic_weight is None:
        return None
    weight = np.ones(n_rows, dtype=np.float32)
    if sample_weight is not None:
        given = np.asarray(sample_weight, dtype=np.float32)
        if given.shape != weight.shape:
            raise DataError(
                f"sample_weight has shape {given.shape}; give one weight for each of the "
                f"{n_rows} rows."
            )
        weight *= given
    if topic_weight is not None:
        weight *= topic_weight
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise DataError("a weight is negative or not finite; give weights of at least 0.")
    if not weight.any():
        raise DataError("every weight is zero; give some rows a weight over 0.")
    return weight
