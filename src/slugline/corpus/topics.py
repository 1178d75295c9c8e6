"""Names of topics: those that differ only in case or spaces, and those to be renamed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from slugline.base.words import counted
from slugline.corpus.columns import column_names
from slugline.corpus.corpus import Corpus
from slugline.corpus.readers import RowReader, read_rows
from slugline.corpus.rows import BadRow, SourceRow
from slugline.errors import DataError

__all__ = [
    "fold_topics",
    "note_undocumented",
    "read_descriptions",
    "read_topic_map",
    "rename_topics",
    "spelling_warnings",
]

#: How many topics a message names, and how many spellings of each.
N_TOPICS, N_SPELLINGS = 5, 4


def spelling_warnings(
    topics: Iterable[str] | Mapping[str, int], known: Iterable[str] = ()
) -> list[str]:
    """Return warnings about topics that differ only in case or spaces.

    Parameters
    ----------
    topics : iterable of str, or mapping of str to int
        The topic of each document, or how many documents each has.
    known : iterable of str
        Topics of a model, which need not occur in the documents.
    """
    counts = Counter(topics)
    counts.update(dict.fromkeys(known, 0))
    groups = [group for group in _by_key(counts).values() if len(group) > 1]
    if not groups:
        return []
    are = "topic is" if len(groups) == 1 else "topics are"
    return [
        f"{len(groups):,} {are} written in several ways, which differ only in case or spaces and "
        f"count as separate topics: {_listed(groups)}. Use `fold_topics` to merge them "
        "under the most common spelling."
    ]


def fold_topics(corpus: Corpus, known: Iterable[str] = ()) -> Corpus:
    """Merge topics that differ only in case or spaces, under the most common spelling.

    Parameters
    ----------
    corpus : Corpus
    known : iterable of str
        Topics whose spelling takes precedence over that of the corpus, such as those of a model or
        of the training documents; of these, the most common spelling counts.

    Returns
    -------
    Corpus, with a note on what was changed, if anything was.
    """
    own, before = Counter(corpus.topics), Counter(known)
    chosen = {key: group[0] for key, group in (_by_key(own) | _by_key(before)).items()}
    new = {topic: topic if topic in before else chosen[_key(topic)] for topic in own}
    changed = [topic for topic in own if new[topic] != topic]
    if not changed:
        return corpus
    spellings = Counter(new[topic] for topic in changed)
    shown = ", ".join(f"{topic!r}" for topic, _ in spellings.most_common(N_TOPICS))
    n_documents = sum(own[topic] for topic in changed)
    note = (
        f"changed case or spaces in the topics of {counted(n_documents, 'document')}, to match "
        f"other documents: {shown}{_and_more(len(spellings) - N_TOPICS)}"
    )
    topics = [new[topic] for topic in corpus.topics]
    return replace(corpus, topics=topics, notes=(*corpus.notes, note))


def rename_topics(corpus: Corpus, names: Mapping[str, str]) -> Corpus:
    """Replace topics by the names that a map has for them; each is looked up once, exactly.

    Returns
    -------
    Corpus, with a note on entries of the map that match no document's topic.
    """
    present = set(corpus.topics)
    unknown = [topic for topic in names if topic not in present]
    notes = list(corpus.notes)
    if unknown:
        shown = ", ".join(map(repr, unknown[:N_TOPICS]))
        notes.append(
            f"no document has these topics that were to be renamed: {shown}"
            f"{_and_more(len(unknown) - N_TOPICS)}; check how they are written"
        )
    topics = [names.get(topic, topic) for topic in corpus.topics]
    return replace(corpus, topics=topics, notes=tuple(notes))


def note_undocumented(corpus: Corpus, described: Iterable[str]) -> Corpus:
    """Return a corpus with a note on topics that are described and have no document, if any."""
    present = set(corpus.topics)
    missing = [topic for topic in described if topic not in present]
    if not missing:
        return corpus
    shown = ", ".join(map(repr, missing[:N_TOPICS]))
    note = (
        f"no document has these topics, which are known by their descriptions alone: {shown}"
        f"{_and_more(len(missing) - N_TOPICS)}; check how they are written"
    )
    return replace(corpus, notes=(*corpus.notes, note))


def read_topic_map(
    path: str | Path, encoding: str | None = None, fallback: str | None = None
) -> dict[str, str]:
    """Read new names of topics from a table with the columns "from" and "to".

    Parameters
    ----------
    path : str or Path
        CSV or TSV, or another format that `read_rows` knows.
    encoding : str, optional
        Any text encoding of Python; UTF-8 by default.
    fallback : str, optional
        The format to assume if the name doesn't show it; by default that is an error.

    Raises
    ------
    DataError : if it can't be read, lacks the columns, or has an empty cell or a topic twice.
    OptionError : if there is no such encoding or format.
    """
    names: dict[str, str] = {}
    rows = read_rows(path, encoding=encoding, fallback=fallback)
    for place, old, new in _pairs(rows, ("from", "to"), "a topic and its new name"):
        if not old or not new:
            raise DataError(f"{place}: an empty topic name; fill the cell, or delete the line.")
        _add(names, old, new, place)
    return names


def read_descriptions(
    path: str | Path, encoding: str | None = None, fallback: str | None = None
) -> dict[str, str]:
    """Read what topics are about from a table with the columns "name" and "description".

    Parameters
    ----------
    path, encoding, fallback
        As those of `read_topic_map`, which names the errors, too.
    """
    described: dict[str, str] = {}
    rows = read_rows(path, encoding=encoding, fallback=fallback)
    wanted = "a topic and what it is about"
    for place, name, description in _pairs(rows, ("name", "description"), wanted):
        if not name:
            raise DataError(f"{place}: an empty topic name; fill the cell, or delete the line.")
        if not description:
            raise DataError(
                f"{place}: {name!r} has no description; write a few words, or delete the line."
            )
        _add(described, name, description, place)
    return described


def _pairs(
    rows: RowReader, columns: tuple[str, str], wanted: str
) -> Iterator[tuple[str, str, str]]:
    """Yield the place of each row of a table, and what stands in two of its columns."""
    items = list(rows)
    bad = next((item for item in items if isinstance(item, BadRow)), None)
    if bad is not None:
        raise DataError(f"{rows.name}, {rows.unit} {bad.at}: {bad.problem}; {bad.advice}.")
    names = column_names(items)
    if not set(columns) <= set(names):
        found = f"the columns {', '.join(map(repr, names))}" if names else "no rows"
        raise DataError(
            f"{rows.name} has {found}; begin it with the line {','.join(columns)} and put {wanted} "
            "on each further line."
        )
    for row in items:
        if isinstance(row, SourceRow):
            first, second = (str(row.values.get(column) or "").strip() for column in columns)
            yield f"{rows.name}, {rows.unit} {row.at}", first, second


def _add(table: dict[str, str], name: str, value: str, place: str) -> None:
    if name in table:
        raise DataError(f"{place}: {name!r} occurs twice; delete one of its lines.")
    table[name] = value


def _key(topic: str) -> str:
    return " ".join(topic.split()).casefold()


def _by_key(counts: Counter[str]) -> dict[str, list[str]]:
    """Return the spellings of each topic, the most common first, ties by name."""
    groups: dict[str, list[str]] = {}
    for topic in sorted(counts, key=lambda topic: (-counts[topic], topic)):
        groups.setdefault(_key(topic), []).append(topic)
    return groups


def _listed(groups: list[list[str]]) -> str:
    shown = [
        f"{', '.join(map(repr, group[:N_SPELLINGS]))}{_and_more(len(group) - N_SPELLINGS)}"
        for group in groups[:N_TOPICS]
    ]
    return "; ".join(shown) + _and_more(len(groups) - N_TOPICS)


def _and_more(n: int) -> str:
    return f" and {n:,} more" if n > 0 else ""
