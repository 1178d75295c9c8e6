"""Excel files by their XML: what is read of them, and what is made to take gigabytes."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from slugline.corpus import excel
from slugline.corpus.readers import read_rows
from slugline.corpus.rows import BadRow, SourceRow
from slugline.errors import DataError

_NS = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
_HEAD = '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row>'
_BODY = '<row r="2"><c r="A2" t="s"><v>2</v></c><c r="B2"><v>3</v></c></row>'

Content = str | bytes | Iterable[bytes]


def relations(*pairs: tuple[str, str]) -> str:
    items = "".join(
        f'<Relationship Id="r{n}" Type="{_R}/{kind}" Target="{target}"/>'
        for n, (kind, target) in enumerate(pairs, 1)
    )
    return f"<Relationships {_PACKAGE}>{items}</Relationships>"


def sheet(rows: str, before: str = "") -> str:
    return f"<worksheet {_NS}>{before}<sheetData>{rows}</sheetData></worksheet>"


def parts(rows: str = _HEAD + _BODY, **changed: Content) -> dict[str, Content]:
    """Return the parts of a workbook; keywords are names with two underscores for a slash."""
    usual: dict[str, Content] = {
        "_rels/.rels": relations(("officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook {_NS} xmlns:r="{_R}"><sheets>'
        '<sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations(
            ("worksheet", "worksheets/sheet1.xml"),
            ("sharedStrings", "sharedStrings.xml"),
            ("styles", "styles.xml"),
        ),
        "xl/sharedStrings.xml": f"<sst {_NS}><si><t>text</t></si><si><t>topic</t></si>"
        "<si><t>No heat</t></si></sst>",
        "xl/styles.xml": f"<styleSheet {_NS}><cellXfs><xf numFmtId='0'/></cellXfs></styleSheet>",
        "xl/worksheets/sheet1.xml": sheet(rows),
    }
    names = {
        "strings": "xl/sharedStrings.xml",
        "styles": "xl/styles.xml",
        "book": "xl/workbook.xml",
    }
    names |= {"sheet": "xl/worksheets/sheet1.xml", "rels": "xl/_rels/workbook.xml.rels"}
    return usual | {names.get(name, name): content for name, content in changed.items()}


def save(path: Path, content: dict[str, Content], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        for name, data in content.items():
            with archive.open(name, "w", force_zip64=True) as part:
                pieces = [data.encode()] if isinstance(data, str) else data
                for piece in [pieces] if isinstance(pieces, bytes) else pieces:
                    part.write(piece)


def times(piece: str, n: int, before: str = "", after: str = "") -> Iterator[bytes]:
    """Yield a piece many times between two texts."""
    yield before.encode()
    for _ in range(n // 500):
        yield piece.encode() * 500
    yield after.encode()


def numbered(piece: str, n: int, before: str, after: str) -> Iterator[bytes]:
    """Yield a piece many times, with a number in place of #."""
    yield before.encode()
    for first in range(0, n, 10_000):
        yield "".join(piece.replace("#", str(at)) for at in range(first, first + 10_000)).encode()
    yield after.encode()


def cell_at(place: str) -> str:
    return _HEAD + f'<row r="2"><c {place} t="str"><v>far</v></c></row>'


_STRINGS, _NO_STRINGS = f"<sst {_NS}>", "</sst>"


# What a sheet may hold ----------------------------------------------------------------------------


def read(folder: Path, rows: str = _HEAD + _BODY, **changed: Content) -> list[SourceRow | BadRow]:
    save(folder / "a.xlsx", parts(rows, **changed))
    return list(read_rows(folder / "a.xlsx"))


def reason(folder: Path, rows: str = _HEAD + _BODY, **changed: Content) -> str:
    """Return why a workbook can't be read."""
    with pytest.raises(DataError) as caught:
        read(folder, rows, **changed)
    message = re.fullmatch(r".*a\.xlsx cannot be read as Excel \((.*)\); save it .*",
                           str(caught.value), re.DOTALL)  # fmt: skip
    assert message, str(caught.value)
    return message[1]


def head(*names: str) -> str:
    return "<row>" + "".join(f'<c t="str"><v>{name}</v></c>' for name in names) + "</row>"


def test_workbook_numbers_rows_and_cells_without_a_place(tmp_path: Path) -> None:
    rows = '<row/><row><c t="str"><v>a</v></c><c/><c t="str"><v>b</v></c></row>'
    rows += '<row r="7"><c r="C7"><v>1</v></c></row><row><c><v>2</v></c><c><v>3</v></c></row>'
    assert read(tmp_path, rows) == [
        SourceRow(7, {"a": "", "b": 1.0}),
        SourceRow(8, {"a": 2.0, "b": ""}),
    ]


def test_sheet_note_is_empty_for_one_sheet(tmp_path: Path) -> None:
    save(tmp_path / "a.xlsx", parts())
    assert read_rows(tmp_path / "a.xlsx").note == ""
    assert list(read_rows(tmp_path / "a.xlsx")) == [SourceRow(2, {"text": "No heat", "topic": 3.0})]


def test_workbook_obeys_the_1904_date_system(tmp_path: Path) -> None:
    book = parts()["xl/workbook.xml"]
    styles = "<a><cellXfs><xf numFmtId='14'/></cellXfs></a>"
    assert isinstance(book, str)
    for value, day in (("true", "1904-01-02"), ("1", "1904-01-02"), ("0", "1899-12-31")):
        later = book.replace("<sheets>", f"<workbookPr date1904='{value}'/><sheets>")
        rows = head("a") + "<row><c><v>1</v></c></row>"
        assert read(tmp_path, rows, book=later, styles=styles) == [SourceRow(2, {"a": day})]


def test_excel_rows_reject_a_workbook_without_its_parts(tmp_path: Path) -> None:
    assert reason(tmp_path, book=f"<workbook {_NS}/>") == "it has no sheet with cells"
    assert (
        reason(tmp_path, **{"_rels/.rels": relations(("image", "a.png"))}) == "it has no workbook"
    )


def test_workbook_joins_rich_text_without_phonetics(tmp_path: Path) -> None:
    rich = "<si><r><t>東</t></r><rPh><t>とう</t></rPh><r><t>京</t></r></si>"
    strings = f"<x:sst xmlns:x='a'><x:si><x:t>text</x:t></x:si>{rich}</x:sst>"
    rows = '<row><c t="s"><v>0</v></c></row><row><c t="s"><v>1</v></c></row>'
    rows += '<row><c t="inlineStr"><is><t>in</t><t>line</t></is></c></row>'
    found = read(tmp_path, rows, strings=strings)
    assert found == [SourceRow(2, {"text": "東京"}), SourceRow(3, {"text": "inline"})]


def test_workbook_reads_booleans_errors_and_huge_numbers(tmp_path: Path) -> None:
    kinds = [("b", "1"), ("b", "0"), ("e", "#REF!"), ("n", "1e999"), ("str", "_x000A__x0041_")]
    cells = "".join(f'<c t="{kind}"><v>{content}</v></c>' for kind, content in kinds)
    (row,) = read(tmp_path, f"{head(*'abcde')}<row>{cells}</row>")
    assert isinstance(row, SourceRow)
    assert [*row.values.values()] == [True, False, "", "1e999", "\n_x0041_"]


@pytest.mark.parametrize(
    ("number", "code", "value", "shown"),
    [
        (0, "", 45_000, 45_000.0),
        (13, "", 45_000, 45_000.0),
        (14, "", 45_000, "2023-03-15"),
        (22, "", 45_000.5, "2023-03-15 12:00:00"),
        (23, "", 45_000, 45_000.0),
        (26, "", 45_000, 45_000.0),
        (27, "", 45_000, "2023-03-15"),
        (36, "", 45_000, "2023-03-15"),
        (37, "", 45_000, 45_000.0),
        (44, "", 45_000, 45_000.0),
        (45, "", 0.5, "12:00:00"),
        (46, "", 1.5, "36:00:00"),
        (47, "", 0, "00:00:00"),
        (48, "", 45_000, 45_000.0),
        (49, "", 45_000, 45_000.0),
        (50, "", 45_000, "2023-03-15"),
        (58, "", 45_000, "2023-03-15"),
        (59, "", 45_000, 45_000.0),
        (14, "", 1, "1899-12-31"),
        (14, "", -0.5, "1899-12-29 12:00:00"),
        (14, "", 1e12, "1000000000000.0"),
        (200, "yyyy", 45_000, "2023-03-15"),
        (200, "[h]:mm", 1.5, "36:00:00"),
        (200, "[Red]0", 7, 7.0),
        (200, "&quot;days&quot; 0", 7, 7.0),
        (200, "General", 7, 7.0),
        (14, "0", 7, 7.0),
        (200, "0" * 254 + "d", 45_000, "2023-03-15"),
        (200, "0" * 255 + "d", 45_000, 45_000.0),
    ],
)
def test_workbook_distinguishes_dates_and_durations_by_format(
    tmp_path: Path, number: int, code: str, value: float, shown: object
) -> None:
    custom = f"<numFmt numFmtId='{number}' formatCode='{code}'/>" if code else ""
    styles = f"<a><cellStyleXfs><xf numFmtId='14'/></cellStyleXfs>{custom}"
    styles += f"<cellXfs><xf/><xf numFmtId='{number}'/></cellXfs></a>"
    rows = f'{head("a", "b", "c")}<row><c s="1"><v>{value}</v></c><c><v>5</v></c>'
    rows += '<c s="2"><v>5</v></c></row>'
    assert read(tmp_path, rows, styles=styles) == [SourceRow(2, {"a": shown, "b": 5.0, "c": 5.0})]


def test_workbook_accepts_the_last_cell_of_excel(tmp_path: Path) -> None:
    assert [row.at for row in read(tmp_path, cell_at('r="XFD2"'))] == [2]
    assert (
        reason(tmp_path, cell_at('r="XFE2"'))
        == "it has a cell in row 2, column 16,385, outside an Excel sheet"
    )
    last = _HEAD + '<row r="{}"><c t="str"><v>far</v></c></row>'
    assert [row.at for row in read(tmp_path, last.format(1_048_576))] == [1_048_576]
    why = "it has a cell in row 1,048,577, column 0, outside an Excel sheet"
    assert reason(tmp_path, last.format(1_048_577)) == why
    assert (
        reason(tmp_path, last.format(-1))
        == "it has a cell in row -1, column 0, outside an Excel sheet"
    )
    assert reason(tmp_path, cell_at('r="AAAA2"')) == "it has a cell at 'AAAA2'"


def test_excel_rows_give_a_bad_row_over_max_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.corpus.rows.MAX_RECORD", 20)
    rows = f"{head('text', 'topic')}<row>{'<c><v>1234567890</v></c>' * 2}</row>"
    assert read(tmp_path, rows) == [SourceRow(2, {"text": 1234567890.0, "topic": 1234567890.0})]
    longer = rows.replace("0</v></c></row>", "01</v></c></row>")
    (bad, good) = read(tmp_path, longer + "<row><c><v>5</v></c></row>")
    assert bad == BadRow(2, "more than 20 bytes", "split them")
    assert good == SourceRow(3, {"text": 5.0, "topic": ""})
    assert read(tmp_path, longer) == [bad]
    long = head("text") + f'<row><c t="str"><v>{"x" * 20}</v></c></row>'
    assert read(tmp_path, long) == [SourceRow(2, {"text": "x" * 20})]
    why = "a cell has more than 20 characters"
    assert reason(tmp_path, long.replace("</v></c></row>", "y</v></c></row>", 2)) == why


@pytest.mark.parametrize(
    ("name", "most", "rows", "why"),
    [
        ("MAX_CELLS", 3, head("a", "b") + "<row><c><v>1</v></c></row>" * 2,
         "its table has more than 3 cells"),
        ("MAX_ELEMENTS", 7, head("a") + "<row><c><v>1</v></c></row>",
         "more than 7 elements or 100"),
        ("MAX_STRINGS", 6, _HEAD + _BODY, "more than 6 elements or 100"),
        ("_MAX_DEPTH", 4, _HEAD + _BODY, "elements or 4 levels"),
        ("_MAX_NAMES", 7, _HEAD + _BODY, "its XML contains oversized tags or too many names"),
    ],
    ids=lambda value: value if str(value).isupper() else "",
)  # fmt: skip
def test_workbook_limits_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, most: int, rows: str, why: str
) -> None:
    monkeypatch.setattr(excel, name, most)
    assert why in reason(tmp_path, rows)
    monkeypatch.setattr(excel, name, most + 1)
    assert len(read(tmp_path, rows)) > 0


def test_open_part_rejects_a_part_that_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = max(len(str(part)) for part in parts().values())
    monkeypatch.setattr(excel, "MAX_UNPACKED", most)
    assert len(read(tmp_path)) == 1
    monkeypatch.setattr(excel, "MAX_UNPACKED", most - 1)
    assert reason(tmp_path).endswith(f" unpacks to {most:,} bytes")


def test_open_part_rejects_an_unusual_compression(tmp_path: Path) -> None:
    save(tmp_path / "a.xlsx", parts(), zipfile.ZIP_STORED)
    assert len(list(read_rows(tmp_path / "a.xlsx"))) == 1
    save(tmp_path / "a.xlsx", parts(), zipfile.ZIP_BZIP2)
    with pytest.raises(DataError, match=r"\(_rels/.rels uses an unsupported compression method\)"):
        list(read_rows(tmp_path / "a.xlsx"))


def test_workbook_counts_a_shared_string_for_each_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = "<si><t>text</t></si>" + f"<si><t>{'x' * 996}</t></si>"
    rows = '<row><c t="s"><v>0</v></c></row>' + '<row><c t="s"><v>1</v></c></row>' * 2
    monkeypatch.setattr(excel, "MAX_UNPACKED", 1996)
    assert len(read(tmp_path, rows, strings=_STRINGS + shared + _NO_STRINGS)) == 2
    monkeypatch.setattr(excel, "MAX_UNPACKED", 1995)
    why = "its cells have more than 1,995 characters"
    assert reason(tmp_path, rows, strings=_STRINGS + shared + _NO_STRINGS) == why


# Files that ask for more than a reader should give -----------------------------------------------

# The files are read with limits of so many times less, and are as much smaller.
_SCALE = 8

_BEGIN, _END = f"<worksheet {_NS}><sheetData>{_HEAD}", "</sheetData></worksheet>"
_PLACES = [
    *('r="XFD1048576"', "r = 'XFD1048576'", 'r\n=\n"XFD1048576"', 'r="xfd1048576"'),
    *('r="XFDXX1"', 'r="XFD0001048576"', 'r=" XFD1048576 "', 'r="&#88;FD1048576"'),
    *('r="A99999999999999999999"', 'r="XFE1"', 'r="ZZZ9999999"', 'r=""', 'r="A"', 'r="7"'),
    *('r="A٣"', 'r="Ａ1"', 'r="A1:XFD9"', 'r="$A$1"', 'r="-A1"', 'x:r="XFD1"'),
]
_NUMBERS = ["0", "-1", "1048577", "1000000000000", "9" * 5000, "1e9", "2.5", "", " 3 ", "٣"]
_BOMB = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(12))


def crafted_parts() -> Iterator[tuple[str, dict[str, Content]]]:
    """Yield names and parts of workbooks that ask for more than a reader should give."""
    for place in _PLACES:
        yield f"cell {place}", parts(cell_at(place))
    for number in _NUMBERS:
        yield f"row {number[:9]}", parts(f'{_HEAD}<row r="{number}"><c t="str"><v>a</v></c></row>')
        yield (
            f"string {number[:9]}",
            parts(f'{_HEAD}<row><c t="s" s="{number}"><v>{number}</v></c></row>'),
        )
    yield (
        "entities",
        parts(
            sheet=f'<!DOCTYPE a [<!ENTITY e0 "lol">{_BOMB}]>' + sheet(cell_at('r="A2"') + "&e12;")
        ),
    )
    yield (
        "outer entity",
        parts(sheet='<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + sheet("&x;")),
    )
    yield "blanks", parts(sheet=times(" " * 1000, 18_500))
    yield "elements", parts(sheet=times("<a/>", 512_500, _BEGIN, _END))
    yield "names", parts(sheet=numbered("<a#/>", 120_000, _BEGIN, _END))
    yield "prefixes", parts(sheet=numbered('<a xmlns:b#="c"/>', 120_000, _BEGIN, _END))
    yield "depth", parts(sheet=times("<a>", 1_200_000, _BEGIN))
    yield "one tag", parts(sheet=numbered(' a#=""', 120_000, _BEGIN + "<a", "/>" + _END))
    yield "long name", parts(sheet=times("a" * 1000, 12_500, _BEGIN + "<", "/>" + _END))
    yield "comment", parts(sheet=times("a" * 1000, 12_500, _BEGIN + "<!--", "-->" + _END))
    yield (
        "cells of a row",
        parts(sheet=times("<c><v>1</v></c>", 120_000, _BEGIN + "<row>", "</row>" + _END)),
    )
    yield "rows", parts(sheet=times('<row><c t="b"><v>1</v></c></row>', 1_500, _BEGIN, _END))
    yield "empty rows", parts(sheet=times("<row/>", 137_500, _BEGIN, _END))
    yield (
        "sparse",
        parts(sheet=times('<row><c r="XFD9" t="b"><v>1</v></c></row>', 1_500, _BEGIN, _END)),
    )
    head = "".join(f'<c t="str"><v>h{n}</v></c>' for n in range(16_000))
    yield (
        "wide and long",
        parts(
            sheet=times(
                "<row><c><v>1</v></c></row>",
                2_500,
                f"<worksheet {_NS}><sheetData><row>{head}</row>",
                _END,
            )
        ),
    )
    long = f"<si><t>text</t></si><si><t>topic</t></si><si><t>{'x' * 1_100_000}</t></si>"
    row = '<row><c t="s"><v>2</v></c></row>'
    yield (
        "shared string in each row",
        parts(sheet=times(row, 120_000, _BEGIN, _END), strings=_STRINGS + long + _NO_STRINGS),
    )
    yield (
        "shared string in each cell",
        parts(
            sheet=times('<c t="s"><v>2</v></c>', 120_000, _BEGIN + "<row>", "</row>" + _END),
            strings=_STRINGS + long + _NO_STRINGS,
        ),
    )
    yield "strings", parts(strings=times("<si><t>ab</t></si>", 137_500, _STRINGS, _NO_STRINGS))
    rare = "a" * 9_000 + "\N{GRINNING FACE}"
    yield (
        "rare characters",
        parts(strings=times(f"<si><t>{rare}</t></si>", 2_500, _STRINGS, _NO_STRINGS)),
    )
    yield (
        "one string",
        parts(strings=times("a" * 1000, 23_500, _STRINGS + "<si><t>", "</t></si>" + _NO_STRINGS)),
    )
    yield (
        "pieces of a string",
        parts(strings=times("<t>a</t>", 262_500, _STRINGS + "<si>", "</si>" + _NO_STRINGS)),
    )
    yield "styles", parts(styles=times("<xf numFmtId='14'/>", 250_000, "<a>", "</a>"))
    yield (
        "brackets in a format",
        parts(styles=f'<a><numFmt numFmtId="200" formatCode="{"[" * 900_000}"/></a>'),
    )
    yield (
        "relations",
        parts(rels=times("<Relationship Id='a' Type='b' Target='c'/>", 250_000, "<a>", "</a>")),
    )
    yield "no sheet", parts(book=f"<workbook {_NS}/>")
    yield "a part that isn't there", parts(rels=relations(("worksheet", "nothing.xml")))
    yield "a part that is itself", parts(rels=relations(("worksheet", "../_rels/.rels")))
    yield "not XML", parts(sheet=b"\xff\x00\x01" * 100)


def craft_files(folder: Path) -> list[Path]:
    paths = []
    for at, (_, content) in enumerate(crafted_parts()):
        paths.append(folder / f"{at:02}.xlsx")
        save(paths[-1], content)
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        paths.append(folder / f"method{method}.xlsx")
        save(paths[-1], parts(), method)
    paths.append(folder / "password.xlsx")
    paths[-1].write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(4096))
    paths.append(folder / "size.xlsx")  # a part that claims another size
    save(paths[-1], parts(sheet=times(" " * 1000, 3_500)))
    with zipfile.ZipFile(paths[-1]) as archive:
        size = struct.pack("<I", archive.getinfo("xl/worksheets/sheet1.xml").file_size)
    paths[-1].write_bytes(paths[-1].read_bytes().replace(size, struct.pack("<I", 100)))
    return paths


# Not ru_maxrss, which begins at what the parent had.
_MEASURING = """
import json, resource, sys, time
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024
"""
# Files that get no columns are read to their end as well, unless that is where they failed.
_CHILD = f"""{_MEASURING}
from contextlib import closing
from slugline.corpus import excel
for limit in ("UNPACKED", "ELEMENTS", "STRINGS", "CELLS", "ROW"):
    setattr(excel, f"MAX_{{limit}}", getattr(excel, f"MAX_{{limit}}") // {_SCALE})
from slugline.corpus.readers import read_rows
from slugline.corpus.excel_copy import ExcelCopy
from slugline.errors import DataError

ends = set()

def rows_to_the_end(name):
    try:
        yield from read_rows(name)
    except DataError:
        ends.add(name)
        raise
    ends.add(name)

def add_columns(name):
    ends.add(name)  # opening reads all rows, and fails as reading them does
    with open(name + ".new", "wb") as file, closing(ExcelCopy(file, Path(name))) as copy:
        ends.remove(name)
        copy.begin(["topic", "probability"])
        for row in rows_to_the_end(name):
            copy.write_row(dict(topic="grain", probability=0.5), row.at)
        copy.finish()

def read(name):
    for row in rows_to_the_end(name):
        pass

for name in sys.argv[1:]:
    for step in (add_columns, read):
        began, outcome = time.process_time(), "done"
        try:
            step(name)
        except DataError as error:
            outcome = str(error)
        print(json.dumps([name, step.__name__, time.process_time() - began, peak(), outcome]))
        if name in ends:
            break
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_excel_rows_bound_memory_and_time_for_crafted_files(tmp_path: Path) -> None:
    paths = craft_files(tmp_path)
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, *map(str, paths)], capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr[-2000:]
    results = [json.loads(line) for line in child.stdout.splitlines()]
    assert {name for name, *_ in results} == {*map(str, paths)}
    assert len(paths) >= 60
    assert [line for line in results if line[2] > 30 / _SCALE or line[3] > 1024 / _SCALE] == []
    assert [line for line in results if len(line[4]) > 400 + len(line[0])] == []
    assert sum(line[1:2] + line[4:] == ["add_columns", "done"] for line in results) >= 10
