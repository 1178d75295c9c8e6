"""Warnings about data, settings and models."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slugline.base.checks import short_repr
from slugline.base.html import render_sentence, template_environment
from slugline.base.wording import all_of, counted, have, one_line, percent
from slugline.corpus.corpus import Corpus
from slugline.corpus.topic_sets import as_sets
from slugline.corpus.topics import name_warnings
from slugline.errors import DataError, Message
from slugline.learning.learner import is_network
from slugline.model.fitted import Fitted
from slugline.text.table_columns import describe_odd_cells, odd_cells_note

if TYPE_CHECKING:
    from jinja2 import Environment

#: Warn about topics with fewer documents; the rarest topic of the newswire lesson has this many.
FEW_DOCUMENTS = 10
#: Warn if more than this fraction of the test documents also occurs in training.
_LEAK = 0.01
# Maximum length of a topic in a warning, in characters.
_MAX_TOPIC = 60
# Warn if the model knows less than this fraction of the test's words.
_KNOWN_WORDS = 0.5


def topic_warnings(
    counts: Mapping[str, int],
    described: Iterable[Any] = (),
    *,
    multilabel: bool = False,
    has_encoder: bool = False,
) -> list[str]:
    """Return warnings about the number of documents per topic, the most frequent topic first.

    `described` lists topics with a description, which need no documents. With an encoder, a few
    documents are enough.
    """
    n_documents = sum(counts.values())
    described = {str(topic) for topic in described}
    if len(counts.keys() | described) == 1 and counts and not multilabel:
        only = next(iter(counts))
        return [_warning("one_topic", n=n_documents, topic=only)]
    spelled = name_warnings(counts, described)
    few = [topic for topic, n in counts.items() if n < FEW_DOCUMENTS and topic not in described]
    if not few or has_encoder:
        return spelled
    rarest = [f"{one_line(topic, _MAX_TOPIC)} ({counts[topic]})" for topic in few[-5:][::-1]]
    values = {"few": few, "rarest": rarest, "n_topics": len(counts), "fewest": FEW_DOCUMENTS}
    return [*spelled, _warning("few_documents", **values)]


def leak_warnings(train: Corpus, test: Corpus) -> list[str]:
    """Return a warning if test documents occur among the training documents."""
    training_texts = set(train.texts)
    n_leaked = sum(text in training_texts for text in test.texts)
    if n_leaked <= _LEAK * len(test):
        return []
    return [_warning("leaked", n_leaked=n_leaked, n=len(test))]


def known_document_warnings(
    fitted: Fitted, corpus: Corpus, test_fraction: float | None = None
) -> list[str]:
    """Return a warning if a model is evaluated on its training documents.

    `test_fraction` is the fraction set aside in training, as recorded in the model file.
    """
    if fitted.data_digest == corpus.digest():
        return [_warning("known_documents", n_known=len(corpus), n=len(corpus))]
    if fitted.validation_digest == corpus.digest():
        return [_warning("validation_documents")]
    if test_fraction is None:
        return []
    try:
        train, _ = corpus.split(test_fraction, fitted.seed)
    except DataError:  # nothing to set aside, so these are not its training data
        return []
    if train.digest() != fitted.data_digest:
        return []
    return [_warning("known_documents", n_known=len(train), n=len(corpus))]


def fit_warnings(fitted: Fitted) -> list[str]:
    """Return warnings about settings that reduce accuracy, or about how training ended."""
    unused = [c.name for c in fitted.features.table_columns if c not in fitted.columns]
    warnings: list[str] = [_warning("unused_column", name=name) for name in unused]
    n_topics = len(fitted.topics)
    hidden = fitted.learner.network.layers[:-1] if is_network(fitted.learner) else ()
    narrow = next((layer for layer in hidden if layer.units < n_topics), None)
    if narrow is not None:
        warnings.append(_warning("narrow_layer", n_units=narrow.units, n_topics=n_topics))
    if not fitted.n_documents and fitted.descriptions:
        warnings.append(_warning("no_documents"))
    history = fitted.history
    if history is None and fitted.interrupted:
        warnings.append(_warning("interrupted_parts", fitted=fitted))
    if history is not None and history.stopped_by == "interrupt":
        n_heldout = fitted.n_unlearned
        warnings.append(_warning("interrupted_epochs", history=history, n_heldout=n_heldout))
    elif history is not None and history.best_epoch == history.n_epochs and not history.stopped_by:
        warnings.append(_warning("falling_loss", n_epochs=history.n_epochs))
    if fitted.tuning is not None and fitted.tuning.interrupted:
        warnings.append(_warning("interrupted_search", n_trials=len(fitted.tuning.trials)))
    return warnings


def model_warnings(fitted: Fitted, test: Corpus) -> list[str]:
    """Return warnings about settings, or about test documents unlike the training documents."""
    warnings = fit_warnings(fitted)
    if (known_fraction := _known_fraction(fitted, test.texts)) < _KNOWN_WORDS:
        is_cut = fitted.features.feature_groups[0].max_terms is not None
        values = {"known_fraction": known_fraction, "is_cut": is_cut}
        warnings.append(_warning("unknown_words", **values))
    if note := odd_cells_note(describe_odd_cells(test.texts, fitted.columns).values()):
        warnings.append(Message(f"{test.name}: ", note, "."))
    topics = {str(name) for name in fitted.topics.names}
    sets = as_sets(test.topics)
    unknown = [names for names in sets if not topics.issuperset(names)]
    if unknown:
        example = next(name for name in unknown[0] if name not in topics)
        values = {"n_unknown": len(unknown), "n": len(test), "example": example}
        warnings.append(_warning("unknown_topics", **values))
    return warnings


def _known_fraction(fitted: Fitted, texts: Sequence[str]) -> float:
    """Return the mean fraction of each text's words that are in the model's vocabulary.

    Returns 1 if an encoder may know all words, and NaN if no text contains words.
    """
    if fitted.encoder is not None and fitted.encoder.summing_encoder is None:
        return 1.0
    counts = fitted.features.read(texts)[1]
    has_words = counts.n_words > 0
    if not has_words.any():
        return float("nan")
    return float(np.mean(counts.n_known[has_words] / counts.n_words[has_words]))


def _warning(block: str, **values: Any) -> Message:
    return render_sentence(_environment(), "concerns.txt.j2", block, values)


@functools.cache
def _environment() -> Environment:
    environment = template_environment("slugline.experiment", "")
    functions = all_of, counted, have, percent, short_repr
    environment.filters |= {function.__name__: function for function in functions}
    environment.filters["grouped"] = "{:,}".format
    return environment
