import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

def multiply(
    values: Floats,
    columns: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int32],
    weights: Floats,
    product: Floats,
    n_units: int,
    /,
) -> None: ...
def descend(
    values: Floats,
    columns: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int32],
    delta: Floats,
    weights: Floats,
    mean_squares: Floats,
    last_steps: npt.NDArray[np.int32],
    decays: Floats,
    n_units: int,
    step: int,
    rate: float,
    complement: float,
    epsilon: float,
    is_sorted: bool,
    first: int,
    stop: int,
    /,
) -> None: ...
