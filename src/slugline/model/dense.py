"""An encoder beside a linear learner: its head, and held-out probabilities of both."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, Index
from slugline.base.progress import Progress
from slugline.corpus import topic_sets
from slugline.corpus.documents import Topics, check_texts
from slugline.errors import DataError, Message, OptionError, Parameter
from slugline.learning.encoder.encoder import CheckedEncoder, get_encoder
from slugline.learning.encoder.head import Cascade, DenseHead
from slugline.learning.encoder.registry import ENCODERS, RECOMMENDED
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext, Learner, LinearModel, is_linear
from slugline.model.settings import FitSettings

if TYPE_CHECKING:
    from slugline.learning.encoder.choice import EncoderChoice
    from slugline.learning.encoder.described import DescribedWords
    from slugline.learning.encoder.fit import Names, UnlabelledRows
    from slugline.learning.heldout import HeldOutScores
    from slugline.model.fitted import Fitted
    from slugline.text.features import Features

#: Numbers of documents, and their probabilities by models that did not learn from them.
HeldOutProba = tuple[Index, F32]

# With more documents a topic on average, its name says nothing new.
_FEW = 50
#: Texts without labels that are learned from, at most: more hardly change anything.
MAX_UNLABELLED = 5_000
# Scores of documents that are the only ones of their topics, and such documents, at most.
_MAX_SCORES, _MIN_SINGLE = 2_000_000, 500
_NO_WORD = re.compile(r"[\W_]+")


def add_encoder(
    texts: Sequence[str],
    X: sp.csr_array,
    labels: Labels,
    topics: Topics,
    learner: Learner,
    context: FitContext,
    settings: FitSettings,
    unlabelled: UnlabelledScores | None,
) -> tuple[DenseHead | None, HeldOutProba | None]:
    """Return the encoder's head beside a linear learner, and held-out probabilities of the sum.

    `X` holds the rows of words that the learner has learned from. DataError if there are texts
    without labels, and too few with labels to measure on.
    """
    encoder = settings.encoder
    if not isinstance(encoder, CheckedEncoder) or not is_linear(learner):
        return None, linear_heldout(learner)
    if (heldout := learner.heldout_scores_) is None:
        return None, None
    from slugline.learning.encoder.described import fit_described_head
    from slugline.learning.encoder.fit import fit_encoder_head
    from slugline.learning.encoder.multilabel import fit_multilabel_head

    rows, all_labels = encode_all(encoder, texts, labels, topics, settings, context.progress)
    weight = context.sample_weight
    if weight is not None:  # a description counts like a document of weight 1
        more = np.ones(len(settings.descriptions), dtype=np.float32)
        context = replace(context, sample_weight=np.concatenate([weight, more]))
    judged, words = heldout
    names: Sequence[str] = []
    if learner.multilabel:
        head, scores = fit_multilabel_head(rows, all_labels, len(texts), context, heldout)
    else:
        names, encoded_names = _encode_names(encoder, topics, labels, settings, context.progress)
        unlabelled_rows = _encode_unlabelled(
            encoder, unlabelled, labels.take(judged), context, settings
        )
        options: dict[str, Any] = {
            "names": encoded_names,
            "widths": [part.width or 0 for part in encoder.parts],
            "unlabelled": unlabelled_rows,
        }
        if settings.descriptions:
            by_words = _described_words(learner, heldout, X, labels, context)
            judged = by_words.rows
            head, scores = fit_described_head(
                rows, all_labels, len(texts), context, by_words, **options
            )
        else:
            head, scores = fit_encoder_head(rows, all_labels, context, heldout, **options)
    if head is None:
        return None, linear_heldout(learner)
    dense = DenseHead(encoder, *head, n_unlabelled=len(unlabelled.texts) if unlabelled else 0)
    if scores is None:
        return dense, None
    # Of one topic, an encoder has learned from other copies of a text; words leave out all of them.
    n_copies = Counter([*texts, *settings.descriptions.values(), *names])
    alone = [learner.multilabel or n_copies[texts[row]] == 1 for row in judged.tolist()]
    is_alone = np.array(alone, dtype=bool)
    proba = dense.predict_proba(scores[is_alone])
    # Some topics are only described, or have a single document.
    is_incomplete = len(np.unique(labels.topics)) < len(topics) or len(judged) > len(words)
    judged = judged[is_alone]
    if learner.multilabel or is_incomplete:
        return dense, (judged, proba)
    proba_by_words = learner.calibration.proba(words[is_alone])
    cascade = Cascade.from_proba(proba_by_words, proba, None if weight is None else weight[judged])
    if cascade is not None:
        is_sure = cascade.is_sure(proba_by_words)
        proba[is_sure] = proba_by_words[is_sure]
    return replace(dense, cascade=cascade), (judged, proba)


def _described_words(
    learner: LinearModel,
    heldout: HeldOutScores,
    X: sp.csr_array,
    labels: Labels,
    context: FitContext,
) -> DescribedWords:
    """Return the held-out scores of words, with documents that are the only ones of their topics.

    Words can't know these topics without them. Other topics' scores are those of all documents.
    """
    from slugline.learning.encoder.described import DescribedWords
    from slugline.learning.linear.fit import ABSENT_SCORE

    (judged, scores), y = heldout, labels.topics
    weight = context.sample_weight
    counted = np.arange(len(labels)) if weight is None else np.flatnonzero(weight[: len(labels)])
    counts = np.bincount(y[counted], minlength=context.n_topics)
    single = counted[counts[y[counted]] == 1]
    most = max(_MIN_SINGLE, _MAX_SCORES // context.n_topics)
    single = single[:: -(-len(single) // most) or 1]
    of_single = learner.decision_function(X[single])
    of_single[np.arange(len(single)), y[single]] = ABSENT_SCORE
    absent_scores = np.full(context.n_topics, np.nan, dtype=np.float32)
    absent = counts == 0
    rows = np.concatenate([judged, single])
    if absent.any():
        absent_scores[absent] = learner.decision_function(X[rows])[:, absent].mean(axis=0)
    return DescribedWords(rows, np.concatenate([scores, of_single]), absent_scores)


class UnlabelledScores(NamedTuple):
    """Texts without labels, and their scores by words."""

    texts: Sequence[str]
    scores: F32

    @classmethod
    def from_learner(
        cls, texts: Sequence[str], features: Features, learner: Learner
    ) -> UnlabelledScores | None:
        """Return the scores of texts by a learner that has learned; None without texts."""
        if not texts:
            return None
        return cls(texts, learner.decision_function(features.transform(texts)))


def check_unlabelled(
    X: Iterable[str] | None,
    texts: Sequence[str],
    labels: Labels,
    n_topics: int,
    settings: FitSettings,
    progress: Progress,
) -> list[str]:
    """Return the distinct texts without labels that aren't among `texts`; evenly spaced, if many.

    OptionError if they can't be learned from.
    """
    if X is None:
        return []
    if settings.encoder is None:
        raise OptionError(
            Parameter("X_unlabelled"),
            " needs an encoder: unlabelled texts can make a model of words alone worse; pass ",
            Parameter("encoder", RECOMMENDED),
            ", or leave ",
            Parameter("X_unlabelled"),
            " out.",
        )
    if labels.multilabel:
        raise OptionError(
            Parameter("X_unlabelled"),
            " is for texts of one topic each, and these have several; leave it out.",
        )
    if len(np.unique(labels.topics)) < n_topics:
        raise OptionError(
            Parameter("X_unlabelled"),
            " needs documents of each topic, and some topics are only described; "
            "label a few texts of them, or leave it out.",
        )
    labelled = {*texts}
    distinct = dict.fromkeys(check_texts(X, "X_unlabelled"))
    used = [text for text in distinct if text.strip() and text not in labelled]
    if not used:
        raise DataError(
            Parameter("X_unlabelled"),
            " adds nothing: each of its texts is empty, or also a training or test "
            "document; leave it out.",
        )
    if len(used) > MAX_UNLABELLED:
        progress.note(f"of {len(used):,} unlabelled texts, {MAX_UNLABELLED:,} are used")
    rows = np.unique(np.linspace(0, len(used) - 1, MAX_UNLABELLED).astype(np.intp))
    return [used[row] for row in rows.tolist()]


def _encode_unlabelled(
    encoder: CheckedEncoder,
    unlabelled: UnlabelledScores | None,
    judged: Labels,
    context: FitContext,
    settings: FitSettings,
) -> UnlabelledRows | None:
    """Return texts without labels as a head learns from them; None if there are none.

    DataError if the labels of documents to measure on are too few.
    """
    from slugline.learning.encoder.fit import UnlabelledRows
    from slugline.learning.encoder.rows import encode

    if unlabelled is None:
        return None
    if len(np.unique(judged.topics)) < 2:
        raise DataError(
            "there are too few labels to learn from texts without labels as well: none shows how "
            "sure to be of their topics. Label two texts of each topic at least, or leave out ",
            Parameter("X_unlabelled"),
            ".",
        )
    n_jobs, progress = settings.n_jobs, context.progress
    rows = encode(unlabelled.texts, encoder, n_jobs=n_jobs, progress=progress)
    return UnlabelledRows(rows, unlabelled.scores)


def _encode_names(
    encoder: CheckedEncoder,
    topics: Topics,
    labels: Labels,
    settings: FitSettings,
    progress: Progress,
) -> tuple[Sequence[str], Names | None]:
    """Return the words of topics' names, without a description and if documents are few."""
    from slugline.learning.encoder.fit import Names
    from slugline.learning.encoder.rows import encode

    present = [topics.names[number] for number in np.unique(labels.topics).tolist()]
    undescribed = [name for name in present if name not in settings.descriptions]
    if not undescribed or len(labels) > _FEW * len(topics):
        return [], None
    words = [_NO_WORD.sub(" ", str(name)).strip() for name in undescribed]
    rows = encode(words, encoder, n_jobs=settings.n_jobs, progress=progress)
    return words, Names(rows, topics.encode(undescribed))


def with_chosen_encoder(
    texts: Sequence[str],
    labels: Labels,
    learner: Learner,
    context: FitContext,
    settings: FitSettings,
) -> tuple[FitSettings, EncoderChoice | None]:
    """Return settings with the encoder that does best on held-out documents, and the choice.

    Settings that don't leave it to be chosen stay as they are.
    """
    if not isinstance(settings.encoder, tuple) or not is_linear(learner):
        return settings, None
    if (heldout := learner.heldout_scores_) is None:
        return settings, None
    from slugline.learning.encoder.choice import WORDS, choose_encoder

    choice = choose_encoder(texts, labels, learner, heldout, context, settings.encoder)
    context.progress.note(str(choice))
    encoder = None if choice.name == WORDS else get_encoder(choice.name)
    return replace(settings, encoder=encoder), choice


def encoder_warnings(fitted: Fitted, encoder: Any, *, has_unlabelled: bool) -> list[str]:
    """Return warnings if a model lacks the encoder, or unlabelled texts, that it was to use."""
    choice = fitted.encoder_choice
    if fitted.encoder is not None or encoder is None:
        return []
    if choice is None:
        return [get_encoder(encoder).omission_warning]
    is_missing = {*ENCODERS} <= {*choice.missing}
    missing = f"there is no encoder to choose; type: {ENCODERS[RECOMMENDED].install_command}"
    ignored = Message("no encoder was chosen, so ", Parameter("X_unlabelled"), " was ignored.")
    return [missing] * is_missing + [ignored] * has_unlabelled


def encode_all(
    encoder: CheckedEncoder,
    texts: Sequence[str],
    labels: Labels,
    topics: Topics,
    settings: FitSettings,
    progress: Progress,
) -> tuple[F32, Labels]:
    """Return the encoder's rows of documents, then of descriptions, and their topics."""
    from slugline.learning.encoder.rows import encode

    described = settings.descriptions
    everything = [*texts, *described.values()]
    rows = encode(everything, encoder, n_jobs=settings.n_jobs, progress=progress)
    names = described_sets(settings) if labels.multilabel else list(described)
    of_descriptions = Labels.encode(topics, names, multilabel=labels.multilabel)
    return rows, Labels.concatenate(labels, of_descriptions)


def described_sets(settings: FitSettings) -> list[Any]:
    """Return the topics of descriptions, as sets of one."""
    return topic_sets.sets_with_parents([(t,) for t in settings.descriptions], settings.topic_path)


def linear_heldout(learner: Learner) -> HeldOutProba | None:
    """Return the held-out probabilities of a linear learner; None if there are none."""
    if not is_linear(learner) or learner.heldout_scores_ is None:
        return None  # another one, or it has learned in parts
    rows, scores = learner.heldout_scores_
    return rows, learner.calibration.proba(scores)
