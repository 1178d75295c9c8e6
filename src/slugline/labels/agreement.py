"""Agreement of coders with themselves, with each other, and with an imported coder.

Only independent labels count, not labels given next to a model's guess, in an audit, or to several
near copies together. The first answer to each text counts, even if changed later, so agreement
can't be improved afterwards. Topics are compared by their current names. Settled labels count;
settlements don't.

Examples
--------
>>> import tempfile
>>> from pathlib import Path
>>> from slugline.labels.cells import ImportedLabel, NewDocument
>>> folder = tempfile.TemporaryDirectory()
>>> store = LabelStore(Path(folder.name, "labels.db"))
>>> documents = store.add_documents(NewDocument(f"id {n}", f"Text {n}") for n in range(40))
>>> for name, n_billing in (("Kim", 20), ("Lee", 24)):
...     coder = store.add_coder(name)
...     topics = [("billing",)] * n_billing + [("delivery",)] * (40 - n_billing)
...     n = store.import_labels(name, map(ImportedLabel, documents, topics))
>>> agreement = measure_agreement(store)
>>> agreement.people.alpha.value.__round__(2), agreement.people.exact.value
(0.8, 0.9)
>>> for confusion in agreement.people.confusions:
...     print(confusion.topics, confusion.n_documents, confusion.by_coders)
('billing', 'delivery') 4 {('Lee', 'Kim'): 4}
>>> store.close(); folder.cleanup()
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from slugline.base.checks import short_repr
from slugline.base.lazy import to_frame
from slugline.base.wording import TitledRows, counted, percent
from slugline.corpus.label_database.records import Coder, CoderKind, LabelDecision
from slugline.errors import OptionError, Parameter
from slugline.evaluation.agreement import (
    Coefficient,
    Ratings,
    agreement_ratio,
    exact_agreement,
    krippendorff_alpha,
    undefined,
)
from slugline.evaluation.evaluation import none_if_nan
from slugline.labels.store import LabelStore

# Labels given for these reasons depend on other labels.
_DEPENDENT = ("near copy", "audit", "corrected")

AgreementTable = Literal["topics", "coders", "pairs", "confusions"]


class TopicAgreement(NamedTuple):
    """Agreement of coders on one topic.

    Attributes
    ----------
    topic : str
    agreement : Coefficient
        How often a second coder also gives the topic; over documents to which any coder gave it.
    alpha : Coefficient
        Krippendorff's alpha of the binary choice.
    """

    topic: str
    agreement: Coefficient
    alpha: Coefficient


class TopicConfusion(NamedTuple):
    """Two topics that two coders confused: each gave one of them to the same documents.

    Attributes
    ----------
    topics : tuple of str
        Two names in alphabetic order. The second is empty if the other coder gave no topic instead,
        which is possible with several topics per document.
    n_documents : int
    by_coders : dict of tuple to int
        Number of documents by the coders who gave the first and the second topic.
    """

    topics: tuple[str, str]
    n_documents: int
    by_coders: dict[tuple[str, str], int]


@dataclass(frozen=True)
class GroupAgreement:
    """Agreement of a group of coders.

    Attributes
    ----------
    alpha : Coefficient
        Krippendorff's alpha; with MASI similarity for topic sets.
    exact : Coefficient
        How often two coders give a document exactly the same topics.
    topics : tuple of TopicAgreement
        In the order of the codebook, without unused topics.
    confusions : tuple of TopicConfusion
        Most frequent first.
    """

    alpha: Coefficient
    exact: Coefficient
    topics: tuple[TopicAgreement, ...]
    confusions: tuple[TopicConfusion, ...]

    @property
    def n_documents(self) -> int:
        """Number of documents that two coders labelled."""
        return self.exact.n_documents


class CoderAgreement(NamedTuple):
    """Agreement of one coder with the others.

    Attributes
    ----------
    coder : str
    kind : {"person", "imported"}
    n_labels, n_skipped : int
        Numbers of documents.
    others : Coefficient
        How often another person gives exactly the same topics.
    repeated : Coefficient
        How often the coder gives the same topics to a repeated text.
    """

    coder: str
    kind: CoderKind
    n_labels: int
    n_skipped: int
    others: Coefficient
    repeated: Coefficient


class PairAgreement(NamedTuple):
    """Agreement of two coders, at least one of them a person.

    Attributes
    ----------
    first, second : str
    exact : Coefficient
    alpha : Coefficient
    """

    first: str
    second: str
    exact: Coefficient
    alpha: Coefficient


class ImportedAgreement(NamedTuple):
    """Agreement of an imported coder, such as a language model, with people.

    Attributes
    ----------
    coder : str
    agreement : GroupAgreement
        Agreement with each person.
    """

    coder: str
    agreement: GroupAgreement


@dataclass(frozen=True, repr=False)
class Agreement(TitledRows):
    """Agreement of the coders in a store; see `measure_agreement`. Displayed in notebooks.

    Attributes
    ----------
    people : GroupAgreement
    n_random : int
        Number of its documents that are random draws. Other documents may be harder or easier.
    coders : tuple of CoderAgreement
    pairs : tuple of PairAgreement
        Coders who labelled the same documents.
    imported : tuple of ImportedAgreement
    """

    people: GroupAgreement
    n_random: int
    coders: tuple[CoderAgreement, ...]
    pairs: tuple[PairAgreement, ...]
    imported: tuple[ImportedAgreement, ...]

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        people, topics = self.people, self.people.topics
        title = f"{counted(people.n_documents, 'text')} labelled by two or more people"
        cells = [
            ("same topics", percent_cells(people.exact)),
            ("Krippendorff's alpha", number_cells(people.alpha)),
            *((f"other agrees on {each.topic}", percent_cells(each.agreement)) for each in topics),
            *(
                (f"{each.coder} has the same topics", percent_cells(each.agreement.exact))
                for each in self.imported
            ),
        ]
        rows = [(name, f"{value} ({interval})") for name, (value, interval) in cells]
        return title, rows

    def to_records(self, table: AgreementTable = "topics") -> list[dict[str, Any]]:
        """Return the rows of a table; undefined values are None.

        Parameters
        ----------
        table : {"topics", "coders", "pairs", "confusions"}, default "topics"
        """
        if table not in get_args(AgreementTable):
            raise OptionError(
                Parameter("table"),
                f" is {short_repr(table)}; choose one of {', '.join(get_args(AgreementTable))}.",
            )
        match table:
            case "topics":
                return [*map(_record, self.people.topics)]
            case "coders":
                return [*map(_record, self.coders)]
            case "pairs":
                return [*map(_record, self.pairs)]
            case "confusions":
                return _confusion_records(self.people)

    def to_frame(self, table: AgreementTable = "topics") -> Any:
        """Return `to_records` as a pandas data frame, or a polars one if pandas is missing.

        Raises OptionError if neither is installed.
        """
        return to_frame(self.to_records(table))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-compatible data."""
        return {
            **_group_dict(self.people),
            "n_random": self.n_random,
            "coders": self.to_records("coders"),
            "pairs": self.to_records("pairs"),
            "imported": [
                {"coder": each.coder, **_group_dict(each.agreement)} for each in self.imported
            ],
        }


def percent_cells(coefficient: Coefficient) -> tuple[str, str]:
    """Format a value and its interval in percent; "-" if undefined."""
    if not coefficient.is_defined:
        return "-", "-"
    low, high = coefficient.interval
    return percent(coefficient.value, 0), f"{percent(low, 0)} to {percent(high, 0)}"


def number_cells(coefficient: Coefficient) -> tuple[str, str]:
    """Format a value and its interval with two decimals; "-" if undefined."""
    if not coefficient.is_defined:
        return "-", "-"
    low, high = coefficient.interval
    return f"{coefficient.value:.2f}", f"{low:.2f} to {high:.2f}"


def _cells(name: str, coefficient: Coefficient) -> dict[str, Any]:
    return {
        name: none_if_nan(coefficient.value),
        f"{name}_low": none_if_nan(coefficient.interval.low),
        f"{name}_high": none_if_nan(coefficient.interval.high),
        f"{name}_n_documents": coefficient.n_documents,
    }


def _record(row: Any) -> dict[str, Any]:
    """Return a named tuple as a record, with several columns for each coefficient."""
    record: dict[str, Any] = {}
    for name, value in row._asdict().items():
        record |= _cells(name, value) if isinstance(value, Coefficient) else {name: value}
    return record


def _confusion_records(group: GroupAgreement) -> list[dict[str, Any]]:
    return [
        {
            "first_topic": each.topics[0],
            "second_topic": each.topics[1],
            "first_coder": first,
            "second_coder": second,
            "n_documents": n,
        }
        for each in group.confusions
        for (first, second), n in each.by_coders.items()
    ]


def _group_dict(group: GroupAgreement) -> dict[str, Any]:
    return {
        **_cells("alpha", group.alpha),
        **_cells("exact", group.exact),
        "topics": [*map(_record, group.topics)],
        "confusions": _confusion_records(group),
    }


# Labels of coders ---------------------------------------------------------------------------------


class _CoderLabels:
    """Independent labels of one coder.

    Attributes
    ----------
    coder : Coder
    topics : dict of int to frozenset of str
        The first label of each document.
    skipped : set of int
        Skipped documents without a label.
    repeated : list of tuple
        First and later decisions about repeated documents.
    random : set of int
        Documents in `topics` that are random draws.
    """

    def __init__(self, coder: Coder) -> None:
        self.coder = coder
        self.topics: dict[int, frozenset[str]] = {}
        self.skipped: set[int] = set()
        self.repeated: list[tuple[LabelDecision, LabelDecision]] = []
        self.random: set[int] = set()
        self._first: dict[int, LabelDecision] = {}

    def add(self, decision: LabelDecision) -> None:
        document, selection = decision.assignment.document, decision.assignment.selection
        if decision.is_guess_shown or selection.reason in _DEPENDENT:
            return
        topics = frozenset(decision.topics)
        if decision.kind == "skip":
            if document not in self.topics:
                self.skipped.add(document)
        elif document not in self.topics:
            self.topics[document], self._first[document] = topics, decision
            self.skipped.discard(document)
            if selection.is_random:
                self.random.add(document)
        elif selection.reason == "repeated":
            self.repeated.append((self._first[document], decision))


# A coder's name, and the topics of the coder's label.
_NamedTopics = tuple[str, frozenset[str]]


class _Unit(NamedTuple):
    """Labels of a document to compare with each other."""

    document: int
    labels: tuple[_NamedTopics, ...]


def measure_agreement(store: LabelStore) -> Agreement:
    """Measure the agreement of the coders in a store.

    All documents labelled by two coders count, even if settled. A document that a coder skipped
    counts for the others. Withdrawn labels don't count.

    Parameters
    ----------
    store : LabelStore

    Raises
    ------
    StoreError : if the file can't be read, or is damaged.
    """
    by_name = {coder.name: _CoderLabels(coder) for coder in store.coders()}
    for decision in store.first_decisions():
        coder = decision.assignment.coder
        by_name.setdefault(coder.name, _CoderLabels(coder)).add(decision)
    names = store.codebook().names()
    coders = [each for each in by_name.values() if each.topics or each.skipped]
    persons = [each for each in coders if each.coder.kind == "person"]
    imported = [each for each in coders if each.coder.kind == "imported"]
    units = [unit for unit in _units(persons) if len(unit.labels) > 1]
    random = set[int]().union(*(each.random for each in persons))
    return Agreement(
        _group_agreement(units, names),
        sum(unit.document in random for unit in units),
        tuple(_coder_agreement(each, persons) for each in coders),
        tuple(_pair_agreements(persons, imported)),
        tuple(
            ImportedAgreement(
                each.coder.name, _group_agreement(_paired_units(each, persons), names)
            )
            for each in imported
        ),
    )


def _units(coders: Iterable[_CoderLabels]) -> list[_Unit]:
    """Return the labels of each labelled document."""
    labels: dict[int, list[_NamedTopics]] = defaultdict(list)
    for each in coders:
        for document, topics in each.topics.items():
            labels[document].append((each.coder.name, topics))
    return [_Unit(document, tuple(given)) for document, given in sorted(labels.items())]


def _paired_units(first: _CoderLabels, others: Iterable[_CoderLabels]) -> list[_Unit]:
    """Return pairs of labels of the same document, by a coder and each other coder."""
    return [
        _Unit(document, ((first.coder.name, first.topics[document]), (other.coder.name, topics)))
        for other in others
        if other is not first
        for document, topics in other.topics.items()
        if document in first.topics
    ]


def _ratings(units: Sequence[_Unit]) -> Ratings:
    sets = [[topics for _, topics in unit.labels] for unit in units]
    return Ratings.from_topic_sets(sets, [unit.document for unit in units])


def _group_agreement(units: Sequence[_Unit], names: Sequence[str]) -> GroupAgreement:
    """Return the agreement within units of at least two labels."""
    ratings = _ratings(units)
    return GroupAgreement(
        krippendorff_alpha(ratings),
        exact_agreement(ratings),
        tuple(_topic_agreements(units, names)),
        tuple(_confusions(units)),
    )


def _topic_agreements(units: Sequence[_Unit], names: Sequence[str]) -> Iterator[TopicAgreement]:
    """Yield the agreement on each topic in use."""
    n_labels = np.array([len(unit.labels) for unit in units], np.float64)
    documents = np.array([unit.document for unit in units], np.int64)
    n_given: dict[str, Counter[int]] = defaultdict(Counter)
    for number, unit in enumerate(units):
        for _, topics in unit.labels:
            for topic in topics:
                n_given[topic][number] += 1
    for name in names:
        if name not in n_given:
            continue
        given = np.zeros(len(units))
        given[[*n_given[name]]] = [*n_given[name].values()]
        yield TopicAgreement(
            name,
            agreement_ratio(given * (given - 1) / (n_labels - 1), given, documents),
            krippendorff_alpha(Ratings.from_binary_counts(given, n_labels, documents)),
        )


def _confusions(units: Iterable[_Unit]) -> list[TopicConfusion]:
    """Return pairs of confused topics, the most frequent first; see `TopicConfusion`."""
    documents: dict[tuple[str, str], set[int]] = defaultdict(set)
    by_coders: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    for unit in units:
        for (coder, topics), (other, other_topics) in itertools.combinations(unit.labels, 2):
            if topics == other_topics:
                continue
            given = [(topic, coder) for topic in topics - other_topics or {""}]
            given_by_other = [(topic, other) for topic in other_topics - topics or {""}]
            for pair in itertools.product(given, given_by_other):
                # An empty topic comes last.
                first, second = sorted(pair, key=lambda each: (not each[0], each[0]))
                key = (first[0], second[0])
                documents[key].add(unit.document)
                by_coders[key][first[1], second[1]] += 1
    confusions = [
        TopicConfusion(key, len(documents[key]), dict(by_coders[key].most_common()))
        for key in documents
    ]
    return sorted(confusions, key=lambda each: (-each.n_documents, each.topics))


def _coder_agreement(labels: _CoderLabels, persons: Sequence[_CoderLabels]) -> CoderAgreement:
    units = _paired_units(labels, persons)
    repeated = labels.repeated
    return CoderAgreement(
        labels.coder.name,
        labels.coder.kind,
        len(labels.topics),
        len(labels.skipped),
        _fraction_equal(
            [unit.labels[0][1] == unit.labels[1][1] for unit in units],
            [unit.document for unit in units],
        ),
        _fraction_equal(
            [{*first.topics} == {*later.topics} for first, later in repeated],
            [first.assignment.document for first, _ in repeated],
        ),
    )


def _fraction_equal(is_equal: Sequence[bool], documents: Sequence[int]) -> Coefficient:
    if not is_equal:
        return undefined(0)
    return agreement_ratio(
        np.array(is_equal, np.float64), np.ones(len(is_equal)), np.array(documents, np.int64)
    )


def _pair_agreements(
    persons: Sequence[_CoderLabels], imported: Sequence[_CoderLabels]
) -> Iterator[PairAgreement]:
    """Yield the agreement of two people, and of a person and an imported coder."""
    pairs = [*itertools.combinations(persons, 2), *itertools.product(persons, imported)]
    for first, second in pairs:
        units = _paired_units(first, [second])
        if units:
            ratings = _ratings(units)
            yield PairAgreement(
                first.coder.name,
                second.coder.name,
                exact_agreement(ratings),
                krippendorff_alpha(ratings),
            )
