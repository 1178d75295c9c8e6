"""The style sheet and script of the page, under addresses that change with their content."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from slugline.base.html import style_sheet
from slugline.explanation.explanation import STYLE
from slugline.serving.web.problems import HttpProblem

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


def _read_files() -> dict[str, bytes]:
    folder = files("slugline.serving.page")
    style = folder.joinpath("page.css").read_text("utf-8")
    return {
        "page.css": "\n".join((style_sheet("colours.css", "answer.css"), style, STYLE)).encode(),
        "page.js": folder.joinpath("page.js").read_bytes(),
    }


def _address(name: str, content: bytes) -> str:
    stem, _, kind = name.partition(".")
    return f"/static/{stem}-{hashlib.sha256(content).hexdigest()[:16]}.{kind}"


#: The address of each file by its name.
STATIC = {name: _address(name, content) for name, content in _read_files().items()}
_FILES = {STATIC[name]: content for name, content in _read_files().items()}


async def static_file(request: Request) -> Response:
    """Send a file, which a browser may cache for ever."""
    address = request.scope["path"]
    content = _FILES.get(address)
    if content is None:
        raise HttpProblem(404, f"there is nothing at {address[:200]}; load the page again.")
    tag = f'"{address}"'
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=_TYPES[address.rpartition(".")[2]])
