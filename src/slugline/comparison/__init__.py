"""Several models on the same folds of the same documents, each in a process of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from slugline.base.lazy import import_name

if TYPE_CHECKING:
    from slugline.comparison.results import Comparison, ModelResult
    from slugline.comparison.run import CompareSettings, compare_models

__all__ = ["CompareSettings", "Comparison", "ModelResult", "compare_models"]

# The processes of the models need none of these.
__getattr__ = partial(
    import_name,
    __name__,
    {
        "CompareSettings": "slugline.comparison.run",
        "Comparison": "slugline.comparison.results",
        "ModelResult": "slugline.comparison.results",
        "compare_models": "slugline.comparison.run",
    },
)
