"""Forms of the page, read within limits."""

from __future__ import annotations

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request

from slugline.serving.web.bodies import SMALL_FORM, body_type, parse_form, read_body
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import app_state, service_of

_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 20
# Bytes of each further field.
_FIELD_BYTES = 1 << 10


async def read_form(
    request: Request, max_bytes: int | None = None, *, n_more: int = 0
) -> ImmutableMultiDict[str, str]:
    """Return the fields of a form.

    Parameters
    ----------
    request : Request
    max_bytes : int, optional
        Maximum bytes of the form; by default, as many as a form with a text may have.
    n_more : int, default 0
        Further fields, such as one for each column beside the text.

    Raises
    ------
    HttpProblem : 415 if it is not a form, 400 if it has too many fields, and those of `read_body`.
    """
    media_type = body_type(request)
    if media_type != _FORM:
        raise HttpProblem(
            415, f"a form was expected, and the body is of type {media_type[:100]!r}."
        )
    settings = app_state(request).settings
    if max_bytes is None:
        max_bytes = settings.max_form + n_more * _FIELD_BYTES
    body = await read_body(request, max_bytes, settings.timeout)
    n_fields = _MAX_FIELDS + n_more
    if len(body) <= SMALL_FORM:  # escapes take long
        return ImmutableMultiDict(parse_form(body, n_fields))
    return ImmutableMultiDict(await service_of(request).threads.run(parse_form, body, n_fields))
