"""Errors as callers get them: RFC 9457, "Problem Details for HTTP APIs"."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response

__all__ = ["Problem", "ProblemDetails", "problem_response"]

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - the standard's word
    """A request that gets an error for an answer.

    Parameters
    ----------
    status : int
    detail : str
        What was found, and what to do.
    headers : mapping, optional
    index : int, optional
        Which of the texts it is, counted from 0.
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
    """What an error says."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    #: Which of the texts it is, counted from 0.
    index: int | None = None


def problem_response(problem: Problem, request_id: str) -> Response:
    """Return a problem as a response."""
    details = ProblemDetails(
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        request_id=request_id,
        index=problem.index,
    )
    return Response(
        msgspec.json.encode(details), problem.status, problem.headers, media_type=MEDIA_TYPE
    )
