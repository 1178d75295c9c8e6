"""Identify the text, topic and id columns of a table."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from slugline.base.checks import short_repr
from slugline.base.wording import join_words, nearest
from slugline.corpus.dialects import ONE_COLUMN
from slugline.corpus.documents import RowText, is_missing
from slugline.corpus.header import ID_NAMES, TEXT_NAMES, TOPIC_NAMES
from slugline.corpus.layout import Layout
from slugline.corpus.readers import RowReader
from slugline.corpus.rows import BadRow, Frame, SourceRow, estimate_memory, frame_rows
from slugline.corpus.topic_cells import have_decimal_commas, read_decimal_comma, topic_flag
from slugline.errors import DataError, Message, OptionError, Parameter, join_messages

#: Maximum number of valid rows to examine, and maximum memory of all examined rows in bytes.
N_PEEKED, PEEKED_BYTES = 100, 1 << 24
# Maximum number of bad rows to examine.
_MAX_BAD_ROWS = 1000
# Maximum number of columns listed in a message.
_N_LISTED = 20


def peek(
    rows: RowReader,
    n: int = N_PEEKED,
    *,
    n_bytes: int = PEEKED_BYTES,
    wait: bool = True,
    head: list[SourceRow | BadRow] | None = None,
) -> list[SourceRow | BadRow]:
    """Consume and return the first rows, up to `n` valid ones.

    Reading also stops after 1,000 bad rows; when the rows take `PEEKED_BYTES` of memory, or
    `n_bytes` once a row is valid; and, if `wait` is False, when the next row has not been written
    yet. A list passed as `head` collects the rows, including those read before an error.

    Raises
    ------
    DataError : if none of these rows is valid and the columns are therefore unknown.
    """
    head = [] if head is None else head
    n_valid = n_read = 0
    for row in rows:
        head.append(row)
        n_valid += isinstance(row, SourceRow)
        n_read += estimate_memory(row)
        is_full = n_read >= PEEKED_BYTES or len(head) - n_valid == _MAX_BAD_ROWS
        if is_full and not n_valid and rows.has_names:
            rows.close()
            raise _no_valid_row(rows, head)
        is_enough = n_valid == n or (n_valid and n_read >= n_bytes)
        if is_full or is_enough or (not wait and rows.must_wait()):
            break
    return head


def _no_valid_row(rows: RowReader, head: Sequence[SourceRow | BadRow]) -> DataError:
    """Return the error for a source whose first rows, `head`, are all bad."""
    first = next(row for row in head if isinstance(row, BadRow))
    return DataError(
        f"{rows.name}: none of the first {len(head):,} rows can be read: for example, {rows.unit} "
        f"{first.at} ({first.problem}); {first.advice}, or check the header and the cell "
        "separator."
    )


def find_columns(
    name: str,
    head: Sequence[SourceRow | BadRow],
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    id_column: str | None = None,
    layout: Layout | None = None,
) -> tuple[tuple[str, ...], str | None]:
    """Return the names of the text columns and of the topic column.

    Columns not named by the user are taken from a layout, or else recognized by common names for
    texts and topics. Of two columns with unknown names, the one with the longer cells is the text.
    A single remaining column becomes the missing text or topic; but a column with a common name for
    texts, such as "subject", is the topic only if the user names it.

    Parameters
    ----------
    name : str
        Name of the source in messages.
    head : sequence of SourceRow or BadRow
        First rows of the source, from `peek`. If none of them is valid, any name is accepted.
    text : str or sequence of str, optional
        Text columns: a sequence of names, or a comma-separated string unless a column has exactly
        that name.
    topic, id_column : str, optional
        Topic column, and id column, which is neither text nor topic.
    layout : Layout, optional
        Layout of a model's training data. Its columns, if the source contains them, are the
        defaults for columns that the user doesn't name.

    Returns
    -------
    The text columns, empty if unknown, and the topic column, None if unknown.

    Raises
    ------
    DataError : if a table seems to have no header, or all texts are numbers or ids.
    OptionError : if a named column doesn't exist, or is named twice.
    """
    texts = _parse_names(head, text)
    if topic is not None and topic in texts:
        raise OptionError(
            Parameter("text"),
            " and ",
            Parameter("topic"),
            f" both name column {short_repr(topic)}; choose different columns.",
        )
    rows = [row for row in head if isinstance(row, SourceRow)]
    if not rows:
        return texts or ("text",), topic or "topic"
    columns = column_names(rows)
    for wanted in (*texts, topic):
        if wanted is not None:
            check_column_exists(name, wanted, columns)
    texts, topic = _take_from_layout(columns, texts, topic, layout)
    texts = texts or _find_known(columns, TEXT_NAMES, exclude=(topic,))
    topic = topic or known_topic_column(columns, texts)
    used = (*texts, topic, id_column)
    remaining = [c for c in columns if c not in used and c.lower() not in ID_NAMES]
    # Don't guess by length if a model's layout names the expected columns.
    if layout is None and len(columns) == 2 and remaining == columns:
        texts, topic = _guess_by_length(name, rows, remaining)
    elif len(remaining) == 1:
        texts, topic = _take_remaining(remaining[0], texts, topic, layout)
    if texts:
        _check_are_texts(name, rows, texts)
    return texts, topic


# Numbers, dates, and ids such as INC0012345 and T-17, but not a word followed by a number.
_ID = re.compile(r"[\d\s.,:;/+%€$£#-]+|[A-Za-z]{0,10}[-_#/.:]?\d[0-9A-Za-z._/#:-]*")
# Minimum number of texts to check a column.
_MIN_IDS = 5


def _check_are_texts(name: str, rows: Sequence[SourceRow], columns: Sequence[str]) -> None:
    """Raise DataError if the text columns contain only numbers or ids."""
    cells = [str(row.values.get(column)) for row in rows for column in columns]
    cells = [cell for cell in cells if cell.strip() and cell != "None"]
    if len(cells) >= _MIN_IDS and all(_ID.fullmatch(cell.strip()) for cell in cells):
        raise DataError(
            f"{name} contains only numbers or ids, such as {short_repr(cells[0])},"
            f"{in_columns(columns)}; "
            f"found {format_list(column_names(rows))}; pass the text column with ",
            Parameter("text"),
            ", or the header row with ",
            Parameter("header_row"),
            ".",
        )


def _take_from_layout(
    columns: Sequence[str], texts: tuple[str, ...], topic: str | None, layout: Layout | None
) -> tuple[tuple[str, ...], str | None]:
    """Return the text and topic columns, which default to the layout's columns."""
    if layout is None:
        return texts, topic
    if not texts and {*layout.text} <= {*columns} - {topic}:
        texts = layout.text
    if topic is None and layout.topic in {*columns} - {*texts}:
        topic = layout.topic
    return texts, topic


def _guess_by_length(
    name: str, rows: Sequence[SourceRow], columns: Sequence[str]
) -> tuple[tuple[str, ...], str]:
    """Return the column with the longer cells as text, and the other as topic."""
    n_characters = {c: sum(len(str(row.values.get(c, ""))) for row in rows) for c in columns}
    topic, text = sorted(columns, key=n_characters.__getitem__)
    _check_header(name, rows, topic)
    return (text,), topic


def _take_remaining(
    column: str, texts: tuple[str, ...], topic: str | None, layout: Layout | None
) -> tuple[tuple[str, ...], str | None]:
    """Return the text and topic columns, using the remaining column for the missing one."""
    if not texts:
        return (column,), topic
    # A layout that supplied the text columns would have supplied the topic column as well.
    is_from_layout = layout is not None and texts == layout.text
    is_topic = topic is None and not is_from_layout and column.lower() not in TEXT_NAMES
    return texts, column if is_topic else topic


def find_both_columns(
    name: str,
    head: Sequence[SourceRow | BadRow],
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    layout: Layout | None = None,
) -> tuple[tuple[str, ...], str]:
    """Return the text and topic columns; see `find_columns`.

    Raises the errors of `find_columns`, and DataError if a column can't be determined.
    """
    texts, topic = find_columns(name, head, text, topic, layout=layout)
    if texts and topic is not None:
        return texts, topic
    if layout is not None and not texts:
        raise _absent_columns_error(name, head, "text", layout.text)
    if layout is not None and topic is None and texts == layout.text:
        if layout.topic_column is None and layout.topic_form is not None:
            raise _absent_columns_error(name, head, "topic_columns", layout.topic_form.columns)
        raise _absent_columns_error(name, head, "topic", [layout.topic])
    missing = [option for option, column in (("text", texts), ("topic", topic)) if not column]
    chosen = [*texts] if topic is None else [*texts, topic]
    raise _unknown_columns_error(name, head, missing, chosen)


def _absent_columns_error(
    name: str, head: Sequence[SourceRow | BadRow], option: str, expected: Sequence[str]
) -> DataError:
    """Return the error for a table that lacks columns of a model's training data."""
    columns = column_names(head)
    absent = [short_repr(column) for column in expected if column not in columns]
    content = "text" if option == "text" else "topic"
    return DataError(
        f"{name} has no column {join_words(absent, _N_LISTED)}, the {content} in the model's "
        f"training data; found {format_list(columns)}; pass the {content} column with ",
        Parameter(option),
        ".",
    )


def _unknown_columns_error(
    name: str,
    head: Sequence[SourceRow | BadRow],
    missing: Sequence[str],
    chosen: Sequence[str] = (),
) -> DataError:
    """Return the error for a table whose text or topic columns can't be determined.

    `chosen` are the text or topic columns that are known.
    """
    cells = {
        c: {topic_flag(row.values.get(c)) for row in head if isinstance(row, SourceRow)}
        for c in column_names(head)
    }
    flags = [c for c, values in cells.items() if values == {False, True}]
    advice = Message()
    if len(flags) > 1 and "topic" in missing:
        topic_columns = Parameter("topic_columns", ",".join(flags))
        advice = Message(
            " If the columns of zeros and ones are topics, read them with ", topic_columns, "."
        )
    others = [column for column in column_names(head) if column not in chosen]
    reason = ""
    if chosen:
        known = "text" if "topic" in missing else "topic"
        listed = join_words([*map(short_repr, chosen)], _N_LISTED)
        reason = f" ({listed} {'contains' if len(chosen) == 1 else 'contain'} the {known})"
    return DataError(
        f"{name}: cannot tell which of {format_list(others)} contains the "
        f"{' or '.join(missing)}{reason}; choose columns with ",
        join_messages(" and ", (Message(Parameter(option)) for option in missing)),
        ", or add a header if these are not column names.",
        advice,
    )


def find_text_columns(
    name: str,
    head: Sequence[SourceRow | BadRow],
    text: str | Sequence[str] | None = None,
    id_column: str | None = None,
    layout: Layout | None = None,
) -> tuple[str, ...]:
    """Return the text columns; see `find_columns`.

    Raises the errors of `find_columns`, and DataError if they can't be determined.
    """
    texts = find_columns(name, head, text, id_column=id_column, layout=layout)[0]
    if not texts and layout is not None:
        raise _absent_columns_error(name, head, "text", layout.text)
    if not texts:
        raise _unknown_columns_error(name, head, ["text"])
    return texts


def find_text_columns_except(
    name: str,
    head: Sequence[SourceRow | BadRow],
    text: str | Sequence[str] | None,
    topics: Sequence[str],
    layout: Layout | None = None,
) -> tuple[str, ...]:
    """Return the text columns of a table that also has a column for each topic.

    Raises the errors of `find_text_columns`, and OptionError if a topic has no column.
    """
    columns = column_names(head)
    for topic in topics if columns else ():
        check_column_exists(name, topic, columns)
    others = [
        replace(row, values={c: v for c, v in row.values.items() if c not in topics})
        for row in head
        if isinstance(row, SourceRow)
    ]
    return find_text_columns(name, others, text, layout=layout)


def find_id_column(
    name: str, head: Sequence[SourceRow | BadRow], id_column: str | None
) -> str | None:
    """Return the id column: the one given, or else the one with the likeliest common name.

    Raises OptionError if the given column doesn't exist.
    """
    columns = column_names(head)
    if id_column is None:
        exact = [ID_NAMES[0]] if ID_NAMES[0] in columns else []
        return next(iter(exact or _find_known(columns, ID_NAMES, ())), None)
    if columns:
        check_column_exists(name, id_column, columns)
    return id_column


def known_text_columns(columns: Iterable[str], exclude: Sequence[str | None]) -> tuple[str, ...]:
    """Return the columns with common names for texts, in the order of the table.

    >>> known_text_columns(["Betreff", "Thema", "Beschreibung"], ["Thema"])
    ('Betreff', 'Beschreibung')
    """
    return tuple(c for c in columns if c.lower() in TEXT_NAMES and c not in exclude)


def known_topic_column(columns: Sequence[str], exclude: Sequence[str | None] = ()) -> str | None:
    """Return the column with the likeliest common name for topics, or None.

    >>> known_topic_column(["Nr", "Thema"])
    'Thema'
    """
    return next(iter(_find_known(columns, TOPIC_NAMES, exclude)), None)


def columns_note(
    text: Sequence[str],
    topic: str | None = None,
    layout: Layout | None = None,
    candidates: Sequence[str] = (),
) -> str:
    """Return a note on columns that were guessed or taken from a layout.

    `candidates` are the columns that may be text; the note lists those that are not read.
    """
    is_from_layout = (
        layout is not None and (*text,) == layout.text and topic in (None, layout.topic)
    )
    columns = f"column {' with '.join(map(short_repr, text))} as text"
    others = Message("another with ", Parameter("text"))
    if topic is not None:
        columns += f" and {short_repr(topic)} as topic"
        others = Message("others with ", Parameter("text"), " and ", Parameter("topic"))
    source = ""
    if is_from_layout:
        source = ", as in the model's training data"
    elif layout is not None and {*text}.isdisjoint(layout.text):
        absent = " and ".join(map(short_repr, layout.text))
        source = f", in place of {absent} in the model's training data"
    note = Message(f"read {columns}{source}; choose ", others)
    return note if is_from_layout else note + _omitted_note(text, candidates)


def _omitted_note(text: Sequence[str], candidates: Sequence[str]) -> Message:
    """Describe possible text columns that are not read; empty if there are none."""
    omitted = [column for column in candidates if column not in text]
    if not omitted or not {*text} <= {*candidates}:
        return Message()
    is_one = len(omitted) == 1
    return Message(
        f"; column{'' if is_one else 's'} {format_list(omitted)} {'is' if is_one else 'are'} left "
        "out; ",
        Parameter("text", ",".join(candidates)),
        f" reads {'both' if len(candidates) == 2 else 'all'}",
    )


def row_text(row: SourceRow, columns: Sequence[str], *, is_sheet: bool = False) -> Any:
    """Return the text of a row from one or more columns; None if all cells are missing.

    Texts of several columns are joined by line breaks. Missing and blank cells are left out, so the
    text of a document without a subject is its body; if all are blank, the text is empty. A value
    other than text, such as a number, is returned as is. A number in an Excel sheet counts as text,
    since Excel converts digits to numbers.
    """
    values = [row.values.get(column) for column in columns]
    if is_sheet:
        from slugline.corpus.excel import displayed_text

        values = [*map(displayed_text, values)]
    if len(values) == 1:
        return values[0]
    non_text = next((value for value in values if not isinstance(value, str | None)), None)
    if non_text is not None:
        return non_text
    texts = [value for value in values if value is not None]
    return "\n".join(text for text in texts if text.strip()) if texts else None


def in_columns(columns: Sequence[str]) -> str:
    """Format column names for the end of a message.

    >>> in_columns(["subject", "body"])
    " in columns 'subject' and 'body'"
    """
    return f" in column{'s' * (len(columns) > 1)} {' and '.join(map(short_repr, columns))}"


def decimal_comma_columns(
    rows: RowReader, head: Iterable[SourceRow | BadRow], columns: Iterable[str]
) -> frozenset[str]:
    """Return the columns that contain numbers with a decimal comma in the first rows.

    Empty if commas separate the cells.
    """
    if rows.separator in (None, ",", ONE_COLUMN):
        return frozenset()
    good = [row for row in head if isinstance(row, SourceRow)]
    return frozenset(
        name for name in columns if have_decimal_commas(row.values.get(name) for row in good)
    )


def text_with_cells(
    row: SourceRow, text: str, columns: Sequence[str], decimal_commas: Collection[str] = ()
) -> str:
    """Return the text of a row as a `RowText` with its cells in extra columns.

    Numbers in the columns `decimal_commas` are parsed with a decimal comma.
    """
    if not columns:
        return text
    cells = {name: row.values[name] for name in columns if name in row.values}
    for name, cell in cells.items():
        if isinstance(cell, msgspec.Raw):
            cells[name] = msgspec.json.decode(cell)
        elif name in decimal_commas and isinstance(cell, str):
            number = read_decimal_comma(cell)
            cells[name] = cell if number is None else number
    return RowText(text, cells)


def read_table(
    X: Any, text: str | Sequence[str] | None, columns: Sequence[str], name: str = "X"
) -> tuple[Any, tuple[str, ...]]:
    """Return the texts of a table, with their cells in extra columns, and the text columns.

    Parameters
    ----------
    X : data frame, list of mappings, or mapping of names to columns
        Anything else is returned unchanged.
    text : str or sequence of str, optional
        Text columns, as for `find_columns`; guessed by default.
    columns : sequence of str
        Extra columns; a table may lack some of them.
    name : str, default "X"
        Parameter name in messages.

    Raises
    ------
    DataError : if the text column can't be determined, or columns differ in length.
    OptionError : if a named column doesn't exist.
    """
    if isinstance(X, Frame):
        rows = [row for row in frame_rows(X) if isinstance(row, SourceRow)]
    elif isinstance(X, Mapping):
        lengths = {column: len(cells) for column, cells in X.items()}
        if len({*lengths.values()}) > 1:
            raise DataError(
                Parameter(name), f" has columns of different lengths: {short_repr(lengths)}."
            )
        cells = zip(*X.values(), strict=True)
        rows = [SourceRow(at, dict(zip(X, row, strict=True))) for at, row in enumerate(cells)]
    elif isinstance(X, Sequence) and X and all(isinstance(row, Mapping) for row in X):
        rows = [SourceRow(at, row) for at, row in enumerate(X)]
    else:
        return X, ()
    names = find_text_columns(f"`{name}`", rows, text)
    texts = []
    for row in rows:
        value = row_text(row, names)
        value = "" if is_missing(value) else value
        texts.append(text_with_cells(row, value, columns) if isinstance(value, str) else value)
    return texts, names


def column_names(head: Iterable[SourceRow | BadRow]) -> list[str]:
    """Return all columns of the valid rows, in order of first occurrence."""
    return list(dict.fromkeys(c for row in head if isinstance(row, SourceRow) for c in row.values))


def format_list(columns: Sequence[str]) -> str:
    """Format up to 20 column names, and the number of further ones."""
    return join_words([*map(short_repr, columns)], _N_LISTED, last=None)


def _parse_names(
    head: Sequence[SourceRow | BadRow], text: str | Sequence[str] | None
) -> tuple[str, ...]:
    """Return the text columns that the user named."""
    if text is None:
        return ()
    if not isinstance(text, str):
        names = tuple(text)
    elif text in column_names(head):
        names = (text,)
    else:
        names = tuple(part.strip() for part in text.split(","))
    is_valid = names and all(names) and len(set(names)) == len(names)
    if not is_valid:
        raise OptionError(Parameter("text"), f" is {short_repr(text)}; list each text column once.")
    return names


def _find_known(
    columns: Sequence[str], names: Sequence[str], exclude: Sequence[str | None]
) -> tuple[str, ...]:
    """Return the column that matches the earliest of `names`, ignoring case, as a tuple; or ()."""
    by_lower = {column.lower(): column for column in reversed(columns) if column not in exclude}
    return next(((by_lower[name],) for name in names if name in by_lower), ())


def check_column_exists(name: str, wanted: str, columns: Sequence[str]) -> None:
    """Raise OptionError if a source lacks a column; the message suggests the most similar name."""
    if wanted not in columns:
        near = nearest(str(wanted), columns)
        advice = f"did you mean {short_repr(near)}?" if near else "choose one of them."
        raise OptionError(
            f"{name} has no column {short_repr(wanted)}; found {format_list(columns)}; {advice}"
        )


def _check_header(name: str, rows: Sequence[SourceRow], topic: str) -> None:
    """Raise DataError if the topic column's name is also a topic, a sign of a missing header."""
    if any(row.values.get(topic) == topic for row in rows):
        raise DataError(
            f"{name} seems to have no header, because {short_repr(topic)} occurs in the first line "
            "and again below it; add a header line such as text,topic."
        )
