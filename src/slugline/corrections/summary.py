"""Summary of corrections: topics, people, and what a model answers to the corrected texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from slugline.base.checks import check_whole

if TYPE_CHECKING:
    from slugline.corpus.documents import Topic
    from slugline.corpus.topic_sets import TopicSet
    from slugline.corrections.store import Correction
    from slugline.model.fitted import Fitted


# Texts that the model is asked about at a time, and their characters.
_TEXTS, _CHARACTERS = 500, 4 << 20
# Different pairs of topics, and people, that are told apart; kinds that come later are left out.
_MOST_KINDS = 100_000


class Confusion(NamedTuple):
    """How often a model answered one topic where another was right; of several, "" for none."""

    answer: str
    topic: str
    n: int


class UnresolvedCorrections(NamedTuple):
    """How many texts corrected to a topic a model still answers wrongly."""

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
        Corrections whose topic is the answer that was given.
    by_who : dict of str to int
        Number of corrections by each person; "" without a name.
    first, last : str or None
        Time of the first and the last correction, ISO 8601 in UTC.
    new_topics : tuple of str
        Topics that the model doesn't know; empty without a model.
    still_wrong : tuple of UnresolvedCorrections
        The model's answers now, by each right topic, or topic of several that it still gives;
        empty without a model.
    n_asked, n_still_wrong : int
        Number of corrected texts that the model answered, and that it still answers wrongly.
    """

    n_corrections: int
    by_topic: dict[str, int]
    pairs: tuple[Confusion, ...]
    n_confirmed: int
    by_who: dict[str, int]
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
    corrections: Iterable[Correction], fitted: Fitted | None = None, *, most: int = 2000
) -> CorrectionSummary:
    """Return a summary of corrections, in one pass and in bounded memory.

    Parameters
    ----------
    corrections : iterable of Correction
    fitted : Fitted, optional
        A model that answers the first `most` of the corrected texts.
    """
    check_whole("most", most, 0)
    topics, who, pairs = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    n_answered, n_wrong = Counter[str](), Counter[str]()
    n = n_confirmed = n_asked = n_still_wrong = 0
    first = last = None
    several = fitted is not None and fitted.multilabel
    for part in _batches(corrections):
        n, first, last = n + len(part), first or part[0].at, part[-1].at
        for correction in part:
            answered, right = _names(correction.answer), _names(correction.topic)
            _count(who, [correction.who or ""])
            _count(topics, right)
            _count(pairs, _differences(answered, right))
            n_confirmed += answered == right
        sample = [] if fitted is None else part[: most - n_asked]
        n_asked += len(sample)
        texts = [correction.text for correction in sample]
        answers = fitted.answers(texts) if fitted is not None and texts else []
        for correction, answer in zip(sample, answers, strict=True):
            right, now = _names(correction.topic), _names(answer)
            n_still_wrong += now != right
            for topic in right | now if several else right:
                n_answered[topic] += 1
                n_wrong[topic] += topic in right ^ now
    known_topics = topics if fitted is None else {str(name) for name in fitted.topics.names}
    still = [UnresolvedCorrections(topic, m, n_wrong[topic]) for topic, m in n_answered.items()]
    return CorrectionSummary(
        n_corrections=n,
        by_topic=_sort_by_count(topics),
        pairs=tuple(Confusion(a, b, m) for (a, b), m in _sort_by_count(pairs).items()),
        n_confirmed=n_confirmed,
        by_who=_sort_by_count(who),
        first=first,
        last=last,
        new_topics=tuple(sorted(topics.keys() - known_topics)),
        still_wrong=tuple(sorted(still, key=lambda entry: (-entry.n_wrong, entry.topic))),
        n_asked=n_asked,
        n_still_wrong=n_still_wrong,
    )


def _differences(answered: set[str], right: set[str]) -> list[tuple[str, str]]:
    """Return the topics that were answered, and those that are right instead; "" for none."""
    wrong, missing = [*(answered - right)], [*(right - answered)]
    if len(wrong) == len(missing) == 1:
        return [(wrong[0], missing[0])]
    return [*((name, "") for name in wrong), *(("", name) for name in missing)]


def _names(topic: Topic | TopicSet) -> set[str]:
    return {*map(str, topic if isinstance(topic, tuple) else (topic,))}


def _count(counter: Counter[Any], keys: Iterable[Any]) -> None:
    """Count one more of each; kinds beyond the limit are left out, to bound the memory."""
    for key in keys:
        if key in counter or len(counter) < _MOST_KINDS:
            counter[key] += 1


def _sort_by_count(counter: Counter[Any]) -> dict[Any, int]:
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _batches(corrections: Iterable[Correction]) -> Iterator[list[Correction]]:
    """Yield corrections in batches of limited total length."""
    part: list[Correction] = []
    n_characters = 0
    for correction in corrections:
        part.append(correction)
        n_characters += len(correction.text)
        if len(part) == _TEXTS or n_characters > _CHARACTERS:
            yield part
            part, n_characters = [], 0
    if part:
        yield part
