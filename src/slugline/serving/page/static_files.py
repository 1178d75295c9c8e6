"""The style sheet and script of the page."""

from __future__ import annotations

from importlib.resources import files

from slugline.base.html import style_sheet
from slugline.explanation.explanation import STYLE
from slugline.serving.web.static_files import StaticFiles


def _read_files() -> dict[str, bytes]:
    folder = files("slugline.serving.page")
    style = folder.joinpath("page.css").read_text("utf-8")
    return {
        "page.css": "\n".join((style_sheet("colours.css", "answer.css"), style, STYLE)).encode(),
        "page.js": folder.joinpath("page.js").read_bytes(),
    }


STATIC_FILES = StaticFiles(_read_files())
