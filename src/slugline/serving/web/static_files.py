"""Style sheets and scripts, at URLs that change with their content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from slugline.serving.web.problems import HttpProblem

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


class StaticFiles:
    """Files by name, such as "page.css", which browsers may cache forever.

    Attributes
    ----------
    addresses : dict of str to str
        The URL of each file.
    """

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self.addresses = {name: _address(name, content) for name, content in contents.items()}
        self._contents = {self.addresses[name]: content for name, content in contents.items()}

    async def send(self, request: Request) -> Response:
        """Send the file at a URL; HttpProblem 404 if it doesn't exist."""
        address = request.scope["path"]
        content = self._contents.get(address)
        if content is None:
            raise HttpProblem(404, f"{address[:200]} does not exist; reload the page.")
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(content, headers=headers, media_type=_TYPES[address.rpartition(".")[2]])


def _address(name: str, content: bytes) -> str:
    stem, _, kind = name.partition(".")
    return f"/static/{stem}-{hashlib.sha256(content).hexdigest()[:16]}.{kind}"
