"""The option --encoder, and advice on encoders."""

from __future__ import annotations

import statistics

from slugline.base.checks import check_choice
from slugline.base.words import percent
from slugline.classifier import TopicClassifier
from slugline.cli.output import say
from slugline.corpus.corpus import Corpus
from slugline.errors import EncoderError
from slugline.experiment.run import AnyEvaluation
from slugline.learning.encoder.encoder import AUTO, NAMES, get_encoder
from slugline.learning.linear.learner import LinearLearner

#: Up to so many documents per topic (the median), an encoder is recommended.
FEW_DOCUMENTS = 20
#: Up to so many, it is recommended if the accuracy on held-out documents is clearly below that.
#: Measured on the sets of `benchmarks/run.py accuracy`: such sets gain from 2 points to 27.
MORE_DOCUMENTS, ACCURATE = 100, 0.85


def check_encoder(name: str | None) -> None:
    """Check, before anything is read, that an encoder can be used; None is no encoder.

    Raises
    ------
    OptionError : if there is no encoder of that name.
    EncoderError : if its package is missing.
    """
    if name is None:
        return

    check_choice("encoder", name, (*NAMES, AUTO))
    if name != AUTO:
        get_encoder(name)


def advise(classifier: TopicClassifier, train: Corpus, evaluation: AnyEvaluation | None) -> None:
    """Recommend an encoder where words are too few to learn from, or held-out documents say so."""
    counts = train.topic_counts().values()
    is_default = isinstance(classifier.learner, LinearLearner) and classifier.encoder is None
    if not is_default or len(counts) < 2 or train.multilabel:
        return
    typical = statistics.median(counts)
    if typical > FEW_DOCUMENTS:
        if evaluation and typical <= MORE_DOCUMENTS and evaluation.interval.high < ACCURATE:
            say(
                f"{train.name}: {percent(evaluation.accuracy)} of the held-out documents are right "
                f"by words alone; a sentence encoder would probably help: {_installation()}"
            )
        return
    say(
        f"{train.name}: few documents per topic; a sentence encoder would probably help a lot: "
        f"{_installation()} (with ten per topic, +18 points of accuracy on average over 15 sets of "
        "short texts, +14 on English ones)"
    )


def _installation() -> str:
    try:
        get_encoder("use")
    except EncoderError:
        return 'pip install "slugline[encoder]", then --encoder use'
    return "--encoder use"
