"""Label texts on a web page, and exchange labels with other tools."""

from __future__ import annotations

import atexit
import contextlib
import html
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slugline.base.checks import option_error, short_repr
from slugline.base.files import PathLike
from slugline.base.lazy import import_extra
from slugline.base.wording import counted
from slugline.corpus.documents import check_texts
from slugline.corpus.label_database.records import CoderKind
from slugline.corpus.layout import Format, ReadOptions
from slugline.corpus.loading import read_texts
from slugline.corpus.readers import read_frame, read_rows
from slugline.corpus.rows import Frame
from slugline.corpus.topics import read_descriptions
from slugline.errors import DataError, OptionError, Parameter
from slugline.labels import agreement
from slugline.labels.agreement import Agreement
from slugline.labels.draws import REPEAT_FRACTION
from slugline.labels.formats import tables
from slugline.labels.formats.importing import ImportReport
from slugline.labels.formats.label_studio import (
    LABEL_STUDIO,
    ExportReport,
    export_label_studio,
    export_setup,
    import_label_studio,
    is_label_studio_file,
)
from slugline.labels.formats.tables import TableExportReport, export_table, import_table
from slugline.labels.label_report import LabelReport
from slugline.labels.label_setup import (
    RANDOM_FRACTION,
    LabelOptions,
    find_labels,
    find_source,
    login_name,
    open_labels,
)
from slugline.labels.store import LabelStore
from slugline.labels.text_table import SOURCE, SourceColumns, TextTable, stored_text_columns

if TYPE_CHECKING:
    from slugline.labels.draws import Selector
    from slugline.serving.serve_settings import ServeSettings
    from slugline.serving.server.app_server import ServerThread

#: Texts to label: a file, a data frame, or the texts themselves.
Texts = PathLike | Frame | Iterable[str]
#: A label database: an open one, or its path.
Labels = LabelStore | PathLike
#: A labelling tool with its own file format.
Tool = Literal["label-studio"]

# Maximum request size in bytes: a note, or the description of a topic with examples.
_MAX_BODY = 1 << 20


class LabelPage(contextlib.AbstractContextManager["LabelPage"]):
    """A web page for labelling texts; see `slugline.label`.

    As a context manager, it stops the page on exit. The page also stops when Python exits.

    Attributes
    ----------
    url : str
        The address of the page.
    path : Path
        The label database.
    notes : tuple of str
        Notes about the texts, such as the columns that were read.
    """

    def __init__(
        self,
        *,
        url: str,
        path: Path,
        notes: Sequence[str],
        selector: Selector,
        thread: ServerThread,
        closers: contextlib.ExitStack,
    ) -> None:
        self.url, self.path, self.notes = url, path, tuple(notes)
        self._selector, self._thread, self._closers = selector, thread, closers

    @property
    def is_running(self) -> bool:
        """True while the page can be opened."""
        return self._thread.is_running

    @property
    def report(self) -> LabelReport | None:
        """Report on a model trained on the current labels, or None if there are too few."""
        return self._selector.report

    def stop(self) -> None:
        """Stop the page. All labels shown as saved are in the file."""
        if _pages.get(self.path.resolve()) is self:
            del _pages[self.path.resolve()]
        self._closers.close()

    def wait(self) -> None:
        """Wait until the page stops. Ctrl-C stops it."""
        try:
            self._thread.join()
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = self.url if self.is_running else "ended"
        return f"<LabelPage {state}, labels in {self.path}>"

    def _repr_html_(self) -> str:
        path = html.escape(str(self.path))
        if not self.is_running:
            return f"<p>The page has ended. The labels are in {path}.</p>"
        url = html.escape(self.url)
        return f'<p><a href="{url}" target="_blank">{url}</a>; the labels are in {path}.</p>'


# Running pages, by the path of their label database.
_pages: dict[Path, LabelPage] = {}


@atexit.register
def _stop_pages() -> None:
    for page in [*_pages.values()]:
        page.stop()


def label(
    data: Texts,
    output: PathLike | None = None,
    *,
    topics: Mapping[str, str] | Sequence[str] | PathLike | None = None,
    multilabel: bool | None = None,
    coder: str | None = None,
    random_fraction: float = RANDOM_FRACTION,
    show_guesses: bool = False,
    double_fraction: float = 0.0,
    repeat_fraction: float = REPEAT_FRACTION,
    settlers: Sequence[str] = (),
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    id: str | None = None,  # noqa: A002 (the user's word)
    format: Format | None = None,  # noqa: A002 (the user's word)
    encoding: str | None = None,
    separator: str | None = None,
    header_row: int | None = None,
    settings: ServeSettings | None = None,
    announce: Callable[[str], object] = print,
    insecure: bool = False,
    block: bool = False,
) -> LabelPage:
    """Open a web page for labelling texts, as `slugline label` does.

    The page runs in the background until it is stopped or Python exits. Each label is on disk
    before the next text appears. Calling it again with the same `output`, such as by re-running a
    notebook cell, replaces the earlier page and keeps its labels.

    Parameters
    ----------
    data : path, data frame, or iterable of str
        Texts without topics. If `output` is omitted, `data` is a label database to resume.
    output : path, optional
        The label database (SQLite). Other functions accept it as data.
    topics : mapping of str to str, sequence of str, or path, optional
        Initial topics: a mapping of names to descriptions, names only, or a table with the columns
        "name" and "description".
    multilabel : bool, optional
        True allows any number of topics per text. False reverts to one, which fails if a text
        already has several. By default, the setting stored in `output`; False in a new file.
    coder : str, optional
        Coder name if there are no tokens; by default your login name.
    random_fraction : float from 0.05 to 1, default 0.33
        The fraction of texts drawn at random; lowered once the accuracy estimate is precise.
    show_guesses : bool, default False
        Show the model's guess before a coder decides, except for random draws. Then only random
        draws count towards the accuracy.
    double_fraction : float from 0 to 1, default 0.0
        The fraction of each coder's texts that a second coder labels as well.
    repeat_fraction : float from 0 to 1, default 0.02
        The fraction of a coder's texts that are repeated after 50 others, to measure consistency.
    settlers : sequence of str, optional
        Coders who may settle disagreements; by default everybody.
    text : str or sequence of str, optional
        The columns to read; guessed by default.
    topic : str, optional
        The topic column, hidden from coders; guessed by default.
    id : str, optional
        The id column; by default one with a common name such as "id".
    format, encoding, separator, header_row : optional
        As in `load_corpus`.
    settings : ServeSettings, optional
        Address and port, tokens, and limits of the server.
    announce : callable, default print
        Called with the address once the page is ready.
    insecure : bool, default False
        Let other machines use the page without a token.
    block : bool, default False
        Wait until Ctrl-C, then stop the page.

    Returns
    -------
    LabelPage
        Its `url` is the address; `stop()` stops it.

    Raises
    ------
    DataError : if the data can't be read, or `output` contains labels of other texts.
    OptionError : if a parameter is invalid, or the extra "serve" is not installed.
    ServerError : if the address can't be used.
    StoreError : if `output` can't be used.

    Examples
    --------
    >>> import slugline, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> texts = ["My invoice is wrong", "Where is my parcel?"]
    >>> settings = slugline.ServeSettings(port=0)
    >>> with slugline.label(texts, f"{folder.name}/labels.db", coder="Kim", topics=["billing"],
    ...                     settings=settings, announce=lambda url: None) as page:
    ...     page.is_running
    True
    >>> folder.cleanup()
    """
    _check_fraction("random_fraction", random_fraction, 0.05)
    _check_fraction("double_fraction", double_fraction, 0.0)
    _check_fraction("repeat_fraction", repeat_fraction, 0.0)
    from slugline.serving.serve_settings import ServeSettings

    settings = ServeSettings(max_body=_MAX_BODY) if settings is None else settings
    if not isinstance(settings, ServeSettings):
        raise option_error("settings", settings, "a `ServeSettings`")
    if not insecure:
        settings.check_is_guarded("read and label the texts")
    if output is None:
        path = find_labels(os.fspath(data) if isinstance(data, str | os.PathLike) else "", None)
        data = find_source(path)
    else:
        path = Path(output)
    earlier = _pages.get(path.resolve())
    if earlier is not None:
        earlier.stop()
    import_extra("granian", "pages to label texts", "serve", OptionError)
    from slugline.serving.labelling.app import make_label_app
    from slugline.serving.labelling.handlers import LabelState
    from slugline.serving.labelling.service import check_settlers, make_label_service
    from slugline.serving.server.addresses import find_address
    from slugline.serving.server.app_server import ServerThread

    options = LabelOptions(
        coder=coder or login_name(),
        has_tokens=bool(settings.accepted_tokens),
        descriptions=_descriptions(topics),
        is_multilabel=multilabel,
        random_fraction=random_fraction,
        show_guesses=show_guesses,
        double_fraction=double_fraction,
        repeat_fraction=repeat_fraction,
        settlers=settlers,
    )
    check_settlers(settlers, settings, options.coder)
    reading = ReadOptions(
        text=text,
        topic=topic,
        format=format,
        encoding=encoding,
        separator=separator,
        id=id,
        header_row=header_row,
    )
    with contextlib.ExitStack() as stack:
        address = find_address(settings.host, settings.port)
        table, notes = _read_table(SourceColumns.from_file(path), data, reading)
        labels = stack.enter_context(open_labels(path, table, options))
        notes += map(str, labels.notes)
        service = make_label_service(labels, options)
        stack.callback(service.close)
        state = LabelState(settings, service)
        stack.callback(state.threads.close)
        thread = ServerThread(make_label_app(state), settings, address)
        stack.callback(thread.stop)
        page = LabelPage(
            url=address.url,
            path=path,
            notes=notes,
            selector=service.selector,
            thread=thread,
            closers=stack.pop_all(),
        )
    _pages[path.resolve()] = page
    announce(address.url)
    if block:
        page.wait()
    return page


def _check_fraction(name: str, value: object, least: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= 1:  # type: ignore[operator]
        raise option_error(name, value, f"a number from {least:g} to 1")


def _descriptions(topics: Mapping[str, str] | Sequence[str] | PathLike | None) -> dict[str, str]:
    """Return topic descriptions by name, empty for topics without one."""
    if topics is None:
        return {}
    if isinstance(topics, str | os.PathLike):
        return read_descriptions(os.fspath(topics), may_be_empty=True)
    if isinstance(topics, Mapping):
        return dict(topics)
    return dict.fromkeys(check_texts(topics, "topics"), "")


def _read_table(
    stored: SourceColumns, data: Texts, reading: ReadOptions
) -> tuple[TextTable, list[str]]:
    """Read the texts to label and notes about them; columns default to the stored ones."""
    text = reading.text or stored.text
    if isinstance(data, str | os.PathLike):
        rows = read_rows(os.fspath(data), replace(reading, text=text), fallback="txt")
    elif isinstance(data, Frame):
        rows = read_frame(data)
    else:
        texts = check_texts(data, "data")
        filled = [each for each in texts if each.strip()]
        if not filled:
            raise DataError(Parameter("data"), " contains no texts; give at least one.")
        n_skipped = len(texts) - len(filled)
        notes = [f"skipped {counted(n_skipped, 'row')} without text"] if n_skipped else []
        return TextTable("the texts", filled), notes
    unlabelled = read_texts(rows, text)
    remarks = rows.note, unlabelled.note, unlabelled.skipped_note
    notes = [str(note) for note in remarks if note]
    table = TextTable.from_texts(rows.name, unlabelled, stored, reading.topic, reading.id)
    return table, notes


# Exchange -----------------------------------------------------------------------------------------


def import_labels(
    labels: Labels,
    path: PathLike,
    *,
    coder: str | None = None,
    kind: CoderKind = "person",
    data: Texts | None = None,
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    id: str | None = None,  # noqa: A002 (the user's word)
    header_row: int | None = None,
) -> ImportReport:
    r"""Add labels from a file to a label database.

    Parameters
    ----------
    labels : LabelStore, or path of a label database
        Created if missing.
    path : path
        A JSON export of Label Studio, or a table with topics.
    coder : str, optional
        Coder to credit. Defaults to the coder named in the file, else label-studio; for tables,
        your login name.
    kind : {"person", "imported"}, default "person"
        Labels of an "imported" coder, such as a language model, are only compared with people's
        labels, never used as the truth.
    data : path, data frame, or iterable of str, optional
        The texts being labelled. Documents that match these texts are stored under their ids.
    text, topic : str, optional
        Columns of a table; guessed by default.
    id : str, optional
        The id column of `data`, and of a table that contains this column; by default one with a
        common name such as "id".
    header_row : int, optional
        The row of a table that contains the column names, counted from 1. Detected by default,
        even below title rows.

    Returns
    -------
    slugline.labels.formats.importing.ImportReport
        Numbers of documents and labels in the file, total and new.

    Raises
    ------
    DataError : if the file can't be read. The message gives the place; nothing is stored.

    Examples
    --------
    >>> import slugline, tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> table = Path(folder.name, "llm.csv")
    >>> table.write_text("text,topic\nMy invoice is wrong,billing\n")
    39
    >>> labels = Path(folder.name, "labels.db")
    >>> slugline.import_labels(labels, table, coder="llm", kind="imported").n_new_labels
    1
    >>> folder.cleanup()
    """
    with _open(labels, create=True) as store:
        table = None
        if data is not None:
            table, _ = _read_table(SourceColumns.from_store(store), data, ReadOptions(id=id))
        if is_label_studio_file(path):
            return import_label_studio(store, path, coder=coder, kind=kind, user_file=table)
        return import_table(
            store,
            path,
            coder or login_name(),
            kind=kind,
            options=ReadOptions(text=text, topic=topic, id=id, header_row=header_row),
            user_file=table,
        )


def export_labels(
    labels: Labels,
    output: PathLike,
    *,
    tool: Tool | None = None,
    data: PathLike | None = None,
    topic: str | None = None,
) -> ExportReport | TableExportReport:
    """Write the labels of a label database to a file.

    Parameters
    ----------
    labels : LabelStore, or path of a label database
    output : path
        The file to write; the extension selects the format of a table.
    tool : {"label-studio"}, optional
        Write a file for this tool, with all documents of the database and each coder's labels.
        By default, write the rows of `data`, with all columns and the agreed topics.
    data : path, optional
        The labelled file; by default, the one recorded in the database.
    topic : str, optional
        The topic column; by default the one in `data`, or "topic".

    Returns
    -------
    slugline.labels.formats.label_studio.ExportReport, or for a table
    slugline.labels.formats.tables.TableExportReport
        Numbers of documents and labels written.

    Raises
    ------
    DataError : if `data` can't be read, or a topic can't be written.
    OptionError : if the tool is unknown, or the file format is not supported.
    OutputError : if the file can't be written.

    Examples
    --------
    >>> import slugline, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with slugline.LabelStore(f"{folder.name}/labels.db") as store:
    ...     slugline.export_labels(store, f"{folder.name}/tasks.json", tool="label-studio").n_labels
    0
    >>> folder.cleanup()
    """
    _check_tool(tool)
    with _open(labels) as store:
        if tool is not None:
            return export_label_studio(store, output)
        source = data or store.setting(SOURCE)
        if source is None or (data is None and not Path(source).is_file()):
            raise OptionError(
                f"{store.path}: cannot find the labelled file"
                f"{'' if source is None else ' ' + short_repr(source)}; give it as ",
                Parameter("data"),
                ".",
            )
        reading = ReadOptions(text=stored_text_columns(store), topic=topic)
        return export_table(store, source, output, options=reading)


def export_codebook(labels: Labels, output: PathLike, *, tool: Tool | None = None) -> int:
    """Write the topics of a label database and their descriptions to a file.

    Parameters
    ----------
    labels : LabelStore, or path of a label database
    output : path
        A table with the columns "name" and "description", which `label` takes as `topics`.
    tool : {"label-studio"}, optional
        Write this tool's labelling setup instead.

    Returns
    -------
    int
        The number of topics.

    Raises
    ------
    OptionError : if the tool is unknown.
    OutputError : if the file can't be written.

    Examples
    --------
    >>> import slugline, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with slugline.LabelStore(f"{folder.name}/labels.db") as store:
    ...     coder = store.add_coder("Kim")
    ...     topic = store.add_topic("billing", "Kim", description="Invoices")
    ...     slugline.export_codebook(store, f"{folder.name}/topics.csv")
    1
    >>> folder.cleanup()
    """
    _check_tool(tool)
    with _open(labels) as store:
        return (
            tables.export_codebook(store, output) if tool is None else export_setup(store, output)
        )


def _check_tool(tool: Tool | None) -> None:
    """Raise OptionError if the tool is unknown."""
    if tool not in (None, LABEL_STUDIO):
        raise option_error("tool", tool, LABEL_STUDIO)


def measure_agreement(labels: Labels) -> Agreement:
    """Measure agreement within and between the coders of a label database.

    Parameters
    ----------
    labels : LabelStore, or path of a label database

    Returns
    -------
    slugline.labels.agreement.Agreement

    Raises
    ------
    StoreError : if the file can't be read or is damaged.

    Examples
    --------
    >>> import slugline, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with slugline.LabelStore(f"{folder.name}/labels.db") as store:
    ...     slugline.measure_agreement(store).people.n_documents
    0
    >>> folder.cleanup()
    """
    with _open(labels) as store:
        return agreement.measure_agreement(store)


@contextlib.contextmanager
def _open(labels: Labels, *, create: bool = False) -> Iterator[LabelStore]:
    """Yield an open label database, read-only unless `create`; close it if a path was given."""
    if isinstance(labels, LabelStore):
        yield labels
    elif isinstance(labels, str | os.PathLike):
        with LabelStore(labels, create=create, is_read_only=not create) as store:
            yield store
    else:
        raise option_error("labels", labels, "a `LabelStore`, or the path of a label database")
