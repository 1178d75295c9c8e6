"""JSON arrays: their items as rows, and files that are refused as a whole."""

from __future__ import annotations

import io
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.corpus import formats
from slugline.corpus.formats import array_rows
from slugline.corpus.lines import TextLines
from slugline.corpus.rows import MAX_RECORD, BadRow, RowIterator, SourceRow
from slugline.errors import DataError

CELLS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_characters="\0", codec="utf-8"))
)


def rows_of(data: bytes, n_bytes: int = MAX_RECORD) -> RowIterator:
    stream = io.BytesIO(data)
    return array_rows(TextLines(lambda n: stream.read(min(n, n_bytes)), "data"))


@pytest.mark.slow
@given(
    st.lists(st.dictionaries(st.text(max_size=3), CELLS)),
    st.none() | st.integers(0, 2),
    st.booleans(),
    st.integers(1, 40),
)
def test_array_rows_do_not_depend_on_the_pieces_read(
    values: list[dict[str, object]], indent: int | None, ascii_only: bool, n_bytes: int
) -> None:
    data = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode()
    found = list(rows_of(b"\n " + data + b"\r\n", n_bytes))
    assert found == [SourceRow(at, value) for at, value in enumerate(values, 1)]


ADVICE = (
    "put [ and ] around its objects and commas between them. If each line is one object, "
    "use a name that ends in .jsonl."
)
MALFORMED = "data is not valid JSON (JSON is malformed: {}); fix it."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", f"data is not a JSON array; {ADVICE}"),
        (b'{"a": 1}\n{"a": 2}\n', f"data is not a JSON array; {ADVICE}"),
        (b"[1, 2", "data is not valid JSON (Input data was truncated); fix it."),
        (b'[1, {"a": "x', "data is not valid JSON (Input data was truncated); fix it."),
        (b"[1][2]", MALFORMED.format("trailing characters (byte 4)")),
        (b"[1 2]", MALFORMED.format("expected ',' or ']' (byte 3)")),
        (
            b'{"tickets": [{"text": "a"}], "next": null}',
            "data is a JSON object with an array in its field 'tickets'; save that array alone, "
            "for example with jq '.[\"tickets\"]'.",
        ),
    ],
    ids=["nothing", "lines", "no end", "open string", "two arrays", "no comma", "field"],
)
def test_array_rows_reject_what_is_no_array(data: bytes, message: str) -> None:
    with pytest.raises(DataError) as error:
        list(rows_of(data))
    assert str(error.value) == message


def test_array_rows_reject_deep_nesting() -> None:
    with pytest.raises(DataError, match=r"^data is not valid JSON \(.+\); fix it\.$"):
        list(rows_of(b"[" * 200_000))


@pytest.mark.parametrize(("limit", "value"), [("MAX_ARRAY", 10), ("_MAX_COMMAS", 3)])
def test_array_rows_reject_a_file_that_is_too_large(
    limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, limit, value)
    assert len(list(rows_of(b"[1,2,3,40]"))) == 4
    with pytest.raises(DataError, match=r", too many for a JSON array; write one object on each"):
        list(rows_of(b"[1,2,3,4,5]"))


@pytest.mark.slow
def test_array_rows_take_no_memory_besides_the_file() -> None:
    data = b"[" + b",".join([b'"%b"' % (b"x" * 10_000)] * 5_000) + b"]"
    rows = rows_of(data)
    tracemalloc.start()
    n_items = sum(1 for _ in rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_items == 5_000
    assert peak < 1.2 * len(data) + MAX_RECORD


def test_array_rows_take_linear_time_for_a_long_item() -> None:
    items = [b'"' + b"x" * (MAX_RECORD - 2) + b'"', b'"' + b"x" * (MAX_RECORD - 1) + b'"']
    first, second = rows_of(b"[" + b",".join(items) + b"]", n_bytes=4096)
    assert isinstance(first, SourceRow)
    assert second == BadRow(2, "more than 10,000,000 bytes", "split them")
