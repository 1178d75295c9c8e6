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
def pack(
    codes: npt.NDArray[np.uint32],
    columns: npt.NDArray[np.int32],
    lengths: npt.NDArray[np.int64],
    n_groups: int,
    n_column_bits: int,
    /,
) -> tuple[bytearray, bytearray]: ...
def unpack(
    packed: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    weights: Floats,
    scales: Floats | None,
    n_column_bits: int,
    groups: tuple[tuple[int, Floats | None, float], ...],
    rows: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    values: Floats,
    columns: npt.NDArray[np.int32],
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
