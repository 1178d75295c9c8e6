"""Predictions for rows, files and data frames, on this machine or on a Dask cluster."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from slugline.base.lazy import import_name

if TYPE_CHECKING:
    from slugline.prediction.cluster import predict_frame, predict_partitions
    from slugline.prediction.job import predict_files
    from slugline.prediction.model_copy import ModelCopy
    from slugline.prediction.rows import PredictOptions

__all__ = ["ModelCopy", "PredictOptions", "predict_files", "predict_frame", "predict_partitions"]

__getattr__ = partial(
    import_name,
    __name__,
    {
        "slugline.prediction.cluster": ["predict_frame", "predict_partitions"],
        "slugline.prediction.job": ["predict_files"],
        "slugline.prediction.model_copy": ["ModelCopy"],
        "slugline.prediction.rows": ["PredictOptions"],
    },
)
