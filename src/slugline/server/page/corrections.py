"""Corrections: made on the first tab, and listed on a tab of their own."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from slugline.corrections.correction import Correction
from slugline.corrections.store import CorrectionStore
from slugline.errors import SluglineError, StoreError
from slugline.labels import Topic
from slugline.served import ServedModel
from slugline.server.api import keep_correction, store_of
from slugline.server.messages import Correct, CorrectionReply
from slugline.server.page.change import summary_of
from slugline.server.page.classify import classify_page, find_answer
from slugline.server.page.forms import read_form, wants_part
from slugline.server.page.rendering import chosen_model, link, page, part
from slugline.server.problems import Problem
from slugline.server.state import state_of

__all__ = ["Wrong", "correct", "show_corrections", "undo"]

# Corrections on a page, and characters that are shown of each text.
_ON_A_PAGE, _LONGEST_TEXT = 50, 280
# Characters of who corrects, as in the API.
_LONGEST_NAME = 200


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
    store_of(state_of(request))  # where none are kept, there is nothing to fill in again
    form = await read_form(request)
    text = form.get("text", "")
    try:
        kept = await keep_correction(request, _correction(form, model))
    except Problem as problem:
        said = problem.detail[:1].upper() + problem.detail[1:]
        return await _shown(request, model, Wrong(text, problem=said), problem.status)
    except SluglineError as error:
        return await _shown(request, model, Wrong(text, problem=f"{error}"), 422)
    return await _shown(request, model, Wrong(text, kept=kept))


async def undo(request: Request) -> Response:
    """Take a correction back; one that is already gone is no error."""
    model = chosen_model(request)
    state = state_of(request)
    store = store_of(state)
    form = await read_form(request)
    number = _number(form.get("id", ""))
    try:
        await state.ask_store(store.undo, number)
    except StoreError as error:
        raise Problem(503, f"{error}", headers={"Retry-After": "10"}) from error
    if form.get("back") == "corrections":
        query = {
            name: request.query_params[name] for name in ("model",) if name in request.query_params
        }
        return RedirectResponse(link("/corrections", query, undone=number), 303)
    return await _shown(request, model, Wrong(form.get("text", ""), undone=True))


def _correction(form: dict[str, str], model: ServedModel) -> Correct:
    """Return what a form says; Problem 422 if that can't be."""
    who = form.get("who", "").strip()
    if len(who) > _LONGEST_NAME:
        raise Problem(422, f"the name has more than {_LONGEST_NAME} characters; shorten it.")
    text, typed = form.get("text", ""), form.get("topic", "").strip()
    if not text.strip() or not typed:
        raise Problem(422, "a correction needs a text and its right topic.")
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
    values: dict[str, Any] = {
        "title": "Corrections",
        "summary": None,
        "undone": _number(undone) if undone else None,
        "learning": None if state.learner is None else await state.run(state.learner.state),
    }
    if state.store is None:
        return page(request, "corrections.html.j2", rows=[], n_all=0, **values)
    before = request.query_params.get("before", "")
    number = _number(before) if before else None
    if number is None:
        values["summary"] = await state.run(summary_of, state, model)
    found: list[Correction] = await state.ask_store(_latest, state.store, number)
    n_all = await state.ask_store(state.store.count)
    older = found[-1].id if len(found) > _ON_A_PAGE - 1 and found[-1].id > 1 else None
    return page(
        request,
        "corrections.html.j2",
        rows=found,
        n_all=n_all,
        older=older,
        newer=number is not None,
        longest=_LONGEST_TEXT,
        **values,
    )


def _latest(store: CorrectionStore, before: int | None) -> list[Correction]:
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
