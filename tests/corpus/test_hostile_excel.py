"""Excel files that are made to take gigabytes, or to end the process: a child reads them."""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

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
    for _ in range(n // 10_000):
        yield piece.encode() * 10_000
    yield after.encode()


def numbered(piece: str, n: int, before: str, after: str) -> Iterator[bytes]:
    """Yield a piece many times, with a number in place of #."""
    yield before.encode()
    for first in range(0, n, 10_000):
        yield "".join(piece.replace("#", str(at)) for at in range(first, first + 10_000)).encode()
    yield after.encode()


def cell_at(place: str) -> str:
    return _HEAD + f'<row r="2"><c {place} t="str"><v>far</v></c></row>'


_BEGIN, _END = f"<worksheet {_NS}><sheetData>{_HEAD}", "</sheetData></worksheet>"
_STRINGS, _NO_STRINGS = f"<sst {_NS}>", "</sst>"
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
    yield "blanks", parts(sheet=times(" " * 1000, 150_000))
    yield "elements", parts(sheet=times("<a/>", 4_100_000, _BEGIN, _END))
    yield "names", parts(sheet=numbered("<a#/>", 1_000_000, _BEGIN, _END))
    yield "prefixes", parts(sheet=numbered('<a xmlns:b#="c"/>', 1_000_000, _BEGIN, _END))
    yield "depth", parts(sheet=times("<a>", 10_000_000, _BEGIN))
    yield "one tag", parts(sheet=numbered(' a#=""', 1_000_000, _BEGIN + "<a", "/>" + _END))
    yield "long name", parts(sheet=times("a" * 1000, 100_000, _BEGIN + "<", "/>" + _END))
    yield "comment", parts(sheet=times("a" * 1000, 100_000, _BEGIN + "<!--", "-->" + _END))
    yield (
        "cells of a row",
        parts(sheet=times("<c><v>1</v></c>", 1_000_000, _BEGIN + "<row>", "</row>" + _END)),
    )
    yield "rows", parts(sheet=times('<row><c t="b"><v>1</v></c></row>', 300_000, _BEGIN, _END))
    yield "empty rows", parts(sheet=times("<row/>", 1_100_000, _BEGIN, _END))
    yield (
        "sparse",
        parts(sheet=times('<row><c r="XFD9" t="b"><v>1</v></c></row>', 200_000, _BEGIN, _END)),
    )
    head = "".join(f'<c t="str"><v>h{n}</v></c>' for n in range(16_000))
    yield (
        "wide and long",
        parts(
            sheet=times(
                "<row><c><v>1</v></c></row>",
                1_000_000,
                f"<worksheet {_NS}><sheetData><row>{head}</row>",
                _END,
            )
        ),
    )
    long = f"<si><t>text</t></si><si><t>topic</t></si><si><t>{'x' * 9_000_000}</t></si>"
    row = '<row><c t="s"><v>2</v></c></row>'
    yield (
        "shared string in each row",
        parts(sheet=times(row, 1_000_000, _BEGIN, _END), strings=_STRINGS + long + _NO_STRINGS),
    )
    yield (
        "shared string in each cell",
        parts(
            sheet=times('<c t="s"><v>2</v></c>', 1_000_000, _BEGIN + "<row>", "</row>" + _END),
            strings=_STRINGS + long + _NO_STRINGS,
        ),
    )
    yield "strings", parts(strings=times("<si><t>ab</t></si>", 1_100_000, _STRINGS, _NO_STRINGS))
    rare = "a" * 9_000 + "\N{GRINNING FACE}"
    yield (
        "rare characters",
        parts(strings=times(f"<si><t>{rare}</t></si>", 20_000, _STRINGS, _NO_STRINGS)),
    )
    yield (
        "one string",
        parts(strings=times("a" * 1000, 190_000, _STRINGS + "<si><t>", "</t></si>" + _NO_STRINGS)),
    )
    yield (
        "pieces of a string",
        parts(strings=times("<t>a</t>", 2_100_000, _STRINGS + "<si>", "</si>" + _NO_STRINGS)),
    )
    yield "styles", parts(styles=times("<xf numFmtId='14'/>", 1_000_000, "<a>", "</a>"))
    yield (
        "brackets in a format",
        parts(styles=f'<a><numFmt numFmtId="200" formatCode="{"[" * 900_000}"/></a>'),
    )
    yield (
        "relations",
        parts(rels=times("<Relationship Id='a' Type='b' Target='c'/>", 1_000_000, "<a>", "</a>")),
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
    save(paths[-1], parts(sheet=times(" " * 1000, 30_000)))
    with zipfile.ZipFile(paths[-1]) as archive:
        size = struct.pack("<I", archive.getinfo("xl/worksheets/sheet1.xml").file_size)
    paths[-1].write_bytes(paths[-1].read_bytes().replace(size, struct.pack("<I", 100)))
    return paths


_CHILD = """
import json, resource, sys, time
from pathlib import Path
from slugline.corpus.readers import read_rows
from slugline.errors import DataError
for name in sys.argv[1:]:
    began, outcome = time.process_time(), "read"
    try:
        for row in read_rows(name):
            pass
    except DataError as error:
        outcome = str(error)
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps([name, time.process_time() - began, mib, outcome]), flush=True)
"""


@pytest.mark.slow
def test_no_crafted_file_takes_the_process_a_gigabyte_or_ten_seconds(tmp_path: Path) -> None:
    paths = craft_files(tmp_path)
    limit: Callable[[], None] = lambda: resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))  # noqa: E731

    child = subprocess.run(
        [sys.executable, "-c", _CHILD, *map(str, paths)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )

    results = [json.loads(line) for line in child.stdout.splitlines()]
    assert (len(results), child.returncode) == (len(paths), 0), child.stderr[-2000:]
    assert len(paths) >= 60
    assert [name for name, seconds, mib, _ in results if seconds > 10 or mib > 1024] == []
    assert all(
        outcome == "read" or len(outcome) < 400 + len(name) for name, _, _, outcome in results
    )
