import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

def scores(
    values: Floats,
    rows: npt.NDArray[np.uint16],
    columns: npt.NDArray[np.int32],
    ends: npt.NDArray[np.int64],
    table: Floats,
    scores: Floats,
    n_topics: int,
    /,
) -> None: ...
def sums(
    values: Floats,
    rows: npt.NDArray[np.uint16],
    columns: npt.NDArray[np.int32],
    ends: npt.NDArray[np.int64],
    table: Floats,
    slopes: Floats,
    n_topics: int,
    /,
) -> None: ...
