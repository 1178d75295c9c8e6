"""Reads forms within limits."""

from __future__ import annotations

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request

from slugline.serving.web.bodies import SMALL_FORM, body_type, parse_form, read_body
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import app_state, service_of

_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 20
# Bytes allowed for each additional field.
_FIELD_BYTES = 1 << 10


async def read_form(
    request: Request, max_bytes: int | None = None, *, n_more: int = 0
) -> ImmutableMultiDict[str, str]:
    """Read the fields of a form.

    Parameters
    ----------
    request : Request
    max_bytes : int, optional
        Maximum size; by default, that of a form with a text.
    n_more : int, default 0
        Number of additional fields, such as one per column.

    Raises
    ------
    HttpProblem : 415 if it is not a form, 400 if it has too many fields; see also `read_body`.
    """
    media_type = body_type(request)
    if media_type != _FORM:
        raise HttpProblem(415, f"expected a form, but the body is of type {media_type[:100]!r}.")
    settings = app_state(request).settings
    if max_bytes is None:
        max_bytes = settings.max_form + n_more * _FIELD_BYTES
    body = await read_body(request, max_bytes, settings.timeout)
    n_fields = _MAX_FIELDS + n_more
    if len(body) <= SMALL_FORM:  # decoding escapes is slow for larger ones
        return ImmutableMultiDict(parse_form(body, n_fields))
    return ImmutableMultiDict(await service_of(request).threads.run(parse_form, body, n_fields))
