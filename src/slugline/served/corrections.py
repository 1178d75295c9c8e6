"""Corrections of what a served model answered."""

from __future__ import annotations

from slugline.corrections.store import CorrectionStore
from slugline.errors import DataError
from slugline.labels import Topic
from slugline.routing import Route
from slugline.served.messages import Correct, CorrectionReply
from slugline.served.model import ServedModel
from slugline.served.results import rounded

__all__ = ["keep", "known_topic"]


def keep(
    store: CorrectionStore, model: ServedModel, asked: Correct, route: Route
) -> CorrectionReply:
    """Keep a correction, and return what is kept: it is on disk then.

    Parameters
    ----------
    store : CorrectionStore
    model : ServedModel
    asked : Correct
    route : Route
        What the model answers to the text.

    Raises
    ------
    DataError : if the text is blank or too long to be kept, or the topic can't be one of the
        model's.
    StoreError : if the file can't be written; nothing is kept then.
    """
    if not asked.text.strip():
        raise DataError("`text` is blank, and teaches nothing; give the text that was answered.")
    topic, is_new = known_topic(model, asked.topic)
    kept = store.add(
        text=asked.text,
        topic=topic,
        answer=route.top[0][0],
        probability=route.probability,
        model=model.name,
        digest=model.digest,
        who=asked.who,
    )
    return CorrectionReply(
        id=kept.id,
        model=model.name,
        version=model.digest,
        topic=topic,
        is_new=is_new,
        answer=kept.answer,
        probability=rounded(route.probability),
        at=kept.at,
    )


def known_topic(model: ServedModel, topic: Topic) -> tuple[Topic, bool]:
    """Return a topic as the model has it, and whether it is a new one.

    Raises
    ------
    DataError : if it is empty, or a word where the model's topics are numbers.
    """
    names = model.fitted.topics.names
    same = next((name for name in names if str(name) == str(topic).strip()), None)
    if same is not None:
        return same, False
    if isinstance(names[0], str):
        name = " ".join(str(topic).split())  # of one line, as it stands in lists and tables
        if not name:
            raise DataError("`topic` is empty; give the right topic.")
        return name, True
    if isinstance(topic, str):
        raise DataError(f"topics of {model.name} are numbers, and `topic` is {topic[:100]!r}.")
    return topic, True
