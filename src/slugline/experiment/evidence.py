"""Examples for the report: the strongest terms per topic, and misclassified documents."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import F64, Mask
from slugline.base.files import PathLike, write_result
from slugline.corpus.corpus import Corpus
from slugline.corpus.dialects import TableDialect
from slugline.corpus.table_writers import guard_cell
from slugline.corpus.tables import csv_file
from slugline.errors import OptionError
from slugline.evaluation.evaluation import Evaluation, ScoredPredictions
from slugline.evaluation.multilabel import MultilabelEvaluation, TopicMistake
from slugline.experiment.evaluate import evaluate_fitted
from slugline.experiment.experiment import Experiment
from slugline.learning.learner import is_linear
from slugline.model.fitted import Fitted
from slugline.text.characters import find_unspaced
from slugline.text.feature_groups import document_frequency
from slugline.text.terms import NGRAM_LENGTHS

# Passages -----------------------------------------------------------------------------------------

#: Maximum length of a passage, in characters.
N_CHARACTERS = 280

_SPACES = re.compile(r"\s+")
_CUT = "…"
# Maximum number of characters to cut off a word at the end of a passage.
_LONGEST_REST = 20

Span = tuple[int, int, float]


class Quote(NamedTuple):
    """A passage of a text, with an ellipsis where it is cut."""

    text: str
    # The spans in the passage, as (start, end, attribution): `text[start:end]` adds `attribution`
    # to a score.
    spans: list[Span]


def passage(text: str, spans: Sequence[Span], max_characters: int = N_CHARACTERS) -> Quote:
    """Return the passage of at most `max_characters` around the span with the largest attribution.

    `spans` are (start, end, attribution), as in `slugline.explanation.explanation.highlight`.
    """
    strongest = max(spans, key=lambda span: abs(span[2]), default=(0, 0, 0.0))
    start = max(0, min(strongest[0] - max_characters // 4, len(text) - max_characters))
    start, end = _at_spaces(text, start, min(len(text), start + max_characters))
    lead, tail = _CUT if start else "", _CUT if end < len(text) else ""
    shift = len(lead) - start
    visible = [
        (max(a, start) + shift, min(b, end) + shift, attribution)
        for a, b, attribution in spans
        if a < end and b > start
    ]
    return Quote(f"{lead}{text[start:end]}{tail}", visible)


def _at_spaces(text: str, start: int, end: int) -> tuple[int, int]:
    """Move the ends of a passage to word boundaries, unless a word is very long."""
    if start and not text[start - 1].isspace():
        space = _SPACES.search(text, start, min(end, start + _LONGEST_REST))
        start = space.end() if space else start
    if end < len(text) and not text[end].isspace():
        spaces = [*_SPACES.finditer(text, max(start, end - _LONGEST_REST), end)]
        end = spaces[-1].start() if spaces else end
    return start, end


# Terms of topics ----------------------------------------------------------------------------------

#: Number of terms to show per topic, and number of strongest terms to choose them from.
N_TERMS, _N_LOOKED_AT = 8, 60
#: Exponent of the variance of a term's presence in a document.
POWER = 1 / 3


class TopicTerms(NamedTuple):
    """Terms with the largest weights for a topic, strongest first."""

    topic: str
    terms: list[str]


def strongest_terms(
    fitted: Fitted, numbers: Iterable[int] | None = None, n_terms: int = N_TERMS
) -> list[TopicTerms]:
    """Return the strongest terms of each topic, at most `n_terms`, with positive weights.

    Terms are ranked by weight times idf times (p (1 - p))^(1/3), where p is their relative document
    frequency. With exponent 1/2 this is the standardised weight (Agresti, 2013, 5.4.7), which
    prefers common words; with 0, terms of single documents come first; see
    `benchmarks/run.py evaluation terms`.

    Parameters
    ----------
    fitted : Fitted
    numbers : iterable of int, optional
        Indices of topics; by default all.
    n_terms : int, default 8

    Returns
    -------
    list of TopicTerms; empty if the learner isn't linear, or columns lack an idf or names.
    """
    idf_by_group = fitted.features.idf_
    if not is_linear(fitted.learner) or any(group is None for group in idf_by_group):
        return []
    idf = np.concatenate([group for group in idf_by_group if group is not None])
    n_documents = max(1, fitted.n_documents)
    fraction = np.clip(document_frequency(idf, n_documents) / n_documents, 0, 1)
    spread = idf.astype(np.float64) * (fraction * (1 - fraction)) ** POWER
    n_columns = [vocabulary.n_columns for vocabulary in fitted.features.vocabularies_]
    is_ngram = np.repeat(
        [group.kind in NGRAM_LENGTHS for group in fitted.features.feature_groups], n_columns
    )
    weights = fitted.learner.weights.tocsc()
    names = fitted.topics.names
    return [
        TopicTerms(
            str(names[number]),
            _distinct(_by_strength(fitted, weights, number, spread, is_ngram), n_terms),
        )
        for number in (range(len(names)) if numbers is None else numbers)
    ]


def _by_strength(
    fitted: Fitted, weights: Any, topic: int, spread: F64, is_ngram: Mask
) -> Iterator[str]:
    """Yield the strongest terms, without character n-grams in scripts with spaces."""
    part = slice(*weights.indptr[topic : topic + 2])
    columns, values = weights.indices[part], weights.data[part]
    strength = values * spread[columns]
    n_found = 0
    for place in np.argsort(-strength, kind="stable").tolist():
        if strength[place] <= 0 or n_found == _N_LOOKED_AT:
            return
        term = fitted.features.term(int(columns[place]))
        if term is None or (is_ngram[columns[place]] and not _is_unspaced(term)):
            continue
        n_found += 1
        yield term


def _is_unspaced(term: str) -> bool:
    """True if a character n-gram belongs to a script without spaces, where words aren't terms."""
    return not term.isascii() and find_unspaced(term) == [(0, len(term))]


def _distinct(candidates: Iterable[str], n_terms: int) -> list[str]:
    """Return the strongest terms that don't overlap."""
    chosen: list[str] = []
    for term in candidates:
        if len(chosen) == n_terms:
            break
        if not any(_overlap(term, other) for other in chosen):
            chosen.append(term)
    return chosen


def _overlap(term: str, other: str) -> bool:
    """True if two terms share a word or, in a script without spaces, one contains the other."""
    if _is_unspaced(term):
        return term in other or other in term
    return bool(set(term.split()) & set(other.split()))


# Mistakes -----------------------------------------------------------------------------------------


class Mistake(NamedTuple):
    """A misclassified document; in multi-label data, one missed or added topic."""

    # See `Corpus.places`.
    place: int | str
    text: str
    # Empty for an added topic in multi-label data.
    topic: str
    # Empty for a missed topic in multi-label data.
    predicted: str
    # The probability of `predicted`, or of the missed topic.
    probability: float


def find_mistakes(fitted: Fitted, corpus: Corpus) -> list[Mistake]:
    """Return the misclassified documents, most confident mistakes first."""
    if corpus.multilabel:
        evaluation: Any = evaluate_fitted(fitted, corpus)
        places, texts = corpus.numbered_places(), corpus.texts
        errors = [(row, topic, "", p) for row, topic, p in evaluation.missed()]
        errors += [(row, "", topic, p) for row, topic, p in evaluation.added()]
        mistakes = [Mistake(places[row], texts[row], *error) for row, *error in errors]
        return sorted(mistakes, key=lambda m: -m.probability if m.predicted else m.probability - 1)
    names = [str(name) for name in fitted.topics.names]
    proba = fitted.predict_proba(corpus.texts)
    best = proba.argmax(axis=1)
    documents = zip(
        corpus.numbered_places(),
        corpus.texts,
        corpus.topics,
        [names[column] for column in best.tolist()],
        proba[np.arange(len(best)), best].tolist(),
        strict=True,
    )
    mistakes = [m for m in map(Mistake._make, documents) if m.topic != m.predicted]
    return sorted(mistakes, key=lambda mistake: -mistake.probability)


def write_mistakes(path: PathLike, fitted: Fitted, corpus: Corpus) -> int:
    """Write the mistakes as CSV, atomically, and return their number.

    Raises
    ------
    SluglineError : if the file can't be written; an existing file is left unchanged.
    """
    mistakes = find_mistakes(fitted, corpus)
    rounded = (m._replace(probability=round(m.probability, 4)) for m in mistakes)
    rows = [[corpus.unit, *Mistake._fields[1:]], *(map(guard_cell, m) for m in rounded)]
    write_result(path, csv_file(rows, TableDialect()), "mistakes")
    return len(mistakes)


# Evidence -----------------------------------------------------------------------------------------

#: Number of topic pairs to show, documents per pair, and most confident mistakes.
N_PAIRS, N_OF_PAIR, N_SUREST = 6, 2, 10
#: Number of topics, the most common ones, to show terms for.
N_TOPICS = 200
# Topics with lower recall are missed more often than found.
_LEAST_RECALL = 0.5
# Longer texts take too long to explain; quote their beginning without highlights.
_LONGEST = 100_000


class QuotedMistake(NamedTuple):
    """A misclassified document with the passage that explains the answer."""

    # See `Mistake`.
    place: int | str
    topic: str
    predicted: str
    probability: float
    # Attributions are to the score of `predicted` minus the score of `topic`, if known.
    quote: Quote


class ConfusedPair(NamedTuple):
    """Examples of the `n_documents` documents of one topic that were classified as another."""

    topic: str
    predicted: str
    n_documents: int
    examples: list[QuotedMistake]


@dataclass(frozen=True)
class QualitativeEvidence:
    """Terms and mistakes for judging a classifier."""

    # For up to 200 topics; empty if the learner isn't linear.
    terms: list[TopicTerms]
    # The most common confusions.
    pairs: list[ConfusedPair]
    # The mistakes with the highest probability.
    surest: list[QuotedMistake]
    n_wrong: int
    # Unit of `place`, such as "line".
    unit: str
    # Most confident multi-label mistakes: `topic` is the missed or added one; `predicted` lists
    # the topics that were predicted, or the true ones.
    missed: Sequence[QuotedMistake] = ()
    added: Sequence[QuotedMistake] = ()


def gather_evidence(experiment: Experiment) -> QualitativeEvidence:
    """Return the strongest terms of a tested experiment, and examples of its mistakes."""
    (evaluation, test), fitted = experiment.tested, experiment.fitted
    n_documents = [topic.n_documents for topic in evaluation.per_topic()[: len(fitted.topics)]]
    most_common = np.argsort(-np.array(n_documents), kind="stable")[:N_TOPICS].tolist()
    terms = strongest_terms(fitted, sorted(most_common))
    if isinstance(evaluation, MultilabelEvaluation):
        return _evidence_of_several(evaluation, test, fitted, terms)
    answers = evaluation.predictions
    if answers is None:
        return QualitativeEvidence(terms, [], [], 0, test.unit)
    wrong = np.flatnonzero(~answers.right)
    surest_first = wrong[np.argsort(-answers.probability[wrong], kind="stable")].tolist()
    predicted, places = evaluation.predicted, test.numbered_places()

    @functools.cache
    def quote(row: int) -> QuotedMistake:
        topic, answer, text = test.topics[row], predicted[row], test.texts[row]
        against = topic if answers.true[row] >= 0 else None
        cited = passage(text, _spans(fitted, text, answer, against))
        return QuotedMistake(places[row], topic, answer, float(answers.probability[row]), cited)

    pairs = []
    for topic, answer, n in evaluation.confusions(N_PAIRS):
        rows = _of_pair(evaluation, answers, surest_first, (topic, answer))
        pairs.append(ConfusedPair(topic, answer, n, [*map(quote, rows)]))
    surest = [*map(quote, surest_first[:N_SUREST])]
    return QualitativeEvidence(terms, pairs, surest, len(wrong), test.unit)


def _evidence_of_several(
    evaluation: MultilabelEvaluation, test: Corpus, fitted: Fitted, terms: list[TopicTerms]
) -> QualitativeEvidence:
    def quote(mistake: TopicMistake, topics: Sequence[tuple[str, ...]]) -> QuotedMistake:
        row, topic, probability = mistake
        text = test.texts[row]
        spans = _spans(fitted, text, topic, None) if topic in known_topics else []
        others = ", ".join(topics[row]) or "no topic"
        return QuotedMistake(places[row], topic, others, probability, passage(text, spans))

    known_topics, places = set(evaluation.topics[: evaluation.n_known]), test.numbered_places()
    true, answers = [tuple(topics) for topics in test.topics], evaluation.predicted
    # High confidence in the absence of a rarely predicted topic is uninformative.
    is_missed = {topic.topic: not topic.recall >= _LEAST_RECALL for topic in evaluation.per_topic()}
    surest = sorted(evaluation.missed(), key=lambda mistake: is_missed[mistake.topic])[:N_SUREST]
    missed = [quote(mistake, answers) for mistake in surest]
    added = [quote(mistake, true) for mistake in evaluation.added(N_SUREST)]
    n_wrong = evaluation.n_documents - evaluation.n_right
    return QualitativeEvidence(terms, [], [], n_wrong, test.unit, missed, added)


def _of_pair(
    evaluation: Evaluation, answers: ScoredPredictions, rows: list[int], pair: tuple[str, str]
) -> list[int]:
    """Return a few rows of one topic classified as another, those beyond `N_SUREST` first."""
    number, other = map(evaluation.topics.index, pair)
    true = number if number < evaluation.n_known else -1
    is_one = (answers.true[rows] == true) & (answers.predicted[rows] == other)
    confused: list[int] = np.array(rows)[is_one].tolist()
    return sorted(confused, key=set(rows[:N_SUREST]).__contains__)[:N_OF_PAIR]


def _spans(fitted: Fitted, text: str, predicted: str, topic: str | None) -> list[Span]:
    """Return each word's contribution to the predicted topic's score minus the true topic's."""
    from slugline.explanation.explain import explain

    if len(text) > _LONGEST:
        return []
    try:
        return explain(fitted, text, predicted, against=topic, split_encoder=False).spans()
    except OptionError:  # a user-defined learner
        return []
