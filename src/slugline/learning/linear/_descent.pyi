from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

def group_rows(
    values: Array, columns: Array, starts: Array, rows: Array, sizes: Array, n_columns: int, /
) -> tuple[bytes, bytes, bytes, bytes]: ...
def descend(
    values: Array,
    columns: Array,
    starts: Array,
    rows: Array,
    sizes: Array,
    grouped: tuple[bytes, bytes, bytes, bytes] | None,
    numbers: Array,
    y: Array,
    y_starts: Array,
    negative: Array,
    positive: Array,
    rates: Array,
    weights: Array,
    biases: Array,
    sums: Array,
    highest: npt.NDArray[np.float32] | None,
    right: npt.NDArray[np.float32] | None,
    first_topic: int,
    /,
) -> None: ...
