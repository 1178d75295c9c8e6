"""Several models on the same folds of the same documents, each in a process of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from slugline.base.lazy import import_name

if TYPE_CHECKING:
    from slugline.compare.results import Comparison, ModelResult
    from slugline.compare.run import CompareSettings, compare_models

__all__ = ["CompareSettings", "Comparison", "ModelResult", "compare_models"]

# The processes of the models need none of these.
__getattr__ = partial(
    import_name,
    __name__,
    {
        "CompareSettings": "slugline.compare.run",
        "Comparison": "slugline.compare.results",
        "ModelResult": "slugline.compare.results",
        "compare_models": "slugline.compare.run",
    },
)
