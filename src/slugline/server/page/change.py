"""What the corrections so far would change."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

from slugline.corrections.store import CorrectionStore
from slugline.corrections.summary import CorrectionSummary, StillWrong, Taken, summarize
from slugline.served import ServedModel
from slugline.server.state import State

__all__ = ["Summary", "summary_of"]

# Corrected texts that the model is asked about, the first ones; rows of each table.
_MOST_ASKED, _N_SHOWN = 1000, 8

#: The last number, how many there are, and the version of the model: what a summary rests on.
_Rests = tuple[int, int, str]


class Summary(NamedTuple):
    """What corrections say, shortened for the page.

    Attributes
    ----------
    n_asked, n_wrong : int
        Corrected texts that the model was asked about, and to which it still gives wrong answers.
    still_wrong : list of StillWrong
    pairs : list of Taken
    new_topics : list of str
    """

    n_asked: int
    n_wrong: int
    still_wrong: list[StillWrong]
    pairs: list[Taken]
    new_topics: list[str]


_latest: WeakKeyDictionary[CorrectionStore, dict[str, tuple[_Rests, Summary]]] = WeakKeyDictionary()


def summary_of(state: State, model: ServedModel) -> Summary | None:
    """Return what the corrections of a model's answers would change; None if there are none.

    It takes a while where they are many, and is kept until there are others.
    """
    store = state.store
    if store is None:
        return None
    rests = store.last(), store.count(0, model.name), model.digest
    if not rests[1]:
        return None
    kept = _latest.setdefault(store, {})
    if model.name not in kept or kept[model.name][0] != rests:
        rows = (row for row in store.rows() if row.model == model.name)
        kept[model.name] = rests, _short(summarize(rows, model.fitted, most=_MOST_ASKED))
    return kept[model.name][1]


def _short(found: CorrectionSummary) -> Summary:
    return Summary(
        n_asked=found.n_asked,
        n_wrong=found.n_still_wrong,
        still_wrong=[each for each in found.still_wrong if each.n_wrong][:_N_SHOWN],
        pairs=list(found.pairs[:_N_SHOWN]),
        new_topics=list(found.new_topics[:_N_SHOWN]),
    )
