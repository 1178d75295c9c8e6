"""Corrections: the form on the first tab, and the tab that lists them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import UNSET
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from slugline.corpus.documents import Topic
from slugline.corrections.store import Correction, CorrectionStore
from slugline.corrections.summary import CorrectionSummary, summarize
from slugline.serving.http import api
from slugline.serving.http.api import corrections_store, keep_correction, parse_id
from slugline.serving.http.bodies import HttpProblem
from slugline.serving.http.guard import to_problem
from slugline.serving.http.state import AppState, app_state
from slugline.serving.messages import MOST_TOPICS, CorrectionReply, CorrectionRequest
from slugline.serving.model import ServedModel
from slugline.serving.page.classify import answer_for, check_text, classify_page
from slugline.serving.page.page import chosen_model, link, page, read_form, to_sentence, wants_part

# Their effect -------------------------------------------------------------------------------------

# Corrected texts that the model is asked about, the first ones; rows of each table.
_MOST_ASKED, _N_SHOWN = 1000, 8


def latest_summary(state: AppState, model: ServedModel) -> CorrectionSummary | None:
    """Return the summary of a model's corrections; None if there are none.

    It is slow for many corrections, so it is cached until there are others.
    """
    store = state.store
    if store is None:
        return None
    # What a summary rests on: the last number, how many there are, and the version of the model.
    basis = store.last(), store.count(0, model.name), model.digest
    if not basis[1]:
        return None
    if model.name not in state.summaries or state.summaries[model.name][0] != basis:
        rows = (row for row in store.rows() if row.model == model.name)
        state.summaries[model.name] = basis, summarize(rows, model.fitted, most=_MOST_ASKED)
    return state.summaries[model.name][1]


# The tab ------------------------------------------------------------------------------------------

# Corrections on a page, and characters that are shown of each text.
_ON_A_PAGE, _LONGEST_TEXT = 50, 280
# Corrections that wait for approval, above the others.
_MOST_HELD = 20
# Characters of who corrects, as in the API.
_LONGEST_NAME = 200
# What the list shows where no corrections are kept.
_NOT_HELD: dict[str, Any] = {"held": [], "n_held": 0}
_NONE: dict[str, Any] = {"rows": [], "n_all": 0, "summary": None, **_NOT_HELD}


class CorrectionForm(NamedTuple):
    """State of the form: a correction that was saved or undone, or why it was not saved."""

    text: str
    topic: str = ""
    topics: Sequence[str] = ()
    saved: CorrectionReply | None = None
    undone: bool = False
    problem: str = ""


# Made and undone ---------------------------------------------------------------------------------


async def correct(request: Request) -> Response:
    """Save a correction, and show it in the form, or why it was not saved."""
    model = chosen_model(request)
    state = app_state(request)
    corrections_store(state)  # where none are kept, there is nothing to fill in again
    form = await read_form(request, n_more=MOST_TOPICS)
    text = form.get("text", "")
    try:
        reply = await keep_correction(request, _correction(form, model, state))
    except Exception as error:  # noqa: BLE001 - as the guard does
        problem = to_problem(error, request.scope)
        message = to_sentence(problem).replace("say so (`is_new`)", "tick the box below")
        return await _show_form(
            *(request, model),
            CorrectionForm(text, form.get("topic", ""), _topics(form), problem=message),
            problem.status,
        )
    return await _show_form(request, model, CorrectionForm(text, saved=reply))


async def undo(request: Request) -> Response:
    """Undo corrections; one that is already gone is no error."""
    model = chosen_model(request)
    state = app_state(request)
    store = corrections_store(state)
    form = await read_form(request, n_more=_MOST_HELD)
    numbers = _ids(form)
    for number in numbers:
        await state.ask_store(store.undo, number)
    if form.get("back") == "corrections":
        return _back_to_list(request, undone=numbers[0], n=len(numbers))
    return await _show_form(request, model, CorrectionForm(form.get("text", ""), undone=True))


async def approve(request: Request) -> Response:
    """Approve corrections, and show the list again."""
    chosen_model(request)
    form = await read_form(request, n_more=_MOST_HELD)
    numbers = _ids(form)
    n_approved = await api.approve(request, numbers)
    return _back_to_list(request, approved=numbers[0], n=n_approved)


def _ids(form: ImmutableMultiDict[str, str]) -> list[int]:
    """Return the numbers of a form; HttpProblem 422 if one is none, or there are none."""
    return [parse_id(number, "`id`") for number in form.getlist("id") or [""]]


def _back_to_list(request: Request, **done: int) -> Response:
    model_name = request.query_params.get("model")
    query = {"model": model_name} if model_name else {}
    return RedirectResponse(link("/corrections", query, **done), 303)


def _topics(form: ImmutableMultiDict[str, str]) -> list[str]:
    """Return the right topics where there may be several."""
    return [topic for topic in map(str.strip, form.getlist("topics")) if topic]


def _correction(
    form: ImmutableMultiDict[str, str], model: ServedModel, state: AppState
) -> CorrectionRequest:
    """Return the correction of a form; HttpProblem 422 if it is invalid."""
    who = form.get("who", "").strip()
    if len(who) > _LONGEST_NAME:
        raise HttpProblem(422, f"the name has more than {_LONGEST_NAME} characters; shorten it.")
    text, typed = form.get("text", ""), form.get("topic", "").strip()
    several = model.fitted.multilabel
    if not text.strip() or not (typed or several):
        raise HttpProblem(422, "a correction needs a text and its right topic.")
    check_text(state, text)
    return CorrectionRequest(
        text=text,
        topic=UNSET if several else _parse_topic(typed, model),
        topics=[_parse_topic(topic, model) for topic in _topics(form)] if several else UNSET,
        model=model.name,
        who=who or None,
        is_new="is_new" in form,
    )


def _parse_topic(typed: str, model: ServedModel) -> Topic:
    """Return a topic as an integer for a model whose topics are integers."""
    is_number = typed.isascii() and typed.removeprefix("-").isdecimal() and len(typed) < 19
    return int(typed) if is_number and isinstance(model.fitted.topics.names[0], int) else typed


async def _show_form(
    request: Request, model: ServedModel, correction: CorrectionForm, status: int = 200
) -> Response:
    """Return the form: alone for a script, else on the page with text and answer."""
    answer = await answer_for(request, model, correction.text)
    if wants_part(request):
        values = {"correction": correction, "answer": answer}
        return page(request, "correction.html.j2", status=status, **values)
    return classify_page(
        request, model, correction.text, answer, status=status, correction=correction
    )


# Listed ------------------------------------------------------------------------------------------


async def show_corrections(request: Request) -> Response:
    """List corrections, the latest first, with a summary."""
    model = chosen_model(request)
    state = app_state(request)
    done = {
        name: parse_id(said, f"`{name}`")
        for name in ("undone", "approved", "n")
        if (said := request.query_params.get(name))
    }
    values = {
        "title": "Corrections",
        "done": done,
        "learning": None if state.learner is None else await state.run(state.learner.state),
        **(_NONE if state.store is None else await _list_values(request, model, state.store)),
    }
    return page(request, "corrections.html.j2", **values)


async def _list_values(
    request: Request, model: ServedModel, store: CorrectionStore
) -> dict[str, Any]:
    """Return the values of a page of the list; the first one has the summary."""
    state = app_state(request)
    before = request.query_params.get("before", "")
    number = parse_id(before, "`before`") if before else None
    rows: list[Correction] = await state.ask_store(_latest_corrections, store, number)
    return {
        "rows": rows,
        **(await _held_values(request, store) if number is None else _NOT_HELD),
        "n_all": await state.ask_store(store.count),
        "older": rows[-1].id if len(rows) == _ON_A_PAGE and rows[-1].id > 1 else None,
        "newer": number is not None,
        "longest": _LONGEST_TEXT,
        "n_shown": _N_SHOWN,
        "summary": await state.run(latest_summary, state, model) if number is None else None,
    }


class HeldCorrection(NamedTuple):
    """A correction that waits for approval, the reasons, and whether this person approves it."""

    row: Correction
    reasons: list[str]
    is_own: bool


async def _held_values(request: Request, store: CorrectionStore) -> dict[str, Any]:
    """Return the latest corrections that wait for approval, and how many do."""
    state = app_state(request)
    doubts = await state.ask_store(store.held)
    numbers = sorted(doubts, reverse=True)[:_MOST_HELD]
    rows: list[Correction] = await state.ask_store(store.get, numbers)
    person = request.state.person
    held = [
        HeldCorrection(row, [*map(str, doubts[row.id])], row.is_named and row.who == person)
        for row in rows
    ]
    return {
        "held": held,
        "n_held": len(doubts),
        "may_approve": api.may_approve(request),
        "others": [each.row.id for each in held if not each.is_own],
    }


def _latest_corrections(store: CorrectionStore, before: int | None) -> list[Correction]:
    """Return the corrections of a page, the latest first: those with numbers under `before`."""
    end = store.last() + 1 if before is None else min(before, store.last() + 1)
    latest: list[Correction] = []
    while end > 1 and len(latest) < _ON_A_PAGE:
        start = max(0, end - 1 - _ON_A_PAGE)
        rows = [row for row in store.rows(after=start, most=end - 1 - start) if row.id < end]
        latest += reversed(rows)
        end = start + 1
    return latest[:_ON_A_PAGE]
