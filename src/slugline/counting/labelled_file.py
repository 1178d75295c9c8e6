"""Reads labels of some texts with the texts' selection probabilities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from slugline.base.checks import short_repr
from slugline.base.wording import counted, join_words
from slugline.corpus.corpus import Corpus
from slugline.corpus.label_database.records import Selection
from slugline.corpus.layout import Layout, ReadOptions
from slugline.corpus.loading import read_corpus
from slugline.corpus.readers import is_database
from slugline.corpus.topics import add_parents, apply_topic_rules, topic_rules
from slugline.counting.labelled import LabelledSample, TextLabel, text_key
from slugline.errors import DataError, Parameter, StoreError
from slugline.experiment.concerns import known_document_warnings
from slugline.labels.store import LabelStore
from slugline.model.fitted import Fitted

# Selection reasons with a known probability, as in `slugline.labels.labelled_texts`.
_DRAWS = ("random", "double-coded", "spread", "suggested")


def read_labelled_sample(
    path: Path, fitted: Fitted, test_fraction: float | None = None
) -> LabelledSample:
    """Return the labelled texts of a file or a label database.

    `test_fraction` is the test fraction recorded in the model file.

    Raises
    ------
    DataError : if the file can't be read, or no text of a label database was selected with a known
        probability.
    """
    options = ReadOptions(layout=fitted.layout, topic_path=fitted.separator)
    if is_database(path):
        options = replace(options, layout=None)
    try:
        corpus = read_corpus(str(path), options)
    except DataError as error:
        raise _name_columns(error, path, options.layout) from error
    known_topics = [str(name) for name in fitted.topics.names]
    rules = topic_rules(options)
    corpus = add_parents(apply_topic_rules(corpus, rules, known_topics), fitted.separator)
    concerns: list[str] = []
    is_learned = bool(known_document_warnings(fitted, corpus, test_fraction))
    # A database grows after training, and the model file contains no texts. Only a database with
    # fewer labels than the model's training documents is certainly a different one.
    may_be_learned = is_database(path) and len(corpus) >= fitted.n_documents
    is_training_data = is_learned or may_be_learned
    if is_training_data:
        concerns.append(
            f"The model {'was' if is_learned else 'may have been'} trained on labels in {path}, "
            f"so all {counted(len(corpus), 'label')} are counted without the model. For narrower "
            "intervals, count without these labels, or label other texts in a new file."
        )
    weights = [1.0] * len(corpus.texts)
    if is_database(path):
        drawn = _read_drawn_labels(path)
        if not drawn.texts:
            raise DataError(
                f"{path}: no text was drawn at random or with a known probability, so its labels "
                "can't be extrapolated to the other texts. Label texts drawn by `slugline label`."
            )
        corpus = apply_topic_rules(Corpus(drawn.texts, drawn.topics), rules, known_topics)
        corpus = add_parents(corpus, fitted.separator)
        weights = drawn.weights
        concerns.extend(drawn.concerns(path))
    labels = defaultdict[str, list[TextLabel]](list)
    for text, topic, weight in zip(corpus.texts, corpus.topics, weights, strict=True):
        topics = tuple(map(str, topic)) if isinstance(topic, tuple) else (str(topic),)
        labels[text_key(text)].append(TextLabel(topics, weight))
    return LabelledSample(
        str(path),
        {text: tuple(each) for text, each in labels.items()},
        tuple(concerns),
        is_training_data=is_training_data,
    )


def _name_columns(error: DataError, path: Path, layout: Layout | None) -> DataError:
    """Return an error; if it suggests column parameters, one that suggests renaming columns.

    The column parameters of counting apply to the texts to count, not to the labels.
    """
    names = {part.name for part in error.parts if isinstance(part, Parameter)}
    if not names & {"text", "topic", "topics"}:
        return error
    text: tuple[str, ...] = ("text",)
    topic = "topic"
    if layout is not None:
        text, topic = layout.text, layout.topic
    return DataError(
        f"{path}: cannot tell which columns contain the texts and the topics; name them "
        f"{join_words([*map(short_repr, text), short_repr(topic)])}"
        f"{'' if layout is None else ', as in the training data of the model'}."
    )


@dataclass
class _DrawnLabels:
    """Labels of texts in a label database that were drawn with a known probability.

    Labels given while a guess was visible are excluded, because people tend to follow guesses.

    Attributes
    ----------
    texts : list of str
    topics : list of tuple of str
    weights : list of float
        Inverse probabilities, up to a factor.
    n_chosen, n_guessed : int
        Numbers of labels excluded because the text's selection probability is unknown, or because
        a guess was visible.
    """

    texts: list[str] = field(default_factory=list)
    topics: list[tuple[str, ...]] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    n_chosen: int = 0
    n_guessed: int = 0

    def concerns(self, path: Path) -> Iterator[str]:
        """Yield warnings about excluded labels."""
        for n, reason in (
            (self.n_chosen, "texts chosen without a known probability"),
            (self.n_guessed, "texts labelled with the model's guess shown"),
        ):
            if n:
                is_or_are = "is" if n == 1 else "are"
                yield f"{counted(n, 'label')} of {reason} in {path} {is_or_are} ignored."


def _read_drawn_labels(path: Path) -> _DrawnLabels:
    drawn = _DrawnLabels()
    try:
        with LabelStore(path, is_read_only=True) as store:
            draws = store.first_assignments()
            for each in store.labels():
                topics = each.answer
                if each.is_replaced or topics is None:
                    continue
                draw = draws.get(each.document.id)
                probability = None if draw is None else _relative_probability(draw.selection)
                if probability is None:
                    drawn.n_chosen += 1
                elif any(decision.is_guess_shown for decision in each.decisions):
                    drawn.n_guessed += 1
                else:
                    drawn.texts.append(each.document.text)
                    drawn.topics.append(topics)
                    drawn.weights.append(1 / probability)
    except StoreError as error:
        raise DataError(*error.parts) from error
    return drawn


def _relative_probability(selection: Selection) -> float | None:
    """Return a selection's probability relative to random selection, or None if unknown."""
    if selection.reason not in _DRAWS or not selection.probability or not selection.n_candidates:
        return None
    if selection.reason == "double-coded":  # drawn uniformly from random draws
        return 1.0
    return selection.probability * selection.n_candidates
