"""Corrections: made on the first tab, and listed on a tab of their own."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from slugline.corpus.documents import Topic
from slugline.corrections.store import Correction, CorrectionStore
from slugline.corrections.summary import (
    Confusion,
    CorrectionSummary,
    UnresolvedCorrections,
    summarize,
)
from slugline.serving.http.api import Correct, CorrectionReply, keep_correction, store_of
from slugline.serving.http.bodies import Problem
from slugline.serving.http.guard import problem_of
from slugline.serving.http.settings import State, state_of
from slugline.serving.model import ServedModel
from slugline.serving.page.classify import check_text, classify_page, find_answer
from slugline.serving.page.page import (
    chosen_model,
    in_full,
    link,
    page,
    part,
    read_form,
    wants_part,
)

__all__ = [
    "Summary",
    "Wrong",
    "correct",
    "show_corrections",
    "summary_of",
    "undo",
]


# What the corrections so far would change ---------------------------------------------------------

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
    still_wrong: list[UnresolvedCorrections]
    pairs: list[Confusion]
    new_topics: list[str]


_latest_summaries: WeakKeyDictionary[CorrectionStore, dict[str, tuple[_Rests, Summary]]] = (
    WeakKeyDictionary()
)


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
    kept = _latest_summaries.setdefault(store, {})
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


# Corrections: made on the first tab, and listed on a tab of their own -----------------------------

# Corrections on a page, and characters that are shown of each text.
_ON_A_PAGE, _LONGEST_TEXT = 50, 280
# Characters of who corrects, as in the API.
_LONGEST_NAME = 200
# What the list shows where no corrections are kept.
_NONE: dict[str, Any] = {"rows": [], "n_all": 0, "summary": None}


class Wrong(NamedTuple):
    """How far a correction has come.

    Attributes
    ----------
    text : str
    kept : CorrectionReply or None
        What is kept now.
    undone : bool
        Whether it was kept, and is so no longer.
    problem : str
        Why it is not kept; empty if nothing went wrong.
    """

    text: str
    kept: CorrectionReply | None = None
    undone: bool = False
    problem: str = ""


# Made and undone ----------------------------------------------------------------------------------


async def correct(request: Request) -> Response:
    """Keep a correction, and say so where it was made, or why it is not kept."""
    model = chosen_model(request)
    state = state_of(request)
    store_of(state)  # where none are kept, there is nothing to fill in again
    form = await read_form(request)
    text = form.get("text", "")
    try:
        kept = await keep_correction(request, _correction(form, model, state))
    except Exception as error:  # noqa: BLE001 - as the guard does
        problem = problem_of(error, request.scope)
        return await _shown(request, model, Wrong(text, problem=in_full(problem)), problem.status)
    return await _shown(request, model, Wrong(text, kept=kept))


async def undo(request: Request) -> Response:
    """Take a correction back; one that is already gone is no error."""
    model = chosen_model(request)
    state = state_of(request)
    store = store_of(state)
    form = await read_form(request)
    number = _number(form.get("id", ""))
    await state.ask_store(store.undo, number)
    if form.get("back") == "corrections":
        named = request.query_params.get("model")
        query = {"model": named} if named else {}
        return RedirectResponse(link("/corrections", query, undone=number), 303)
    return await _shown(request, model, Wrong(form.get("text", ""), undone=True))


def _correction(form: dict[str, str], model: ServedModel, state: State) -> Correct:
    """Return what a form says; Problem 422 if that can't be."""
    who = form.get("who", "").strip()
    if len(who) > _LONGEST_NAME:
        raise Problem(422, f"the name has more than {_LONGEST_NAME} characters; shorten it.")
    text, typed = form.get("text", ""), form.get("topic", "").strip()
    if not text.strip() or not typed:
        raise Problem(422, "a correction needs a text and its right topic.")
    check_text(state, text)
    return Correct(text=text, topic=_as_topic(typed, model), model=model.name, who=who or None)


def _as_topic(typed: str, model: ServedModel) -> Topic:
    """Return a topic as a model has it whose topics are numbers."""
    is_number = typed.isascii() and typed.removeprefix("-").isdecimal() and len(typed) < 19
    return int(typed) if is_number and isinstance(model.fitted.topics.names[0], int) else typed


async def _shown(request: Request, model: ServedModel, wrong: Wrong, status: int = 200) -> Response:
    """Return how far the correction has come: alone, or on a page with text and answer."""
    if wants_part(request):
        return part(request, "wrong.html.j2", status=status, wrong=wrong)
    found = await find_answer(state_of(request), model, wrong.text)
    return classify_page(request, model, wrong.text, found, status=status, wrong=wrong)


# Listed -------------------------------------------------------------------------------------------


async def show_corrections(request: Request) -> Response:
    """List corrections, the latest first, and say what they would change."""
    model = chosen_model(request)
    state = state_of(request)
    undone = request.query_params.get("undone", "")
    values = {
        "title": "Corrections",
        "undone": _number(undone) if undone else None,
        "learning": None if state.learner is None else await state.run(state.learner.state),
        **(_NONE if state.store is None else await _listed(request, model, state.store)),
    }
    return page(request, "corrections.html.j2", **values)


async def _listed(request: Request, model: ServedModel, store: CorrectionStore) -> dict[str, Any]:
    """Return what a page of the list shows, and on the first one what they would change."""
    state = state_of(request)
    before = request.query_params.get("before", "")
    number = _number(before) if before else None
    found: list[Correction] = await state.ask_store(_latest_corrections, store, number)
    return {
        "rows": found,
        "n_all": await state.ask_store(store.count),
        "older": found[-1].id if len(found) == _ON_A_PAGE and found[-1].id > 1 else None,
        "newer": number is not None,
        "longest": _LONGEST_TEXT,
        "summary": await state.run(summary_of, state, model) if number is None else None,
    }


def _latest_corrections(store: CorrectionStore, before: int | None) -> list[Correction]:
    """Return the corrections of a page, the latest first: those with numbers under `before`."""
    end = store.last() + 1 if before is None else min(before, store.last() + 1)
    found: list[Correction] = []
    while end > 1 and len(found) < _ON_A_PAGE:
        start = max(0, end - 1 - _ON_A_PAGE)
        rows = [row for row in store.rows(after=start, most=end - 1 - start) if row.id < end]
        found += reversed(rows)
        end = start + 1
    return found[:_ON_A_PAGE]


def _number(said: str) -> int:
    """Return the number of a correction; Problem 422 if it is none."""
    if not said.isascii() or not said.isdecimal() or len(said) > 18:
        raise Problem(422, f"{said[:100]!r} is not the number of a correction.")
    return int(said)
