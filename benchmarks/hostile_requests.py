"""Single requests and uploads of at most 16 MB that are meant to take a server's time or memory."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from urllib.parse import urlencode

#: The most bytes of a body.
MOST = 1 << 24
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_WORDS = [f"word{n} wheat exports" for n in range(100_000)]


def _head(line: str, *fields: str) -> bytes:
    return "\r\n".join(
        (f"{line} HTTP/1.1", "Host: localhost", "Connection: close", *fields, "", "")
    ).encode()


def _post(path: str, kind: str, body: bytes) -> bytes:
    assert len(body) <= MOST, path
    fields = f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Accept: text/html"
    return _head(f"POST {path}", *fields) + body


def _filled(start: bytes, piece: bytes, end: bytes = b"", most: int = MOST) -> bytes:
    """Return as many pieces as fit between a start and an end."""
    n_pieces = (most - len(start) - len(end)) // len(piece)
    return start + piece * n_pieces + end


def _classify(start: bytes, piece: bytes = b"", end: bytes = b"") -> bytes:
    body = _filled(start, piece, end) if piece else start
    return _post("/v1/classify", _JSON, body)


def _object(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def _ask(path: str, **fields: object) -> bytes:
    return _post(f"/v1/{path}", _JSON, _object(**fields))


def _form(path: str, start: bytes, piece: bytes, most: int = MOST) -> bytes:
    return _post(path, _FORM, _filled(start, piece, most=most))


def _upload(name: str, content: bytes, to: str = "answers") -> bytes:
    path = f"/table/{to}?{urlencode({'name': name})}"
    return _post(path, "application/octet-stream", content)


def _packed(start: bytes, piece: bytes, n_bytes: int = 1 << 30) -> bytes:
    """Return a gzip file that unpacks to so many bytes, as far as 16 MB hold them."""
    many = piece * max(1, (1 << 23) // len(piece))
    member = gzip.compress(many, 6)
    head = gzip.compress(start)
    n_members = min(n_bytes // len(many), (MOST - len(head)) // len(member))
    return head + member * n_members


def _chunked(path: str, body: bytes) -> bytes:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    fields = f"Content-Type: {_JSON}", "Transfer-Encoding: chunked"
    return _head(f"POST {path}", *fields) + chunks + b"0\r\n\r\n"


def _workbook(sheet: str, strings: str = "<sst/>") -> bytes:
    """Return an Excel file with the XML of its sheet and of its shared strings."""
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    kinds = "http://schemas.openxmlformats.org/package/2006/content-types"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{kinds}"/>',
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="a" '
        f'Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns:r="{relations}"><sheets>'
        '<sheet name="s" sheetId="1" r:id="a"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}">'
        f'<Relationship Id="a" Type="{relations}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="b" Type="{relations}/sharedStrings" Target="sharedStrings.xml"/>'
        "</Relationships>",
        "xl/worksheets/sheet1.xml": f"<worksheet><sheetData>{sheet}</sheetData></worksheet>",
        "xl/sharedStrings.xml": strings,
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def _cell(text: str) -> str:
    return f'<c t="inlineStr"><is><t>{text}</t></is></c>'


_NAMES = f"<row>{_cell('id')}{_cell('text')}</row>"


def _many_words(n_texts: int) -> list[str]:
    return [" ".join(_WORDS[n::n_texts])[:100_000] for n in range(n_texts)]


def _fields(n: int) -> bytes:
    return b"{" + b",".join(b'"f%d":1' % number for number in range(n)) + b"}"


#: What each kind of client sends at once.
KINDS: dict[str, Callable[[], bytes]] = {
    # JSON
    "a text of 16 MB": lambda: _classify(b'{"text":"', b"a", b'"}'),
    "empty texts": lambda: _classify(b'{"texts":[', b'"",', b'""]}'),
    "texts of two characters": lambda: _classify(b'{"texts":[', b'"ab",', b'""]}'),
    "10,000 texts of 1,600 characters": lambda: _ask("classify", texts=["wheat ab" * 200] * 10_000),
    "10,000 texts of different words": lambda: _ask("classify", texts=_many_words(10_000)),
    "50 texts of 1,000 topics": lambda: _ask("classify", texts=["wheat"] * 50, top=1000),
    "2,500 texts of 20 topics": lambda: _ask("classify", texts=["wheat"] * 2500, top=20),
    "a list of empty objects": lambda: _classify(b'{"text":"a","columns":[', b"{},", b"{}]}"),
    "a list of small objects": lambda: _classify(b'{"text":"a","columns":[', b'{"a":1},', b"{}]}"),
    "an object of many fields": lambda: _classify(
        b'{"text":"a","columns":' + _fields(1_000_000) + b"}"
    ),
    "lists in a column": lambda: _classify(b'{"text":"a","columns":{"a":[', b'"",', b'""]}}'),
    "lists in lists": lambda: _classify(b'{"text":"a","columns":', b"["),
    "objects in objects": lambda: _classify(b'{"text":"a","columns":', b'{"a":'),
    "lists in lists, leniently": lambda: _classify(b'{"text":"\\ud800","columns":', b"["),
    "objects, leniently": lambda: _classify(b'{"text":"\\ud800","columns":[', b"{},", b"{}]}"),
    "a number of 16 million digits": lambda: _classify(b'{"top":', b"1", b"}"),
    "numbers": lambda: _classify(b'{"texts":[', b"1,", b"1]}"),
    "escaped quotation marks": lambda: _classify(b'{"text":"', b'\\"', b'"}'),
    "escaped letters": lambda: _classify(b'{"text":"', b"\\u00e9", b'"}'),
    "halves of characters": lambda: _classify(b'{"text":"', b"\\ud800", b'"}'),
    "broken escapes": lambda: _classify(b'{"text":"', b"\\u", b'"}'),
    "spaces": lambda: _classify(b'{"text":', b" ", b"}"),
    "quotation marks": lambda: _classify(b"", b'"'),
    "an unknown field": lambda: _classify(b'{"x":[', b"[1],", b"1]}"),
    "a field again and again": lambda: _classify(b"{", b'"text":"a",', b'"top":1}'),
    "bytes that are no text": lambda: _classify(b'{"text":"', b"\xff", b'"}'),
    "zeros": lambda: _classify(b"", b"\0"),
    "a name of a model of 16 MB": lambda: _classify(b'{"text":"a","model":"', b"a", b'"}'),
    "100 texts of 100,000 characters, explained": lambda: _ask(
        "classify", texts=["wheat exp " * 10_000] * 100, explain=True
    ),
    "100 texts of different words, explained": lambda: _ask(
        "classify", texts=_many_words(100), explain=True
    ),
    "one text, explained": lambda: _ask("explain", text="".join(_many_words(1))),
    "a correction of 16 MB": lambda: _post(
        "/v1/corrections", _JSON, _filled(b'{"topic":"a","text":"', b"a", b'"}')
    ),
    "a correction of many topics": lambda: _post(
        "/v1/corrections", _JSON, _filled(b'{"text":"a","topics":[', b'"a",', b'"b"]}')
    ),
    # Forms
    "login: percent signs": lambda: _form("/login", b"token=", b"%"),
    "login: escapes": lambda: _form("/login", b"token=", b"%41"),
    "percent signs": lambda: _form("/", b"text=", b"%"),
    "percent signs, as many as a form may have": lambda: _form("/", b"text=", b"%", 1_200_000),
    "escapes": lambda: _form("/", b"text=", b"%41"),
    "escapes, as many as a form may have": lambda: _form("/", b"text=", b"%41", 1_200_000),
    "fields": lambda: _form("/", b"text=a", b"&a=b", 1_200_000),
    "ampersands": lambda: _form("/", b"text=a", b"&", 1_200_000),
    "plus signs": lambda: _form("/", b"text=", b"+", 1_200_000),
    "a text of 100,000 characters": lambda: _form("/", b"text=", b"wheat+abc+", 100_000),
    "a correction of many fields": lambda: _form("/wrong", b"text=a", b"&topics=b", 2_000_000),
    "logout with a body": lambda: _form("/logout", b"", b"a"),
    "files in a form": lambda: _post("/", "multipart/form-data; boundary=a", b"--a\r\n" * 900_000),
    # Heads, and bodies that nobody reads
    "chunks of a byte": lambda: _chunked("/v1/classify", _filled(b"", b"a", most=2_000_000)),
    "a body where there is nothing": lambda: _post("/nothing", _JSON, _filled(b"", b"a")),
    "a query of 60 kB": lambda: _head(f"GET /?model={'%61' * 20_000}"),
    "cookies of 60 kB": lambda: _head("GET /", f"Cookie: {'a=b; ' * 12_000}"),
    # Tables
    "rows that don't fit": lambda: _upload(
        "a.csv.gz", _packed(b"id,text,topic\n", b"1,wheat\n", 4 << 30)
    ),
    "one row that fits": lambda: _upload(
        "a.csv.gz", _packed(b"id,text\n1,wheat\n", b"1\n", 4 << 30)
    ),
    "blank lines": lambda: _upload("a.csv.gz", _packed(b"id,text\n", b"\n", 4 << 30)),
    "blank rows": lambda: _upload("a.csv.gz", _packed(b"id,text\n", b",\n", 4 << 30)),
    "rows, to no end": lambda: _upload("a.csv.gz", _packed(b"id,text\n", b"1,wheat\n", 4 << 30)),
    "long texts, to no end": lambda: _upload(
        "a.csv.gz", _packed(b"id,text\n", b"1," + b"wheat abc " * 10_000 + b"\n", 4 << 30)
    ),
    "a million columns": lambda: _upload(
        "a.csv", b",".join(b"c%d" % n for n in range(1_000_000)) + b"\ntext\n"
    ),
    "rows of millions of cells": lambda: _upload(
        "a.csv.gz", _packed(b"id,text\n", b"1," + b"ab," * 3_000_000 + b"\n")
    ),
    "millions of cells, once in quotes": lambda: _upload(
        "a.csv.gz", _packed(b"id,text\n", b'"1",' + b"ab," * 3_000_000 + b"\n")
    ),
    "rows of 50,000 cells": lambda: _upload(
        "a.csv.gz",
        _packed(b",".join(b"c%d" % n for n in range(50_000)) + b"\n", b"," * 49_999 + b"\n"),
    ),
    "a quotation mark that stays open": lambda: _upload(
        "a.csv.gz", _packed(b'id,text\n1,"', b"wheat\n")
    ),
    "one line": lambda: _upload("a.txt.gz", _packed(b"", b"wheat ", 4 << 30)),
    "zeros in a table": lambda: _upload("a.csv.gz", _packed(b"id,text\n", b"\0")),
    "another encoding": lambda: _upload("a.csv.gz", _packed(b"id,text\n", b"1,\xe9\n", 4 << 30)),
    "objects of many fields": lambda: _upload(
        "a.jsonl.gz", _packed(b"", _fields(900_000)[:9_999_000].rpartition(b",")[0] + b"}\n")
    ),
    "an array of numbers": lambda: _upload("a.json.gz", _packed(b"[", b"1,", 4 << 30)),
    "an array of spaces": lambda: _upload("a.json.gz", _packed(b"[", b" ", 4 << 30)),
    "an array of one long item": lambda: _upload("a.json.gz", _packed(b"[[", b"1,", 4 << 30)),
    "an array of one object": lambda: _upload("a.json.gz", _packed(b"[{", b'"a":1,', 4 << 30)),
    "arrays in arrays": lambda: _upload("a.json.gz", _packed(b"", b"[", 4 << 30)),
    "Excel: empty rows": lambda: _upload(
        "a.xlsx", _workbook(_NAMES + "<row/>" * 3_000_000)
    ),
    "Excel: texts of the workbook": lambda: _upload(
        "a.xlsx", _workbook(_NAMES, f"<sst>{'<si><t>a</t></si>' * 1_900_000}</sst>")
    ),
    "Excel: rows": lambda: _upload(
        "a.xlsx", _workbook(_NAMES + f"<row>{_cell('1')}{_cell('wheat')}</row>" * 400_000)
    ),
    "Excel: rows, to get back": lambda: _upload(
        "a.xlsx", _workbook(_NAMES + f"<row>{_cell('1')}{_cell('wheat')}</row>" * 400_000), "file"
    ),
    "rows, to get back": lambda: _upload(
        "a.csv.gz", _packed(b"id,text\n", b"1,wheat\n", 4 << 30), "file"
    ),
}  # fmt: skip

_ELEVEN_MB = 11_000_000
#: Requests that are refused after all of their body was read.
REFUSED: dict[str, Callable[[], bytes]] = {
    "a table with a quotation mark that stays open": lambda: _upload(
        "a.csv", _filled(b'id,text\n1,"', b"wheat\n", most=_ELEVEN_MB)
    ),
    "a table of zeros": lambda: _upload("a.csv", bytes(_ELEVEN_MB)),
    "a table of a million columns": lambda: _upload(
        "a.csv", _filled(b"", b"ab,wheat,ab", b"\ntext\n", most=_ELEVEN_MB)
    ),
    "JSON that ends too soon": lambda: _classify(_filled(b'{"text":"', b"a")),
    "JSON of a text too long": KINDS["a text of 16 MB"],
    "JSON of too many values": KINDS["numbers"],
}
