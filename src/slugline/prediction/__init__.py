"""Learning from more documents than fit into memory, and answers to more than fit on a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slugline.base.lazy import lazy_names

if TYPE_CHECKING:
    from slugline.prediction.cluster import answer_frame, predict_partitions
    from slugline.prediction.job import predict_files
    from slugline.prediction.task import How, ModelCopy

__all__ = [
    "How",
    "ModelCopy",
    "answer_frame",
    "predict_files",
    "predict_partitions",
]

__getattr__ = lazy_names(
    __name__,
    {
        "How": "slugline.prediction.task",
        "ModelCopy": "slugline.prediction.task",
        "answer_frame": "slugline.prediction.cluster",
        "predict_files": "slugline.prediction.job",
        "predict_partitions": "slugline.prediction.cluster",
    },
)
