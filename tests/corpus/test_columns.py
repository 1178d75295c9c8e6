"""Which column is the text, and which the topic."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from slugline.corpus.columns import (
    N_PEEKED,
    find_both_columns,
    find_columns,
    find_text_columns,
    peek,
    row_text,
)
from slugline.corpus.readers import RowReader
from slugline.corpus.rows import BadRow, SourceRow
from slugline.errors import DataError, OptionError

LONG = "a rather long text"


def head_of(*values: dict[str, object]) -> list[SourceRow | BadRow]:
    return [SourceRow(at, row) for at, row in enumerate(values, 2)]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"id": 1, "body": LONG, "queue": "x"}, ("body", "queue")),
        ({"Category": "x", "TEXT": LONG}, ("TEXT", "Category")),
        ({"title": "x", "label": "x", "text": LONG}, ("text", "label")),
        ({"text": LONG, "label": 3, "topic": "x"}, ("text", "topic")),
        ({"ticket": LONG, "label": "x"}, ("ticket", "label")),
        ({"text": LONG, "desk": "x"}, ("text", "desk")),
        ({"desk": "x", "wire": LONG}, ("wire", "desk")),
        ({"id": 1, "desk": "x", "text": LONG}, ("text", "desk")),
        ({"id": 1, "text": LONG}, ("text", None)),
        ({"day": 1, "desk": "x", "text": LONG}, ("text", None)),
        ({"id": 1, "desk": "x", "wire": LONG}, (None, None)),
        ({"wire": LONG}, ("wire", None)),
        ({"subject": "x", "body": LONG}, ("body", None)),
        ({"title": "x", "text": LONG}, ("text", None)),
        ({"Betreff": "x", "Nachricht": LONG}, ("Nachricht", None)),
        ({"Nr": 1, "Anfrage": LONG, "Kategorie": "x"}, ("Anfrage", "Kategorie")),
        ({"Nr": 1, "Betreff": "x", "Beschreibung": LONG, "Thema": "x"}, ("Beschreibung", "Thema")),
        ({"N°": 1, "CATÉGORIE": "x", "Objet": LONG}, ("Objet", "CATÉGORIE")),
        ({"№": 1, "Сообщение": LONG, "Категория": "x"}, ("Сообщение", "Категория")),
        ({"番号": 1, "本文": LONG, "カテゴリ": "x"}, ("本文", "カテゴリ")),
    ],
    ids=[
        "known names",
        "any case",
        "the likelier text",
        "the likelier topic",
        "the one beside a known topic",
        "the one beside a known text",
        "the longer of two",
        "an id is neither",
        "an id is no topic",
        "no known topic",
        "no known name",
        "a single column",
        "a subject is no topic",
        "a title is no topic",
        "a German subject",
        "a German request",
        "German",
        "French",
        "Russian",
        "Japanese",
    ],
)
def test_find_columns_by_name_or_else_by_length(
    row: dict[str, object], found: tuple[str | None, str | None]
) -> None:
    texts, topic = find_columns("data.csv", head_of(row))
    assert (next(iter(texts), None), topic) == found


def test_find_columns_sees_columns_of_later_rows() -> None:
    head = head_of({"id": 1}, {"id": 2, "text": LONG}, {"id": 3, "topic": "x"})

    assert find_both_columns("data.jsonl", head) == (("text",), "topic")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"text": "bdoy"},
            "data.csv has no column 'bdoy'; found 'body', 'queue'; did you mean 'body'?",
        ),
        (
            {"topic": "zzz"},
            "data.csv has no column 'zzz'; found 'body', 'queue'; choose one of them.",
        ),
    ],
    ids=["near", "far"],
)
def test_find_columns_rejects_a_missing_column(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as error:
        find_columns("data.csv", head_of({"body": LONG, "queue": "x"}), **wanted)

    assert str(error.value) == message


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"id": 1, "desk": "x", "wire": LONG},
            "data.csv: cannot tell which of 'id', 'desk', 'wire' contains the text or topic; "
            "choose columns with `text` and `topic`, or add a header if these are not "
            "column names.",
        ),
        (
            {"text": LONG, "a": 1, "b": 2},
            "data.csv: cannot tell which of 'a', 'b' contains the topic ('text' contains the "
            "text); choose columns with `topic`, or add a header if these are not column names.",
        ),
        (
            {f"c{i}": 1 for i in range(25)},
            f"data.csv: cannot tell which of {', '.join(repr(f'c{i}') for i in range(20))} "
            "and 5 more contains the text or topic; choose columns with `text` and `topic`, "
            "or add a header if "
            "these are not column names.",
        ),
    ],
    ids=["both", "the topic", "of many"],
)
def test_find_both_columns_rejects_unknown_columns(row: dict[str, object], message: str) -> None:
    with pytest.raises(DataError) as error:
        find_both_columns("data.csv", head_of(row))

    assert str(error.value) == message


def test_find_columns_rejects_a_table_without_header() -> None:
    head = head_of(
        {"sport": "arts", "The late goal decided it": LONG},
        {"sport": "sport", "The late goal decided it": LONG},
    )

    with pytest.raises(DataError) as error:
        find_columns("data.csv", head)

    assert str(error.value) == (
        "data.csv seems to have no header, because 'sport' occurs in the first line and again "
        "below it; "
        "add a header line such as text,topic."
    )


def test_find_columns_rejects_one_column_for_text_and_topic() -> None:
    with pytest.raises(OptionError) as error:
        find_columns("data.csv", head_of({"a": 1}), text="a", topic="a")

    assert str(error.value) == "`text` and `topic` both name column 'a'; choose different columns."


def test_peek_consumes_no_more_valid_rows_than_needed() -> None:
    numbers = count(1)
    rows = RowReader(
        "endless", "jsonl", (BadRow(n, "") if n % 2 else SourceRow(n, {}) for n in numbers)
    )

    assert [row.at for row in peek(rows)] == list(range(1, 2 * N_PEEKED + 1))
    assert [row.at for row in peek(rows, 1)] == [2 * N_PEEKED + 1, 2 * N_PEEKED + 2]
    assert next(iter(rows)).at == 2 * N_PEEKED + 3


# Texts in several columns


@pytest.mark.parametrize("text", ["subject,body", " subject, body", ("subject", "body")])
def test_find_columns_accepts_several_text_columns(text: str | tuple[str, ...]) -> None:
    head = head_of({"id": 1, "subject": "a", "body": "b", "queue": "c"})

    assert find_both_columns("data.csv", head, text) == (("subject", "body"), "queue")
    assert find_text_columns("data.csv", head, text) == ("subject", "body")


def test_find_columns_prefers_a_name_with_a_comma() -> None:
    head = head_of({"subject": "a", "body": "b", "subject,body": "c"})

    assert find_text_columns("data.csv", head, "subject,body") == ("subject,body",)


@pytest.mark.parametrize(
    ("text", "topic", "error", "message"),
    [
        (
            "subject,bodi",
            None,
            OptionError,
            "data.csv has no column 'bodi'; found 'subject', 'body'; did you mean 'body'?",
        ),
        ("body,", None, OptionError, "`text` is 'body,'; list each text column once."),
        ("body,body", None, OptionError, "`text` is 'body,body'; list each text column once."),
        ((), None, OptionError, "`text` is (); list each text column once."),
        (
            "subject,body",
            "body",
            OptionError,
            "`text` and `topic` both name column 'body'; choose different columns.",
        ),
    ],
    ids=["not there", "no name", "twice", "none", "topic among them"],
)
def test_find_columns_rejects_invalid_text_columns(
    text: str | tuple[str, ...], topic: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        find_both_columns("data.csv", head_of({"subject": "a", "body": "b"}), text, topic)

    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"subject": "No heat", "body": "since May"}, "No heat\nsince May"),
        ({"subject": "", "body": "since May"}, "since May"),
        ({"subject": "No heat", "body": " \n"}, "No heat"),
        ({"subject": None, "body": "since May"}, "since May"),
        ({"body": " since May "}, " since May "),
        ({"subject": None, "body": ""}, ""),
        ({}, None),
        ({"subject": "No heat", "body": 3}, 3),
    ],
    ids=["both", "empty", "blank", "null", "not there", "all blank", "nothing", "a number"],
)
def test_row_text_joins_the_columns_that_are_not_missing(
    values: dict[str, object], text: object
) -> None:
    assert row_text(SourceRow(1, values), ("subject", "body")) == text
