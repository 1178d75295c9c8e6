"""The first tab: a text in, its topic out, and why."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from slugline.served import LimitError, ServedModel
from slugline.server.api import in_time
from slugline.server.page.answer import N_SHOWN, Answer, answer_text
from slugline.server.page.forms import read_form, wants_part
from slugline.server.page.rendering import chosen_model, page, part
from slugline.server.page.samples import samples_for
from slugline.server.problems import Problem
from slugline.server.state import State, state_of

__all__ = ["ask", "check_text", "classify_page", "find_answer", "show_classify"]

# Topics that are listed: the most likely ones; and those among which a correction can be found.
_MOST_TOPICS, _MOST_FOUND = 500, 5000


async def show_classify(request: Request) -> Response:
    """Show the empty form."""
    return classify_page(request, chosen_model(request), "", None)


async def ask(request: Request) -> Response:
    """Answer the text of the form; the topic whose words are marked may be chosen."""
    model = chosen_model(request)
    form = await read_form(request)
    text = _text(form, model)
    found = await find_answer(state_of(request), model, text, form.get("topic"))
    if wants_part(request):
        return part(request, "answer.html.j2", **_values(found))
    return classify_page(request, model, text, found)


async def find_answer(
    state: State, model: ServedModel, text: str, chosen: str | None = None
) -> Answer | None:
    """Return what to say of a text; None if it is blank.

    Raises
    ------
    Problem : 422 if it is too long, 504 if it takes too long.
    """
    if not text.strip():
        return None
    check_text(state, text)
    n_topics = min(len(model.fitted.topics), _MOST_TOPICS)
    [route] = await in_time(state.batches.route(model, [text], top=n_topics), state)
    return await in_time(state.run(answer_text, model, text, route, chosen), state)


def check_text(state: State, text: str) -> None:
    """Raise a Problem if a text is too long."""
    try:
        state.settings.limits.check([text], explain=True)
    except LimitError as error:
        raise Problem(422, f"{error}".replace("text 0", "the text")) from None


def _text(form: dict[str, str], model: ServedModel) -> str:
    """Return the text to answer: a sample's, if one was clicked."""
    chosen = form.get("sample", "")
    samples = samples_for(model)
    if chosen.isascii() and chosen.isdecimal() and len(chosen) < 3 and int(chosen) < len(samples):
        return samples[int(chosen)].text
    return form.get("text", "")


def classify_page(
    request: Request, model: ServedModel, text: str, found: Answer | None, **more: Any
) -> Response:
    """Return the whole page, with a text and its answer.

    Parameters
    ----------
    request : Request
    model : ServedModel
    text : str
    found : Answer or None
    **more : what else its parts say; see `_values`.
    """
    values = _values(found)
    return page(
        request,
        "classify.html.j2",
        title="What is this text about?",
        text=text,
        samples=samples_for(model),
        topics=model.fitted.topics.names[:_MOST_FOUND],
        **values | more,
    )


def _values(found: Answer | None) -> dict[str, Any]:
    """Return what the part with the answer says."""
    return {
        "answer": found,
        "n_shown": N_SHOWN,
        "wrong": None,
    }
