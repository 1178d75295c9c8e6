"""Learning from more documents than fit into memory, and answers to more than fit on a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slugline.lazy import lazy_names

if TYPE_CHECKING:
    from slugline.scale.answering import How
    from slugline.scale.model_copy import ModelCopy
    from slugline.scale.partitions import answer_frame, predict_partitions
    from slugline.scale.predicting import predict_files

__all__ = ["How", "ModelCopy", "answer_frame", "predict_files", "predict_partitions"]

__getattr__ = lazy_names(
    __name__,
    {
        "How": "slugline.scale.answering",
        "ModelCopy": "slugline.scale.model_copy",
        "answer_frame": "slugline.scale.partitions",
        "predict_files": "slugline.scale.predicting",
        "predict_partitions": "slugline.scale.partitions",
    },
)
