"""A row of a source, or why it can't be used; what a header looks like."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from slugline.base.checks import short_repr
from slugline.corpus.bytes import guess_encoding
from slugline.errors import DataError, os_errors_as

#: The most bytes in one line, quoted row, cell or text file. Ten long books; more is a mistake.
MAX_RECORD = 10_000_000
# Bytes around one that is not UTF-8 from which the encoding is guessed.
_N_AROUND = 40
_NAME_IT = 'name its encoding, such as `encoding="cp1252"`'


class DataLayout(NamedTuple):
    """Columns of tables, their encoding (None for UTF-8), and whether bad rows are left out."""

    text: tuple[str, ...]
    topic: str
    encoding: str | None = None
    skip_bad_rows: bool = False


class ReadOptions(NamedTuple):
    """How to read labelled texts; see `load_corpus`."""

    text: str | Sequence[str] | None = None
    topic: str | None = None
    format: str | None = None
    skip_bad_rows: bool = False
    encoding: str | None = None
    fold_topics: bool = False
    topic_map: Path | None = None
    # That of a model's training data, which files without named columns may share.
    layout: DataLayout | None = None


#: Those of the `ReadOptions` that users give.
USER_OPTIONS = ReadOptions._fields[:-1]


class BadRow(NamedTuple):
    """A row that can't be used."""

    at: int | str  # see `SourceRow`
    # What is wrong with it, and what to do about such rows.
    problem: str
    advice: str = "fix them"
    # Its cells by column name, as far as they could be read.
    values: Mapping[str, Any] = MappingProxyType({})
    sample: bytes = b""  # some of its bytes, if they are not in the expected encoding


def too_long_row(at: int | str) -> BadRow:
    """Return a bad row for one that exceeds `MAX_RECORD`."""
    return BadRow(at, f"more than {MAX_RECORD:,} bytes", "split them")


def nul_row(at: int | str) -> BadRow:
    """Return a bad row for one with a NUL, which text never has and UTF-16 is full of."""
    return BadRow(at, "a NUL character", "delete NULs (of UTF-16, name its `encoding`)")


def undecodable_row(
    at: int | str, error: UnicodeDecodeError, encoding: str | None = None
) -> BadRow:
    """Return a bad row for bytes that are not UTF-8, or not in the named encoding."""
    if encoding is not None:
        return BadRow(at, f"bytes that are not {encoding}", "check `encoding`")
    around = slice(max(error.start - _N_AROUND, 0), error.start + _N_AROUND)
    return BadRow(at, "bytes that are not UTF-8", _NAME_IT, sample=error.object[around])


def join_advice(bad: Sequence[BadRow]) -> str:
    """Return the advice of bad rows, each piece once, with a guess at their encoding."""
    samples = [row.sample for row in bad if row.sample]
    guess = guess_encoding(samples) if samples else None
    advice = dict.fromkeys(row.advice for row in bad)
    return " and ".join(
        f'if it is {guess}, name that with `encoding="{guess}"`'
        if guess and text == _NAME_IT
        else text
        for text in advice
    )


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row of a source."""

    # The physical line on which it begins, its number in a Parquet file or a JSON array, or its
    # path in a folder.
    at: int | str
    # Its cells by column name. A list or object of JSON is a `msgspec.Raw`: Python values, which
    # nothing uses, would take up to fifty times its bytes.
    values: Mapping[str, Any]
    note: str = ""  # what the reader decided, such as which of two topics counts
    n_bytes: int = field(default=0, compare=False)  # bytes that were read for it


#: The rows of a source.
RowIterator = Iterator[SourceRow | BadRow]


def translate_os_errors(name: str) -> AbstractContextManager[None]:
    """Convert an OSError about a file to a DataError that names it."""
    return os_errors_as(DataError, f"{name} can't be read", "check the file and its permissions.")


def import_reader(kind: str, module: str, package: str) -> Any:
    """Return the module that reads a kind of file; DataError if its package is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"{kind} files need the package {package}, which is not installed; "
            f'pip install "slugline[{kind.lower()}]".'
        ) from error


def make_row(
    at: int | str, values: Mapping[str, Any], note: str = "", n_bytes: int = 0
) -> SourceRow | BadRow:
    """Return a row of values, or a bad row if one of them has a NUL."""
    if any(isinstance(value, str) and "\0" in value for value in values.values()):
        return nul_row(at)
    return SourceRow(at, values, note, n_bytes)


# Headers ------------------------------------------------------------------------------------------

#: Names of columns that are recognized in any case, the likeliest first: English ones, then those
#: of other widespread languages. The subject of a message is a part of its text.
TEXT_NAMES = """
    text body content message document article question description sentence utterance review
    comment tweet summary headline title
    nachricht anfrage beschreibung inhalt meldung texte contenu corps texto contenido mensaje
    descripción cuerpo conteúdo mensagem descrição corpo testo contenuto messaggio descrizione tekst
    bericht omschrijving inhoud beschrijving treść wiadomość opis текст сообщение описание
    содержание metin mesaj içerik açıklama 文本 内容 正文 本文 テキスト メッセージ
    subject betreff titel titre objet sujet asunto título assunto oggetto titolo onderwerp
    tytuł başlık 标题 件名 タイトル
""".split()  # noqa: SIM905
TOPIC_NAMES = """
    topic label category class queue intent target tag section department genre theme
    kategorie thema anliegen rubrik abteilung klasse catégorie thème classe rubrique étiquette
    categoría tema clase etiqueta categoria argomento etichetta categorie klas kategoria klasa
    dział temat категория тема рубрика класс метка kategori konu sınıf etiket 类别 分类 标签 主题
    カテゴリ カテゴリー 分類 ラベル
""".split()  # noqa: SIM905
ID_NAME = "id"


def check_unique(source: str, names: Iterable[str]) -> None:
    """Raise DataError if two columns have the same name."""
    counts = Counter(names)
    duplicate = next((name for name, n in counts.items() if n > 1), None)
    if duplicate is not None:
        raise DataError(f"{source} has two columns named {short_repr(duplicate)}; rename one.")
