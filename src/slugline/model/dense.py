"""Combining a linear learner with an encoder: head and held-out probabilities."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, Index, Mask
from slugline.base.checks import short_repr
from slugline.base.progress import Progress
from slugline.corpus.documents import Topic, Topics, check_texts
from slugline.errors import DataError, Message, OptionError, Parameter
from slugline.learning.encoder.encoder import CheckedEncoder, get_fit_encoder
from slugline.learning.encoder.head import Cascade, DenseHead
from slugline.learning.encoder.registry import BUILT_IN
from slugline.learning.heldout import HeldOutScores, log_proba_gains
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext, Learner, LinearModel, is_linear
from slugline.model.settings import FitSettings

if TYPE_CHECKING:
    from slugline.learning.encoder.choice import EncoderChoice
    from slugline.learning.encoder.described import DescribedWords
    from slugline.learning.encoder.fit import EncoderHead, Names, UnlabelledRows
    from slugline.learning.encoder.head_state import HeadState
    from slugline.model.fitted import Fitted

#: Row numbers of documents, and their held-out probabilities.
HeldOutProba = tuple[Index, F32]

# Above this average number of documents per topic, topic names do not help.
_MAX_FOR_NAMES = 50
#: Above this number of documents, the built-in encoder is used only if it helps on a sample.
MAX_WITHOUT_TRIAL = 20_000
#: Maximum number of unlabelled texts to train on; more make hardly any difference.
MAX_UNLABELLED = 5_000
# Minimum number of held-out documents needed to drop a requested sentence encoder because word
# vectors have an equally low log loss.
_MIN_COMPARED = 20
_NO_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class EncoderFit:
    """Result of a fit with an encoder; attributes may be None.

    Attributes
    ----------
    head : DenseHead or None
    heldout : HeldOutProba or None
        From words alone if there is no head.
    state : HeadState or None
        State for training the head on batches.
    """

    head: DenseHead | None
    heldout: HeldOutProba | None
    state: HeadState | None = None


@dataclass(frozen=True, eq=False)
class EncodedDocuments:
    """Documents as word rows, with a linear learner fitted to them, and as encoder rows.

    Attributes
    ----------
    encoder : CheckedEncoder
    texts : sequence of str
    X : CSR array, shape (n_documents, n_terms)
    labels : Labels
    topics : Topics
    learner : LinearModel
    heldout : HeldOutScores
        Held-out scores of the learner.
    rows : float32 array, shape (n_documents + n_descriptions, encoder.width)
        Rows of documents, followed by rows of descriptions.
    is_known : bool array, shape (n_documents,)
        Mask of documents known to the encoder at least in part.
    all_labels : Labels
        Labels of `rows`.
    context : FitContext
        Includes a weight for each of `rows`, which is 0 for documents unknown to the encoder.
    settings : FitSettings
    unlabelled : UnlabelledScores or None
    """

    encoder: CheckedEncoder
    texts: Sequence[str]
    X: sp.csr_array
    labels: Labels
    topics: Topics
    learner: LinearModel
    heldout: HeldOutScores
    rows: F32
    is_known: Mask
    all_labels: Labels
    context: FitContext
    settings: FitSettings
    unlabelled: UnlabelledScores | None

    @property
    def result_without_encoder(self) -> EncoderFit:
        """Result if the encoder does not help: no head, and the learner's own probabilities."""
        rows, scores = self.heldout.rows, self.heldout.scores
        return EncoderFit(None, (rows, self.learner.calibration.proba(scores)))

    @property
    def known_heldout(self) -> HeldOutScores:
        """Held-out scores of documents known to the encoder."""
        rows, scores, training = self.heldout
        is_known = self.is_known[rows]
        if training is not None:
            training = training[self.is_known[training]]
        return HeldOutScores(rows[is_known], scores[is_known], training)

    @property
    def can_measure_encoder(self) -> bool:
        """True if the encoder knows held-out documents of at least two topics.

        One topic suffices for multilabel documents, and none is needed with descriptions. With a
        single topic, the built-in encoder has nothing to distinguish.
        """
        if self.settings.descriptions:
            return True
        if self.encoder.is_built_in and len(self.topics) == 1:
            return False
        if self.is_known.all():
            return True
        topics = self.labels.take(self.known_heldout.rows).topics
        return len(np.unique(topics)) >= (1 if self.labels.multilabel else 2)

    def head_state(self, head: DenseHead | None) -> HeadState | None:
        """Return the state for training a fitted head on batches, or None if it can't be trained.

        A head also fitted to descriptions or unlabelled texts is not trained further.
        """
        from slugline.learning.encoder.batches import sum_fitted_rows

        settings = self.settings
        if head is None or self.labels.multilabel or not self.encoder.is_built_in:
            return None
        if settings.descriptions or self.unlabelled is not None:
            return None
        return sum_fitted_rows(head, self.rows, self.labels.topics, self.context.sample_weight)

    def add_unknown_documents(self, rows: Index, proba: F32) -> HeldOutProba:
        """Add held-out probabilities of documents that are classified from words alone."""
        if self.is_known.all():
            return rows, proba
        is_unknown = ~self.is_known[self.heldout.rows]
        by_words = self.learner.calibration.proba(self.heldout.scores[is_unknown])
        all_rows = np.concatenate([rows, self.heldout.rows[is_unknown]])
        order = np.argsort(all_rows)
        return all_rows[order], np.concatenate([proba, by_words])[order]


def add_multilabel_encoder(encoded: EncodedDocuments) -> EncoderFit:
    """Fit a head to multi-label documents, with held-out probabilities of the summed scores."""
    from slugline.learning.encoder.multilabel import fit_multilabel_head

    if not encoded.can_measure_encoder:
        return encoded.result_without_encoder
    heldout = encoded.known_heldout
    head, scores = fit_multilabel_head(
        encoded.rows,
        encoded.all_labels,
        len(encoded.texts),
        encoded.context,
        (heldout.rows, heldout.scores),
        encoded.encoder.column_factors,
    )
    if head is None:
        return encoded.result_without_encoder
    dense = DenseHead.from_head(encoded.encoder, head)
    if scores is None:
        return EncoderFit(dense, None)
    proba = encoded.add_unknown_documents(heldout.rows, dense.predict_proba(scores))
    return EncoderFit(dense, proba)


def add_single_label_encoder(encoded: EncodedDocuments) -> EncoderFit:
    """Fit a head to single-label documents, with held-out probabilities of the summed scores.

    Raises
    ------
    DataError : if unlabelled texts are given, but too few labelled ones to evaluate them.
    """
    if not encoded.can_measure_encoder:
        return encoded.result_without_encoder
    names, encoded_names = _encode_names(encoded)
    fit_head = _fit_described if encoded.settings.descriptions else _fit_labelled
    head, scores, rows = fit_head(encoded, encoded_names, _encode_unlabelled(encoded))
    if head is None:
        return encoded.result_without_encoder
    n_unlabelled = len(encoded.unlabelled.texts) if encoded.unlabelled else 0
    dense = DenseHead.from_head(encoded.encoder, head, n_unlabelled)
    if scores is None:
        return EncoderFit(dense, None)
    # Evaluate only on texts that occur once: no copy of a held-out text is used to fit its word
    # scores, but the encoder's head has been trained on the other copies.
    n_copies = Counter([*encoded.texts, *encoded.settings.descriptions.values(), *names])
    is_unique = np.array([n_copies[encoded.texts[row]] == 1 for row in rows.tolist()], dtype=bool)
    if encoded.encoder.is_built_in and not is_unique.any():
        return encoded.result_without_encoder  # nothing to evaluate it on
    has_all_topics = len(np.unique(encoded.labels.topics)) == len(encoded.topics)
    # Words alone can't predict topics that are only described or have a single document.
    words_can_answer = has_all_topics and len(rows) == len(encoded.known_heldout.rows)
    proba, rows = dense.predict_proba(scores[is_unique]), rows[is_unique]
    if words_can_answer and not encoded.encoder.is_fast:
        return _add_fast_stage(encoded, dense, rows, proba)
    return EncoderFit(dense, encoded.add_unknown_documents(rows, proba))


def _fit_described(
    encoded: EncodedDocuments, names: Names | None, unlabelled: UnlabelledRows | None
) -> tuple[EncoderHead | None, F32 | None, Index]:
    """Fit a head to labels and descriptions.

    Returns
    -------
    The head, or None if it does not help; its held-out scores, or None if nothing is held out; and
    the held-out rows.
    """
    from slugline.learning.encoder.described import fit_described_head

    by_words = _described_words(encoded)
    head, scores = fit_described_head(
        encoded.rows,
        encoded.all_labels,
        len(encoded.texts),
        encoded.context,
        by_words,
        names=names,
        widths=encoded.encoder.part_widths,
        factors=encoded.encoder.column_factors,
        unlabelled=unlabelled,
    )
    return head, scores, by_words.rows


def _fit_labelled(
    encoded: EncodedDocuments, names: Names | None, unlabelled: UnlabelledRows | None
) -> tuple[EncoderHead | None, F32 | None, Index]:
    """Fit a head to labels and any unlabelled texts; see `_fit_described`."""
    from slugline.learning.encoder.fit import fit_encoder_head
    from slugline.learning.encoder.fusion import MAX_ERRORS, MAX_ERRORS_IF_SAFE

    heldout, encoder = encoded.known_heldout, encoded.encoder
    training = heldout.training if encoder.is_fast else None
    is_safe = encoder.has_unknown_texts and training is None
    head, scores = fit_encoder_head(
        encoded.rows,
        encoded.all_labels,
        encoded.context,
        (heldout.rows, heldout.scores),
        training=training,
        max_errors=MAX_ERRORS_IF_SAFE if is_safe else MAX_ERRORS,
        is_fast=encoder.is_fast,
        names=names,
        widths=encoder.part_widths,
        unlabelled=unlabelled,
    )
    return head, scores, heldout.rows


def _add_fast_stage(
    encoded: EncodedDocuments, dense: DenseHead, rows: Index, proba: F32
) -> EncoderFit:
    """Return the head with a cascade, and held-out probabilities from both stages.

    The fast stage is a fit with the built-in encoder, or words alone. It becomes the whole model if
    the held-out log loss of its word vectors is at least as good as for `dense`.

    Parameters
    ----------
    rows, proba : arrays
        The held-out probabilities of `dense`.
    """
    fast = _fit_fast_stage(encoded)
    if fast.heldout is None:
        return EncoderFit(dense, encoded.add_unknown_documents(rows, proba))
    fast_rows, fast_proba = fast.heldout
    by_fast, y = fast_proba[np.searchsorted(fast_rows, rows)], encoded.labels.topics[rows]
    weight = encoded.context.sample_weight
    weight = None if weight is None else weight[rows]
    gains = log_proba_gains(proba, by_fast, y)
    is_measured = fast.head is not None and len(y) >= _MIN_COMPARED
    if is_measured and np.average(gains, weights=weight) <= 0:
        return fast
    cascade = Cascade.from_proba(by_fast, proba, weight)
    if cascade is not None:
        is_sure = cascade.is_sure(by_fast)
        proba[is_sure] = by_fast[is_sure]
        dense = replace(dense, cascade=cascade, fast_head=fast.head)
    return EncoderFit(dense, encoded.add_unknown_documents(rows, proba))


def _fit_fast_stage(encoded: EncodedDocuments) -> EncoderFit:
    """Return a fit with the built-in encoder, without a head if words alone are as good."""
    encoder = encoded.encoder.fast_part
    if encoder is None or not encoder.knows_language(encoded.texts):
        return encoded.result_without_encoder
    n_documents = len(encoded.texts)
    rows = _encode([*encoded.texts, *encoded.settings.descriptions.values()], encoded, encoder)
    is_known = encoder.find_known(rows)
    if not is_known[n_documents:].all():  # descriptions in another language
        return encoded.result_without_encoder
    weight = encoded.context.sample_weight
    if not is_known.all():
        weight = np.where(is_known, 1 if weight is None else weight, 0).astype(np.float32)
    fast = replace(
        encoded,
        encoder=encoder,
        rows=rows,
        is_known=is_known[:n_documents],
        context=replace(encoded.context, sample_weight=weight),
        unlabelled=None,
    )
    return add_single_label_encoder(fast)


def _described_words(encoded: EncodedDocuments) -> DescribedWords:
    """Return held-out word scores, including documents that are the only one of their topic.

    Holding such a document out leaves its topic without training documents; its scores for the
    other topics come from the fit to all documents.
    """
    from slugline.learning.encoder.described import DescribedWords
    from slugline.learning.linear.problem import ABSENT_SCORE

    heldout, y = encoded.known_heldout, encoded.labels.topics
    heldout_rows, scores = heldout.rows, heldout.scores
    learner, context, X = encoded.learner, encoded.context, encoded.X
    weight = context.sample_weight
    counted = np.arange(len(y)) if weight is None else np.flatnonzero(weight[: len(y)])
    counts = np.bincount(y[counted], minlength=context.n_topics)
    single = counted[counts[y[counted]] == 1]
    of_single = learner.decision_function(X[single])
    of_single[np.arange(len(single)), y[single]] = ABSENT_SCORE
    absent_scores = np.full(context.n_topics, np.nan, dtype=np.float32)
    absent = counts == 0
    rows = np.concatenate([heldout_rows, single])
    if absent.any() and len(rows):
        absent_scores[absent] = learner.decision_function(X[rows])[:, absent].mean(axis=0)
    return DescribedWords(rows, np.concatenate([scores, of_single]), absent_scores)


class UnlabelledScores(NamedTuple):
    """Unlabelled texts and their word scores."""

    texts: Sequence[str]
    scores: F32


def check_unlabelled(
    X: Iterable[str] | None,
    texts: Sequence[str],
    labels: Labels,
    topics: Topics,
    settings: FitSettings,
    progress: Progress,
) -> list[str]:
    """Return distinct unlabelled texts that aren't in `texts`, evenly sampled if there are many.

    Raise OptionError if the model can't learn from unlabelled texts.
    """
    if X is None:
        return []
    if not is_linear(settings.learner):
        raise OptionError(
            Parameter("X_unlabelled"),
            " requires the linear learner, and ",
            Parameter("learner"),
            f" is a {type(settings.learner).__name__}; leave one of them out.",
        )
    if settings.encoder is None:
        raise OptionError(
            Parameter("X_unlabelled"),
            " needs an encoder: unlabelled texts can make a model of words alone worse; pass ",
            Parameter("encoder", BUILT_IN),
            ", or leave ",
            Parameter("X_unlabelled"),
            " out.",
        )
    if labels.multilabel:
        raise OptionError(
            Parameter("X_unlabelled"),
            " requires single-label texts, and these are multi-label; leave it out.",
        )
    if len(np.unique(labels.topics)) < len(topics):
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
            " adds nothing: each of its texts is empty, or is also a training or "
            "test document; leave it out.",
        )
    if len(used) > MAX_UNLABELLED:
        progress.note(f"of {len(used):,} unlabelled texts, {MAX_UNLABELLED:,} are used")
    rows = np.unique(np.linspace(0, len(used) - 1, MAX_UNLABELLED).astype(np.intp))
    return [used[row] for row in rows.tolist()]


def _encode_unlabelled(encoded: EncodedDocuments) -> UnlabelledRows | None:
    """Return the unlabelled texts as rows and scores for a head, or None without such texts.

    Raise DataError if there are too few labelled documents for evaluation.
    """
    from slugline.learning.encoder.fit import UnlabelledRows

    unlabelled = encoded.unlabelled
    if unlabelled is None:
        return None
    if len(np.unique(encoded.labels.topics[encoded.heldout.rows])) < 2:
        raise DataError(
            "too few labels for training on unlabelled texts: none are left to check predicted "
            "topics; label at least two texts of each topic, or leave out ",
            Parameter("X_unlabelled"),
            ".",
        )
    rows = _encode(unlabelled.texts, encoded, encoded.encoder)
    is_known = encoded.encoder.find_known(rows)
    if not is_known.any():
        return None
    return UnlabelledRows(rows[is_known], unlabelled.scores[is_known])


def _encode(texts: Sequence[str], encoded: EncodedDocuments, encoder: CheckedEncoder) -> F32:
    """Return an encoder's rows of texts."""
    from slugline.learning.encoder.rows import encode

    n_jobs, progress = encoded.settings.n_jobs, encoded.context.progress
    return encode(texts, encoder, n_jobs=n_jobs, progress=progress)


def _encode_names(encoded: EncodedDocuments) -> tuple[Sequence[str], Names | None]:
    """Return names of undescribed topics with their rows, if there are few documents."""
    from slugline.learning.encoder.fit import Names

    topics, labels = encoded.topics, encoded.labels
    weight = encoded.context.sample_weight
    is_learned = slice(None) if weight is None else weight[: len(labels)] > 0
    present = np.unique(labels.topics[is_learned]).tolist()
    y = [n for n in present if topics.names[n] not in encoded.settings.descriptions]
    if not y or len(labels) > _MAX_FOR_NAMES * len(topics):
        return [], None
    words = [_split_name(topics.names[number]) for number in y]
    rows = _encode(words, encoded, encoded.encoder)
    is_known = encoded.encoder.find_known(rows)
    return words, Names(rows[is_known], np.array(y)[is_known]) if is_known.any() else None


def encode_names(topics: Topics, encoder: CheckedEncoder, n_documents: int) -> Names | None:
    """Encode the names of all topics; return None if there are many documents."""
    from slugline.learning.encoder.fit import Names
    from slugline.learning.encoder.rows import encode

    if n_documents > _MAX_FOR_NAMES * len(topics):
        return None
    rows = encode(list(map(_split_name, topics.names)), encoder)
    is_known = encoder.find_known(rows)
    return Names(rows[is_known], np.flatnonzero(is_known))


def _split_name(name: Topic) -> str:
    return _NO_WORD.sub(" ", str(name)).strip()


def resolve_encoder(
    texts: Sequence[str],
    labels: Labels,
    learner: Learner,
    context: FitContext,
    settings: FitSettings,
) -> tuple[FitSettings, EncoderChoice | None]:
    """Choose the best encoder on held-out documents; return updated settings and the choice.

    Returns unchanged settings and None if there is nothing to choose: an encoder is chosen for a
    list of names, or if the built-in one is requested for many documents.
    """
    names = settings.encoder
    if isinstance(names, CheckedEncoder) and names.is_built_in and len(texts) > MAX_WITHOUT_TRIAL:
        names = (BUILT_IN,)
    if not isinstance(names, tuple) or settings.descriptions or not is_linear(learner):
        return settings, None
    if (heldout := learner.heldout_scores_) is None:
        return settings, None
    from slugline.learning.encoder.choice import WORDS, choose_encoder

    choice = choose_encoder(texts, labels, learner, heldout, context, names)
    if isinstance(settings.encoder, tuple):
        context.progress.note(str(choice))
    encoder = None if choice.name == WORDS else get_fit_encoder(choice.name)
    return replace(settings, encoder=encoder), choice


def encoder_warnings(fitted: Fitted, settings: FitSettings, *, has_unlabelled: bool) -> list[str]:
    """Warn if a requested slow encoder or the unlabelled texts were not used."""
    encoder = settings.encoder
    if isinstance(encoder, CheckedEncoder) and fitted.encoder_choice is None:
        is_used = fitted.encoder is not None and fitted.encoder.is_fast == encoder.is_fast
        is_silent = is_used or (encoder.is_fast and not has_unlabelled)
        return [] if is_silent else [encoder.omission_warning(fitted.encoder)]
    if fitted.encoder is not None or encoder is None or not has_unlabelled:
        return []
    return [Message("no encoder was chosen, so ", Parameter("X_unlabelled"), " was ignored.")]


def encode_documents(
    texts: Sequence[str],
    X: sp.csr_array,
    *,
    labels: Labels,
    described: Labels,
    topics: Topics,
    learner: Learner,
    context: FitContext,
    settings: FitSettings,
    unlabelled: UnlabelledScores | None,
) -> EncodedDocuments | None:
    """Return documents with the encoder's rows, or None without an encoder or held-out scores.

    The built-in encoder is skipped if it doesn't know the language, unless it reads descriptions.

    Parameters
    ----------
    described : Labels
        Labels of descriptions.

    For the other parameters, see `EncodedDocuments`.
    """
    encoder = settings.encoder
    if not isinstance(encoder, CheckedEncoder) or not is_linear(learner):
        return None
    if (heldout := learner.heldout_scores_) is None:
        return None
    if not settings.descriptions and not encoder.knows_language(texts):
        return None
    rows = encode_with_descriptions(encoder, texts, settings, context.progress)
    is_known = encoder.find_known(rows[: len(texts)])
    weight = context.sample_weight
    if weight is None and not is_known.all():
        weight = np.ones(len(texts), dtype=np.float32)
    if weight is not None:  # a description counts like a document of weight 1
        of_descriptions = np.ones(len(described), dtype=np.float32)
        weight = np.concatenate([np.where(is_known, weight, 0), of_descriptions])
    return EncodedDocuments(
        encoder=encoder,
        texts=texts,
        X=X,
        labels=labels,
        topics=topics,
        learner=learner,
        heldout=heldout,
        rows=rows,
        is_known=is_known,
        all_labels=Labels.concatenate(labels, described),
        context=replace(context, sample_weight=weight),
        settings=settings,
        unlabelled=unlabelled,
    )


def encode_with_descriptions(
    encoder: CheckedEncoder, texts: Sequence[str], settings: FitSettings, progress: Progress
) -> F32:
    """Return the encoder's rows of documents, then of descriptions.

    Raise DataError if the encoder knows nothing of a description.
    """
    from slugline.learning.encoder.rows import encode

    encoder.check_table()
    texts_and_descriptions = [*texts, *settings.descriptions.values()]
    rows = encode(texts_and_descriptions, encoder, n_jobs=settings.n_jobs, progress=progress)
    is_known = encoder.find_known(rows[len(texts) :])
    for topic, is_topic_known in zip(settings.descriptions, is_known.tolist(), strict=True):
        if not is_topic_known:
            raise DataError(
                Parameter("descriptions"),
                f": the encoder {encoder.name} recognizes too few words in the description of "
                f"{short_repr(topic)}; describe it in a language of the encoder, or leave it out.",
            )
    return rows


def linear_heldout(learner: Learner) -> HeldOutProba | None:
    """Return the held-out probabilities of a linear learner, or None."""
    if not is_linear(learner) or learner.heldout_scores_ is None:
        return None  # not linear, or fitted in parts
    heldout = learner.heldout_scores_
    return heldout.rows, learner.calibration.proba(heldout.scores)
