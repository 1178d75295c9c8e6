"""Files of other programs are refused, with what to do."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from slugline.corpus.layout import ReadOptions
from slugline.corpus.lines import describe_foreign
from slugline.corpus.readers import read_rows
from slugline.errors import DataError


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("brief.pdf", b"%PDF-1.7\n", "a PDF document; save its text as .txt"),
        ("brief.pdf.txt", b"%PDF-1.7\n", "a PDF document; save its text as .txt"),
        ("a.csv", b"\x89PNG\r\n", "a picture; Slugline reads texts, so extract the text first"),
        ("a.msg", bytes.fromhex("d0cf11e0a1b11ae1"), "an Outlook message, or a document or"),
        ("a.txt", bytes(range(256)) * 4, "binary data, not text; export its texts as CSV"),
        ("a.rtf", b"{\\rtf1", "an RTF document; save it as plain text (.txt)"),
    ],
)
def test_read_rows_rejects_files_of_other_programs(name: str, content: bytes, found: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(DataError) as error:
        read_rows(name, fallback="txt")

    assert str(error.value).startswith(f"{name} is {found}")


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("word/document.xml", "a Word document; save it as plain text (.txt)."),
        ("xl/workbook.xml", "a spreadsheet; give it a name that ends in .xlsx."),
        ("ppt/slides.xml", "a PowerPoint presentation; save its texts as plain text (.txt)."),
    ],
)
@pytest.mark.parametrize("name", ["a.docx", "a.csv"])
def test_read_rows_recognises_documents_of_office(name: str, part: str, found: str) -> None:
    with zipfile.ZipFile(name, "w") as archive:
        archive.writestr(part, "")
    with pytest.raises(DataError) as error:
        read_rows(name, fallback="txt")

    assert str(error.value) == f"{name} is {found}"


def test_read_rows_rejects_a_packed_pdf_document() -> None:
    Path("a.txt.gz").write_bytes(gzip.compress(b"%PDF-1.7\n"))
    with pytest.raises(DataError, match=r"^a\.txt\.gz is a PDF document"):
        list(read_rows("a.txt.gz"))


def test_describe_foreign_accepts_texts_in_any_encoding() -> None:
    for encoding in ("utf-8", "utf-16", "utf-32", "cp1252", "shift_jis", "iso2022_jp", "cp037"):
        try:
            start = ("Kontó 7\n" if encoding == "utf-8" else "Konto 7\n" * 99).encode(encoding)
        except UnicodeEncodeError:
            continue
        assert describe_foreign(start) is None, encoding
    Path("a.csv").write_bytes("text\nKonto\n".encode("utf-16"))
    assert len(list(read_rows("a.csv", ReadOptions(encoding="utf-16")))) == 1
