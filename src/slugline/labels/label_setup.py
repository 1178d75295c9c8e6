"""Labelling options, and finding, opening and preparing a label database."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from slugline.corpus.readers import is_database
from slugline.errors import Message, OptionError, Parameter, StoreError
from slugline.labels.draws import REPEAT_FRACTION
from slugline.labels.store import LabelStore
from slugline.labels.text_table import SOURCE, RowAssignments, TextTable, missing_note

#: Default fraction of random draws.
RANDOM_FRACTION = 0.33


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Labelling options; see the parameters of `slugline.label`.

    Attributes
    ----------
    coder : str
        Name of the coder without a token.
    has_tokens : bool
        True if coders use tokens; `coder` is then stored only if needed.
    descriptions : mapping of str to str
        Initial topics with their descriptions.
    is_multilabel : bool or None
        True to allow any number of topics per text; None for the stored setting, False in a new
        file.
    random_fraction, double_fraction, repeat_fraction : float
    show_guesses : bool
    settlers : sequence of str
    """

    coder: str
    has_tokens: bool = False
    descriptions: Mapping[str, str] = field(default_factory=dict)
    is_multilabel: bool | None = None
    random_fraction: float = RANDOM_FRACTION
    show_guesses: bool = False
    double_fraction: float = 0.0
    repeat_fraction: float = REPEAT_FRACTION
    settlers: Sequence[str] = ()


class OpenLabels(NamedTuple):
    """An open label database, its texts, their assignments, and notes."""

    store: LabelStore
    table: TextTable
    assignments: RowAssignments
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def open_labels(path: Path, table: TextTable, options: LabelOptions) -> Iterator[OpenLabels]:
    """Yield a label database prepared for labelling, created if missing.

    A new file is removed after an error if it has no assignments or labels.

    Raises
    ------
    DataError : if the file has labels of other texts.
    StoreError : if the file can't be used.
    """
    is_new = not path.exists()
    try:
        with LabelStore(path) as store:
            yield _prepare(store, table, options)
    except BaseException:
        if is_new:
            _remove_unused(path)
        raise


def _remove_unused(path: Path) -> None:
    """Remove a label database without assignments or labels."""
    with contextlib.suppress(StoreError, OSError):
        with LabelStore(path, create=False) as store:
            is_used = store.has_assignments()
        if not is_used:
            path.unlink()


def _prepare(store: LabelStore, table: TextTable, options: LabelOptions) -> OpenLabels:
    if not options.has_tokens:
        store.add_coder(options.coder)
    assignments = RowAssignments.from_store(table, store)
    table.remember_source(store)
    notes = missing_note(assignments, table), _set_multilabel(store, options.is_multilabel)
    add_topics(store, options.descriptions, options.coder)
    return OpenLabels(store, table, assignments, tuple(note for note in notes if note))


def _set_multilabel(store: LabelStore, is_multilabel: bool | None) -> str | None:
    """Change the number of topics per text; return a note for coders, or None."""
    if is_multilabel is None or is_multilabel == store.is_multilabel:
        return None
    store.set_multilabel(is_multilabel)
    if not store.has_assignments():
        return None
    if not is_multilabel:
        return f"from now on, texts in {store.path} have one topic each"
    return (
        f"from now on, texts in {store.path} may have any number of topics, for all coders and "
        "models; --single undoes this while all texts have one topic"
    )


def find_labels(file: str, output: Path | None) -> Path:
    """Return the label database: `output`, or `file` if it is one.

    Raises
    ------
    OptionError : if neither names it.
    """
    if output is not None:
        return output
    path = Path(file)
    if not path.is_file() or not is_database(path):
        raise OptionError(
            Parameter("output"), " is missing: name a file for the labels, such as labels.db."
        )
    return path


def find_source(labels: Path, advice: Message | None = None) -> str:
    """Return the file of texts recorded in a label database.

    `advice` tells how to pass that file and the database; by default, as those of `slugline.label`.

    Raises
    ------
    OptionError : if unknown or missing.
    StoreError : if the label database can't be read.
    """
    advice = advice or Message(f"pass that file, and {labels} as ", Parameter("output"), ".")
    with LabelStore(labels, create=False, is_read_only=True) as store:
        source = store.setting(SOURCE)
    if source is None:
        raise OptionError(f"{labels} does not record its text file; ", advice)
    # The current folder may have changed.
    for path in (Path(source), labels.parent / source):
        if path.is_file():
            return str(path)
    raise OptionError(f"{labels} has labels of texts in {source}, which is missing; ", advice)


def login_name() -> str:
    """Return the user's login name; OptionError if there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        raise OptionError(
            "cannot find your login name; give a name with ", Parameter("coder"), "."
        ) from None


def add_topics(store: LabelStore, descriptions: Mapping[str, str], coder: str) -> None:
    """Add topics that were never in the codebook, and missing descriptions.

    Renamed, merged and described topics stay as they are. The coder is stored if anything is added.
    """
    for name, description in descriptions.items():
        topic = store.codebook().find(name)
        if topic is None:
            store.add_coder(coder)
            store.add_topic(name, coder, description=description)
        elif description and not topic.description and topic.name == name:
            store.add_coder(coder)
            store.describe_topic(name, coder, description=description, examples=topic.examples)
