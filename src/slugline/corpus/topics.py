"""Names of topics: those that differ in case or spaces only, and those to be renamed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from slugline.corpus.columns import column_names
from slugline.corpus.corpus import Corpus
from slugline.corpus.readers import read_rows
from slugline.corpus.rows import BadRow, Row
from slugline.errors import DataError

__all__ = ["fold_topics", "read_topic_map", "rename_topics", "spelling_warnings"]

#: How many topics a message names, and how many spellings of each.
N_TOPICS, N_SPELLINGS = 5, 4


def spelling_warnings(topics: Iterable[str], known: Iterable[str] = ()) -> list[str]:
    """Return what to say of topics that differ in case or spaces only; nothing if there are none.

    Parameters
    ----------
    topics : iterable of str
        The topic of each document.
    known : iterable of str
        Topics of a model, which none of the documents need have.
    """
    counts = Counter(topics)
    counts.update(dict.fromkeys(known, 0))
    groups = [group for group in _by_key(counts).values() if len(group) > 1]
    if not groups:
        return []
    are = "topic is" if len(groups) == 1 else "topics are"
    return [
        f"{len(groups):,} {are} written in several ways, which differ in case or spaces only and "
        f"count as topics of their own: {_listed(groups)}. Use `fold_topics` to make them one, "
        "written in the commonest way."
    ]


def fold_topics(corpus: Corpus, known: Iterable[str] = ()) -> Corpus:
    """Write topics that differ in case or spaces only in one way, the commonest.

    Parameters
    ----------
    corpus : Corpus
    known : iterable of str
        Topics whose spelling goes before that of the corpus, such as those of a model, or of the
        documents to learn from, where the commonest counts.

    Returns
    -------
    Corpus with a note of what was changed, if anything was.
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
        f"wrote the topic of {n_documents:,} documents as others write it, in other case or with "
        f"other spaces: {shown}{_and_more(len(spellings) - N_TOPICS)}"
    )
    topics = [new[topic] for topic in corpus.topics]
    return replace(corpus, topics=topics, notes=(*corpus.notes, note))


def rename_topics(corpus: Corpus, names: Mapping[str, str]) -> Corpus:
    """Give topics the names that a map has for them; each is looked up once, and exactly.

    Returns
    -------
    Corpus with a note of those entries of the map that no document has as its topic.
    """
    present = set(corpus.topics)
    unknown = [topic for topic in names if topic not in present]
    notes = list(corpus.notes)
    if unknown:
        shown = ", ".join(map(repr, unknown[:N_TOPICS]))
        notes.append(
            f"topics to be renamed that no document has: {shown}"
            f"{_and_more(len(unknown) - N_TOPICS)}; check how they are written"
        )
    topics = [names.get(topic, topic) for topic in corpus.topics]
    return replace(corpus, topics=topics, notes=tuple(notes))


def read_topic_map(path: str | Path) -> dict[str, str]:
    """Read new names of topics from a table with the columns "from" and "to".

    Parameters
    ----------
    path : str or Path
        CSV or TSV, or another format that `read_rows` knows.

    Raises
    ------
    DataError : if it can't be read, has no such columns, an empty cell, or a topic twice.
    """
    rows = read_rows(path)
    items = list(rows)
    bad = next((item for item in items if isinstance(item, BadRow)), None)
    if bad is not None:
        raise DataError(f"{rows.name}, {rows.unit} {bad.at}: {bad.problem}; {bad.advice}.")
    columns = column_names(items)
    if not {"from", "to"} <= set(columns):
        found = f"the columns {', '.join(map(repr, columns))}" if columns else "no rows"
        raise DataError(
            f"{rows.name} has {found}; begin it with the line from,to and let each further one "
            "name a topic and its new name."
        )
    names: dict[str, str] = {}
    for row in items:
        if isinstance(row, Row):
            _add_entry(names, row, f"{rows.name}, {rows.unit} {row.at}")
    return names


def _add_entry(names: dict[str, str], row: Row, place: str) -> None:
    old, new = (str(row.values.get(column) or "").strip() for column in ("from", "to"))
    if not old or not new:
        raise DataError(f"{place}: an empty name of a topic; fill the cell, or delete the line.")
    if old in names:
        raise DataError(f"{place}: {old!r} is there twice; delete one of its lines.")
    names[old] = new


def _key(topic: str) -> str:
    return " ".join(topic.split()).casefold()


def _by_key(counts: Counter[str]) -> dict[str, list[str]]:
    """Return the spellings of each topic, the commonest first, ties by name."""
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
