"""Exports of help desks: titles and merged groups above the header, ids, empty rows, six languages.

Nothing here is read from disk but what is generated, with fixed seeds.
"""

from __future__ import annotations

import csv
import io
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from measure import table
from slugline import TopicClassifier
from slugline.corpus.layout import ReadOptions
from slugline.corpus.loading import read_corpus, read_texts
from slugline.corpus.readers import read_rows
from slugline.corpus.rows import BadRow
from slugline.corpus.tables import ExcelTable
from slugline.counting.count import count_rows
from slugline.counting.tally import CountOptions
from slugline.errors import SluglineError
from slugline.labels.text_table import SourceColumns, TextTable
from slugline.model.decider import Decider
from slugline.model.fitted import Fitted
from slugline.prediction.files import answer_dialect, open_answer_file
from slugline.prediction.rows import PredictOptions, predict_rows

# Files --------------------------------------------------------------------------------------------


class Language(NamedTuple):
    """Words of an export: column names, a title, merged groups, and texts by topic."""

    id: str
    text: str
    topic: str
    others: tuple[str, ...]
    unknown: tuple[str, str]  # names of text and topic that no list has
    title: str
    groups: tuple[str, str]
    texts: dict[str, tuple[str, ...]]


LANGUAGES = {
    "de": Language(
        "Ticket-Nr", "Beschreibung", "Thema", ("Kunde", "Geöffnet am", "Betrag"),
        ("Wortlaut des Kunden", "Zuständig"), "Ticketexport Helpdesk – Stand 03.03.2026",
        ("Stammdaten", "Inhalt"),
        {
            "Rechnung": ("Der Betrag auf der Rechnung ist falsch", "Ich brauche die Rechnung neu"),
            "Netz": ("Das WLAN ist langsam, bitte prüfen", "Der Tunnel bricht ständig ab"),
        },
    ),
    "en": Language(
        "Ticket ID", "Description", "Category", ("Customer", "Opened", "Amount"),
        ("Customer said", "Handled by"), "Ticket export as of March 3, 2026 (confidential)",
        ("Ticket", "Content"),
        {
            "Billing": ("The amount on the invoice is wrong", "Please send the invoice again"),
            "Network": ("The wifi is slow, please check", "The tunnel keeps dropping"),
        },
    ),
    "fr": Language(
        "Numéro", "Texte", "Catégorie", ("Client", "Ouvert le", "Montant"),
        ("Paroles du client", "Équipe"), "Export des tickets du 3 mars 2026",
        ("Dossier", "Contenu"),
        {
            "Facture": ("Le montant de la facture est faux", "Renvoyez la facture, merci"),
            "Réseau": ("Le réseau est lent, à vérifier", "Le tunnel coupe sans arrêt"),
        },
    ),
    "es": Language(
        "Número", "Descripción", "Categoría", ("Cliente", "Abierto", "Importe"),
        ("Lo que dijo", "Equipo"), "Exportación de incidencias del 3 de marzo", ("Datos", "Texto"),
        {
            "Factura": ("El importe de la factura está mal", "Envíen la factura otra vez"),
            "Red": ("La red va lenta, revísenla", "El túnel se corta siempre"),
        },
    ),
    "it": Language(
        "Numero ticket", "Testo", "Categoria", ("Cliente", "Aperto il", "Importo"),
        ("Parole del cliente", "Squadra"), "Esportazione dei ticket del 3 marzo", ("Dati", "Testo"),
        {
            "Fattura": ("L'importo della fattura è sbagliato", "Mandate di nuovo la fattura"),
            "Rete": ("La rete è lenta, verificate", "Il tunnel cade sempre"),
        },
    ),
    "pl": Language(
        "Numer zgłoszenia", "Treść", "Kategoria", ("Klient", "Otwarto", "Kwota"),
        ("Słowa klienta", "Zespół"), "Eksport zgłoszeń z 3 marca 2026", ("Dane", "Opis"),
        {
            "Faktura": ("Kwota na fakturze jest błędna", "Proszę przysłać fakturę ponownie"),
            "Sieć": ("Sieć działa wolno, sprawdźcie", "Tunel ciągle się zrywa"),
        },
    ),
}  # fmt: skip
_ENCODINGS = {"pl": ("utf-8", "utf-8-sig", "cp1250")}
_HEADS = ("none", "title", "titles", "group", "title and group", "properties")
_FORMATS = ("csv", "csv", "xlsx")


class Export(NamedTuple):
    """A generated export and what is true of it.

    Attributes
    ----------
    name, content : file name and bytes
    head : one of `_HEADS`, what is above the header
    options : the columns and the header row that the user names
    texts, topics, ids : of each row; an empty text is ""
    above : rows above the header
    encoding : of a text file
    """

    name: str
    content: bytes
    head: str
    options: ReadOptions
    texts: list[str]
    topics: list[str]
    ids: list[str]
    above: list[list[Any]]
    encoding: str = "utf-8"


def make_exports(n: int, seed: int) -> Iterator[Export]:
    """Yield `n` exports."""
    for number in range(n):
        yield _make_export(number, random.Random(f"{seed} {number}"))  # noqa: S311


def _make_export(number: int, rng: random.Random) -> Export:
    code = [*LANGUAGES][number % len(LANGUAGES)]
    words, head, form = LANGUAGES[code], _HEADS[number // 6 % len(_HEADS)], rng.choice(_FORMATS)
    text, topic = words.unknown if rng.random() < 0.25 else (words.text, words.topic)
    names = [words.id, *words.others[: rng.randint(1, 3)], text, topic]
    n_rows = rng.randint(30, 60)
    topics = [rng.choice([*words.texts]) for _ in range(n_rows)]
    texts = [_text(rng, words, topic) for topic in topics]
    for row in rng.sample(range(n_rows), rng.choice((0, 1, 3))):
        texts[row] = ""
    ids = [f"{rng.choice(('00', 'INC00'))}{400_000 + row}" for row in range(n_rows)]
    cells: dict[str, Callable[[int], str]] = {
        words.id: ids.__getitem__,
        words.others[0]: lambda _: rng.choice(("Müller AG", "Rossi", "Nowak", "")),
        words.others[1]: lambda row: f"{row % 28 + 1:02}.03.2026",
        words.others[2]: lambda _: f"{rng.randint(1, 900)},50",
        text: texts.__getitem__,
        topic: topics.__getitem__,
    }
    body = [[cells[name](row) for name in names] for row in range(n_rows)]
    above = _above(head, words, len(names), rng)
    knowledge = rng.choice(("nothing", "columns", "row"))
    if text != words.text and knowledge == "nothing":
        knowledge = "columns"  # nobody could guess them
    is_named = knowledge == "columns" or text != words.text
    delimiter = rng.choice(";,\t")
    encoding = rng.choice(_ENCODINGS.get(code, ("utf-8", "utf-8-sig", "cp1252")))
    # Rows in a text file are lines, and blank ones count.
    options = ReadOptions(
        text=text if is_named else None,
        topic=topic if is_named else None,
        header_row=len(above) + 1 if knowledge == "row" else None,
    )
    rows = [*above, names, *body]
    if form == "xlsx":
        return Export(f"{number}.xlsx", _excel(rows), head, options, texts, topics, ids, above)
    is_padded = rng.random() < 0.5
    content = _csv(rows, len(above), delimiter, is_padded=is_padded).encode(encoding)
    return Export(f"{number}.csv", content, head, options, texts, topics, ids, above, encoding)


def _text(rng: random.Random, words: Language, topic: str) -> str:
    text = rng.choice(words.texts[topic])
    if rng.random() < 0.2:
        text += f'\n\n> "{rng.choice(words.texts[topic])}"; {rng.randint(1, 99)}'
    return text if rng.random() < 0.8 else f"{text}, {rng.randint(1, 999)}!"


def _above(head: str, words: Language, n_columns: int, rng: random.Random) -> list[list[Any]]:
    """Return the rows above the header."""
    title = [[words.title]]
    group = ["" for _ in range(n_columns)]
    group[0], group[-2] = words.groups
    return {
        "none": [],
        "title": [*title, *([[]] if rng.random() < 0.5 else [])],
        "titles": [*title, [words.others[0], "Nowak"], []],
        "group": [group],
        "title and group": [*title, group],
        "properties": [[words.others[1], "03.03.2026"], [words.others[0], "Rossi"], []],
    }[head]


def _csv(rows: Sequence[Sequence[Any]], n_above: int, delimiter: str, *, is_padded: bool) -> str:
    file, width = io.StringIO(), len(rows[n_above])
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\r\n")
    for number, row in enumerate(rows):
        is_full = is_padded and number < n_above
        writer.writerow([*row, *[""] * (width - len(row))] if is_full else row)
    return file.getvalue()


def _excel(rows: Sequence[Sequence[Any]]) -> bytes:
    file = io.BytesIO()
    with closing(ExcelTable(file)) as sheet:
        for row in rows:
            sheet.write_cells(row)
        sheet.finish()
    return file.getvalue()


# Commands -----------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What a command did with an export: "right", "refused" or "wrong", and what it said."""

    command: str
    kind: str
    detail: str = ""


@cache
def _fitted() -> Fitted:
    texts, topics = list[str](), list[str]()
    for words in LANGUAGES.values():
        for topic, examples in words.texts.items():
            texts += [f"{text} {number}" for text in examples for number in range(8)]
            topics += [topic] * (8 * len(examples))
    return TopicClassifier(encoder=None).fit(texts, topics).fitted_


def run_commands(export: Export, folder: Path) -> Iterator[Outcome]:
    """Yield the outcome of reading an export to train or label, to predict, and to count."""
    path = folder / export.name
    path.write_bytes(export.content)
    for command in (_train, _label, _predict, _count):
        try:
            problem = command(export, path)
        except SluglineError as error:
            has_remedy = any(word in str(error) for word in _REMEDIES)
            yield Outcome(command.__name__[1:], "refused" if has_remedy else "wrong", str(error))
        else:
            kind = "wrong" if problem else "right"
            yield Outcome(command.__name__[1:], kind, problem)


def _train(export: Export, path: Path) -> str:
    corpus = read_corpus(path, export.options)
    pairs = zip(export.texts, export.topics, strict=True)
    expected = [(text, topic) for text, topic in pairs if text]
    return _difference(expected, [*zip(corpus.texts, corpus.topics, strict=True)])


def _label(export: Export, path: Path) -> str:
    rows = read_rows(path, export.options, fallback="txt")
    unlabelled = read_texts(rows, export.options.text)
    labels = TextTable.from_texts(str(path), unlabelled, SourceColumns(), export.options.topic)
    pairs = zip(export.texts, export.ids, strict=True)
    expected = [(text, f"id {name}") for text, name in pairs if text]
    return _difference(expected, [*zip(labels.texts, labels.keys, strict=True)])


def _predict(export: Export, path: Path) -> str:
    text, header_row = export.options.text, export.options.header_row
    options = PredictOptions(text=text, header_row=header_row)
    rows = read_rows(path, options.reading(None), fallback="txt")
    target, answers = path.with_stem("answers"), []
    decider = Decider.from_fitted(_fitted(), 0)
    with open_answer_file(target, rows, {"": decider}, 1) as file:
        for batch in predict_rows({"": decider}, rows, options):
            answers += batch
            file.write(batch)
    found = [(answer.id, "" if isinstance(answer, BadRow) else answer.text) for answer in answers]
    problem = _difference([*zip(export.ids, export.texts, strict=True)], found)
    encoding = answer_dialect(rows, [decider], ",").encoding
    return problem or _check_given_back(export, path, target, encoding)


def _check_given_back(export: Export, path: Path, target: Path, encoding: str) -> str:
    """Return what is wrong with a file of answers: its titles and texts are those of the export."""
    if path.suffix == ".csv":
        head = path.read_bytes().decode(export.encoding).splitlines()[: len(export.above)]
        given = target.read_bytes().decode(encoding).removeprefix("\ufeff").splitlines()
        if head != given[: len(head)]:
            return f"titles {given[: len(head)]}"
    options = ReadOptions(
        text=export.options.text, encoding=encoding if path.suffix == ".csv" else None
    )
    again = read_texts(read_rows(target, options), options.text)
    return _difference([each for each in export.texts if each], again.texts)


def _count(export: Export, path: Path) -> str:
    options, settings = replace(export.options, topic=None), CountOptions(text=export.options.text)
    counts = count_rows(_fitted(), read_rows(path, options, fallback="txt"), settings)
    n_texts = sum(map(bool, export.texts))
    return "" if counts.total.n_texts == n_texts else f"{counts.total.n_texts} texts, not {n_texts}"


def _difference(expected: Sequence[Any], found: Sequence[Any]) -> str:
    """Return the first difference of two sequences; "" if they are equal."""
    if len(expected) != len(found):
        return f"{len(found)} rows, not {len(expected)}"
    pairs = zip(expected, found, strict=True)
    return next((f"{b!r}, not {a!r}" for a, b in pairs if a != b), "")


# Benchmark ----------------------------------------------------------------------------------------

# Words of messages that say what to do.
_REMEDIES = ("name ", "use ", "check ", "give ", "add ", "rename ", "--")


def generated(exports: int = 300, seed: int = 0) -> str:
    """Return how many generated exports are read right, refused with a remedy, or read wrong."""
    outcomes: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for export in make_exports(exports, seed):
            for outcome in run_commands(export, Path(folder)):
                outcomes.setdefault(outcome.command, []).append(outcome)
    everything = [outcome for several in outcomes.values() for outcome in several]
    lines = [_line(*item) for item in (*outcomes.items(), ("**all**", everything))]
    return table(["", "exports", "read right", "refused", "read wrong"], lines)


def _line(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    counts = Counter(outcome.kind for outcome in outcomes)
    numbers = [len(outcomes), *(counts[kind] for kind in ("right", "refused", "wrong"))]
    return [name, *(f"{number:,}" for number in numbers)]


BENCHMARKS = {"generated": generated}
QUICK = {"generated": {"exports": 36}}
