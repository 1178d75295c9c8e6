"""Files that are not UTF-8: read in the encoding that is named, and guessed at in messages."""

from __future__ import annotations

import gzip
import io
import itertools
import sys
from pathlib import Path

import pytest

import old_encodings
from slugline.corpus import readers
from slugline.corpus.encodings import detect_encoding, guess_utf16
from slugline.corpus.layout import Layout, ReadOptions
from slugline.corpus.line_stream import check_encoding
from slugline.corpus.loading import load_corpus
from slugline.corpus.readers import read_rows
from slugline.corpus.rows import BadRow, SourceRow
from slugline.errors import DataError, OptionError

FRENCH = "Le client écrit que sa carte a été refusée à l’étranger; prélèvement de 5 € non annulé."
RUSSIAN = "Банк не принимает мою карту. Когда будет возвращён платёж?"
JAPANESE = "カードが使えません。いつ返金されますか。お問い合わせの件について"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.txt", "a.csv.gz"])
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "cp1252"),
        (FRENCH, "utf-16"),
        (FRENCH, "utf-16-le"),
        (FRENCH, "UTF-32"),
        (FRENCH, "utf_8"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE, "shift_jis"),
    ],
)
def test_load_corpus_reads_a_file_in_a_named_encoding(name: str, text: str, encoding: str) -> None:
    content = {
        "csv": f'text,topic\n"{text}\nmore",a\n',
        "tsv": f"text\ttopic\n{text}\ta\n",
        "jsonl": f'{{"text": "{text}", "topic": "a"}}\n',
        "json": f'[{{"text": "{text}", "topic": "a"}}]',
        "txt": f"__label__a {text}\n",
    }[name.split(".")[1]]
    data = content.encode(encoding)
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    (row,) = read_rows(name, ReadOptions(encoding=encoding))

    assert isinstance(row, SourceRow)
    assert row.values == {"text": text + "\nmore" * (".csv" in name), "topic": "a"}


def test_load_corpus_reads_standard_input_in_a_named_encoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = io.BytesIO(f"text,topic\n{FRENCH},a\n".encode("utf-16"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))

    (row,) = read_rows("-", ReadOptions(format="csv", encoding="utf-16"))

    assert row == SourceRow(2, {"text": FRENCH, "topic": "a"})


@pytest.mark.parametrize("n_ascii", [0, 100])
@pytest.mark.parametrize(
    ("text", "encoding", "detected"),
    [
        ("Viele Grüße aus Köln", "utf-8", None),
        ("Viele Grüße aus Köln", "utf-8-sig", None),
        ("Viele Grüße aus Köln", "cp1252", "cp1252"),
        ("Viele Grüße aus Köln", "cp850", "cp850"),
        ("Viele Grüße aus Köln", "utf-16", "utf-16"),
    ],
)
def test_read_rows_detects_the_encoding_of_standard_input(
    text: str, encoding: str, detected: str | None, n_ascii: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "ascii " * 1500
    content = "text,topic\n" + f"{long},a\n" * n_ascii + f"{text},a\nGruß,b\n" * 40
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode(encoding))))

    rows = read_rows("-", ReadOptions(format="csv"))
    texts = [row.values["text"] for row in rows if isinstance(row, SourceRow)]

    assert texts == [long] * n_ascii + [text, "Gruß"] * 40
    assert rows.encoding == (detected if not n_ascii or encoding == "utf-16" else None)


def test_read_rows_gives_a_bad_row_for_undecodable_bytes() -> None:
    Path("a.csv").write_bytes(b"text,topic\nwell\xe9,a\nbad\x81,a\ngood,a\n")

    assert list(read_rows("a.csv", ReadOptions(encoding="cp1252"))) == [
        SourceRow(2, {"text": "wellé", "topic": "a"}),
        BadRow(
            *(3, "bytes that are not cp1252", "check `encoding`"),
            values={"text": "bad\ufffd", "topic": "a"},
            n_bytes=9,
        ),
        SourceRow(4, {"text": "good", "topic": "a"}),
    ]


def test_read_rows_rejects_a_file_of_another_unicode_encoding() -> None:
    Path("a.csv").write_bytes(b"text,topic\nx,a\n")

    with pytest.raises(DataError) as error:
        list(read_rows("a.csv", ReadOptions(encoding="utf-16")))

    assert str(error.value).startswith("a.csv can't be read as utf-16 (")
    assert str(error.value).endswith("); choose another `encoding`.")


@pytest.mark.parametrize("name", ["klingon", "rot13", "base64", "idna", "undefined", "a\0b", ""])
def test_check_encoding_rejects_what_is_no_text_encoding(name: str) -> None:
    with pytest.raises(OptionError) as error:
        check_encoding(name)

    assert str(error.value) == (
        f"`encoding` is {name!r}, which is not a Python encoding; "
        "give one such as cp1252, latin-1, utf-16 or shift_jis."
    )


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_guess_utf16_without_a_mark(encoding: str) -> None:
    data = f"text,topic\n{FRENCH},a\n".encode(encoding)
    Path("a.csv").write_bytes(data)

    assert guess_utf16(data) == encoding
    assert load_corpus("a.csv").texts == [FRENCH]


# What no one names --------------------------------------------------------------------------------


@pytest.mark.parametrize("heldout", [False, True])
def test_detect_encoding_of_sixty_short_files(heldout: bool) -> None:
    def is_right(text: str, data: bytes) -> bool:
        encoding = detect_encoding(data)
        return encoding is not None and data.decode(encoding, "replace") == text

    found = [is_right(text, data) for _, text, data in old_encodings.files(heldout)]

    assert len(found) == 60
    assert sum(found) >= 57


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_load_corpus_notes_a_detected_encoding(name: str) -> None:
    data = "text,topic\nHeizung läuft nicht,Büro\nTür klemmt,Haus\n".encode("cp1252")
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    corpus = load_corpus(name)

    assert corpus.texts == ["Heizung läuft nicht", "Tür klemmt"]
    assert corpus.topics == ["Büro", "Haus"]
    assert corpus.notes[0] == "not UTF-8; reading it as cp1252; choose another with `encoding`"
    assert len(corpus.notes) == 2  # and the columns


@pytest.mark.parametrize(
    "data",
    [
        "text,topic\nä,x\n".encode("cp1252") + "ö,y\n".encode(),
        "text,topic\nzł,x\n".encode("cp1250"),
        '{"text": "ä"}\n'.encode(),
        b"text,topic\na,x\n",
    ],
    ids=["mixed with UTF-8", "one foreign letter", "UTF-8", "ASCII"],
)
def test_detect_encoding_returns_none_in_doubt(data: bytes) -> None:
    assert detect_encoding(data) is None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_detect_encoding_obeys_a_byte_order_mark(encoding: str) -> None:
    Path("a.csv").write_bytes(f"text,topic\n{FRENCH},a\n".encode(encoding))

    rows = read_rows("a.csv", ReadOptions(layout=Layout(("text",), "topic", "cp1252")))

    assert rows.encoding == encoding
    assert list(rows) == [SourceRow(2, {"text": FRENCH, "topic": "a"})]


def test_read_rows_obeys_utf_8_that_is_named() -> None:
    Path("a.csv").write_bytes("text,topic\nHeizung läuft nicht,Büro\n".encode("cp1252"))

    with pytest.raises(DataError) as error:
        load_corpus("a.csv", encoding="UTF-8")

    assert str(error.value).partition(" Slugline read")[0] == (
        "a.csv: 1 of 1 rows can't be used: bytes that are not UTF-8 (line 2); "
        'if it is cp1252, pass `encoding="cp1252"`.'
    )


def test_detect_encoding_ignores_a_line_that_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    data = "text,topic\nä,x\n".encode()
    monkeypatch.setattr(readers, "_N_DETECTED", data.index("ä".encode()) + 1)
    Path("a.csv").write_bytes(data)

    rows = read_rows("a.csv")

    assert (rows.encoding, rows.note) == (None, "")
    assert list(rows) == [SourceRow(2, {"text": "ä", "topic": "x"})]


@pytest.mark.parametrize(
    ("name", "guess"), [("ansi", "cp1252"), ("windows1251", "cp1251"), ("Win-1250", "cp1250")]
)
def test_check_encoding_suggests_names_of_windows_encodings(name: str, guess: str) -> None:
    with pytest.raises(OptionError, match=f"did you mean {guess}\\?$"):
        check_encoding(name)


# Ends of lines ------------------------------------------------------------------------------------

#: Letters of a language that ASCII lacks, and the encodings that such texts are saved in.
LETTERS = {
    "äöüßÄÖÜ": ("utf-8", "utf-8-sig", "utf-16", "cp1252", "iso8859-15", "cp850", "mac_roman"),
    "éèêàçùîôûœ": ("utf-8", "utf-16", "cp1252", "mac_roman"),
    "ąćęłńóśźż": ("utf-8", "cp1250", "iso8859-2"),
    "çğıöşüİĞŞ": ("utf-8", "cp1254"),
    "абвгдежзийклмнопрстуфхцчшщъыьэюя": ("utf-8", "cp1251", "koi8-r"),
    "αβγδεζηθικλμνξοπρστυφχψως": ("utf-8", "cp1253"),
}
TEXTS = {letters[0]: sentence for letters, sentence in zip(LETTERS, (
    "Die Überweisung für die Straße läuft, schöne Grüße aus dem Büro.",
    "Le colis a été livré à l'étage où la clé reste coincée, après un relevé; ça gêne.",
    "Proszę o zwrot płatności, ponieważ łącze nie działało i żądam pieniędzy, źle liczą dość.",
    "Şubat faturamı gönderir misiniz, çalışmıyor ve değiştirin, ışık yanmıyor, üçüncü kat",
    "Банк не принимает мою карту. Когда будет возвращён платёж и почему ещё жду",
    "Παρακαλώ στείλτε μου τον λογαριασμό, το ασανσέρ σταματά στον δεύτερο όροφο",
), strict=True)}  # fmt: skip


@pytest.mark.parametrize(
    ("letters", "encoding"), [(key, name) for key, names in LETTERS.items() for name in names]
)
def test_detect_encoding_accepts_any_letter_at_the_end_of_a_line(
    letters: str, encoding: str
) -> None:
    for letter, end in itertools.product(letters, ("\n", "\r\n", '"\r\n', ";1\r\n", "")):
        text = f"Text\n{TEXTS[letters[0]]}\nthe end is {letter}{end}"
        data = text.encode(encoding)

        assert data.decode(detect_encoding(data) or "utf-8-sig") == text


def test_detect_encoding_takes_no_likely_encoding_where_lines_are_mixed() -> None:
    head = "Größe\n".encode() * 3 + "Größe\n".encode("cp1252") * 9
    assert detect_encoding(head, "cp1252") is None
