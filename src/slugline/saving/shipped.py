"""Models inside the package, known by name."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["DEFAULT", "SHIPPED", "is_shipped", "model_path"]

#: The topics that each of them distinguishes.
SHIPPED = {"reuters46": "46 newswire topics of 1987"}
#: The one that answers if none is named.
DEFAULT = "reuters46"
_FOLDER = Path(__file__).parents[1] / "models"


def model_path(model: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return the path of a model, which may be given by name.

    Only a plain string is a name: "./reuters46" and Path("reuters46") are files.
    """
    return _FOLDER / f"{model}.slug" if model in SHIPPED else model


def is_shipped(model: str | os.PathLike[str]) -> bool:
    """Return whether this is the name of a model inside the package, or the path of its file."""
    places = {os.path.realpath(_FOLDER / f"{name}.slug") for name in SHIPPED}
    return model in SHIPPED or os.path.realpath(model) in places
