"""Corrections: the form on the first tab, and the tab that lists them."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from slugline.corpus.documents import Topic
from slugline.errors import SluglineError
from slugline.serving.page.classify import CorrectionForm, classify_page, classify_text
from slugline.serving.page.rendering import (
    link,
    render_page,
    requested_model,
    to_sentence,
    wants_part,
    word_error,
)
from slugline.serving.request_checks import to_request
from slugline.serving.requests import MAX_TOPICS, CorrectionRequest
from slugline.serving.served_corrections import ServedCorrections
from slugline.serving.served_models import ServedModel
from slugline.serving.web.bodies import read_form
from slugline.serving.web.problems import HttpProblem, parse_id, to_problem
from slugline.serving.web.state import call_of, in_time, service_of

# The form -----------------------------------------------------------------------------------------

# Maximum number of pending corrections above the list.
_MAX_PENDING = 20


async def post_correction(request: Request) -> Response:
    """Save a correction and show the result, or the problem, in the form."""
    model = requested_model(request)
    _ = service_of(request).corrections  # raises if there is no form to return to
    form = await read_form(request, n_more=MAX_TOPICS)
    text = form.get("text", "")
    try:
        correction = _read_correction(form, model)
        reply = await in_time(request, service_of(request).correct(correction, call_of(request)))
    except Exception as error:  # noqa: BLE001 - like the guard
        problem = _form_problem(error, request)
        failed = CorrectionForm(
            text=text,
            topic=form.get("topic", ""),
            topics=_topics(form),
            problem=to_sentence(problem),
        )
        return await _show_form(request, model, failed, problem.status)
    return await _show_form(request, model, CorrectionForm(text, saved=reply))


def _form_problem(error: Exception, request: Request) -> HttpProblem:
    """Return the problem to show above the form."""
    problem = to_problem(error, request.scope)
    if isinstance(error, SluglineError):
        return HttpProblem(problem.status, word_error(error))
    return problem


async def post_undo(request: Request) -> Response:
    """Undo corrections, ignoring any already undone."""
    model = requested_model(request)
    corrections = service_of(request).corrections
    form = await read_form(request, n_more=_MAX_PENDING)
    ids = _ids(form)
    for each in ids:
        await corrections.run(corrections.store.undo_correction, each, call_of(request).person)
    if form.get("back") == "corrections":
        return _back_to_list(request, undone=ids[0], n=len(ids))
    return await _show_form(request, model, CorrectionForm(form.get("text", ""), undone=True))


async def post_approvals(request: Request) -> Response:
    """Approve corrections and show the list again."""
    requested_model(request)
    form = await read_form(request, n_more=_MAX_PENDING)
    ids = _ids(form)
    n_approved = await service_of(request).approve_corrections(ids, call_of(request))
    return _back_to_list(request, approved=ids[0], n=n_approved)


def _ids(form: ImmutableMultiDict[str, str]) -> list[int]:
    """Return the ids in a form; HttpProblem 422 if one is invalid or there are none."""
    return [parse_id(value, "`id`") for value in form.getlist("id") or [""]]


def _back_to_list(request: Request, **query: int) -> Response:
    model_name = request.query_params.get("model")
    model_query = {"model": model_name} if model_name else {}
    return RedirectResponse(link("/corrections", model_query, **query), 303)


def _topics(form: ImmutableMultiDict[str, str]) -> list[str]:
    """Return the correct topics for a multi-label model."""
    return [topic for topic in map(str.strip, form.getlist("topics")) if topic]


def _read_correction(form: ImmutableMultiDict[str, str], model: ServedModel) -> CorrectionRequest:
    """Read a correction from a form.

    Raises
    ------
    HttpProblem : 422 if the text or the topic is missing.
    DataError : if a field is too long.
    """
    text, topic = form.get("text", ""), form.get("topic", "").strip()
    multilabel = model.fitted.multilabel
    if not text.strip() or not (topic or multilabel):
        raise HttpProblem(422, "a correction requires a text and its correct topic.")
    fields: dict[str, object] = {
        "text": text,
        "model": model.name,
        "who": form.get("who", "").strip() or None,
        "is_new": "is_new" in form,
    }
    if multilabel:
        fields["topics"] = [_parse_topic(each, model) for each in _topics(form)]
    else:
        fields["topic"] = _parse_topic(topic, model)
    return to_request(fields, CorrectionRequest)


def _parse_topic(topic: str, model: ServedModel) -> Topic:
    """Convert a topic to an integer if the model's topics are integers."""
    is_number = topic.isascii() and topic.removeprefix("-").isdecimal() and len(topic) < 19
    return int(topic) if is_number and isinstance(model.fitted.topics.names[0], int) else topic


async def _show_form(
    request: Request, model: ServedModel, correction: CorrectionForm, status: int = 200
) -> Response:
    """Return only the form to a script, otherwise the whole page."""
    answer = await classify_text(request, model, correction.text)
    if wants_part(request):
        values = {"correction": correction, "answer": answer}
        return render_page(request, "correction.html.j2", status=status, **values)
    return classify_page(
        request, model, correction.text, answer, correction=correction, status=status
    )


# The tab ------------------------------------------------------------------------------------------

# Corrections per page, and number of characters shown per text.
_ON_A_PAGE, _LONGEST_TEXT = 50, 280
# Maximum number of rows in the summary tables.
_N_SHOWN = 8
# Template values without pending corrections, and without any corrections.
_NONE_PENDING: dict[str, Any] = {"pending": [], "n_pending": 0}
_NONE: dict[str, Any] = {"rows": [], "n_all": 0, "summary": None, **_NONE_PENDING}


async def show_corrections(request: Request) -> Response:
    """List corrections, latest first, with a summary."""
    model = requested_model(request)
    service = service_of(request)
    done = {
        name: parse_id(value, f"`{name}`")
        for name in ("undone", "approved", "n")
        if (value := request.query_params.get(name))
    }
    learner = service.learner
    values = {
        "title": "Corrections",
        "done": done,
        "learning": None if learner is None else await service.threads.run(learner.state),
        **(await _list_values(request, model) if service.takes_corrections else _NONE),
    }
    return render_page(request, "corrections.html.j2", **values)


async def _list_values(request: Request, model: ServedModel) -> dict[str, Any]:
    """Return the template values of a page of the list; the first page includes the summary."""
    service = service_of(request)
    corrections = service.corrections
    before = request.query_params.get("before", "")
    last_id = parse_id(before, "`before`") if before else None
    rows = await corrections.latest(_ON_A_PAGE, last_id)
    is_first = last_id is None
    return {
        "rows": rows,
        **(await _pending_values(request, corrections) if is_first else _NONE_PENDING),
        "n_all": await corrections.run(corrections.store.count_corrections),
        "older": rows[-1].id if len(rows) == _ON_A_PAGE and rows[-1].id > 1 else None,
        "newer": not is_first,
        "longest": _LONGEST_TEXT,
        "n_shown": _N_SHOWN,
        "summary": await service.threads.run(corrections.summarize, model) if is_first else None,
    }


async def _pending_values(request: Request, corrections: ServedCorrections) -> dict[str, Any]:
    """Return the latest pending corrections and their total number."""
    pending, n_pending = await corrections.pending(_MAX_PENDING)
    may_approve = service_of(request).may_approve(call_of(request))
    return {"pending": pending, "n_pending": n_pending, "may_approve": may_approve}
