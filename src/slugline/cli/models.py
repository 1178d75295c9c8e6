"""Models that commands are given: known by their names, or by how their files begin."""

from __future__ import annotations

from pathlib import Path

from slugline.errors import DataError
from slugline.saving.shipped import SHIPPED

__all__ = ["check_model_first", "is_model"]


def check_model_first(command: str, model: str, file: str) -> None:
    """Check that MODEL and the file after it were not given in the other order.

    Raises
    ------
    DataError : if the second is a model, and the first is none.
    """
    if is_model(file) and not is_model(model):
        raise DataError(
            f"{model} is not a model, but {file} is one; the model comes first: "
            f"slugline {command} {file} {model}"
        )


def is_model(name: str) -> bool:
    """Whether this names a shipped model, or a file that looks like a model."""
    if name in SHIPPED or name.endswith(".slug"):
        return True
    # A pipe's first bytes would be lost to the next reader.
    if not Path(name).is_file():
        return False
    try:
        with Path(name).open("rb") as file:
            return file.read(2) == b"PK"
    except OSError:
        return False  # reading it as texts will say what is wrong
