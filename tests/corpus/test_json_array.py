"""Items of a JSON array: all of them, wherever the stream was cut into pieces."""

from __future__ import annotations

import io
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.corpus import formats
from slugline.corpus.formats import json_items
from slugline.corpus.lines import TextLines
from slugline.corpus.rows import MAX_RECORD, BadRow, SourceRow
from slugline.errors import DataError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)


def lines_of(data: bytes, n_bytes: int = MAX_RECORD) -> TextLines:
    stream = io.BytesIO(data)
    return TextLines(lambda n: stream.read(min(n, n_bytes)), "data")


def items_of(data: bytes, n_bytes: int = MAX_RECORD) -> list[bytes]:
    return list(json_items(lines_of(data, n_bytes)))


@pytest.mark.slow
@given(st.lists(VALUES), st.none() | st.integers(0, 2), st.booleans(), st.integers(1, 40))
def test_json_items_do_not_depend_on_the_pieces_read(
    values: list[object], indent: int | None, ascii_only: bool, n_bytes: int
) -> None:
    data = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass"
    )
    found = list(json_items(lines_of(b"\n " + data + b"\r\n", n_bytes)))
    assert found == [
        json.dumps(value, indent=indent, ensure_ascii=ascii_only)
        .replace("\n", "\n" + " " * (indent or 0))
        .encode("utf-8", "surrogatepass")
        for value in values
    ]


@pytest.mark.parametrize("data", [b"[]", b" [ \n] ", b"\xef\xbb\xbf[]"])
def test_json_items_of_an_empty_array(data: bytes) -> None:
    assert items_of(data) == []


@pytest.mark.parametrize("number", ["-0.5", "1.5e+300", "1E-7", "9" * 5000])
@pytest.mark.parametrize("n_bytes", [1, 2, 3, 4, 5])
def test_json_items_do_not_cut_a_number(number: str, n_bytes: int) -> None:
    lines = lines_of(f"[{number},{number}]".encode(), n_bytes)
    assert list(json_items(lines)) == [number.encode()] * 2


ADVICE = (
    "put [ and ] around its objects and commas between them, or, if there is one on each line, "
    "use a name that ends in .jsonl."
)


@pytest.mark.parametrize(
    ("data", "n_items", "message"),
    [
        (b"", 0, f"data is not a JSON array; {ADVICE}"),
        (b'{"a": 1}\n{"a": 2}\n', 0, f"data is not a JSON array; {ADVICE}"),
        (b"[", 0, "data, item 1: not valid JSON (no end found); fix it."),
        (b"[1, 2", 1, "data, item 2: not valid JSON (no end found); fix it."),
        (b'[1, {"a": "x', 1, "data, item 2: not valid JSON (no end found); fix it."),
        (b'[1, "', 1, "data, item 2: not valid JSON (no end found); fix it."),
        (b'["a\\"]', 0, "data, item 1: not valid JSON (no end found); fix it."),
        (b"[" * 200_000, 0, "data, item 1: not valid JSON (no end found); fix it."),
        (b"[1][2]", 1, "data continues after its JSON array; put each array in its own file."),
    ],
    ids=[
        "nothing",
        "lines",
        "no end",
        "no end after an item",
        "open string",
        "open quote",
        "escaped quote",
        "nested",
        "two arrays",
    ],
)
def test_json_items_reject_what_is_no_array_after_valid_items(
    data: bytes, n_items: int, message: str
) -> None:
    found: list[object] = []
    with pytest.raises(DataError) as error:
        found.extend(json_items(lines_of(data)))
    assert str(error.value) == message
    assert len(found) <= n_items


def test_array_rows_report_items_that_are_not_json() -> None:
    data = b'[{"a": 1}, 1 2, {"a": 1]}, , {"a": 2}, 1}, "' + b"x" * (MAX_RECORD + 1) + b'",]'
    found = list(formats.array_rows(lines_of(data)))
    assert [row.at for row in found if isinstance(row, SourceRow)] == [1, 5]
    problems = [row.problem for row in found if isinstance(row, BadRow)]
    assert [problem.partition(" (")[0] for problem in problems] == [
        *["not valid JSON"] * 4,
        f"more than {MAX_RECORD:,} bytes",
        "not valid JSON",
    ]


def test_json_items_reject_a_file_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_ARRAY", 10)
    assert items_of(b"[1,2,3,40]") == [b"1", b"2", b"3", b"40"]
    with pytest.raises(DataError, match=r"^data has more than 10 bytes, too many for a JSON array"):
        items_of(b"[1,2,3,400]")


@pytest.mark.slow
def test_json_items_take_no_memory_besides_the_file() -> None:
    data = b"[" + b",".join([b'"%b"' % (b"x" * 10_000)] * 5_000) + b"]"
    lines = lines_of(data)
    tracemalloc.start()
    n_items = sum(1 for _ in json_items(lines))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_items == 5_000
    assert peak < 1.2 * len(data) + MAX_RECORD


def test_json_items_take_linear_time_for_a_long_item() -> None:
    item = b'"' + b"x" * (MAX_RECORD - 2) + b'"'
    assert items_of(b"[" + item + b"]", n_bytes=4096) == [item]


@pytest.mark.parametrize(
    "item",
    [
        b'"' + b"\\\\" * 3000 + b'"',
        b'"' + b'\\"' * 3000 + b'"',
        b'"' + b"[" * 3000 + b'"',
        b"[" + b'"]", ' * 3000 + b'"\\""]',
        b'{"a": [{"b": "}"}], "c": "' + b"x" * 5000 + b'"}',
        b"[" * 900 + b'"]' + b"x" * 5000 + b'"' + b"]" * 900,
    ],
    ids=["backslashes", "escapes", "marks", "list", "object", "nested"],
)
def test_json_items_end_a_long_item_where_json_does(item: bytes) -> None:
    others = [b"1", b"-2.5e3", b"null", b'"x"', b"[]", b"{}"]
    array = b" , ".join([*others, item, *others, item])
    for n_bytes in (50, 1000, 1 << 16):
        assert items_of(b"[" + array + b"]", n_bytes) == [*others, item, *others, item]
