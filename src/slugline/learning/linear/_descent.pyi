from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

def descend(
    values: Array,
    columns: Array,
    starts: Array,
    y: Array,
    y_starts: Array,
    negative: Array,
    positive: Array,
    rows: Array,
    sizes: Array,
    rates: Array,
    weights: Array,
    biases: Array,
    sums: Array,
    highest: npt.NDArray[np.float32] | None,
    right: npt.NDArray[np.float32] | None,
    first_topic: int,
    /,
) -> None: ...
def read_halves(
    masks: Array, halves: Array, rows: Array, weights: Array, n_topics: int, /
) -> None: ...
def write_halves(
    masks: Array, halves: Array, rows: Array, weights: Array, n_topics: int, least: float, /
) -> tuple[bytearray, bytearray]: ...
def sum_squares(weights: Array, n_topics: int, /) -> tuple[float, int]: ...
