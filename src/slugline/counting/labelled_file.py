"""Reads labels of some of the texts, with the probabilities with which these were selected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slugline.base.checks import short_repr
from slugline.base.wording import counted, join_words
from slugline.corpus.label_database.records import DocumentLabels, Selection
from slugline.corpus.layout import DataLayout, ReadOptions
from slugline.corpus.loading import read_corpus
from slugline.corpus.readers import is_database
from slugline.corpus.topics import add_parents, apply_topic_rules, topic_rules
from slugline.counting.labelled import LabelledSample, TextLabel, text_key
from slugline.errors import DataError, Parameter, StoreError
from slugline.experiment.concerns import known_document_warnings
from slugline.labels.store import LabelStore
from slugline.model.fitted import Fitted

# Reasons of selections whose probability is known, as in `slugline.labels.labelled_texts`.
_DRAWS = ("random", "double-coded", "spread", "suggested")


def read_labelled_sample(path: Path, fitted: Fitted) -> LabelledSample:
    """Return the texts of a file, or of a label database, with their labels.

    Raises
    ------
    DataError : if it can't be read, or no text of a label database was selected with a known
        probability.
    """
    options = ReadOptions(layout=fitted.layout, topic_path=fitted.separator)
    if is_database(path):
        options = options._replace(layout=None)
    try:
        corpus = read_corpus(str(path), options)
    except DataError as error:
        raise _name_columns(error, path, options.layout) from error
    known_topics = [str(name) for name in fitted.topics.names]
    corpus = apply_topic_rules(corpus, topic_rules(options), known_topics)
    corpus = add_parents(corpus, fitted.separator)
    topics: dict[str, list[tuple[str, ...]]] = {}
    for text, topic in zip(corpus.texts, corpus.topics, strict=True):
        each = tuple(map(str, topic)) if isinstance(topic, tuple) else (str(topic),)
        topics.setdefault(text_key(text), []).append(each)
    is_training_data = bool(known_document_warnings(fitted, corpus))
    concerns: list[str] = []
    if is_training_data:
        concerns.append(
            f"The model learned from {path}, so these labels are counted without it: use labels "
            "that it has not seen for narrower intervals."
        )
    weights = (
        _selection_weights(path)
        if is_database(path)
        else {text: [1.0] * len(labels) for text, labels in topics.items()}
    )
    drawn = {
        text: tuple(map(TextLabel, labels, weights[text]))
        for text, labels in topics.items()
        if text in weights
    }
    sample = LabelledSample(str(path), drawn, is_training_data=is_training_data)
    n_left_out = len(corpus.texts) - len(sample)
    if not drawn:
        raise DataError(
            f"no text of {path} was selected at random or with a known probability: its labels "
            "are of texts that somebody chose, and say nothing about the others. Label texts that "
            "`slugline label` draws."
        )
    if n_left_out:
        concerns.append(
            f"{counted(n_left_out, 'label')} in {path} {'is' if n_left_out == 1 else 'are'} left "
            "out: the texts were chosen actively without a known probability, or labelled with a "
            "guess in view."
        )
    return replace(sample, concerns=tuple(concerns))


def _name_columns(error: DataError, path: Path, layout: DataLayout | None) -> DataError:
    """Return an error; if it asks for parameters about columns, one that asks to rename these.

    The parameters of counting are about the texts to count.
    """
    names = {part.name for part in error.parts if isinstance(part, Parameter)}
    if not names & {"text", "topic", "topics"}:
        return error
    text: tuple[str, ...] = ("text",)
    topic = "topic"
    if layout is not None:
        text, topic = layout.text, layout.topic
    return DataError(
        f"{path}: it is unclear which columns hold the texts and the topics; name them "
        f"{join_words([*map(short_repr, text), short_repr(topic)])}"
        f"{'' if layout is None else ', as in the training data of the model'}."
    )


def _selection_weights(path: Path) -> dict[str, list[float]]:
    """Return the weights of the documents with each text that were drawn, if these are known."""
    weights: dict[str, list[float]] = {}
    try:
        with LabelStore(path, is_read_only=True) as store:
            draws = store.first_assignments()
            for each in store.labels():
                if each.document.id not in draws or _is_guess_shown(each):
                    continue
                probability = _relative_probability(draws[each.document.id].selection)
                if probability:
                    weights.setdefault(text_key(each.document.text), []).append(1 / probability)
    except StoreError as error:
        raise DataError(*error.parts) from error
    return weights


def _is_guess_shown(each: DocumentLabels) -> bool:
    return any(decision.is_guess_shown for decision in each.decisions)


def _relative_probability(selection: Selection) -> float | None:
    """Return the probability of a selection relative to that of a random one; None if unknown."""
    if selection.reason not in _DRAWS or not selection.probability or not selection.n_candidates:
        return None
    if selection.reason == "double-coded":  # drawn from random draws, each as likely
        return 1.0
    return selection.probability * selection.n_candidates
