"""Summarize corrections, and find reasons to doubt pending ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from slugline.base.checks import check_whole, short_repr
from slugline.base.wording import counted
from slugline.corpus.topic_sets import join_topics

if TYPE_CHECKING:
    from slugline.corpus.documents import Topic
    from slugline.corpus.topic_sets import TopicSet
    from slugline.labels.store import Correction, LabelStore
    from slugline.model.fitted import Fitted


# Maximum number of texts, and of their characters, to answer at a time.
_BATCH_TEXTS, _BATCH_CHARACTERS = 500, 4 << 20
# Maximum number of distinct keys to count; the others are ignored to bound memory.
_MAX_KEYS = 100_000


class Confusion(NamedTuple):
    """Number of times a model predicted `answer` instead of `topic`.

    In multi-label data, "" stands for no topic if a topic was only added or only missing.
    """

    answer: str
    topic: str
    n: int


class UnresolvedCorrections(NamedTuple):
    """Number of texts corrected to a topic, and number that a model still gets wrong."""

    topic: str
    n_asked: int
    n_wrong: int


@dataclass(frozen=True)
class CorrectionSummary:
    """Counts of corrections, each mapping or tuple in descending order.

    Attributes
    ----------
    n_corrections : int
    by_topic : dict of str to int
        Number of corrections to each topic.
    pairs : tuple of Confusion
    n_confirmed : int
        Number of corrections that confirm the answer.
    by_person : dict of str to int
        Number of corrections by each person; "" without a name.
    first, last : str or None
        Time of the first and the last correction, ISO 8601 in UTC.
    new_topics : tuple of str
        Topics unknown to the model; empty without a model.
    still_wrong : tuple of UnresolvedCorrections
        The model's current errors by right topic and, in multi-label data, by predicted topic;
        empty without a model.
    n_asked, n_still_wrong : int
        Number of corrected texts answered by the model, and number that are still wrong.
    """

    n_corrections: int
    by_topic: dict[str, int]
    pairs: tuple[Confusion, ...]
    n_confirmed: int
    by_person: dict[str, int]
    first: str | None
    last: str | None
    new_topics: tuple[str, ...] = ()
    still_wrong: tuple[UnresolvedCorrections, ...] = ()
    n_asked: int = 0
    n_still_wrong: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return asdict(self) | {
            "pairs": [pair._asdict() for pair in self.pairs],
            "new_topics": list(self.new_topics),
            "still_wrong": [counts._asdict() for counts in self.still_wrong],
        }


def summarize(
    corrections: Iterable[Correction], fitted: Fitted | None = None, *, max_asked: int = 2000
) -> CorrectionSummary:
    """Return a summary of corrections, in one pass and in bounded memory.

    Parameters
    ----------
    corrections : iterable of Correction
    fitted : Fitted, optional
        A model to answer the first `max_asked` corrected texts.
    """
    check_whole("max_asked", max_asked, 0)
    topics, people, pairs = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    asked_by_topic, wrong_by_topic = Counter[str](), Counter[str]()
    n = n_confirmed = n_asked = n_still_wrong = 0
    first = last = None
    for batch in _batches(corrections):
        n, first, last = n + len(batch), first or batch[0].at, batch[-1].at
        for correction in batch:
            given, correct = _names(correction.answer), _names(correction.topic)
            _count(people, [correction.who or ""])
            _count(topics, correct)
            _count(pairs, _differences(given, correct))
            n_confirmed += correction.is_confirmation
        if fitted is None or n_asked == max_asked:
            continue
        sample = batch[: max_asked - n_asked]
        n_asked += len(sample)
        answers = fitted.answers([correction.text for correction in sample])
        for correction, answer in zip(sample, answers, strict=True):
            correct, current = _names(correction.topic), _names(answer)
            n_still_wrong += current != correct
            for topic in correct | current if fitted.multilabel else correct:
                asked_by_topic[topic] += 1
                wrong_by_topic[topic] += topic in correct ^ current
    known_topics = topics if fitted is None else {str(name) for name in fitted.topics.names}
    still_wrong = [
        UnresolvedCorrections(topic, count, wrong_by_topic[topic])
        for topic, count in asked_by_topic.items()
    ]
    return CorrectionSummary(
        n_corrections=n,
        by_topic=_sort_by_count(topics),
        pairs=tuple(Confusion(a, b, m) for (a, b), m in _sort_by_count(pairs).items()),
        n_confirmed=n_confirmed,
        by_person=_sort_by_count(people),
        first=first,
        last=last,
        new_topics=tuple(sorted(topics.keys() - known_topics)),
        still_wrong=tuple(sorted(still_wrong, key=lambda entry: (-entry.n_wrong, entry.topic))),
        n_asked=n_asked,
        n_still_wrong=n_still_wrong,
    )


def _differences(given: set[str], correct: set[str]) -> list[tuple[str, str]]:
    """Return pairs of a wrong and a right topic; "" stands for no topic."""
    wrong, missing = [*(given - correct)], [*(correct - given)]
    if len(wrong) == len(missing) == 1:
        return [(wrong[0], missing[0])]
    return [*((name, "") for name in wrong), *(("", name) for name in missing)]


def _names(topic: Topic | TopicSet) -> set[str]:
    return {*map(str, topic if isinstance(topic, tuple) else (topic,))}


def _count(counter: Counter[Any], keys: Iterable[Any]) -> None:
    """Count each key once; ignore new keys beyond the limit."""
    for key in keys:
        if key in counter or len(counter) < _MAX_KEYS:
            counter[key] += 1


def _sort_by_count(counter: Counter[Any]) -> dict[Any, int]:
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _batches(corrections: Iterable[Correction]) -> Iterator[list[Correction]]:
    """Yield corrections in batches of limited total length."""
    batch: list[Correction] = []
    n_characters = 0
    for correction in corrections:
        batch.append(correction)
        n_characters += len(correction.text)
        if len(batch) == _BATCH_TEXTS or n_characters > _BATCH_CHARACTERS:
            yield batch
            batch, n_characters = [], 0
    if batch:
        yield batch


# Approval -----------------------------------------------------------------------------------------

# A correction contradicts the model if its answer was at least this probable.
_SURE = 0.9
# Number of texts looked up in the store at a time.
_BATCH = 500


def find_reasons(
    store: LabelStore, corrections: Sequence[Correction]
) -> dict[int, tuple[str, ...]]:
    """Return sentences with reasons to doubt each correction, by number.

    A correction is doubtful if the model was confident in its answer, or if someone else corrected
    the same text to another topic.
    """
    texts = list(dict.fromkeys(each.text for each in corrections))
    others: defaultdict[tuple[str, str], list[Correction]] = defaultdict(list)
    for start in range(0, len(texts), _BATCH):
        for each in store.corrections_of(texts[start : start + _BATCH]):
            others[each.text, each.model].append(each)
    return {each.id: (*_reasons(each, others[each.text, each.model]),) for each in corrections}


def _reasons(correction: Correction, others: Iterable[Correction]) -> Iterable[str]:
    if correction.probability >= _SURE and not correction.is_confirmation:
        yield (
            f"the model was {min(99, round(100 * correction.probability))} % sure of "
            f"{short_repr(join_topics(correction.answer))}"
        )
    for other in others:
        if other.who != correction.who and _names(other.topic) != _names(correction.topic):
            person = other.who or "somebody else"
            yield f"{person} assigned {short_repr(join_topics(other.topic))} to the same text"


def describe_pending(n: int) -> str:
    """Return, for example, "2 corrections wait for approval".

    >>> describe_pending(1)
    '1 correction waits for approval'
    """
    return f"{counted(n, 'correction')} {'waits' if n == 1 else 'wait'} for approval"
