"""Rename topics, merge those that differ only in case or spaces, and read descriptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from slugline.base.checks import short_repr
from slugline.base.wording import counted, join_words
from slugline.corpus.columns import column_names
from slugline.corpus.corpus import Corpus
from slugline.corpus.layout import Layout, ReadOptions
from slugline.corpus.line_stream import check_encoding
from slugline.corpus.misspellings import find_misspellings
from slugline.corpus.readers import read_rows
from slugline.corpus.rows import BadRow
from slugline.corpus.topic_cells import separator_warnings
from slugline.corpus.topic_sets import sets_with_parents
from slugline.errors import DataError, Message, Parameter

# Maximum number of topics listed in a message, and of spellings of each.
_N_TOPICS, _N_SPELLINGS = 5, 4
_NO_NAME = "an empty topic name; fill the cell"


def name_warnings(
    topics: Iterable[str] | Mapping[str, int], model_topics: Iterable[str] = ()
) -> list[str]:
    """Return warnings about topic names.

    Names may differ only in case or spaces, be misspelt, or combine several topics.

    Parameters
    ----------
    topics : iterable of str, or mapping of str to int
        Topic of each document, or number of documents of each topic.
    model_topics : iterable of str
        Topics of a model, which need not occur in the documents.
    """
    counts, model_topics = Counter(topics), set(model_topics)
    return [
        *separator_warnings(counts),
        *_spelling_warnings(counts, model_topics),
        *_misspelling_warnings(counts, model_topics),
    ]


def _spelling_warnings(counts: Counter[str], model_topics: Collection[str]) -> Iterator[str]:
    """Yield a warning if topics differ only in case or spaces."""
    by_key = _by_key(Counter({**dict.fromkeys(model_topics, 0), **counts}))
    groups = [group for group in by_key.values() if len(group) > 1]
    if not groups:
        return
    are = "topic is" if len(groups) == 1 else "topics are"
    spellings = [_format_topics(group, _N_SPELLINGS) for group in groups]
    yield Message(
        f"{len(groups):,} {are} written in several ways, which differ only in case or spaces and "
        f"count as separate topics: {join_words(spellings, _N_TOPICS, comma='; ', last=None)}. "
        "Use ",
        Parameter("fold_topics"),
        " to merge them under the most common spelling.",
    )


def _misspelling_warnings(counts: Counter[str], model_topics: Collection[str]) -> Iterator[str]:
    """Yield a warning if topics are probably misspelt."""
    found = find_misspellings(counts, model_topics)
    if not found:
        return
    names = [
        f"{topic!r} ({counted(counts[topic], 'document')}) for {meant!r}"
        + (f" ({counts[meant]:,})" if meant in counts else "")
        for topic, meant in found
    ]
    are, them = ("topic is", "it") if len(found) == 1 else ("topics are", "them")
    yield Message(
        f"{len(found):,} {are} probably misspelt: {join_words(names, _N_TOPICS, last=None)}. "
        f"Correct {them} in the data, or rename {them} with ",
        Parameter("topic_map"),
        ".",
    )


def fold_topics(corpus: Corpus, preferred: Iterable[str] = ()) -> Corpus:
    """Merge topics of a corpus that differ only in case or spaces, and add a note.

    Parameters
    ----------
    corpus : Corpus
    preferred : iterable of str
        Topics, such as a model's or the training documents', whose most common spelling takes
        precedence over the spelling in the corpus.
    """
    counts, preferred_counts = Counter(corpus.all_topics()), Counter(preferred)
    groups = _by_key(counts) | _by_key(preferred_counts)
    new = {
        topic: topic if topic in preferred_counts else groups[_key(topic)][0] for topic in counts
    }
    changed = [topic for topic in counts if new[topic] != topic]
    if not changed:
        return corpus
    spellings = [topic for topic, _ in Counter(new[topic] for topic in changed).most_common()]
    n_documents = sum(counts[topic] for topic in changed)
    note = (
        f"changed case or spaces in the topics of {counted(n_documents, 'document')}, to match "
        f"other documents: {_format_topics(spellings)}"
    )
    return replace(corpus, topics=_replace(corpus, new), notes=(*corpus.notes, note))


def rename_topics(corpus: Corpus, names: Mapping[str, str]) -> Corpus:
    """Rename topics of a corpus, and add a note on names that don't occur.

    Each topic is looked up once, by exact spelling.
    """
    present = set(corpus.all_topics())
    unknown = [topic for topic in names if topic not in present]
    notes = list(corpus.notes)
    if unknown:
        notes.append(
            "these topics to rename occur in no document: "
            f"{_format_topics(unknown)}; check their spelling"
        )
    return replace(corpus, topics=_replace(corpus, names), notes=tuple(notes))


class TopicRules(NamedTuple):
    """Rules for renaming and merging topics.

    Attributes
    ----------
    names : mapping of str to str
        New names by topic.
    folds : bool
        True to merge topics that differ only in case or spaces.
    format : str or None
        Format given for the data.
    must_occur : bool
        True to note topics in `names` that don't occur; False if they come from a model's layout.
    """

    names: Mapping[str, str] = MappingProxyType({})
    folds: bool = False
    format: str | None = None
    must_occur: bool = True


def topic_rules(options: ReadOptions) -> TopicRules:
    """Return the rules of the options, or else the rules of a model's layout."""
    layout = options.layout or Layout((), "")
    if options.topic_map is None:
        names = dict(layout.topic_map)
    else:
        names = read_topic_map(options.topic_map, options.encoding, options.format)
    return TopicRules(
        names,
        options.fold_topics or layout.fold_topics,
        options.format or layout.format,
        options.topic_map is not None,
    )


def apply_topic_rules(corpus: Corpus, rules: TopicRules, preferred: Iterable[str] = ()) -> Corpus:
    """Rename and merge topics of a corpus, and store the rules in its layout.

    Merged topics take the spelling in `preferred`, if it contains the topic in any spelling.
    """
    if rules.names:
        renamed = rename_topics(corpus, rules.names)
        corpus = renamed if rules.must_occur else replace(renamed, notes=corpus.notes)
    if rules.folds:
        corpus = fold_topics(corpus, preferred)
    if not (rules.names or rules.folds or rules.format):
        return corpus
    layout = corpus.layout or Layout(("text",), "topic")
    layout = replace(
        layout, fold_topics=rules.folds, topic_map=tuple(rules.names.items()), format=rules.format
    )
    return replace(corpus, layout=layout)


def _replace(corpus: Corpus, names: Mapping[str, str]) -> list[Any]:
    """Rename the topics of each document, merging those that become equal."""
    if corpus.multilabel:
        return [tuple(dict.fromkeys(names.get(t, t) for t in topics)) for topics in corpus.topics]
    return [names.get(topic, topic) for topic in corpus.topics]


def add_parents(corpus: Corpus, separator: str | None) -> Corpus:
    """Add all ancestors of hierarchical topics to a corpus; unchanged without a separator.

    Raises DataError if a part of a path is empty.
    """
    return replace(corpus, topics=sets_with_parents(corpus.topics, separator))


def note_undocumented(corpus: Corpus, descriptions: Iterable[str]) -> Corpus:
    """Add a note to a corpus on topics with a description but no document, if there are any."""
    present = set(corpus.all_topics())
    missing = [topic for topic in descriptions if topic not in present]
    if not missing:
        return corpus
    note = (
        "these topics have a description but no document: "
        f"{_format_topics(missing)}; check their spelling"
    )
    return replace(corpus, notes=(*corpus.notes, note))


def read_topic_map(
    path: str | Path, likely: str | None = None, fallback: str | None = None
) -> dict[str, str]:
    """Read new topic names from a table with the columns "from" and "to".

    The table's encoding is detected; `likely` is the encoding of the documents.

    Raises
    ------
    DataError : if the table can't be read, lacks a column, or has an empty cell or duplicate topic.
    OptionError : if the encoding or format is unknown; see `read_rows`.
    """
    columns, content = ("from", "to"), "a topic and its new name"
    return _read_pairs(path, likely, fallback, columns, content, _NO_NAME)


def read_descriptions(
    path: str | Path,
    likely: str | None = None,
    fallback: str | None = None,
    *,
    may_be_empty: bool = False,
) -> dict[str, str]:
    """Read topic descriptions from a table with the columns "name" and "description".

    The first column may also be called "topic". `may_be_empty` allows topics without a description.
    See `read_topic_map` for the other parameters and errors.
    """
    columns, content = ("name", "description"), "a topic and what it is about"
    problem = None if may_be_empty else "{!r} has no description; write a few words"
    return _read_pairs(path, likely, fallback, columns, content, problem, alias="topic")


def _read_pairs(
    path: str | Path,
    likely: str | None,
    fallback: str | None,
    columns: tuple[str, str],
    content: str,
    problem: str | None,
    alias: str | None = None,
) -> dict[str, str]:
    """Read two columns of a table as a mapping.

    `problem` describes an empty second cell; None allows it. `alias` is an alternative name for the
    first column.
    """
    encoding = None if likely is None else check_encoding(likely)
    layout = Layout(columns[:1], columns[1], encoding)
    rows = read_rows(path, ReadOptions(layout=layout), fallback=fallback)
    items = list(rows)
    bad = next((item for item in items if isinstance(item, BadRow)), None)
    if bad is not None:
        raise DataError(f"{rows.name}, {rows.unit} {bad.at}: {bad.problem}; {bad.advice}.")
    names = column_names(items)
    if columns[0] not in names and {alias, columns[1]} <= {*names}:
        columns = (str(alias), columns[1])
    if not set(columns) <= set(names):
        present = f"the columns {', '.join(map(repr, names))}" if names else "no rows"
        raise DataError(
            f"{rows.name} has {present}; begin it with the line {','.join(columns)} and put "
            f"{content} on each further line."
        )
    pairs: dict[str, str] = {}
    for row in items:
        name, value = (str(row.values.get(column) or "").strip() for column in columns)
        place = f"{rows.name}, {rows.unit} {row.at}"
        if not name or (not value and problem is not None):
            reason = problem.format(name) if name and problem is not None else _NO_NAME
            raise DataError(f"{place}: {reason}, or delete the line.")
        if name in pairs:
            raise DataError(f"{place}: {short_repr(name)} occurs twice; delete one of its lines.")
        pairs[name] = value
    return pairs


def _key(topic: str) -> str:
    return " ".join(topic.split()).casefold()


def _by_key(counts: Counter[str]) -> dict[str, list[str]]:
    """Return the spellings of each topic, most common first, ties by name."""
    groups: dict[str, list[str]] = {}
    for topic in sorted(counts, key=lambda topic: (-counts[topic], topic)):
        groups.setdefault(_key(topic), []).append(topic)
    return groups


def _format_topics(topics: list[str], max_listed: int = _N_TOPICS) -> str:
    return join_words([*map(repr, topics)], max_listed, last=None)
