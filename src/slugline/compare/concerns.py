"""Whether documents will do for a comparison, and what to know of them when reading it."""

from __future__ import annotations

import numpy as np

from slugline.base.arrays import I64
from slugline.corpus.corpus import Corpus
from slugline.displays import all_of, counted, have
from slugline.errors import DataError
from slugline.experiment.testing import check_several_topics

__all__ = ["check_corpus", "check_folds", "notes_on"]


def check_corpus(corpus: Corpus) -> None:
    """Make sure that there is something to tell apart; DataError if there isn't."""
    check_several_topics(corpus)
    n = len(corpus)
    if len(set(corpus.texts)) == 1:
        raise DataError(
            f"{all_of(n, 'document')} of {corpus.name} {have(n)} the same text: no model can tell "
            "their topics apart. Check which column holds the texts."
        )
    if max(corpus.topic_counts().values()) < 2:
        raise DataError(
            f"{corpus.name} has no topic with two documents, one to learn from and one to test "
            "on; add documents."
        )


def check_folds(corpus: Corpus, folds: I64) -> None:
    """Make sure that each fold leaves two topics to learn; DataError if one doesn't."""
    topics = np.array(corpus.topics, dtype=object)
    for fold in range(int(folds.max()) + 1):
        left = set(topics[folds != fold])
        if len(left) < 2:
            raise DataError(
                f"{corpus.name} has too few documents: while some are tested, {min(left)!r} is the "
                "only topic left to learn. Add documents of the other topics."
            )


def notes_on(corpus: Corpus, n_folds: int) -> list[str]:
    """Return what to know of topics with few documents when reading the results."""
    counts = corpus.topic_counts()
    single = sorted(topic for topic, n in counts.items() if n == 1)
    few = sorted(topic for topic, n in counts.items() if 1 < n < n_folds)
    notes = []
    if single:
        verb, them = ("has", "it is") if len(single) == 1 else ("have", "they are")
        notes.append(
            f"{counted(len(single), 'topic')} of {len(counts)}, such as {single[0]!r}, {verb} one "
            f"document: while {them} tested, no model can know the topic, and all answer wrong."
        )
    if few:
        notes.append(
            f"{counted(len(few), 'topic')} of {len(counts)}, such as {few[0]!r}, {have(len(few))} "
            f"fewer documents than there are folds ({n_folds}): they are tested in some of the "
            "folds only."
        )
    return notes
