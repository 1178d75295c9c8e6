"""Error responses in JSON (RFC 9457, "Problem Details for HTTP APIs")."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from slugline.errors import SluglineError, StoreError
from slugline.serving.service_errors import (
    ApprovalError,
    BusyError,
    LimitError,
    NoCorrectionsError,
    SettlementError,
    UnknownCorrectionError,
    UnknownModelError,
    WrongCoderError,
)

if TYPE_CHECKING:
    from starlette.types import Scope

_log = logging.getLogger("slugline.server")

MEDIA_TYPE = "application/problem+json"


class HttpProblem(Exception):  # noqa: N818 - the RFC's term
    """An error response.

    Parameters
    ----------
    status : int
    detail : str
        The problem and what to do about it.
    headers : mapping of str to str, optional
    index : int, optional
        Index of the invalid text, from 0.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        index: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers, self.index = dict(headers or {}), index


class ProblemDetails(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Body of an error response."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    #: Index of the invalid text, from 0.
    index: int | None = None


def problem_response(problem: HttpProblem, request_id: str) -> Response:
    """Return a problem as a JSON response."""
    details = ProblemDetails(
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        request_id=request_id,
        index=problem.index,
    )
    return Response(msgspec.json.encode(details), problem.status, problem.headers, MEDIA_TYPE)


# From errors --------------------------------------------------------------------------------------

# Status by kind of error; other Slugline errors get 422.
_STATUSES: tuple[tuple[type[SluglineError], int], ...] = (
    (UnknownModelError, 404),
    (UnknownCorrectionError, 404),
    (NoCorrectionsError, 404),
    (ApprovalError, 403),
    (SettlementError, 403),
    (WrongCoderError, 403),
    (BusyError, 503),
    (StoreError, 503),
)
_BUSY_HEADERS = {"Retry-After": "1", "Connection": "close"}
_STORE_HEADERS = {"Retry-After": "10"}


def to_problem(error: Exception, scope: Scope) -> HttpProblem:
    """Convert an error to a problem; internal errors are also logged.

    The error's traceback is removed: its frames refer to the request body and sometimes back to the
    error, a cycle that would keep the body in memory until the next garbage collection.
    """
    problem = _make_problem(error, scope)
    _drop_tracebacks(error)
    return problem


def _drop_tracebacks(error: BaseException | None) -> None:
    """Remove the tracebacks of an error, its causes and its contexts."""
    if error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        _drop_tracebacks(error.__cause__)
        _drop_tracebacks(error.__context__)


def _make_problem(error: Exception, scope: Scope) -> HttpProblem:
    if isinstance(error, HttpProblem):
        return error
    if isinstance(error, HTTPException):
        return _routing_problem(error, scope)
    if isinstance(error, SluglineError):
        return _slugline_problem(error, scope)
    request_id = scope["state"]["call"].id
    _log.error(
        "request %s to %s failed",
        request_id,
        request_path(scope),
        exc_info=error,
        extra={"request_id": request_id},
    )
    return HttpProblem(500, f"internal error; see {request_id} in the log.")


def _slugline_problem(error: SluglineError, scope: Scope) -> HttpProblem:
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 422)
    headers = None
    if isinstance(error, BusyError):
        headers = _BUSY_HEADERS
    elif isinstance(error, StoreError):
        _log.error("the file can't be written or read: %s", error)
        headers = _STORE_HEADERS
    detail, index = str(error), None
    if isinstance(error, LimitError):
        index = error.index
    elif isinstance(error, ApprovalError) and error.person is None:
        has_tokens = bool(scope["app"].settings.tokens)
        finding = "this token has none" if has_tokens else "this server has no tokens"
        detail += (
            f"; {finding}. Whoever runs the server can add a name to the token file, or approve "
            "with `slugline labels approve`."
        )
    return HttpProblem(status, detail, headers=headers, index=index)


def _routing_problem(error: HTTPException, scope: Scope) -> HttpProblem:
    path, advice = request_path(scope), scope["app"].advice
    if error.status_code == 405:
        detail = f"{path} does not answer {scope['method']}; {advice}."
    else:
        detail = f"{path} does not exist; {advice}."
    return HttpProblem(error.status_code, detail, headers=error.headers)


def request_path(scope: Scope) -> str:
    """Return the path as sent, without line breaks."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw[:200].decode("ascii", "backslashreplace")


# Number of digits that always fit in an SQLite integer.
_ID_DIGITS = 18


def parse_id(value: str, name: str) -> int:
    """Parse a correction id; HttpProblem 422 if `value` isn't one."""
    if not value.isascii() or not value.isdecimal() or len(value) > _ID_DIGITS:
        raise HttpProblem(422, f"{name} is {value[:100]!r}; use the number of a correction.")
    return int(value)
