"""Recommend training with a sentence encoder."""

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

# Recommend an encoder up to this median number of documents per topic.
_FEW_DOCUMENTS = 20
# Up to this median, recommend it if the held-out accuracy is clearly below `_ACCURATE`. In
# `benchmarks/run.py accuracy`, such data sets gain 2 to 27 points.
_MORE_DOCUMENTS, _ACCURATE = 120, 0.85
# Limits in documents and characters for trying `use`, so that it takes a few seconds.
_MAX_DOCUMENTS, _MAX_CHARACTERS = 2_000, 500_000
# The smallest gain in accuracy that is reported.
_CLEAR_GAIN = 0.02


def encoder_advice(
    settings: FitSettings,
    fitted: Fitted,
    train: Corpus,
    evaluation: AnyEvaluation | AccuracyOnLabels | None,
) -> str | None:
    """Return a recommendation to use the sentence encoder, or None if it would hardly help.

    Based on cross-validation with the encoder if that takes a few seconds, else on the number of
    documents and the held-out accuracy.

    Parameters
    ----------
    settings : FitSettings
        The settings of the trained model. Advice is limited to linear learners without a sentence
        encoder.
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
    """Describe the held-out gain with `use`; return None if it isn't clear.

    The classifiers of words and of encoder rows are retrained on all documents.
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
    except SluglineError:  # advice is optional
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
