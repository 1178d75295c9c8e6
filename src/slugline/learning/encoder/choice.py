"""Chooses an encoder, or none, by what each adds on documents that were not learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, Index, Mask
from slugline.base.wording import counted, percent
from slugline.corpus.splits import make_folds
from slugline.errors import EncoderError
from slugline.learning.encoder.encoder import CheckedEncoder, get_encoder
from slugline.learning.encoder.fit import fit_encoder_head
from slugline.learning.encoder.multilabel import fit_multilabel_head
from slugline.learning.encoder.registry import ENCODERS
from slugline.learning.encoder.rows import encode
from slugline.learning.heldout import HeldOutScores
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext, LinearModel

#: The documents that encoders are tried on, at most: a slow one reads them in some ten seconds.
N_SAMPLED = 300
#: What words alone are called among encoders.
WORDS = "words alone"


class EncoderTrial(NamedTuple):
    """How good words are together with an encoder, or alone, on held-out documents.

    Of several topics a text, `accuracy` is the fraction of documents with exactly the right ones
    from a probability of a half, and `log_loss` the sum over topics.
    """

    name: str
    accuracy: float
    log_loss: float


class EncoderChoice(NamedTuple):
    """The encoder that was chosen, and what it was chosen by.

    Attributes
    ----------
    name : str
        An encoder's, or `WORDS`.
    trials : tuple of EncoderTrial
        That of words first.
    missing : tuple of str
        The built-in encoders that can't be used here.
    n_documents : int
        The number that the others were tried on.
    """

    name: str
    trials: tuple[EncoderTrial, ...]
    missing: tuple[str, ...]
    n_documents: int

    def __str__(self) -> str:
        figures = "; ".join(
            f"{trial.name if trial.name == WORDS else 'with ' + trial.name} "
            f"{percent(trial.accuracy)} right, log loss {trial.log_loss:.3f}"
            for trial in self.trials
        )
        said = f"encoder: {self.name}, chosen on {counted(self.n_documents, 'held-out document')}"
        missing = f"; not installed: {', '.join(self.missing)}" if self.missing else ""
        return f"{said}: {figures}{missing}" if figures else f"{said}{missing}"


def choose_encoder(
    texts: Sequence[str],
    labels: Labels,
    learner: LinearModel,
    heldout: HeldOutScores,
    context: FitContext,
    names: Sequence[str],
) -> EncoderChoice:
    """Return the first of words alone and the named encoders that is about as good as the best.

    That is: whose log loss is the lowest so far, and exceeds the lowest of all by at most one
    standard error of the difference. Names are in the order of the time that they take. Words have
    learned from all documents, and encoders learn from a sample only, so that they add rather more
    than is measured.

    Parameters
    ----------
    texts, labels, context
        The documents that `learner` has learned from.
    heldout : HeldOutScores
        Of the learner.
    """
    encoders, missing = _installed(names)
    rows = _sample(texts, labels, heldout.rows, context.seed)
    if not len(rows):  # every document is the only one of its topic
        return EncoderChoice(WORDS, (), missing, 0)
    judged, scores, weight = heldout.rows[rows], heldout.scores[rows], context.sample_weight
    sample = labels.take(judged)
    if not labels.multilabel:  # others than the topics of the sample can't be told
        topics, numbers = np.unique(sample.topics, return_inverse=True)
        sample, scores = Labels.from_topics(numbers), scores[:, topics]
    context = replace(
        context, n_topics=scores.shape[1], sample_weight=None if weight is None else weight[judged]
    )
    judgements = [_Judgement.from_proba(WORDS, learner.calibration.proba(scores), sample)]
    sampled = [texts[row] for row in judged.tolist()]
    for encoder in encoders if scores.shape[1] > 1 else ():
        encoded = encode(sampled, encoder, n_jobs=context.n_jobs, progress=context.progress)
        of_words = (np.arange(len(rows)), scores)
        if labels.multilabel:
            head, sums = fit_multilabel_head(encoded, sample, len(rows), context, of_words)
        else:
            widths = [part.width or 0 for part in encoder.parts]
            head, sums = fit_encoder_head(encoded, sample, context, of_words, widths=widths)
        if head is None or sums is None:  # it is of no use, or there is nothing to measure on
            judgements.append(judgements[0]._replace(name=encoder.name))
        else:
            proba = head.calibration.proba(sums)
            judgements.append(_Judgement.from_proba(encoder.name, proba, sample))
    trials = tuple(judgement.trial() for judgement in judgements)
    losses = [trial.log_loss for trial in trials]
    best = judgements[int(np.argmin(losses))]
    chosen = next(
        judgement.name
        for judgement, loss, lowest in zip(
            judgements, losses, np.minimum.accumulate(losses), strict=True
        )
        if loss <= lowest and judgement.is_close_to(best)
    )
    return EncoderChoice(chosen, trials, missing, len(rows))


def _installed(names: Sequence[str]) -> tuple[list[CheckedEncoder], tuple[str, ...]]:
    """Return the encoders that can be used here, and the names of single ones that can't."""
    encoders, missing = [], []
    for name in names:
        try:
            encoders.append(get_encoder(name))
        except EncoderError:
            missing.append(name)
    return encoders, tuple(name for name in missing if name in ENCODERS)


def _sample(texts: Sequence[str], labels: Labels, judged: Index, seed: int) -> Index:
    """Return places among held-out rows of different texts, as many of each topic as its share."""
    _, firsts = np.unique(
        np.array([texts[row] for row in judged.tolist()], dtype=object), return_index=True
    )
    firsts = np.sort(firsts)
    n_folds = -(-len(firsts) // N_SAMPLED)
    if n_folds < 2:
        return firsts
    topics = labels.take(judged[firsts]).to_topics()
    return firsts[make_folds(topics, n_folds, seed) == 0]


class _Judgement(NamedTuple):
    """Which held-out documents are right, and their log losses."""

    name: str
    right: Mask
    losses: F32

    @classmethod
    def from_proba(cls, name: str, proba: F32, labels: Labels) -> _Judgement:
        kind = label_type(multilabel=labels.multilabel)
        losses = kind.log_losses(kind.to_scores(proba), labels)
        return cls(name, kind.are_right(proba, labels), losses)

    def trial(self) -> EncoderTrial:
        return EncoderTrial(self.name, float(self.right.mean()), float(self.losses.mean()))

    def is_close_to(self, best: _Judgement) -> bool:
        """Whether the mean loss exceeds the best one by at most the difference's standard error."""
        more = (self.losses - best.losses).astype(np.float64)
        return bool(more.mean() <= more.std() / np.sqrt(len(more)))
