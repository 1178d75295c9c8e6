from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

class Scorer:
    def __init__(
        self,
        feature_groups: tuple[tuple[Any, ...], ...],
        words_group: int,
        weights: tuple[npt.NDArray[Any], ...],
        biases: npt.NDArray[np.float32],
        vectors: tuple[Any, ...] | None,
        /,
    ) -> None: ...
    def score(
        self,
        text: bytes,
        lengths: npt.NDArray[np.int64],
        letters: bytes,
        characters: npt.NDArray[np.uint32] | None,
        normalize: Callable[[int], bytes],
        weigh_count: Callable[[float, int], float],
        scores: npt.NDArray[np.float32],
        n_known: npt.NDArray[np.int64],
        n_words: npt.NDArray[np.int64],
        has_vectors: npt.NDArray[np.bool_],
        /,
    ) -> None: ...
