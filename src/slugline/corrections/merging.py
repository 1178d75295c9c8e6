"""Corrections beside other documents: what there is to learn from, and what is left to test on."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slugline.base.arrays import F64, Mask
from slugline.checks import check_number
from slugline.corpus.corpus import Corpus
from slugline.displays import counted
from slugline.errors import DataError

if TYPE_CHECKING:
    from slugline.corrections.correction import Correction

__all__ = ["DEFAULT_WEIGHT", "Merged", "as_corpus", "merge", "same_words"]

#: How many documents a correction counts as; `benchmarks/correction_weight.py` chose it.
DEFAULT_WEIGHT = 1.0
# Names of models in a message.
_N_SHOWN = 5


def same_words(text: str) -> str:
    r"""Return what two texts share if they differ in spaces and line ends alone.

    What is pasted on a page and sent from there often does.

    >>> same_words("Wheat\r\n prices ") == same_words("Wheat prices")
    True
    """
    return " ".join(text.split())


def as_corpus(
    corrections: Iterable[Correction], name: str, models: Collection[str] | None = None
) -> Corpus:
    """Return corrected texts with the right topics, each text once: the latest correction counts.

    Parameters
    ----------
    corrections : iterable of Correction
        In order.
    name : str
        Of their file, for messages.
    models : collection of str, optional
        Only corrections of models with these names; by default, all must be of one model.

    Returns
    -------
    Corpus, whose notes say how many there were, and whether some contradict each other. Its places
    are the corrections' numbers. Topics are strings. Blank texts are left out.

    Raises
    ------
    DataError : if there is none, or they are of several models.
    """
    latest: dict[str, Correction] = {}
    found: Counter[str] = Counter()
    n_blank = n_other = 0
    for correction in corrections:
        if models is not None and correction.model not in models:
            continue
        found[correction.model] += 1
        key = same_words(correction.text)
        if not key:
            n_blank += 1
            continue
        earlier = latest.pop(key, None)
        n_other += earlier is not None and earlier.topic != correction.topic
        latest[key] = correction
    if models is None and len(found) > 1:
        raise DataError(_of_several(name, found))
    if not latest:
        of = "" if models is None else f" of {' or '.join(sorted(models))}"
        raise DataError(
            f"{name} holds no correction{of} of a text that isn't blank; correct some answers "
            "first."
        )
    chosen = latest.values()
    notes = [f"{counted(found.total(), 'correction')} of {counted(len(latest), 'text')}"]
    if n_other:
        notes.append(
            f"{counted(n_other, 'correction')} gave a text another topic than an earlier one; the "
            "latest counts"
        )
    return Corpus(
        [correction.text for correction in chosen],
        [str(correction.topic).strip() for correction in chosen],
        name,
        notes=tuple(notes),
        n_skipped=n_blank,
        places=[correction.id for correction in chosen],
        unit="correction",
    )


def _of_several(name: str, found: Counter[str]) -> str:
    shown = ", ".join(f"{model} ({n:,})" for model, n in found.most_common(_N_SHOWN))
    more = f" and {len(found) - _N_SHOWN} more" if len(found) > _N_SHOWN else ""
    return (
        f"{name} holds corrections of {counted(len(found), 'model')}, {shown}{more}; say of which "
        "to learn with `corrections_of`."
    )


@dataclass(frozen=True)
class Merged:
    """What to learn from with corrections and without, and to test both on.

    Attributes
    ----------
    base : Corpus
        The training documents alone.
    learned : Corpus
        The training documents whose texts were not corrected, then the corrections.
    weights : float64 array, shape (len(learned),)
        What each of these counts.
    corrections : Corpus
    test : Corpus
        No corrected text is among them.
    n_replaced, n_from_test : int
        Documents among those to learn from, and to test on, that gave way to corrections.
    """

    base: Corpus
    learned: Corpus
    weights: F64
    corrections: Corpus
    test: Corpus
    n_replaced: int
    n_from_test: int

    @property
    def new_topics(self) -> list[str]:
        """The corrections' topics that no training document has, sorted."""
        return sorted({*self.corrections.topics} - {*self.base.topics})

    def without(self, rows: Iterable[int]) -> tuple[Corpus, F64]:
        """Return what to learn from without some of the corrections, and its weights.

        Nor are the training documents that these would replace among it.

        Parameters
        ----------
        rows : iterable of int
            Which of the corrections, counted from 0.
        """
        n_others = len(self.learned) - len(self.corrections)
        kept = np.ones(len(self.learned), dtype=bool)
        kept[[n_others + row for row in rows]] = False
        return _some(self.learned, kept), self.weights[kept]


def merge(train: Corpus, test: Corpus, corrections: Corpus, weight: float) -> Merged:
    """Return what to learn from with and without corrections, and what to test on.

    A correction takes the place of all documents that have its text, whichever topics these have.

    Parameters
    ----------
    train, test, corrections : Corpus
        See `as_corpus` for the last.
    weight : float, over 0
        How many documents a correction counts as.

    Raises
    ------
    OptionError : if the weight is out of its range.
    DataError : if nothing is left to test on.
    """
    check_number("correction_weight", weight, over=0)
    corrected = set(map(same_words, corrections.texts))
    others, rest = _new(train, corrected), _new(test, corrected)
    if not rest.any():
        raise DataError(
            f"{test.name}: {corrections.name} has the texts of all {len(test):,} documents to test "
            "on; add documents, or give others with `test`."
        )
    learned = _joined(_some(train, others), corrections)
    weights = np.ones(len(learned))
    weights[len(learned) - len(corrections) :] = weight
    return Merged(
        base=train,
        learned=learned,
        weights=weights,
        corrections=corrections,
        test=_some(test, rest),
        n_replaced=int((~others).sum()),
        n_from_test=int((~rest).sum()),
    )


def _new(corpus: Corpus, corrected: set[str]) -> Mask:
    return np.array([same_words(text) not in corrected for text in corpus.texts], dtype=bool)


def _some(corpus: Corpus, mask: Sequence[bool] | Mask) -> Corpus:
    return Corpus(
        list(itertools.compress(corpus.texts, mask)),
        list(itertools.compress(corpus.topics, mask)),
        corpus.name,
        places=list(itertools.compress(corpus.numbered_places(), mask)),
        unit=corpus.unit,
    )


def _joined(train: Corpus, corrections: Corpus) -> Corpus:
    return Corpus(
        [*train.texts, *corrections.texts], [*train.topics, *corrections.topics], train.name
    )
