"""Choose an encoder, or none, by accuracy gains on held-out documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, Index, Mask
from slugline.base.wording import counted, percent
from slugline.corpus.splits import make_folds
from slugline.errors import EncoderError
from slugline.learning.encoder.encoder import CheckedEncoder, get_fit_encoder
from slugline.learning.encoder.fit import fit_encoder_head
from slugline.learning.encoder.multilabel import fit_multilabel_head
from slugline.learning.encoder.registry import ENCODERS
from slugline.learning.encoder.rows import encode
from slugline.learning.heldout import HeldOutScores
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext, LinearModel

#: Maximum number of documents to try encoders on; a slow encoder takes about ten seconds for these.
N_SAMPLED = 300
#: Name of the baseline without an encoder.
WORDS = "words alone"


class EncoderTrial(NamedTuple):
    """Accuracy and log loss of words with an encoder, or of words alone, on held-out documents.

    For multilabel documents, `accuracy` is the fraction in which exactly the true topics have a
    probability of at least 0.5, and `log_loss` is summed over topics.
    """

    name: str
    accuracy: float
    log_loss: float


class EncoderChoice(NamedTuple):
    """The chosen encoder, and the trials behind the choice.

    Attributes
    ----------
    name : str
        Name of an encoder, or `WORDS`.
    trials : tuple of EncoderTrial
        Words alone come first.
    missing : tuple of str
        Registered encoders that are not installed.
    n_documents : int
        Number of held-out documents in the trials.
    """

    name: str
    trials: tuple[EncoderTrial, ...]
    missing: tuple[str, ...]
    n_documents: int

    def __str__(self) -> str:
        trials = "; ".join(
            f"{trial.name if trial.name == WORDS else 'with ' + trial.name} "
            f"{percent(trial.accuracy)} right, log loss {trial.log_loss:.3f}"
            for trial in self.trials
        )
        choice = f"encoder: {self.name}, chosen on {counted(self.n_documents, 'held-out document')}"
        missing = f"; not installed: {', '.join(self.missing)}" if self.missing else ""
        return f"{choice}: {trials}{missing}" if trials else f"{choice}{missing}"


def choose_encoder(
    texts: Sequence[str],
    labels: Labels,
    learner: LinearModel,
    heldout: HeldOutScores,
    context: FitContext,
    names: Sequence[str],
) -> EncoderChoice:
    """Choose an encoder, or none, by the one-standard-error rule on held-out documents.

    The candidates are words alone, then the named encoders, from fast to slow. The choice is the
    first candidate whose log loss is within one standard error of the lowest and not above a faster
    candidate's. This underestimates encoders: the learner was fitted to all documents, but each
    encoder's head only to a sample.

    Parameters
    ----------
    texts, labels, context
        The learner's training documents.
    heldout : HeldOutScores
        The learner's held-out scores.
    names : sequence of str
        Names of encoders, from fast to slow.
    """
    encoders, missing = _installed(names)
    sample = _draw_sample(texts, labels, heldout, context)
    if not len(sample.texts):  # each document is the only one of its topic
        return EncoderChoice(WORDS, (), missing, 0)
    baseline = _Result.from_proba(WORDS, learner.calibration.proba(sample.scores), sample.labels)
    results = [baseline]
    if sample.context.n_topics > 1:
        results += [_try_encoder(encoder, sample, baseline) for encoder in encoders]
    trials = tuple(result.trial() for result in results)
    name = _first_close_to_best(results).name
    return EncoderChoice(name, trials, missing, len(sample.texts))


def _installed(names: Sequence[str]) -> tuple[list[CheckedEncoder], tuple[str, ...]]:
    """Return the installed encoders, and the names of missing ones, excluding combinations."""
    encoders, missing = [], []
    for name in names:
        try:
            encoders.append(get_fit_encoder(name))
        except EncoderError:
            missing.append(name)
    return encoders, tuple(name for name in missing if name in ENCODERS)


class _Sample(NamedTuple):
    """Held-out documents to try encoders on, with their scores by words.

    For single-label documents, only the topics in the sample are kept.
    """

    texts: list[str]
    labels: Labels
    scores: F32
    context: FitContext

    def take(self, documents: Index) -> _Sample:
        """Return a subset of the documents."""
        weight = self.context.sample_weight
        return _Sample(
            [self.texts[row] for row in documents.tolist()],
            self.labels.take(documents),
            self.scores[documents],
            replace(self.context, sample_weight=None if weight is None else weight[documents]),
        )


def _draw_sample(
    texts: Sequence[str], labels: Labels, heldout: HeldOutScores, context: FitContext
) -> _Sample:
    positions = _sample_positions(texts, labels, heldout.rows, context.seed)
    documents, scores = heldout.rows[positions], heldout.scores[positions]
    sample_labels = labels.take(documents)
    if not labels.multilabel:  # topics outside the sample can't be evaluated
        topics, numbers = np.unique(sample_labels.topics, return_inverse=True)
        sample_labels, scores = Labels.from_topics(numbers), scores[:, topics]
    weight = None if context.sample_weight is None else context.sample_weight[documents]
    context = replace(context, n_topics=scores.shape[1], sample_weight=weight)
    return _Sample([texts[row] for row in documents.tolist()], sample_labels, scores, context)


def _sample_positions(texts: Sequence[str], labels: Labels, documents: Index, seed: int) -> Index:
    """Return the positions in `documents` of a stratified sample without duplicate texts."""
    _, positions = np.unique(
        np.array([texts[row] for row in documents.tolist()], dtype=object), return_index=True
    )
    positions = np.sort(positions)
    n_folds = -(-len(positions) // N_SAMPLED)
    if n_folds < 2:
        return positions
    topics = labels.take(documents[positions]).to_topics()
    # Fold 0 of n is a stratified sample of at most N_SAMPLED documents.
    return positions[make_folds(topics, n_folds, seed) == 0]


def _try_encoder(encoder: CheckedEncoder, sample: _Sample, baseline: _Result) -> _Result:
    """Return the result of words with an encoder, or the baseline if it doesn't help."""
    n_jobs, progress = sample.context.n_jobs, sample.context.progress
    rows = encode(sample.texts, encoder, n_jobs=n_jobs, progress=progress)
    known = np.flatnonzero(encoder.find_known(rows))  # others are left to words alone
    if not len(known):
        return baseline._replace(name=encoder.name)
    rows, (texts, labels, scores, context) = rows[known], sample.take(known)
    heldout_words = (np.arange(len(texts)), scores)
    if labels.multilabel:
        head, combined_scores = fit_multilabel_head(
            rows, labels, len(texts), context, heldout_words, encoder.column_factors
        )
    else:
        head, combined_scores = fit_encoder_head(
            rows,
            labels,
            context,
            heldout_words,
            widths=encoder.part_widths,
            is_fast=encoder.is_fast,
        )
    if head is None or combined_scores is None:  # no gain, or no held-out documents
        return baseline._replace(name=encoder.name)
    result = _Result.from_proba(encoder.name, head.calibration.proba(combined_scores), labels)
    return baseline.replace_documents(known, result)


class _Result(NamedTuple):
    """A mask of correct held-out documents, and the log losses of all."""

    name: str
    right: Mask
    losses: F32

    @classmethod
    def from_proba(cls, name: str, proba: F32, labels: Labels) -> _Result:
        kind = label_type(multilabel=labels.multilabel)
        losses = kind.log_losses(kind.to_scores(proba), labels)
        return cls(name, kind.are_right(proba, labels), losses)

    def replace_documents(self, documents: Index, result: _Result) -> _Result:
        """Return a copy with the name and some documents taken from another result."""
        right, losses = self.right.copy(), self.losses.copy()
        right[documents], losses[documents] = result.right, result.losses
        return _Result(result.name, right, losses)

    def trial(self) -> EncoderTrial:
        return EncoderTrial(self.name, float(self.right.mean()), float(self.losses.mean()))

    def is_close_to(self, best: _Result) -> bool:
        """Return True if the mean loss is within one standard error of the best one."""
        differences = (self.losses - best.losses).astype(np.float64)
        return bool(differences.mean() <= differences.std() / np.sqrt(len(differences)))


def _first_close_to_best(results: Sequence[_Result]) -> _Result:
    """Return the first result close to the best and no worse than all before it."""
    losses = [float(result.losses.mean()) for result in results]
    best = results[int(np.argmin(losses))]
    lowest_so_far = np.minimum.accumulate(losses)
    return next(
        result
        for result, loss, lowest in zip(results, losses, lowest_so_far, strict=True)
        if loss <= lowest and result.is_close_to(best)
    )
