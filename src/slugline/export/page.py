"""A model as one HTML page that answers in the browser, without a server or other files."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
from importlib import resources
from pathlib import Path
from typing import Any

from slugline._version import __version__
from slugline.base.html import render_markdown, template_environment
from slugline.base.words import counted
from slugline.explain.explanation import STYLE
from slugline.export.parts import ModelParts, model_parts
from slugline.model.file.content import SHIPPED

#: Phones take long to open a page of at least this many bytes.
LARGE_PAGE = 20_000_000

_SCRIPTS = ("text.js", "model.js", "page.js")
_WAITING = "The answer comes here as you type."
# Texts to try with the included model.
_SAMPLES = {
    "reuters46": (
        (
            "grain",
            "Shippers booked 120,000 tonnes of soft wheat for delivery in May, traders said. "
            "Rain delayed the maize harvest in the south, and elevators expect tenders from "
            "North African buyers next week.",
        ),
        (
            "company results",
            "Fourth quarter net profit rose to 41 cts a share from 33 cts, on sales of 212 mln "
            "dlrs. The board declared a quarterly dividend of nine cts, payable April 1.",
        ),
        (
            "currencies",
            "The central bank bought dollars for yen in early trading after the currency fell "
            "through 150, dealers said. They see more intervention if the rate does not settle.",
        ),
        (
            "a recipe",
            "Peel the onions, slice them thinly and let them soften in butter over a low flame. "
            "Stir in flour and thyme, pour in the broth and simmer until it thickens.",
        ),
    )
}


def model_page(model: str | os.PathLike[str], *, min_precision: float | None = None) -> str:
    """Return the page of the model in a file, or of one that comes with Slugline.

    The page gives the topics of the model with weights rounded to int8, and its probabilities
    within 1e-5. The same model gives the same page.

    Parameters
    ----------
    model : path of the file, or the name of a model
    min_precision : float from 0 to under 1, optional
        Precision of the answers; the page is unsure of other texts. See `Router.from_fitted`.

    Raises
    ------
    ModelFileError, OptionError : as of `slugline.export.parts.model_parts`.
    """
    return page_of(model_parts(model, min_precision=min_precision), str(model))


def page_of(parts: ModelParts, model: str) -> str:
    """Return the page of a model's parts under the name of its file."""
    packed = parts.bundle.packed()
    script, style = f"\n{_script()}", f"\n{_text('page.css')}{STYLE}"
    card = parts.card.removeprefix("# ").partition("\n")[2]  # without its title
    template = template_environment("slugline.export", "").get_template("page.html.j2")
    return template.render(
        name=model if model in SHIPPED else Path(model).stem,
        n_topics=counted(len(parts.fitted.topics), "topic"),
        samples=_SAMPLES.get(model, ()),
        waiting=_WAITING,
        card=render_markdown(card, level=2),
        facts=_json({**parts.facts, "arrays": packed.arrays}),
        weights=packed.data,
        script=script,
        script_hash=_hash(script),
        style=style,
        style_hash=_hash(style),
        version=__version__,
    )


def _json(value: Any) -> str:
    """Return JSON that can't end the script around it, whatever the names of topics."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@functools.cache
def _script() -> str:
    return "\n".join(map(_text, _SCRIPTS))


def _text(name: str) -> str:
    return resources.files("slugline.export").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """Return the hash of a script or style for a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
