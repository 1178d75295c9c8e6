"""Tables that people have: encodings, letters at ends of lines, breaks in cells, bad rows.

Nothing here is read from disk but what is generated, with fixed seeds.
"""

from __future__ import annotations

import csv
import io
import random
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from measure import table
from slugline.corpus.layout import Layout, ReadOptions
from slugline.corpus.line_stream import check_encoding
from slugline.corpus.readers import RowReader, read_dialect, read_rows
from slugline.corpus.rows import BadRow, join_advice
from slugline.errors import DataError
from slugline.model.decider import Decider
from slugline.model.file.content import load_model
from slugline.model.fitted import Fitted
from slugline.prediction.files import open_answer_file
from slugline.prediction.rows import PredictOptions, predict_rows

# Files --------------------------------------------------------------------------------------------

#: Sentences and letters of a language, and the names of a table's columns.
LANGUAGES = {
    "de": (
        "Die Überweisung ist raus|Wo bleibt das Päckchen, bitte prüfen|Das Gerät wird heiß; was tun"
        "|Der Schlüssel für die Haustür fehlt|Mein Konto ist gesperrt, warum|Schöne Grüße aus Köln"
        "|Ihre Rechnung über 25,00 € stimmt nicht|„So nicht!“ sagte Herr Groß|Straße 5, 04109 Köln",
        "äöüßÄÖÜ",
        ("Nr.", "Nachricht", "Kunde", "Ort", "Bemerkung"),
    ),
    "fr": (
        "Le colis a été livré à la mauvaise adresse|Je n’ai pas reçu ma facture|Où est la clé"
        "|Ça sent le gaz; dépêchez-vous|Le prélèvement a eu lieu deux fois, encore|Voilà la fenêtre"
        "|Une sœur, un cœur et bientôt Noël|La porte d’entrée est cassée|Même après août",
        "éèêàçùîôûœâëï",
        ("No", "Message", "Client", "Ville", "Remarque"),
    ),
    "pl": (
        "Proszę o zwrot płatności|Paczka przyszła uszkodzona, tak|Nie mogę zalogować się do konta"
        "|Światło na korytarzu nie świeci; proszę|Żądam odpowiedzi, źle liczą|Sąsiad hałasuje nocą"
        "|Kiedy przyjedzie śmieciarka|Ogrzewanie nie działa|Dziękuję za szybką odpowiedź",
        "ąćęłńóśźż",
        ("Nr", "Tresc", "Klient", "Miasto", "Uwagi"),
    ),
    "tr": (
        "Şubat faturamı gönderir misiniz|Kalorifer çalışmıyor, lütfen|Asansör üçüncü katta durmuyor"
        "|Şifremi unuttum; yardım|Sözleşmemi iptal etmek istiyorum|Koridordaki ışık yanmıyor, yine"
        "|Komşum gece gürültü yapıyor|Paket hasarlı geldi|Çöp kamyonu ne zaman gelecek",
        "çğıöşü",
        ("No", "Mesaj", "Kisi", "Sehir", "Not"),
    ),
    "ru": (
        "Банк не принимает мою карту|Когда будет возвращён платёж, да|Лифт не работает; помогите"
        "|Забыл пароль от кабинета|Посылка пришла повреждённой, увы|Хочу расторгнуть договор"
        "|Счётчик показывает неверно|Соседи шумят ночью|Спасибо за быстрый ответ",
        "абвгдежзийклмнопрстуфхцчшщыьэюя",
        ("No", "Message", "Client", "City", "Note"),
    ),
    "ja": (
        "カードが使えません|いつ返金されますか、教えてください|荷物が壊れていました;確認してください"
        "|パスワードを忘れました|エレベーターが三階で止まりません|契約を解約したいです|請求書が届きません",
        "すかんのを表示",
        ("No", "Message", "Client", "City", "Note"),
    ),
    "zh": (
        "我的包裹还没有收到|请问什么时候退款,谢谢|电梯在三楼不停;请检查|我忘记了密码|发票金额不正确"
        "|我想取消合同|暖气不工作|邻居晚上很吵|快递员没有按门铃就走了",
        "的了吗通联系",
        ("No", "Message", "Client", "City", "Note"),
    ),
}
#: The encodings of files, and the languages that are saved in them.
ENCODINGS = {
    "utf-8": [*LANGUAGES],
    "utf-8-sig": [*LANGUAGES],
    "utf-16": [*LANGUAGES],
    "cp1252": ["de", "fr"],
    "iso8859-15": ["de", "fr"],
    "cp850": ["de", "fr"],
    "mac_roman": ["de", "fr"],
    "cp1250": ["de", "pl"],
    "cp1254": ["de", "tr"],
    "cp1251": ["ru"],
    "shift_jis": ["ja"],
    "gb18030": ["zh"],
}
#: What a reader knows: nothing, a model that learned from such files, or what the user names.
KNOWLEDGE = ("nothing", "nothing", "a model", "named")
# The most rows; and how many files have rows that don't fit, and how many are those of each.
_MAX_ROWS, _BAD_FILES, _BAD_ROWS = 40, 0.3, 0.1
#: What a row does that doesn't fit.
FAULTS = ("too many", "too few", "after a quote")


class TableFile(NamedTuple):
    """A generated file."""

    data: bytes
    encoding: str
    separator: str
    names: list[str]
    rows: list[list[str]]
    bad: dict[int, list[str]]  # numbers of rows that don't fit, and their cells
    knowledge: str


def make_files(n_files: int, seed: int = 0) -> Iterator[TableFile]:
    """Yield generated files: each encoding as often as the others."""
    for number in range(n_files):
        rng = random.Random(f"{seed} {number}")  # noqa: S311 - repeats
        yield make_file([*ENCODINGS][number % len(ENCODINGS)], rng)


def make_file(encoding: str, rng: random.Random) -> TableFile:
    """Return a generated file in an encoding."""
    language = rng.choice(ENCODINGS[encoding])
    sentences, letters, columns = LANGUAGES[language]
    n_columns = rng.choice((1, 2, 3, 5))
    names = [columns[1]] if n_columns == 1 else list(columns[:n_columns])
    separator = rng.choice(",;\t|") if n_columns > 1 else rng.choice(",;")
    newline, is_quoted = rng.choice(("\n", "\r\n")), rng.choice((False, True))
    has_bad = n_columns > 1 and rng.random() < _BAD_FILES
    out, rows, bad = io.StringIO(), list[list[str]](), dict[int, list[str]]()
    writer = csv.writer(
        out,
        delimiter=separator,
        quoting=csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL,
        lineterminator=newline,
    )
    writer.writerow(names)
    for number in range(rng.randint(1, _MAX_ROWS)):
        text = _text(sentences.split("|"), letters, newline, rng)
        text = text.encode(encoding, "ignore").decode(encoding)
        others = [str(rng.randint(100, 999_999)) for _ in names[1:]]
        row = [text] if n_columns == 1 else [others[0], text, *others[1:]]
        if has_bad and number and rng.random() < _BAD_ROWS:
            row, line = _damage(row, separator, rng)
            bad[number] = row
            out.write(line + newline)
        else:
            writer.writerow(row)
        rows.append(row)
    data = out.getvalue().encode(encoding)
    return TableFile(data, encoding, separator, names, rows, bad, rng.choice(KNOWLEDGE))


def _text(sentences: Sequence[str], letters: str, newline: str, rng: random.Random) -> str:
    """Return lines of text, some of which end in a letter of the language."""
    lines = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        line = rng.choice(sentences)
        letter = rng.choice(letters)
        end = f" {letter}" if letter.isupper() else f" {rng.choice('abc')}{letter}"
        lines.append(line + end * (rng.random() < 0.5))
    return newline.join(lines)


def _damage(row: list[str], separator: str, rng: random.Random) -> tuple[list[str], str]:
    """Return the cells of a row that doesn't fit its header, and its line."""
    plain = [re.sub(rf'[\r\n"{re.escape(separator)}]', " ", cell) for cell in row]
    fault = rng.choice(FAULTS)
    if fault == "too many":
        plain += ["Hilfe", "bitte"][: rng.randint(1, 2)]
    elif fault == "too few":
        plain = plain[: rng.randint(1, len(plain) - 1)]
    else:
        plain[1] = f'"{plain[1]}" also'
    return plain, separator.join(plain)


# Reading ------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What came of a file."""

    kind: str  # "right", "refused" or "wrong"
    n_lost: int  # cells that are not in the answers
    n_blank: int  # rows without an answer and without a word


@cache
def _fitted() -> Fitted:
    return load_model("reuters46")[0]


def answer_file(file: TableFile, folder: Path) -> Outcome:
    """Answer the texts of a file, and compare what comes back with what was written."""
    source, target = folder / "table.csv", folder / "answers.csv"
    source.write_bytes(file.data)
    target.unlink(missing_ok=True)
    text = file.names[min(1, len(file.names) - 1)]
    python_name = check_encoding(file.encoding)
    fitted, options = replace(_fitted(), layout=None), dict[str, Any]()
    if file.knowledge == "a model":
        layout = Layout((text,), "topic", python_name, separator=file.separator)
        fitted = replace(fitted, layout=layout)
    elif file.knowledge == "named":
        options = {"encoding": file.encoding, "separator": file.separator}
    decider = Decider.from_fitted(fitted, 0)
    bad: list[BadRow] = []
    try:
        rows = read_rows(source, ReadOptions(layout=fitted.layout, **options))
        with open_answer_file(target, rows, {"": decider}, 1) as answers:
            for batch in predict_rows({"": decider}, rows, PredictOptions(text=text)):
                bad += [row for row in batch if isinstance(row, BadRow)]
                answers.write(batch)
    except DataError as error:
        return Outcome("refused" if _names_remedy(str(error)) else "wrong", 0, 0)
    return _compare(file, rows, target, bad)


def _names_remedy(said: str) -> bool:
    return any(f"`{option}" in said for option in ("encoding", "separator")) or "close it" in said


def _compare(file: TableFile, rows: RowReader, target: Path, bad: Sequence[BadRow]) -> Outcome:
    dialect = read_dialect(rows)
    encoding = "utf-8-sig" if dialect.has_mark else dialect.encoding
    with target.open(encoding=encoding, newline="") as lines:
        header, *answers = csv.reader(lines, delimiter=dialect.delimiter)
    if len(answers) != len(file.rows) or header[: len(file.names)] != file.names:
        return Outcome(_kind(bad), sum(map(len, file.rows)) if not bad else 0, 0)
    n_lost = n_blank = 0
    is_right = True
    topic, error = header.index("topic"), header.index("error")
    for number, (cells, answer) in enumerate(zip(file.rows, answers, strict=True)):
        found, given = answer[: len(file.names)], not answer[error]
        if number in file.bad:
            n_lost += sum(_plain(cell) not in _plain("\0".join(found)) for cell in cells)
        else:
            is_right &= given and found == cells
            n_lost += sum(not cell for cell in found)
        n_blank += given and not answer[topic]
    return Outcome("right" if is_right else _kind(bad), n_lost, n_blank)


def _plain(text: str) -> str:
    """Return a text without what ASCII lacks, which isn't known of a row that can't be decoded."""
    return re.sub("[^\0-\x7f]+", "", text)


def _kind(bad: Sequence[BadRow]) -> str:
    """Return whether rows that were not read come with a remedy."""
    return "refused" if bad and _names_remedy(join_advice(bad)) else "wrong"


# Benchmark ----------------------------------------------------------------------------------------


def generated(files: int = 1000, seed: int = 0) -> str:
    """Return how many generated tables are read right, refused with a remedy, or read wrong."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in ENCODINGS}
    with tempfile.TemporaryDirectory() as folder:
        for file in make_files(files, seed):
            outcomes[file.encoding].append(answer_file(file, Path(folder)))
    everything = [outcome for several in outcomes.values() for outcome in several]
    lines = [_line(*item) for item in (*outcomes.items(), ("**all**", everything))]
    header = ["", "files", "read right", "refused", "read wrong", "cells lost", "blank rows"]
    return table(header, lines)


def _line(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    counts = Counter(outcome.kind for outcome in outcomes)
    numbers = [len(outcomes), *(counts[kind] for kind in ("right", "refused", "wrong"))]
    numbers += [sum(outcome.n_lost for outcome in outcomes)]
    numbers += [sum(outcome.n_blank for outcome in outcomes)]
    return [name, *(f"{number:,}" for number in numbers)]


BENCHMARKS = {"generated": generated}
QUICK = {"generated": {"files": 48}}
