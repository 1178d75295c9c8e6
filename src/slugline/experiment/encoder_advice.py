"""Recommend training with a sentence encoder."""

from __future__ import annotations

import statistics

from slugline.base.wording import percent
from slugline.corpus.corpus import Corpus
from slugline.errors import EncoderError, Message, Parameter
from slugline.experiment.evaluate import AnyEvaluation
from slugline.experiment.experiment import AccuracyOnLabels
from slugline.learning.encoder.encoder import get_encoder
from slugline.learning.encoder.registry import ENCODERS, RECOMMENDED
from slugline.learning.learner import is_linear
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings

# Recommend an encoder up to this median number of documents per topic.
_FEW_DOCUMENTS = 20
# Up to this median, recommend it if the held-out accuracy is clearly below `_ACCURATE`. In
# `benchmarks/run.py accuracy`, such data sets gain 2 to 27 points.
_MORE_DOCUMENTS, _ACCURATE = 120, 0.85
# With a higher accuracy, there is hardly anything to gain.
_NEARLY_PERFECT = 0.98


def encoder_advice(
    settings: FitSettings,
    fitted: Fitted,
    train: Corpus,
    evaluation: AnyEvaluation | AccuracyOnLabels | None,
) -> str | None:
    """Return a recommendation to use the sentence encoder, or None if it would hardly help.

    Based on the number of documents per topic and the held-out accuracy.

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
    if evaluation and evaluation.accuracy > _NEARLY_PERFECT:
        return None
    typical = statistics.median(counts)
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


def _installation() -> Message:
    """Describe how to use the encoder."""
    try:
        get_encoder(RECOMMENDED)
        install = ""
    except EncoderError:
        install = f"{ENCODERS[RECOMMENDED].install_command}, then "
    return Message(install, Parameter("encoder", RECOMMENDED))
