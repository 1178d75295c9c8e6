"""Advice to train with a sentence encoder."""

from __future__ import annotations

import statistics

from slugline.base.wording import counted, percent
from slugline.corpus.corpus import Corpus
from slugline.errors import EncoderError, Message, Parameter, SluglineError
from slugline.experiment.evaluate import AnyEvaluation
from slugline.experiment.experiment import AccuracyOnLabels
from slugline.learning.encoder.encoder import get_encoder, get_fit_encoder
from slugline.learning.encoder.registry import ENCODERS, RECOMMENDED
from slugline.learning.learner import choose_learner, is_linear
from slugline.model.fit import fit
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings

# Median documents per topic up to which an encoder is recommended.
_FEW_DOCUMENTS = 20
# Up to so many, it is recommended if the accuracy on held-out documents is clearly below that.
# Measured on the sets of `benchmarks/run.py accuracy`: such sets gain from 2 points to 27.
_MORE_DOCUMENTS, _ACCURATE = 120, 0.85
# Documents, and characters, that `use` is tried on: it takes a few seconds.
_MAX_DOCUMENTS, _MAX_CHARACTERS = 2_000, 500_000
# The smallest gain in accuracy that is reported.
_CLEAR_GAIN = 0.02


def encoder_advice(
    settings: FitSettings,
    fitted: Fitted,
    train: Corpus,
    evaluation: AnyEvaluation | AccuracyOnLabels | None,
) -> str | None:
    """Return a recommendation of the sentence encoder, or None if it would hardly help.

    It rests on a cross-validation with the encoder if that takes a few seconds; else on the number
    of documents and the accuracy on held-out documents.

    Parameters
    ----------
    settings : FitSettings
        The settings of the trained model; only a linear learner without a sentence encoder gets
        advice.
    fitted : Fitted
    train : Corpus
        The training documents.
    evaluation : optional
        The accuracy on held-out documents.
    """
    counts = train.topic_counts().values()
    is_default = is_linear(settings.learner) and not settings.needs_encoder
    if not is_default or len(counts) < 2 or train.multilabel:
        return None
    typical = statistics.median(counts)
    is_small = len(train) <= _MAX_DOCUMENTS and sum(map(len, train.texts)) <= _MAX_CHARACTERS
    if is_small and _is_installed():
        if evaluation and evaluation.accuracy > 1 - _CLEAR_GAIN:
            return None
        return _measured_gain(settings, fitted, train)
    if typical <= _FEW_DOCUMENTS:
        source = (
            " (with ten per topic, +12 points of accuracy over words alone, on average over nine "
            "sets of short English texts)"
        )
        return Message(
            "few documents per topic; a sentence encoder would probably help: ",
            _installation(),
            source if fitted.encoder is None else "",
        )
    if evaluation and typical <= _MORE_DOCUMENTS and evaluation.interval.high < _ACCURATE:
        return Message(
            f"{percent(evaluation.accuracy)} of the held-out documents are right; a sentence "
            "encoder would probably help, in one of its 16 languages: ",
            _installation(),
        )
    return None


def _measured_gain(settings: FitSettings, fitted: Fitted, train: Corpus) -> str | None:
    """Return the gain on held-out documents with `use`; None if it isn't clear.

    The classifiers of words and of encoder rows are trained again, on all of the documents.
    """
    names = (RECOMMENDED,) if fitted.encoder is None else (fitted.encoder.name, RECOMMENDED)
    settings = FitSettings(
        learner=choose_learner("linear"),
        feature_groups=fitted.features.feature_groups,
        class_weight=settings.class_weight,
        n_jobs=settings.n_jobs,
        random_state=fitted.seed,
        encoder=names,
    )
    try:
        choice = fit(train, settings).encoder_choice
    except SluglineError:  # advice that can't be given is no failure
        return None
    if choice is None or choice.name != get_fit_encoder(RECOMMENDED).name:
        return None
    *_, now, use = choice.trials
    if use.accuracy - now.accuracy < _CLEAR_GAIN:
        return None
    return Message(
        f"of {counted(choice.n_documents, 'document')}, each left out in turn, "
        f"{percent(now.accuracy)} are right, and {percent(use.accuracy)} with a sentence encoder: ",
        Parameter("encoder", RECOMMENDED),
    )


def _is_installed() -> bool:
    try:
        get_encoder(RECOMMENDED)
    except EncoderError:
        return False
    return True


def _installation() -> Message:
    """Describe how to use the encoder."""
    install = "" if _is_installed() else f"{ENCODERS[RECOMMENDED].install_command}, then "
    return Message(install, Parameter("encoder", RECOMMENDED))
