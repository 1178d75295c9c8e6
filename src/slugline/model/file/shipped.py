"""The models that come with Slugline, which are called by a name."""

from __future__ import annotations

import os
from pathlib import Path

from slugline.base.files import PathLike
from slugline.base.wording import nearest
from slugline.corpus.readers import names_documents
from slugline.errors import ModelFileError

#: The topics of each model that comes with Slugline, by its name.
SHIPPED = {"reuters46": "46 newswire topics of 1987"}
#: The model that answers if none is given.
DEFAULT_MODEL = "reuters46"
_FOLDER = Path(__file__).parents[1]


def model_path(model: PathLike) -> PathLike:
    """Return the path of a model, which may be given by its path or its name.

    Only a plain string is a name: "./reuters46" and Path("reuters46") are files. Raises
    ModelFileError if there is no such file, but the path resembles a name.
    """
    if model in SHIPPED:
        return _FOLDER / f"{model}.slug"
    if isinstance(model, str) and not os.path.lexists(model) and Path(model).name == model:
        near = nearest(model, SHIPPED, 0.8)
        if near is not None:
            raise ModelFileError(f"{model}: there is no such file; did you mean {near}?")
    return model


def is_shipped(model: PathLike) -> bool:
    """Whether this is the name of a model inside the package, or the path of its file."""
    places = {os.path.realpath(_FOLDER / f"{name}.slug") for name in SHIPPED}
    return model in SHIPPED or os.path.realpath(model) in places


def is_model(name: str) -> bool:
    """Whether this names an included model, or a file that looks like a model."""
    if name in SHIPPED or name.endswith(".slug"):
        return True
    # A pipe's first bytes would be lost to the next reader; an Excel file is a zip archive, too.
    if names_documents(name) or not Path(name).is_file():
        return False
    try:
        with Path(name).open("rb") as file:
            return file.read(2) == b"PK"
    except OSError:
        return False  # reading it as texts will say what is wrong
