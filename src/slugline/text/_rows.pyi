import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

def add_vector_scores(
    sums: Floats,
    known: Floats,
    min_known_fraction: float,
    weights: Floats,
    biases: Floats,
    factor: float,
    scores: Floats,
    is_known: npt.NDArray[np.bool_],
    /,
) -> None: ...
def weigh(
    values: Floats,
    columns: npt.NDArray[np.int32],
    lengths: npt.NDArray[np.integer],
    groups: tuple[tuple[int, Floats | None, float], ...],
    /,
) -> None: ...
def add_sparse_products(
    values: Floats,
    columns: npt.NDArray[np.int32],
    lengths: npt.NDArray[np.integer],
    weights: Floats,
    topics: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int32],
    scores: Floats,
    /,
) -> None: ...
def add_products(
    values: Floats,
    columns: npt.NDArray[np.int32],
    lengths: npt.NDArray[np.integer],
    n_each: int,
    table: Floats,
    scores: Floats,
    /,
) -> None: ...
