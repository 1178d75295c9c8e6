import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

def gram(
    values: Floats, rows: npt.NDArray[np.uint16], ends: npt.NDArray[np.int64], table: Floats, /
) -> None: ...
def minimize(
    gram: Floats,
    signs: Floats,
    costs: Floats,
    coefficients: Floats,
    bias: float,
    precision: float,
    forcing: float,
    slope: float,
    n_sweeps: int,
    most_steps: int,
    most_products: int,
    most_cuts: int,
    /,
) -> None: ...
