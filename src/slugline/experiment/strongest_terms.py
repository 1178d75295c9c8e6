"""The terms that count most for each topic, from the weights of a linear learner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, Mask
from slugline.fitted import Fitted
from slugline.learners.linear import LinearLearner
from slugline.text.scripts import unspaced_runs
from slugline.text.weighting import document_frequency

__all__ = ["TopicTerms", "strongest_terms"]


#: How many terms are given for each topic, and of how many of the strongest they are chosen.
N_TERMS, _N_LOOKED_AT = 8, 60
#: The power of the variance of whether a document has a term.
POWER = 1 / 3
# A run of characters gives way to a longer one around it that counts at least this share.
_NEARLY = 0.5


class TopicTerms(NamedTuple):
    """The terms that count most for a topic.

    Attributes
    ----------
    topic : str
    terms : list of str
        The strongest first: words and pairs, and runs of characters of scripts without spaces.
    """

    topic: str
    terms: list[str]


def strongest_terms(
    fitted: Fitted, numbers: Iterable[int] | None = None, n_terms: int = N_TERMS
) -> list[TopicTerms]:
    """Return the terms that count most for each topic.

    A term counts its weight times its idf, times the cube root of p (1 - p) where a share p of the
    documents has it. With a square root, this would be the standard deviation of its value, and the
    product its standardised weight (Agresti, 2013, 5.4.7), which puts common words first; without,
    terms of a single document come first. Of these, the cube root gives the terms that tell best
    which topic a document has; see `benchmarks/trust_evaluation.py`.

    Parameters
    ----------
    fitted : Fitted
    numbers : iterable of int, optional
        The numbers of the topics to look at; by default all.
    n_terms : int, default 8
        Fewer are given if a topic has no more with a weight over 0.

    Returns
    -------
    list of TopicTerms; empty if the learner isn't linear, or columns have no idf or no names.
    """
    rarity = fitted.features.idf_
    if not isinstance(fitted.learner, LinearLearner) or any(part is None for part in rarity):
        return []
    spread = _spread(np.concatenate([part for part in rarity if part is not None]), fitted)
    kinds = [
        kind == "characters"
        for kind, terms in zip(
            [block.kind for block in fitted.features.blocks],
            fitted.features.vocabularies_,
            strict=True,
        )
        for _ in range(terms.n_columns)
    ]
    is_run = np.array(kinds)
    weights = fitted.learner.weights.tocsc()
    names = fitted.topics.names
    return [
        TopicTerms(
            str(names[number]),
            _chosen([*_by_strength(fitted, weights, number, spread, is_run)], n_terms),
        )
        for number in (range(len(names)) if numbers is None else numbers)
    ]


def _spread(idf: F32, fitted: Fitted) -> F64:
    n = max(1, fitted.n_documents)
    share = np.clip(document_frequency(idf, n) / n, 0, 1)
    found: F64 = idf.astype(np.float64) * (share * (1 - share)) ** POWER
    return found


def _by_strength(
    fitted: Fitted, weights: Any, topic: int, spread: F64, is_run: Mask
) -> Iterator[tuple[str, float]]:
    """Yield the terms with the greatest strength, runs of readable scripts left out."""
    part = slice(*weights.indptr[topic : topic + 2])
    columns, values = weights.indices[part], weights.data[part]
    strength = values * spread[columns]
    n_found = 0
    for place in np.argsort(-strength, kind="stable").tolist():
        if strength[place] <= 0 or n_found == _N_LOOKED_AT:
            return
        term = fitted.features.term(int(columns[place]))
        if term is None or (is_run[columns[place]] and not _is_unspaced(term)):
            continue
        n_found += 1
        yield term, float(strength[place])


def _is_unspaced(term: str) -> bool:
    """Whether a run is all of a script that has no spaces, whose words aren't terms themselves."""
    return not term.isascii() and unspaced_runs(term) == [(0, len(term))]


def _chosen(candidates: Sequence[tuple[str, float]], n_terms: int) -> list[str]:
    """Return the strongest of them that say something new."""
    chosen: list[str] = []
    for term, strength in candidates:
        if len(chosen) == n_terms:
            break
        longer = (
            other
            for other, other_strength in candidates
            if len(other) > len(term)
            and other_strength >= _NEARLY * strength
            and _is_unspaced(term)
            and term in other
        )
        term = next(longer, term)
        if not any(_overlap(term, other) for other in chosen):
            chosen.append(term)
    return chosen


def _overlap(term: str, other: str) -> bool:
    """Whether two terms share a word; or two characters, in a script without spaces."""
    if _is_unspaced(term) or _is_unspaced(other):
        return term in other or other in term or bool(_pairs(term) & _pairs(other))
    return bool(set(term.split()) & set(other.split()))


def _pairs(term: str) -> set[str]:
    return {term[n : n + 2] for n in range(len(term) - 1)}
