"""How people label, and the file of their labels: found, opened, and given a coder and topics."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from slugline.corpus.readers import is_database
from slugline.errors import OptionError, Parameter, StoreError
from slugline.labels.draws import REPEAT_AFTER, REPEAT_FRACTION
from slugline.labels.store import LabelStore
from slugline.labels.text_table import SOURCE, RowAssignments, TextTable, missing_note

#: The fraction of random draws by default.
RANDOM_FRACTION = 0.33


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """How people label; see `slugline.label`, whose parameters these are.

    Attributes
    ----------
    coder : str
        Who labels without a token.
    has_tokens : bool
        Whether people label with tokens, so that the coder is stored only if they do something.
    descriptions : mapping of str to str
        Topics to begin with, with their descriptions.
    is_multilabel : bool or None
        Whether a text may have several topics, or none; None for what the file says, and one topic
        each in a new file.
    random_fraction, double_fraction, repeat_fraction : float
    repeat_after : int
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
    repeat_after: int = REPEAT_AFTER
    settlers: Sequence[str] = ()


class OpenLabels(NamedTuple):
    """An open file of labels, the texts that they are of, who has which, and remarks on them."""

    store: LabelStore
    table: TextTable
    assignments: RowAssignments
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def open_labels(path: Path, table: TextTable, options: LabelOptions) -> Iterator[OpenLabels]:
    """Yield a file of labels that is ready to label texts; it is made if it is missing.

    A new file is removed if an error comes before somebody got a text, or a label was imported.

    Raises
    ------
    DataError : if the labels in the file are of other texts.
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
    """Remove a file of labels from which nobody got a text, and which has no label."""
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
    """Let texts have several topics, or one each; return what changes for those who label them."""
    if is_multilabel is None or is_multilabel == store.is_multilabel:
        return None
    store.set_multilabel(is_multilabel)
    if not store.has_assignments():
        return None
    if not is_multilabel:
        return f"from now on, texts in {store.path} have one topic each"
    return (
        f"from now on, texts in {store.path} may have several topics, or none, for everybody who "
        "labels them, and models give several; while none has, --single takes that back"
    )


def find_labels(file: str, output: Path | None) -> Path:
    """Return the file of labels: `output`, or `file` if that is a label database.

    Raises
    ------
    OptionError : if neither names it.
    """
    if output is not None:
        return output
    path = Path(file)
    if not path.is_file() or not is_database(path):
        raise OptionError(
            Parameter("output"),
            " is missing: name the file that is to keep the labels, such as labels.db.",
        )
    return path


def find_source(labels: Path) -> str:
    """Return the file of texts that a label database knows.

    Raises
    ------
    OptionError : if it isn't there.
    StoreError : if the label database can't be read.
    """
    with LabelStore(labels, create=False, is_read_only=True) as store:
        source = store.setting(SOURCE)
    if source is None:
        raise OptionError(
            f"{labels} doesn't know the file of its texts; name it, and give {labels} as ",
            Parameter("output"),
            ".",
        )
    # The command may run elsewhere than at first.
    for path in (Path(source), labels.parent / source):
        if path.is_file():
            return str(path)
    raise OptionError(
        f"{labels} has labels of texts in {source}, which isn't there; name it, and give {labels} "
        "as ",
        Parameter("output"),
        ".",
    )


def login_name() -> str:
    """Return the name of the user's login; OptionError if it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        raise OptionError(
            "your login has no name; give one with ", Parameter("coder"), "."
        ) from None


def add_topics(store: LabelStore, descriptions: Mapping[str, str], coder: str) -> None:
    """Add the topics that the codebook never had; describe those that have no description.

    Topics that were renamed, merged or described since are left as they are. The coder is stored
    if there is anything to add.
    """
    for name, description in descriptions.items():
        topic = store.codebook().find(name)
        if topic is None:
            store.add_coder(coder)
            store.add_topic(name, coder, description=description)
        elif description and not topic.description and topic.name == name:
            store.add_coder(coder)
            store.describe_topic(name, coder, description=description, examples=topic.examples)
