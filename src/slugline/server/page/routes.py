"""Where the page's parts are."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, Route

from slugline.server.page.classify import ask, show_classify
from slugline.server.page.corrections import correct, show_corrections, undo
from slugline.server.page.docs import show_docs
from slugline.server.page.forms import Handler, for_people
from slugline.server.page.login import log_in, show_login
from slugline.server.page.model import show_model
from slugline.server.page.static import static_file
from slugline.server.page.table import answer_table, show_table, write_table

__all__ = ["PAGE_ROUTES"]


def _route(path: str, method: str, handler: Handler) -> Route:
    return Route(path, for_people(handler), methods=[method])


PAGE_ROUTES: Sequence[BaseRoute] = (
    _route("/", "GET", show_classify),
    _route("/", "POST", ask),
    _route("/wrong", "POST", correct),
    _route("/undo", "POST", undo),
    _route("/table", "GET", show_table),
    Route("/table/answers", answer_table, methods=["POST"]),
    Route("/table/file", write_table, methods=["POST"]),
    _route("/model", "GET", show_model),
    _route("/corrections", "GET", show_corrections),
    _route("/docs", "GET", show_docs),
    _route("/login", "GET", show_login),
    _route("/login", "POST", log_in),
    Route("/static/{name}", static_file),
)
