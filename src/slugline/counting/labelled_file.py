"""Reads labels of some of the texts, with the probabilities with which these were selected."""

from __future__ import annotations

from pathlib import Path

from slugline.base.wording import counted
from slugline.corpus.label_database import DocumentLabels, Selection
from slugline.corpus.layout import ReadOptions
from slugline.corpus.loading import read_corpus
from slugline.corpus.readers import is_database
from slugline.corpus.topics import add_parents, apply_topic_rules, topic_rules
from slugline.counting.labelled import LabelledSample
from slugline.errors import DataError, StoreError
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
    corpus = read_corpus(str(path), options)
    known_topics = [str(name) for name in fitted.topics.names]
    corpus = apply_topic_rules(corpus, topic_rules(options), known_topics)
    corpus = add_parents(corpus, fitted.separator)
    topics = {
        text.strip(): (tuple(map(str, topic)) if isinstance(topic, tuple) else (str(topic),))
        for text, topic in zip(corpus.texts, corpus.topics, strict=True)
    }
    is_known = bool(known_document_warnings(fitted, corpus))
    concerns: list[str] = []
    if is_known:
        concerns.append(
            f"The model learned from {path}, so these labels are counted without it: use labels "
            "that it has not seen for narrower intervals."
        )
    if not is_database(path):
        return LabelledSample(
            str(path), topics, dict.fromkeys(topics, 1.0), tuple(concerns), is_known
        )
    weights = _selection_weights(path)
    drawn = {text: topics[text] for text in topics if text in weights}
    n_left_out = len(topics) - len(drawn)
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
    return LabelledSample(
        str(path), drawn, {text: weights[text] for text in drawn}, tuple(concerns), is_known
    )


def _selection_weights(path: Path) -> dict[str, float]:
    """Return the weight of each text that was drawn with a known probability."""
    try:
        with LabelStore(path, is_read_only=True) as store:
            draws = store.first_assignments()
            return {
                each.document.text.strip(): 1 / probability
                for each in store.labels()
                if each.document.id in draws
                and not _is_guess_shown(each)
                and (probability := _relative_probability(draws[each.document.id].selection))
            }
    except StoreError as error:
        raise DataError(*error.parts) from error


def _is_guess_shown(each: DocumentLabels) -> bool:
    return any(decision.is_guess_shown for decision in each.decisions)


def _relative_probability(selection: Selection) -> float | None:
    """Return the probability of a selection relative to that of a random one; None if unknown."""
    if selection.reason not in _DRAWS or not selection.probability or not selection.n_candidates:
        return None
    if selection.reason == "double-coded":  # drawn from random draws, each as likely
        return 1.0
    return selection.probability * selection.n_candidates
