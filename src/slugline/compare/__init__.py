"""Several models on the same folds of the same documents, each in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slugline.base.lazy import lazy_names

if TYPE_CHECKING:
    from slugline.compare.results import Comparison, ModelResult
    from slugline.compare.run import CompareSettings, compare_models

__all__ = ["CompareSettings", "Comparison", "ModelResult", "compare_models"]

# The processes of the models need none of these.
__getattr__ = lazy_names(
    __name__,
    {
        "CompareSettings": "slugline.compare.run",
        "Comparison": "slugline.compare.results",
        "ModelResult": "slugline.compare.results",
        "compare_models": "slugline.compare.run",
    },
)
