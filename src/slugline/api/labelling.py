"""Give topics to texts on a page, and exchange labels with other tools."""

from __future__ import annotations

import atexit
import contextlib
import html
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slugline.base.checks import check_whole, option_error, short_repr
from slugline.base.files import PathLike
from slugline.base.lazy import import_extra
from slugline.base.wording import counted
from slugline.corpus.documents import check_texts
from slugline.corpus.frames import Frame
from slugline.corpus.label_database.records import CoderKind
from slugline.corpus.layout import Format, ReadOptions
from slugline.corpus.loading import read_texts
from slugline.corpus.readers import read_frame, read_rows
from slugline.corpus.topics import read_descriptions
from slugline.errors import DataError, OptionError, Parameter
from slugline.evaluation.agreement import EPSILON
from slugline.labels import agreement
from slugline.labels.agreement import Agreement
from slugline.labels.draws import REPEAT_AFTER, REPEAT_FRACTION
from slugline.labels.formats import files
from slugline.labels.formats.exchange import LabelTool, find_tool
from slugline.labels.formats.files import (
    TOOLS,
    ExportReport,
    ImportReport,
    export_file,
    import_file,
)
from slugline.labels.formats.tables import TableExportReport, export_table, import_table
from slugline.labels.label_report import LabelReport
from slugline.labels.label_setup import (
    RANDOM_FRACTION,
    Guesses,
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
    from slugline.serving.server.server_thread import ServerThread

#: Texts to label: a file, a data frame, or the texts themselves.
Texts = PathLike | Frame | Iterable[str]
#: A label database: an open one, or its path.
Labels = LabelStore | PathLike
#: A labelling tool whose files can be read and written.
Tool = Literal["label-studio", "argilla", "prodigy", "doccano"]

# Bytes of a request: a note, or the description of a topic with examples.
_MAX_BODY = 1 << 20


class LabelPage(contextlib.AbstractContextManager["LabelPage"]):
    """A page on which people give topics to texts; see `slugline.label`.

    A context manager, which ends the page. It ends at the latest when Python does.

    Attributes
    ----------
    url : str
        The address of the page.
    path : Path
        The label database.
    notes : tuple of str
        Remarks on the texts, such as which columns are read.
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
        """Whether the page can be opened."""
        return self._thread.is_running

    @property
    def report(self) -> LabelReport | None:
        """How good a model of the present labels is; None if there are too few labels."""
        return self._selector.report

    def stop(self) -> None:
        """Stop the page. Labels that it showed as saved are in the file."""
        if _pages.get(self.path.resolve()) is self:
            del _pages[self.path.resolve()]
        self._closers.close()

    def wait(self) -> None:
        """Wait until the page has ended, or until Ctrl-C, which ends it."""
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


# The pages that run, by the file of their labels.
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
    guesses: Guesses = "after",
    double_fraction: float = 0.0,
    repeat_fraction: float = REPEAT_FRACTION,
    repeat_after: int = REPEAT_AFTER,
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
    """Open a page on which people give topics to texts, as `slugline label` does.

    The page runs in the background until it is stopped, or until Python ends. Each label is on disk
    before the next text appears. Called again with the same `output`, for instance as a cell of a
    notebook is run again, this ends the earlier page and goes on with its labels.

    Parameters
    ----------
    data : path, data frame, or iterable of str
        Texts without topics; without `output`, the file of labels goes on with its texts.
    output : path, optional
        Where labels are kept, a SQLite database; other functions read it as data.
    topics : mapping of str to str, sequence of str, or path, optional
        Topics to begin with: their descriptions by name, names alone, or a table with the columns
        "name" and "description".
    multilabel : bool, optional
        Let a text have several topics, or none; if False, one each again, unless one has several.
        By default, what `output` says, and one topic each in a new file.
    coder : str, optional
        Who labels, if there are no tokens; by default the name of your login.
    random_fraction : float from 0.05 to 1, default 0.33
        The fraction of texts that are drawn at random; fewer once the accuracy is known well.
    guesses : {"after", "before", "never"}, default "after"
        When people see what the model says: after they have decided, of labels that it contradicts;
        before they decide as well, so that only random draws count in the accuracy; or never.
    double_fraction : float from 0 to 1, default 0.0
        The fraction of each coder's texts that another coder gets as well.
    repeat_fraction : float from 0 to 1, default 0.02
        The fraction of a coder's texts that come again, to measure how steady the coder is.
    repeat_after : int, default 50
        How many other texts come before one that comes again.
    settlers : sequence of str, optional
        Who may settle disagreements of coders; by default everybody.
    text : str or sequence of str, optional
        The columns to read; guessed by default.
    topic : str, optional
        The column for topics, which coders don't see; guessed by default.
    id : str, optional
        The column of ids; by default one with a usual name, such as "id".
    format, encoding, separator, header_row : optional
        As in `load_corpus`.
    settings : ServeSettings, optional
        Address and port, tokens, and limits of the server.
    announce : callable, default print
        Called with the address once the page can be opened.
    insecure : bool, default False
        Let other machines use the page without a token.
    block : bool, default False
        Wait until Ctrl-C, and end the page then.

    Returns
    -------
    LabelPage
        Its `url` is the address, and `stop()` ends it.

    Raises
    ------
    DataError : if the data can't be read, or the labels in `output` are of other texts.
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
    check_whole("repeat_after", repeat_after, 1)
    from slugline.serving.serve_settings import ServeSettings

    settings = ServeSettings(max_body=_MAX_BODY) if settings is None else settings
    if not isinstance(settings, ServeSettings):
        raise option_error("settings", settings, "a `ServeSettings`")
    if not insecure:
        settings.check_is_guarded("read the texts and give topics to them")
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
    from slugline.serving.labelling.opening import make_label_service
    from slugline.serving.labelling.service import check_settlers
    from slugline.serving.server.addresses import find_address
    from slugline.serving.server.server_thread import ServerThread

    options = LabelOptions(
        coder=coder or login_name(),
        has_tokens=bool(settings.accepted_tokens),
        descriptions=_descriptions(topics),
        is_multilabel=multilabel,
        random_fraction=random_fraction,
        guesses=guesses,
        double_fraction=double_fraction,
        repeat_fraction=repeat_fraction,
        repeat_after=repeat_after,
        settlers=settlers,
    )
    tokens = settings.accepted_tokens
    check_settlers(settlers, [each.name or "" for each in tokens] or [options.coder])
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
    """Return descriptions of topics by name; empty ones of topics that have none."""
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
    """Return texts to label with remarks on them; by default, columns are those that are stored."""
    text = reading.text or stored.text
    if isinstance(data, str | os.PathLike):
        rows = read_rows(os.fspath(data), replace(reading, text=text), fallback="txt")
    elif isinstance(data, Frame):
        rows = read_frame(data)
    else:
        texts = check_texts(data, "data")
        filled = [each for each in texts if each.strip()]
        if not filled:
            raise DataError(Parameter("data"), " holds no texts; give at least one.")
        return TextTable("the texts", filled), _skip_notes(len(texts) - len(filled))
    unlabelled = read_texts(rows, text)
    remarks = rows.note, unlabelled.note, unlabelled.skipped_note
    notes = [str(note) for note in remarks if note]
    table = TextTable.from_texts(rows.name, unlabelled, stored, reading.topic, reading.id)
    return table, notes


def _skip_notes(n_skipped: int) -> list[str]:
    return [f"skipped {counted(n_skipped, 'row')} without a text to read"] if n_skipped else []


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
        Made if it is missing.
    path : path
        An export of Label Studio, Argilla, Prodigy or doccano, or a table with topics.
    coder : str, optional
        Who gave the labels; by default, whom the file names, or else the name of the tool; for a
        table, the name of your login.
    kind : {"person", "imported"}, default "person"
        The labels of an imported coder, such as a language model, are compared with those of
        people, and are never taken as right.
    data : path, data frame, or iterable of str, optional
        The texts that are labelled; documents of the file that are among them are stored as those.
    text, topic : str, optional
        Columns of a table; guessed by default.
    id : str, optional
        The column of ids of `data`, and of a table that has a column of this name; by default one
        with a usual name, such as "id".
    header_row : int, optional
        The row of a table that names its columns, from 1; found by default, also below titles.

    Returns
    -------
    slugline.labels.formats.files.ImportReport
        How many documents and labels the file has, and how many of them are new.

    Raises
    ------
    DataError : if the file can't be read; the message names the place, and nothing is stored.

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
        if find_tool(os.fspath(path), TOOLS.values()) is not None:
            return import_file(store, path, coder=coder, kind=kind, user_file=table)
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
        The file; its ending decides the format of a table.
    tool : {"label-studio", "argilla", "prodigy", "doccano"}, optional
        Write a file for this tool, with all documents of the database and the labels of each coder.
        By default, write the rows of `data`, with all columns and the topics on which people agree.
    data : path, optional
        The file that was labelled; by default, the one whose name the database has.
    topic : str, optional
        The column of topics; by default that of `data`, or "topic".

    Returns
    -------
    slugline.labels.formats.files.ExportReport, or for a table
    slugline.labels.formats.tables.TableExportReport
        How much was written.

    Raises
    ------
    DataError : if `data` can't be read, or a topic can't be written.
    OptionError : if there is no such tool, or the ending is of no format that can be written.
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
    with _open(labels) as store:
        found = _find_tool(tool)
        if found is not None:
            return export_file(store, output, found)
        source = data or store.setting(SOURCE)
        if source is None or (data is None and not Path(source).is_file()):
            raise OptionError(
                f"{store.path} has labels of "
                f"{'unknown texts' if source is None else short_repr(source)}, which is no file "
                "here; name the file that was labelled, ",
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
    tool : {"label-studio", "argilla", "prodigy", "doccano"}, optional
        Write what this tool gets its labels from instead: a labelling setup, the settings of a
        dataset, or a list of labels.

    Returns
    -------
    int
        The number of topics.

    Raises
    ------
    OptionError : if there is no such tool.
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
    with _open(labels) as store:
        return files.export_codebook(store, output, _find_tool(tool))


def _find_tool(name: Tool | None) -> LabelTool | None:
    """Return a tool by name; OptionError if there is none."""
    if name is None:
        return None
    if name not in TOOLS:
        raise option_error("tool", name, f"one of {', '.join(TOOLS)}")
    return TOOLS[name]


def measure_agreement(labels: Labels, *, epsilon: float = EPSILON) -> Agreement:
    """Measure how far the coders of a label database agree, with each other and with themselves.

    Parameters
    ----------
    labels : LabelStore, or path of a label database
    epsilon : float, default 0.15
        How much worse than a person an imported coder, such as a language model, may be and still
        pass the alternative annotator test. Its authors take 0.2 for experts and 0.1 for crowd
        workers.

    Returns
    -------
    slugline.labels.agreement.Agreement

    Raises
    ------
    StoreError : if the file can't be read, or is damaged.

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
        return agreement.measure_agreement(store, epsilon=epsilon)


@contextlib.contextmanager
def _open(labels: Labels, *, create: bool = False) -> Iterator[LabelStore]:
    """Yield an open label database; close it if a path was given. Only read it unless created."""
    if isinstance(labels, LabelStore):
        yield labels
    elif isinstance(labels, str | os.PathLike):
        with LabelStore(labels, create=create, is_read_only=not create) as store:
            yield store
    else:
        raise option_error("labels", labels, "a `LabelStore`, or the path of a label database")
