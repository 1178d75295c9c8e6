"""Trains a model on documents and on the corrections that count, with topics named alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from slugline.base.checks import short_repr
from slugline.base.progress import Progress
from slugline.corpus.corpus import Corpus
from slugline.corpus.layout import ReadOptions
from slugline.corpus.topics import apply_topic_rules, topic_rules
from slugline.corrections.learning import (
    CorrectionResult,
    count_newly_corrected,
    learn_from_corrections,
    stringify_topic,
    to_corpus,
)
from slugline.corrections.store import Correction
from slugline.errors import DataError
from slugline.experiment.experiment import AccuracyOnLabels
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings


def train_with_corrections(
    settings: FitSettings,
    train: Corpus,
    *,
    corrections: Sequence[Correction],
    reading: ReadOptions,
    name: str,
    test: Corpus | None = None,
    test_fraction: float = 0.2,
    on_labels: AccuracyOnLabels | None = None,
    replaced: Fitted | None = None,
    progress: Progress | None = None,
) -> CorrectionResult:
    """Train on documents and on the corrections that don't wait for approval.

    Parameters
    ----------
    settings, train, test, test_fraction, on_labels, replaced, progress
        See `learn_from_corrections`.
    corrections : sequence of Correction
        Corrections to one model, at least one of which doesn't wait.
    reading : ReadOptions
        How the training documents were read. Topics of corrections are renamed likewise.
    name : str
        Name of the corrections in messages.

    Raises
    ------
    DataError : if no document has a topic that the corrected model answered.
    """
    rename = _topic_renamer(train, reading)
    _check_answers(train, rename, corrections)
    counting = [row for row in corrections if not row.is_pending]
    learned = rename(to_corpus(counting, name))
    result = learn_from_corrections(
        settings,
        train,
        learned,
        test=test,
        replaced=replaced,
        test_fraction=test_fraction,
        on_labels=on_labels,
        progress=progress,
    )
    newly_corrected = None
    if replaced is not None:
        # A confirmation corrects nothing.
        new = {row.id for row in counting if row.learned is None and not row.is_confirmation}
        rows = [row for row, number in enumerate(learned.places or ()) if number in new]
        texts = [learned.texts[row] for row in rows]
        topics = [learned.topics[row] for row in rows]
        newly_corrected = count_newly_corrected(replaced, result.experiment.fitted, texts, topics)
    n_pending = len(corrections) - len(counting)
    return replace(result, newly_corrected=newly_corrected, n_pending=n_pending)


def _check_answers(
    train: Corpus, rename: Callable[[Corpus], Corpus], corrections: Sequence[Correction]
) -> None:
    answers = [stringify_topic(row.answer) for row in corrections]
    given = {*rename(Corpus([row.text for row in corrections], answers)).all_topics()}
    if given and given.isdisjoint(train.all_topics()):
        raise DataError(
            f"the corrected answers, such as {short_repr(min(given))}, are not topics of "
            f"{train.name}; pass the documents on which the corrected model was trained, or "
            "corrections of another model."
        )


def _topic_renamer(train: Corpus, reading: ReadOptions) -> Callable[[Corpus], Corpus]:
    """Return a function that renames topics in the same way as those of documents."""
    # `topic_map` may have names that no correction has.
    rules = topic_rules(reading)._replace(must_occur=False)
    return partial(apply_topic_rules, rules=rules, preferred=[*train.all_topics()])
