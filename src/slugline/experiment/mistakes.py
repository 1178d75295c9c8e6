"""Documents that a classifier got wrong, for a person to look at."""

from __future__ import annotations

import csv
import io
import os
from typing import NamedTuple

import numpy as np

from slugline.corpus.corpus import Corpus
from slugline.errors import SluglineError
from slugline.files import write_whole
from slugline.fitted import Fitted

__all__ = ["Mistake", "find_mistakes", "write_mistakes"]


class Mistake(NamedTuple):
    """A document whose most likely topic is not its own.

    Attributes
    ----------
    place : int or str
        Where it stands; see `Corpus.places`.
    text, topic : str
    predicted : str
        The most likely topic.
    probability : float
        That of `predicted`.
    """

    place: int | str
    text: str
    topic: str
    predicted: str
    probability: float


def find_mistakes(fitted: Fitted, corpus: Corpus) -> list[Mistake]:
    """Return the documents of `corpus` that `fitted` gets wrong, the most certain mistakes first.

    Most of these have a wrong topic in the data, or belong to two topics.
    """
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
    mistakes = [mistake for mistake in map(Mistake._make, documents) if _is_one(mistake)]
    return sorted(mistakes, key=lambda mistake: -mistake.probability)


def write_mistakes(path: str | os.PathLike[str], fitted: Fitted, corpus: Corpus) -> int:
    """Write `find_mistakes` as CSV, as a whole or not at all, and return how many there are.

    Raises
    ------
    SluglineError : if the file can't be written; an earlier one then stays.
    """
    mistakes = find_mistakes(fitted, corpus)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([corpus.unit, *Mistake._fields[1:]])
    writer.writerows(
        mistake._replace(probability=round(mistake.probability, 4)) for mistake in mistakes
    )
    try:
        write_whole(path, table.getvalue().encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise SluglineError(
            f"{path}: the mistakes can't be written ({error.strerror or error}); free some space "
            "or choose another folder."
        ) from error
    return len(mistakes)


def _is_one(mistake: Mistake) -> bool:
    return mistake.topic != mistake.predicted
