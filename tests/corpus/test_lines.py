"""Lines of a byte stream: numbers, marks, bounds."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import pytest

from slugline.corpus.lines import _ZIP as ZIP
from slugline.corpus.lines import TextLines
from slugline.corpus.rows import MAX_RECORD, BadRow
from slugline.errors import DataError


def lines_of(data: bytes, **options: Any) -> TextLines:
    return TextLines(io.BytesIO(data).readline, "data", **options)


def test_text_lines_end_with_line_feeds_only() -> None:
    data = "a\r\nb\u2028c\x0b\r\n\nlast".encode()

    assert list(lines_of(data)) == ["a\r\n", "b\u2028c\x0b\r\n", "\n", "last"]


def test_text_lines_drop_a_byte_order_mark() -> None:
    lines = lines_of(b"\xef\xbb\xbfab\nc\xe9\n")

    assert list(lines) == ["ab\n", "cé\n"]
    assert lines.take_fault() == BadRow(
        2,
        "bytes that are not UTF-8",
        'set its encoding, such as `encoding="cp1252"`',
        sample=b"c\xe9\n",
    )


def test_text_lines_omit_a_line_over_max_record() -> None:
    fits, too_long = b"a" * (MAX_RECORD - 1) + b"\n", b"b" * MAX_RECORD + b"\n"

    lines = lines_of(fits + too_long + b"after\n")
    seen = [(lines.number, len(line), lines.take_fault()) for line in lines]

    assert seen == [
        (1, MAX_RECORD, None),
        (2, 0, BadRow(2, "more than 10,000,000 bytes", "split them")),
        (3, 6, None),
    ]


def test_text_lines_skip_a_line_of_50_mb_in_pieces() -> None:
    stream = io.BytesIO(b"x" * 50_000_000 + b"\nafter\n")
    tracemalloc.start()

    lines = list(TextLines(stream.readline, "data"))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == ["", "after\n"]
    assert peak < 3.5 * MAX_RECORD


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("a".encode("utf-16"), 'UTF-16; read it with `encoding="utf-16"`'),
        (b"\xfe\xff\x00a", 'UTF-16; read it with `encoding="utf-16"`'),
        ("a".encode("utf-32"), 'UTF-32; read it with `encoding="utf-32"`'),
        (b"\0\0\xfe\xff\0\0\0a", 'UTF-32; read it with `encoding="utf-32"`'),
        (b"\x1f\x8b\x08", "gzip; give it a name that ends in .gz"),
        (b"PK\x03\x04", ZIP),
    ],
    ids=["UTF-16 little-endian", "UTF-16 big-endian", "UTF-32 little", "UTF-32 big", "gzip", "zip"],
)
def test_text_lines_name_a_foreign_format(data: bytes, found: str) -> None:
    with pytest.raises(DataError) as error:
        lines_of(data)

    assert str(error.value) == f"data is {found}."
