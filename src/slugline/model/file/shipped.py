"""Names of models: included models, files, and questions of a file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from slugline.base.files import PathLike
from slugline.base.wording import nearest
from slugline.corpus.readers import names_documents
from slugline.errors import ModelFileError

#: Topics of each included model, by model name.
SHIPPED = {"reuters46": "46 newswire topics of 1987"}
#: Default model.
DEFAULT_MODEL = "reuters46"
_FOLDER = Path(__file__).parents[1]
_QUESTION = re.compile(r"(.+?\.slug):(.+)", re.DOTALL)


def split_question(model: PathLike) -> tuple[PathLike, str | None]:
    """Return the path of a file, and the question that a path such as desk.slug:queue names.

    >>> split_question("desk.slug:queue"), split_question("desk.slug")
    (('desk.slug', 'queue'), ('desk.slug', None))
    """
    match = _QUESTION.fullmatch(os.fspath(model))
    if match is None or os.path.lexists(model):
        return model, None
    return match[1], match[2]


def model_path(model: PathLike) -> PathLike:
    """Return the path of a model given by path or name.

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
    """Return True for the name of an included model or the path of its file."""
    places = {os.path.realpath(_FOLDER / f"{name}.slug") for name in SHIPPED}
    return model in SHIPPED or os.path.realpath(model) in places


def is_model(name: str) -> bool:
    """Return True for the name of an included model, or a file that looks like a model."""
    if name in SHIPPED or str(split_question(name)[0]).endswith(".slug"):
        return True
    # Reading a pipe would consume its first bytes; an Excel file is also a zip archive.
    if names_documents(name) or not Path(name).is_file():
        return False
    try:
        with Path(name).open("rb") as file:
            return file.read(2) == b"PK"
    except OSError:
        return False  # reading it as texts reports the error
