"""Reasons to look closely at corrections that wait for approval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from slugline.base.checks import short_repr
from slugline.base.wording import counted
from slugline.corpus.topic_sets import as_sets, join_topics
from slugline.corrections.store import Correction, CorrectionStore

#: A correction contradicts the model if its answer was at least this probable.
SURE = 0.9
# Number of texts looked up in the store at a time.
_BATCH = 500


def find_reasons(
    store: CorrectionStore, corrections: Sequence[Correction]
) -> dict[int, tuple[str, ...]]:
    """Return reasons to doubt each correction, by number: sentences, or nothing.

    A correction is doubtful if the model was sure of its answer, or if somebody else's correction
    gives the same text another topic.
    """
    texts = list(dict.fromkeys(each.text for each in corrections))
    others: defaultdict[tuple[str, str], list[Correction]] = defaultdict(list)
    for start in range(0, len(texts), _BATCH):
        for each in store.of_texts(texts[start : start + _BATCH]):
            others[each.text, each.model].append(each)
    return {each.id: (*_reasons(each, others[each.text, each.model]),) for each in corrections}


def _reasons(correction: Correction, others: Iterable[Correction]) -> Iterable[str]:
    if correction.probability >= SURE and not correction.is_confirmation:
        yield (
            f"the model was {min(99, round(100 * correction.probability))} % sure of "
            f"{short_repr(join_topics(correction.answer))}"
        )
    for other in others:
        if other.who != correction.who and _topics(other) != _topics(correction):
            person = other.who or "somebody else"
            yield f"{person} assigned {short_repr(join_topics(other.topic))} to the same text"


def _topics(correction: Correction) -> set[str]:
    [topics] = as_sets([correction.topic])
    return {str(topic) for topic in topics}


def describe_pending(n: int) -> str:
    """Return, for example, "2 corrections wait for approval".

    >>> describe_pending(1)
    '1 correction waits for approval'
    """
    return f"{counted(n, 'correction')} {'waits' if n == 1 else 'wait'} for approval"
