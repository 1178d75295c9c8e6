"""Why a served model answers as it does."""

from __future__ import annotations

from slugline.explain import explain
from slugline.served.messages import Explain, ExplanationReply
from slugline.served.model import ServedModel
from slugline.served.results import reasons_of, rounded

__all__ = ["explanation"]


def explanation(model: ServedModel, asked: Explain) -> ExplanationReply:
    """Return why a text gets a score.

    Raises
    ------
    DataError : if the model doesn't have the topic.
    """
    found = explain(model.fitted, asked.text, asked.topic, against=asked.against)
    return ExplanationReply(
        model=model.name,
        version=model.digest,
        topic=found.topic,
        against=found.against,
        probability=rounded(found.probability),
        score=rounded(found.score),
        bias=rounded(found.bias),
        n_words=found.n_words,
        method=found.method,
        reasons=reasons_of(found),
    )
