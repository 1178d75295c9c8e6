"""What a checkpoint is tied to: all that the last bit of what is learned depends on."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import scipy

from slugline import _version
from slugline.displays import counted
from slugline.fit_settings import FitSettings
from slugline.sample_weights import plain_class_weight
from slugline.scale.checkpoint import Checkpoint
from slugline.scale.rows import Rows
from slugline.training.row_block import RowBlock

__all__ = ["tie_to_documents", "tie_to_settings"]

# Digits of digests.
_DIGITS = 16


def tie_to_settings(kept: Checkpoint | None, settings: FitSettings, tolerance: float) -> None:
    """Tie a checkpoint, if there is one, to what is known before documents are read.

    Threads, memory and the seed play no part in what is learned, and `min_precision` comes after.

    Raises
    ------
    CheckpointError : if it is of another job.
    """
    if kept is None:
        return
    weights = plain_class_weight(settings.class_weight) or "equal"
    kept.tie(
        {
            "versions of Slugline": _version.__version__,
            "versions of NumPy": np.__version__,
            "versions of SciPy": scipy.__version__,
            "terms": repr(settings.batch_blocks()),
            "weights of topics": json.dumps(weights, sort_keys=True, default=str),
            "tolerances": repr(float(tolerance)),
        }
    )


def tie_to_documents(kept: Checkpoint | None, rows: Rows, n_documents: int, digest: str) -> None:
    """Tie a checkpoint, if there is one, to documents, and how they are cut into blocks.

    Raises
    ------
    CheckpointError : if it is of another job.
    """
    if kept is None:
        return
    blocks = rows.engine.each(n_rows)
    both = hashlib.sha256(f"{digest} {blocks}".encode()).hexdigest()[:_DIGITS]
    known = f"{n_documents:,} in {counted(len(blocks), 'block')}, digest {both}"
    kept.tie({"documents": known})


def n_rows(block: RowBlock) -> int:
    """Return how many rows a block has."""
    return len(block.y)
