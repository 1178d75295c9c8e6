"""The style sheet and the script, under names that change when they do."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from slugline.marks import STYLE
from slugline.server.problems import Problem

__all__ = ["STATIC", "static_file"]

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


def _read() -> dict[str, bytes]:
    here = files("slugline.server.page")
    colours = files("slugline.report").joinpath("templates", "colours.css").read_text("utf-8")
    style = here.joinpath("page.css").read_text("utf-8")
    return {
        "page.css": "\n".join((colours, style, STYLE)).encode(),
        "page.js": here.joinpath("page.js").read_bytes(),
    }


_FILES: dict[str, bytes] = {}
#: The address of each file by its name.
STATIC: dict[str, str] = {}
for _name, _content in _read().items():
    _stem, _, _kind = _name.partition(".")
    _address = f"/static/{_stem}-{hashlib.sha256(_content).hexdigest()[:16]}.{_kind}"
    _FILES[_address], STATIC[_name] = _content, _address


async def static_file(request: Request) -> Response:
    """Send a file, which a browser may keep for ever."""
    address = request.scope["path"]
    content = _FILES.get(address)
    if content is None:
        raise Problem(404, f"there is nothing at {address[:200]}; load the page again.")
    tag = f'"{address}"'
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=_TYPES[address.rpartition(".")[2]])
