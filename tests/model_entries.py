"""Entries of model files, read, changed and packed again."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

Entries = dict[str, bytes]
Arrays = dict[str, Any]
JSON, WEIGHTS, VOCABULARY, CARD = "model.json", "weights.safetensors", "vocabulary.txt", "card.md"


def unzip(data: bytes) -> Entries:
    """Return the content of each entry."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rezip(
    entries: Entries | Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_STORED
) -> bytes:
    """Return a file with these entries; pairs may name one entry twice."""
    pairs = entries.items() if isinstance(entries, dict) else entries
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")
        for name, content in pairs:
            archive.writestr(name, content)
    return buffer.getvalue()


def with_info(entries: Entries, info: Any) -> Entries:
    """Return entries with another `model.json`."""
    return entries | {JSON: json.dumps(info).encode()}


def with_arrays(entries: Entries, arrays: Arrays) -> Entries:
    """Return entries with other weights."""
    # Not np.ascontiguousarray, which gives every array a dimension.
    arrays = {name: np.array(array, order="C") for name, array in arrays.items()}
    return entries | {WEIGHTS: save_arrays(arrays)}


def change_info(entries: Entries, change: Callable[[Any], object]) -> Entries:
    """Return entries whose `model.json` a function has changed."""
    info = json.loads(entries[JSON])
    change(info)
    return with_info(entries, info)


def change_arrays(entries: Entries, change: Callable[[Arrays], Arrays]) -> Entries:
    """Return entries with the weights that a function makes from theirs."""
    return with_arrays(entries, change(load_arrays(entries[WEIGHTS])))
