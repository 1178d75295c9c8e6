"""The file of texts that `slugline label` shows, and the file of their labels."""

from __future__ import annotations

from pathlib import Path

from slugline.corpus.readers import is_database
from slugline.errors import OptionError
from slugline.labels.store import LabelStore
from slugline.labels.text_table import SOURCE


def find_labels(file: str, output: Path | None) -> Path:
    """Return the file of labels: --output, or the first argument if that is a label database.

    Raises
    ------
    OptionError : if neither names it.
    """
    if output is not None:
        return output
    path = Path(file)
    if not path.is_file() or not is_database(path):
        raise OptionError(
            "--output is missing: name the file that is to keep the labels, such as -o labels.db."
        )
    return path


def find_texts(file: str, output: Path | None) -> str:
    """Return the file of texts, which a label database knows if it is given alone.

    Raises
    ------
    OptionError : if it isn't there.
    StoreError : if the label database can't be read.
    """
    if output is not None:
        return file
    labels = Path(file)
    with LabelStore(labels, create=False, is_read_only=True) as store:
        source = store.setting(SOURCE)
    command = f"slugline label TEXTS -o {labels}"
    if source is None:
        raise OptionError(f"{labels} doesn't know the file of its texts; name it: {command}")
    # The command may run elsewhere than at first.
    for path in (Path(source), labels.parent / source):
        if path.is_file():
            return str(path)
    raise OptionError(
        f"{labels} has labels of texts in {source}, which isn't there; name it: {command}"
    )
