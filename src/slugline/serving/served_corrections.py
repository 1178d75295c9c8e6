"""Validates, stores, lists and approves corrections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, ParamSpec, TypeVar

from msgspec import UNSET

from slugline.base.wording import nearest
from slugline.corpus.documents import Topic
from slugline.corpus.misspellings import find_similar_name
from slugline.corrections.summary import CorrectionSummary, find_reasons, summarize
from slugline.errors import DataError, Parameter
from slugline.labels.store import Correction, LabelStore
from slugline.model.decision import Decision
from slugline.serving.replies import CorrectionReply, round_number
from slugline.serving.requests import CorrectionRequest
from slugline.serving.served_models import ServedModel
from slugline.serving.service_errors import MisspeltTopicError

_P = ParamSpec("_P")
_T = TypeVar("_T")

# The corrections ----------------------------------------------------------------------------------

# Maximum number of corrected texts to classify for a summary; the earliest are used.
_MAX_ASKED = 1000


class PendingCorrection(NamedTuple):
    """A correction awaiting approval, and reasons to check it closely."""

    row: Correction
    reasons: Sequence[str]


class ServedCorrections:
    """A correction store, accessed off the event loop with `run`.

    Parameters
    ----------
    store : LabelStore
        Closed by `close`.
    """

    def __init__(self, store: LabelStore) -> None:
        self.store = store
        # A separate thread, so that waiting for the disk or another process doesn't block answers.
        self._thread = ThreadPoolExecutor(1, "slugline-store")
        # Cached summaries by model, each with the state it was computed from.
        self._summaries: dict[str, tuple[object, CorrectionSummary]] = {}

    @property
    def problem(self) -> str | None:
        """Why the store is currently unusable, or None."""
        return self.store.problem

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a function that accesses the store and return its result."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))

    async def approve(self, ids: Sequence[int], person: str | None) -> int:
        """Approve corrections and return the number found."""
        corrections = await self.run(self.store.get_corrections, ids)
        for correction in corrections:
            await self.run(self.store.approve_correction, correction.id, person)
        return len(corrections)

    async def latest(self, n: int, before: int | None = None) -> list[Correction]:
        """Return the latest `n` corrections, or the latest `n` with ids below `before`."""
        return await self.run(_latest, self.store, n, before)

    async def pending(self, n: int) -> tuple[list[PendingCorrection], int]:
        """Return the latest `n` corrections awaiting approval, and the total number."""
        ids: list[int] = await self.run(self.store.pending_corrections)
        corrections = await self.run(self.store.get_corrections, ids[: -n - 1 : -1])
        reasons = await self.run(find_reasons, self.store, corrections)
        return [PendingCorrection(each, reasons[each.id]) for each in corrections], len(ids)

    def summarize(self, model: ServedModel) -> CorrectionSummary | None:
        """Return a summary of a model's corrections, or None if there are none.

        Slow for many corrections. Cached until the corrections or the model change.
        """
        n_corrections = self.store.count_corrections(0, model.name)
        if not n_corrections:
            return None
        state = self.store.last_correction(), n_corrections, model.digest
        if model.name not in self._summaries or self._summaries[model.name][0] != state:
            rows = (row for row in self.store.corrections() if row.model == model.name)
            summary = summarize(rows, model.fitted, max_asked=_MAX_ASKED)
            self._summaries[model.name] = state, summary
        return self._summaries[model.name][1]

    def close(self) -> None:
        """Shut down the thread and close the store."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self.store.close()


def _latest(store: LabelStore, n: int, before: int | None) -> list[Correction]:
    last = store.last_correction()
    end = last + 1 if before is None else min(before, last + 1)
    latest: list[Correction] = []
    while end > 1 and len(latest) < n:
        start = max(0, end - 1 - n)
        page = store.corrections(after=start, max_rows=end - 1 - start)
        rows = [row for row in page if row.id < end]
        latest += reversed(rows)
        end = start + 1
    return latest[:n]


# One correction -----------------------------------------------------------------------------------


# Minimum similarity, from 0 to 1, at which a new topic may be a misspelling of a known one.
_SIMILARITY = 0.8


def store_correction(
    store: LabelStore,
    model: ServedModel,
    request: CorrectionRequest,
    decision: Decision,
    person: str | None = None,
    *,
    is_approved: bool = False,
) -> CorrectionReply:
    """Store a correction on disk and return it.

    It is credited to `person`, the name of a token, or else to the name in the request. With
    `is_approved`, it counts immediately.

    Raises
    ------
    DataError : if the text is blank or too long, or if a topic is invalid or is new but resembles
        a known one.
    StoreError : if the file can't be written; nothing is stored.
    """
    is_new_by_topic = _check_correction(store, model, request)
    topics, guess = tuple(is_new_by_topic), decision.top[0][0]
    multilabel = model.fitted.multilabel
    answer = decision.topics or (guess,) * bool(decision.reason)
    correction = store.add_correction(
        text=request.text,
        topic=tuple(map(str, topics)) if multilabel else str(topics[0]),
        answer=tuple(map(str, answer)) if multilabel else str(guess),
        probability=decision.probability,
        model=model.name,
        digest=model.digest,
        who=person or request.who,
        is_named=person is not None,
        is_approved=is_approved,
    )
    return CorrectionReply(
        id=correction.id,
        model=model.name,
        version=model.digest,
        topic=UNSET if multilabel else topics[0],
        topics=list(topics) if multilabel else UNSET,
        is_new=any(is_new_by_topic.values()),
        answer=list(answer) if multilabel else guess,
        probability=round_number(decision.probability),
        at=correction.at,
    )


def _check_correction(
    store: LabelStore, model: ServedModel, request: CorrectionRequest
) -> dict[Topic, bool]:
    """Validate a correction; return its topics, each with True if it is new."""
    if not request.text.strip():
        raise DataError(Parameter("text"), " is empty; send the text to correct.")
    if model.fitted.columns:
        raise DataError(
            f"{model.name} uses columns in addition to the text, which a correction doesn't store; "
            "correct the training table and train the model again."
        )
    is_new_by_topic = dict(_find_topic(model, topic) for topic in _right_topics(model, request))
    layout = model.fitted.layout
    form = None if layout is None else layout.topic_form
    for topic, is_new in is_new_by_topic.items():
        if form is not None and form.splits(str(topic)):
            raise DataError(
                f"topic {str(topic)[:100]!r} contains {form.separator or ' '!r}, which separates "
                f"topics in the data of {model.name}; use another name."
            )
        if is_new and not request.is_new:
            _check_spelling(model, str(topic), store)
    return is_new_by_topic


def _right_topics(model: ServedModel, request: CorrectionRequest) -> list[Topic]:
    """Return the correct topics; raise DataError if they don't match the kind of model."""
    topic, topics = request.topic, request.topics
    if model.fitted.multilabel:
        if isinstance(topics, list) and topic is UNSET:
            return topics
        raise DataError(
            f"{model.name} is a multi-label model; send all correct topics as ",
            Parameter("topics"),
            ", a list that may be empty.",
        )
    if topic is not UNSET and topics is UNSET:
        return [topic]
    raise DataError(
        f"{model.name} assigns one topic per text; send it as ", Parameter("topic"), "."
    )


def _check_spelling(model: ServedModel, topic: str, store: LabelStore) -> None:
    """Raise MisspeltTopicError if a new topic's name resembles a known one.

    Known topics are the model's and those in earlier corrections.
    """
    corrected = store.corrected_topics(model.name)
    if topic in corrected:
        return
    names = [name for name in model.fitted.topics.names if isinstance(name, str)]
    names += sorted(corrected)
    similar_topic = find_similar_name(topic, names) or nearest(topic, names, _SIMILARITY)
    if similar_topic:
        raise MisspeltTopicError(topic, model.name, similar_topic)


def _find_topic(model: ServedModel, topic: Topic) -> tuple[Topic, bool]:
    """Return a topic in the model's spelling, and True if it is new to the model.

    Raises
    ------
    DataError : if it is empty, or a word for a model with numeric topics.
    """
    names = model.fitted.topics.names
    known = next((name for name in names if str(name) == str(topic).strip()), None)
    if known is not None:
        return known, False
    if isinstance(names[0], str):
        name = " ".join(str(topic).split())  # on one line for lists and tables
        if not name:
            raise DataError(Parameter("topic"), " is empty; send the correct topic.")
        return name, True
    if isinstance(topic, str):
        raise DataError(
            f"the topics of {model.name} are numbers, but ",
            Parameter("topic"),
            f" is {topic[:100]!r}.",
        )
    return topic, True
