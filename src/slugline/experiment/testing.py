"""A fitted model against labelled texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slugline.corpus.corpus import Corpus
from slugline.displays import all_of, have
from slugline.errors import DataError
from slugline.evaluation import Evaluation
from slugline.fitted import Fitted

__all__ = ["check_several_topics", "check_some_known", "evaluate", "kept_figures"]


def evaluate(fitted: Fitted, corpus: Corpus, *, seed: int = 0) -> Evaluation:
    """Return the evaluation of a classifier's answers against the topics of `corpus`.

    Topics that the classifier does not know count as wrong. `seed` draws the test sets that
    intervals come of.

    Raises
    ------
    DataError : if it knows none of them, so that a comparison makes no sense.
    """
    names = [str(name) for name in fitted.topics.names]
    check_some_known(names, corpus)
    number = {name: i for i, name in enumerate(names)}
    y_true = [number.get(topic, -1) for topic in corpus.topics]
    return Evaluation.of(names, np.array(y_true), fitted.predict_proba(corpus.texts), seed=seed)


def kept_figures(evaluation: Evaluation, majority: float) -> dict[str, float]:
    """Return the metrics of a test that a model file keeps, by name."""
    return {
        "test_accuracy": evaluation.accuracy,
        "test_macro_f1": evaluation.macro_f1,
        "test_log_loss": evaluation.log_loss,
        "test_documents": float(evaluation.n_documents),
        "majority_baseline": majority,
    }


def check_some_known(topics: Sequence[str], test: Corpus) -> None:
    """Make sure that a test has one of the topics; DataError if it has none."""
    if not set(topics) & set(test.topics):
        raise DataError(
            f"{test.name} has none of the model's topics, such as {min(topics)!r}, but ones like "
            f"{test.topics[0]!r}; test on documents with the topics that the model learns."
        )


def check_several_topics(corpus: Corpus) -> None:
    """Make sure that there are topics to tell apart; DataError if there is one or none."""
    if not len(corpus):
        raise DataError(f"{corpus.name} has no documents; give some with their topics.")
    if len(set(corpus.topics)) == 1:
        raise DataError(
            f"{all_of(len(corpus), 'document')} of {corpus.name} {have(len(corpus))} the topic "
            f"{corpus.topics[0]!r}: there is nothing to tell apart. Add documents of other topics."
        )
