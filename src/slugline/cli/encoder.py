"""The option --encoder, and advice on encoders."""

from __future__ import annotations

import statistics

from slugline.base.checks import option_error
from slugline.base.wording import counted, percent
from slugline.cli.options import option
from slugline.cli.output import is_quiet, say
from slugline.corpus.corpus import Corpus
from slugline.errors import EncoderError, SluglineError
from slugline.experiment.evaluate import AnyEvaluation
from slugline.experiment.experiment import AccuracyOnLabels
from slugline.learning.encoder.encoder import get_encoder, get_fit_encoder
from slugline.learning.encoder.registry import (
    AUTO,
    BUILT_IN,
    DEFAULT_ENCODER,
    ENCODERS,
    RECOMMENDED,
    combinations,
    describe_choices,
    split_names,
)
from slugline.learning.learner import choose_learner, is_linear
from slugline.model.fit import fit
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings

#: The name of no encoder.
NO_ENCODER = "none"
encoder_option = option(
    "--encoder NAME",
    f"What knows words that DATA lacks: {describe_choices()}; or {NO_ENCODER}, for words alone. "
    f"Sentence encoders are added to {BUILT_IN}.",
    values=(*combinations(), AUTO, NO_ENCODER),
    default=DEFAULT_ENCODER,
)
#: Up to so many documents per topic (the median), an encoder is recommended.
FEW_DOCUMENTS = 20
#: Up to so many, it is recommended if the accuracy on held-out documents is clearly below that.
#: Measured on the sets of `benchmarks/run.py accuracy`: such sets gain from 2 points to 27.
MORE_DOCUMENTS, ACCURATE = 120, 0.85
#: Documents, and characters, that `use` is tried on: it takes a few seconds.
_MAX_DOCUMENTS, _MAX_CHARACTERS = 2_000, 500_000
# The least gain in accuracy that is told.
_CLEAR_GAIN = 0.02


def parse_encoder(name: str) -> str | None:
    """Return the `encoder` of `TopicClassifier`, after checking that it can be used.

    Raises
    ------
    OptionError : if there is no encoder of that name.
    EncoderError : if its package is missing.
    """
    if name == NO_ENCODER:
        return None
    if name != AUTO:
        if split_names(name) is None:
            raise option_error("encoder", name, f"{describe_choices()}, or {NO_ENCODER}")
        get_encoder(name)
    return name


def advise(
    settings: FitSettings,
    fitted: Fitted,
    train: Corpus,
    evaluation: AnyEvaluation | AccuracyOnLabels | None,
) -> None:
    """Recommend an encoder if held-out documents, or the small number of documents, suggest it."""
    counts = train.topic_counts().values()
    is_default = is_linear(settings.learner) and not settings.needs_encoder
    if is_quiet() or not is_default or len(counts) < 2 or train.multilabel:
        return
    typical, message = statistics.median(counts), None
    is_small = len(train) <= _MAX_DOCUMENTS and sum(map(len, train.texts)) <= _MAX_CHARACTERS
    if is_small and _is_installed():
        if not evaluation or evaluation.accuracy <= 1 - _CLEAR_GAIN:
            message = _measured_gain(settings, fitted, train)
    elif typical <= FEW_DOCUMENTS:
        message = (
            f"few documents per topic; a sentence encoder would probably help: {_installation()}"
        )
        if fitted.encoder is None:
            message += (
                " (with ten per topic, +12 points of accuracy over words alone, on average over "
                "nine sets of short English texts)"
            )
    elif evaluation and typical <= MORE_DOCUMENTS and evaluation.interval.high < ACCURATE:
        message = (
            f"{percent(evaluation.accuracy)} of the held-out documents are right; a sentence "
            "encoder would probably help, in one of its 16 languages: "
            f"{_installation()}"
        )
    if message is not None:
        say(f"{train.name}: {message}")


def _measured_gain(settings: FitSettings, fitted: Fitted, train: Corpus) -> str | None:
    """Return the gain on held-out documents with `use`; None if it isn't clear.

    The classifiers of words and of encoder rows learn again, from all of the documents.
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
    return (
        f"of {counted(choice.n_documents, 'document')}, each left out in turn, "
        f"{percent(now.accuracy)} are right, and {percent(use.accuracy)} with a sentence encoder: "
        f"--encoder {RECOMMENDED}"
    )


def _is_installed() -> bool:
    try:
        get_encoder(RECOMMENDED)
    except EncoderError:
        return False
    return True


def _installation() -> str:
    """Describe how to use the encoder."""
    install = "" if _is_installed() else f"{ENCODERS[RECOMMENDED].install_command}, then "
    return f"{install}--encoder {RECOMMENDED}"
