"""Accuracy, on the unlabelled texts, of a model trained on a label database.

The label page reports the same estimate. Accuracy on held-out labels would be too low, since many
of these texts were selected because a model was uncertain about them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.corpus.loading import read_texts
from slugline.corpus.readers import is_database, read_rows
from slugline.errors import DataError, OptionError, StoreError
from slugline.evaluation.intervals import Interval
from slugline.experiment.experiment import AccuracyOnLabels
from slugline.labels.arrivals import read_arrivals
from slugline.labels.label_setup import find_source
from slugline.labels.labelled_texts import (
    LabelledText,
    LabelledTexts,
    read_labelled_texts,
    read_random_draws,
)
from slugline.labels.learner import learn_labels, report_labels
from slugline.labels.selection import MAX_COMPARED
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments, SourceColumns, TextTable
from slugline.model.settings import FitSettings


def measure_on_labels(
    sources: Sequence[object], corpus: Corpus, settings: FitSettings, *, test: Corpus | None = None
) -> AccuracyOnLabels | None:
    """Return the accuracy of a model with these settings on the unlabelled texts.

    Returns None unless the only source is a label database, if there are test documents, or if too
    few labelled texts were selected with a known probability. Only random draws count if the file
    of the texts is missing.

    Parameters
    ----------
    sources : sequence
        The training data.
    corpus : Corpus
        Their documents, with topics as used in training.
    settings : FitSettings
    test : Corpus, optional
    """
    source = sources[0] if len(sources) == 1 and test is None else None
    if not isinstance(source, str | Path) or not is_database(path := Path(source)):
        return None
    try:
        labelled, sample = _read_labels(path)
    except StoreError as error:
        raise DataError(*error.parts) from error
    texts = _with_topics_of(corpus, labelled.texts)
    model = learn_labels(
        texts,
        sample,
        lambda: TopicClassifier.from_settings(settings),
        is_multilabel=corpus.multilabel,
        unmeasured_fraction=labelled.unmeasured_fraction,
    )
    if model is None or math.isnan(model.estimate.accuracy):
        return None
    report, estimate = report_labels(model), model.estimate
    majority_topic, majority = _most_common(texts)
    return AccuracyOnLabels(
        n_labels=model.n_labels,
        accuracy=estimate.accuracy,
        interval=Interval(estimate.low, estimate.high),
        majority_topic=majority_topic,
        majority=majority,
        advice=report.advice,
    )


def _read_labels(path: Path) -> tuple[LabelledTexts, list[str]]:
    """Return the labels of a database, and a random sample of the unlabelled texts."""
    with LabelStore(path, create=False, is_read_only=True) as store:
        try:
            table = _read_source(path, store)
            assignments = RowAssignments.from_store(table, store)
        except (DataError, OptionError, OSError):  # the file is missing or was replaced
            return read_random_draws(store), []
        labelled = read_labelled_texts(store, table, read_arrivals(store, table))
    free = assignments.free_rows("")  # for no particular coder
    rows = np.random.default_rng(0).permutation(free)[:MAX_COMPARED]
    return labelled, [table.texts[row] for row in rows.tolist()]


def _read_source(path: Path, store: LabelStore) -> TextTable:
    """Return the texts of a label database's source file."""
    source, stored = find_source(path), SourceColumns.from_store(store)
    unlabelled = read_texts(read_rows(source, fallback="txt"), stored.text)
    return TextTable.from_texts(source, unlabelled, stored)


def _with_topics_of(corpus: Corpus, labelled: Sequence[LabelledText]) -> list[LabelledText]:
    """Return labels with the topics of the corpus, which may be mapped.

    Documents that are not in the corpus are left out.
    """
    given = {
        place: topics if isinstance(topics, tuple) else (topics,)
        for place, topics in zip(corpus.numbered_places(), corpus.topics, strict=True)
    }
    texts = []
    for each in labelled:
        if each.topics is None:
            texts.append(each)
        elif each.document in given:
            texts.append(each._replace(topics=given[each.document]))
    return texts


def _most_common(labelled: Sequence[LabelledText]) -> tuple[str, float]:
    """Return the most common answer, and its share of the unlabelled texts."""
    weights = defaultdict[tuple[str, ...], float](float)
    for each in labelled:
        if each.topics is not None and each.weight is not None:
            weights[tuple(sorted(each.topics))] += each.weight
    topics = max(weights, key=lambda answer: (weights[answer], answer))
    return ", ".join(topics) or "no topic", weights[topics] / sum(weights.values())
