"""Reviews corrections, and trains a model with those that are approved or need no approval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from slugline.base.checks import short_repr
from slugline.base.progress import Progress
from slugline.corpus.corpus import Corpus
from slugline.corpus.layout import ReadOptions
from slugline.corpus.topic_sets import as_sets
from slugline.corpus.topics import apply_topic_rules, topic_rules
from slugline.corrections.doubts import Approval
from slugline.corrections.learning import (
    CorrectionResult,
    count_newly_corrected,
    learn_from_corrections,
    stringify_topic,
    to_corpus,
)
from slugline.corrections.review import Review, review
from slugline.corrections.store import Correction
from slugline.errors import DataError
from slugline.experiment.experiment import AccuracyOnLabels
from slugline.model.fit import fit
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings


def review_corrections(
    settings: FitSettings,
    train: Corpus,
    corrections: Sequence[Correction],
    reading: ReadOptions,
    approval: Approval,
) -> Review:
    """Return the review of corrections for a model with these settings.

    Topics of corrections are renamed in the same way as `reading` renames those of documents.

    Raises
    ------
    DataError : if no document has a topic that the corrected model answered.
    """
    rename = _topic_renamer(train, reading)
    answers = [stringify_topic(row.answer) for row in corrections]
    given = {*rename(Corpus([row.text for row in corrections], answers)).all_topics()}
    if given and given.isdisjoint(train.all_topics()):
        raise DataError(
            f"the corrected answers, such as {short_repr(min(given))}, are no topics of "
            f"{train.name}; give the documents that the corrected model learned from, or the "
            "corrections of another model."
        )
    # The models of a review are fitted without a search for better settings.
    settings = replace(settings, tune=False, min_precision=None)

    def fit_documents(corpus: Corpus) -> Fitted:
        return fit(corpus, settings)

    return review(corrections, train, fit_documents, approval, rename=rename)


def learn_from_review(
    settings: FitSettings,
    train: Corpus,
    *,
    corrections: Sequence[Correction],
    reviewed: Review,
    reading: ReadOptions,
    name: str,
    test: Corpus | None = None,
    test_fraction: float = 0.2,
    on_labels: AccuracyOnLabels | None = None,
    replaced: Fitted | None = None,
    progress: Progress | None = None,
) -> CorrectionResult:
    """Train with documents and the learnable corrections; see `learn_from_corrections`.

    Parameters
    ----------
    settings, train, test, test_fraction, on_labels, replaced, progress
        See `learn_from_corrections`.
    corrections : sequence of Correction
    reviewed : Review
        The result of `review_corrections` of the same corrections.
    reading : ReadOptions
        How the training documents were read.
    name : str
        The name of the corrections in messages.
    """
    held = reviewed.held
    # The notes also count corrections that are blank, or replaced by another one of the same text.
    notes = to_corpus([row for row in corrections if row.id not in held], name).notes
    learnable = _topic_renamer(train, reading)(to_corpus(reviewed.learnable, name))
    learnable = replace(learnable, notes=notes)
    result = learn_from_corrections(
        settings,
        train,
        learnable,
        test=test,
        replaced=replaced,
        test_fraction=test_fraction,
        on_labels=on_labels,
        progress=progress,
    )
    newly_corrected = None
    if replaced is not None:
        # A confirmation corrects nothing.
        learnable_rows = [row for row in reviewed.learnable if not row.is_confirmation]
        new = {row.id for row in learnable_rows if row.learned is None}
        rows = [row for row, number in enumerate(learnable.places or ()) if number in new]
        texts = [learnable.texts[row] for row in rows]
        topics = [learnable.topics[row] for row in rows]
        after = result.experiment.fitted
        newly_corrected = count_newly_corrected(replaced, after, texts, topics)
    return replace(
        result,
        newly_corrected=newly_corrected,
        held=tuple(held.items()),
        people=reviewed.people(),
        n_unapproved=_count_unapproved(reviewed, learnable, result.training_sets.new_topics),
    )


def _topic_renamer(train: Corpus, reading: ReadOptions) -> Callable[[Corpus], Corpus]:
    """Return a function that renames topics in the same way as those of documents."""
    # `topic_map` may have names that no correction has.
    rules = topic_rules(reading)._replace(must_occur=False)
    return partial(apply_topic_rules, rules=rules, preferred=[*train.all_topics()])


def _count_unapproved(
    reviewed: Review, corrections: Corpus, new_topics: Sequence[str]
) -> dict[str, int]:
    """Return the number of corrections to each new topic that has no approved correction."""
    approved = {row.id for row in reviewed.learnable if row.approved is not None}
    # The places of corrections are their ids.
    rows = zip(corrections.places or (), as_sets(corrections.topics), strict=True)
    topic_ids = [(topic, row_id) for row_id, topics in rows for topic in topics]
    approved_topics = {topic for topic, row_id in topic_ids if row_id in approved}
    counts = Counter(topic for topic, _ in topic_ids if topic not in approved_topics)
    return {topic: counts[topic] for topic in new_topics if topic in counts}
