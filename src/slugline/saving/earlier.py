"""Model files of earlier formats, brought up to today's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy.typing as npt
import scipy.sparse as sp

from slugline.errors import DataError
from slugline.saving.schema import FORMAT, ModelFile
from slugline.term_weights import as_arrays

__all__ = ["upgraded"]

_LEARNER = "learner."


def upgraded(file: ModelFile) -> ModelFile:
    """Return what a file holds in the form of today's format; it may come from anywhere.

    In format 1, each block's part of a row was scaled on its own, and linear learners had dense
    weights, no doubt, and a penalty on large weights, whose size was the option `C`.

    Raises
    ------
    DataError : if weights are no table.
    """
    if file.info.format == FORMAT:
        return file
    arrays = dict(file.arrays)
    learner = _upgraded_learner(file.info.learner, arrays, _LEARNER)
    info = msgspec.structs.replace(file.info, format=FORMAT, apart=True, learner=learner)
    return ModelFile(info, arrays, file.terms, file.card)


def _upgraded_learner(
    settings: Mapping[str, Any], arrays: dict[str, npt.NDArray[Any]], prefix: str
) -> dict[str, Any]:
    """Return the settings of a learner, and change its arrays, whose names begin with `prefix`."""
    new = dict(settings)
    if new.get("kind") == "linear":
        new.pop("C", None)
        new |= {"passes": None, "doubt": 0.0, "ambiguity": 0.0}
        _thin(arrays, prefix)
    if new.get("kind") == "mixture" and isinstance(new.get("learners"), list):
        new["learners"] = [
            _upgraded_learner(part, arrays, f"{prefix}{number}.")
            for number, part in enumerate(new["learners"])
        ]
    return new


def _thin(arrays: dict[str, npt.NDArray[Any]], prefix: str) -> None:
    """Replace dense weights by sparse ones."""
    dense = arrays.pop(f"{prefix}weights", None)
    if dense is None or dense.ndim != 2:
        raise DataError("a linear learner without a table of weights")
    arrays |= {prefix + name: array for name, array in as_arrays(sp.csr_array(dense)).items()}
