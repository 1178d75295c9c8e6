"""Exports a model as a self-contained HTML page that classifies texts in the browser."""

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
from slugline.base.html import render_markdown, style_sheet, template_environment
from slugline.base.wording import counted, percent
from slugline.explanation.explanation import STYLE
from slugline.exporting.parts import ModelParts, model_parts, pack_arrays
from slugline.model.decision import Unsure
from slugline.model.file.shipped import SHIPPED

#: Page size in bytes above which phones are slow to open it.
LARGE_PAGE = 20_000_000

_SCRIPTS = ("text.js", "vectors.js", "model.js", "page.js")


def model_page(model: str | os.PathLike[str], *, min_precision: float | None = None) -> str:
    """Return the page of a model file or included model.

    The page gives the same topics as the model with weights rounded to int8, and its probabilities
    within 1e-5. Answers of the original model may differ; see `docs/howto/export.md`. Output is
    deterministic.

    Parameters
    ----------
    model : path of the file, or name of an included model
    min_precision : float from 0 to under 1, optional
        Required precision of answers; the page is unsure of other texts. See `Decider.from_fitted`.

    Raises
    ------
    EncoderError, ModelFileError, OptionError : see `slugline.exporting.parts.model_parts`.
    """
    return render_page(model_parts(model, min_precision=min_precision), str(model))


def render_page(parts: ModelParts, model: str) -> str:
    """Build the page from the parts of a model; `model` is its name or path."""
    listing, data = pack_arrays(parts.arrays)
    script = "\n".join(["", *map(_text, _SCRIPTS)])
    style = f"\n{style_sheet('colours.css', 'answer.css')}{_text('page.css')}{STYLE}"
    card = parts.card.removeprefix("# ").partition("\n")[2]  # the card without its title
    template = template_environment("slugline.exporting", "").get_template("page.html.j2")
    return template.render(
        name=model if model in SHIPPED else Path(model).stem,
        is_multilabel=parts.fitted.multilabel,
        n_topics=counted(len(parts.fitted.topics), "topic"),
        samples=samples() if model in SHIPPED else (),
        columns=parts.fitted.column_values(),
        card=render_markdown(card, level=2),
        vectors=parts.vectors,
        facts=_json({**parts.facts, "arrays": listing}),
        weights=data,
        script=script,
        script_hash=_hash(script),
        style=style,
        style_hash=_hash(style),
        version=__version__,
    )


@functools.cache
def samples() -> tuple[tuple[str, str], ...]:
    """Return (name, text) pairs of samples for the included model."""
    return tuple(json.loads(_text("samples.json")).items())


def why_unsure(unsure: Unsure) -> str:
    """Explain why a model is unsure in a sentence; keep in sync with `whyUnsure` in model.js."""
    probability, threshold = unsure.probability, unsure.threshold
    sentences = {
        "no_text": "There is no text.",
        "no_words": "The text has no words.",
        "unknown_words": f"The model doesn’t know {unsure.n_unknown} of the {unsure.n_words} "
        "words.",
        "many_topics": "Far more topics are likely than any training text had.",
        "no_threshold": "The best guess is a topic that the model is never sure enough of.",
        "low_probability": f"The best guess has {_distinct_percent(probability, threshold)}, but "
        f"the model requires {_distinct_percent(threshold, probability)}.",
    }
    return sentences[unsure.kind]


def _distinct_percent(fraction: float, other: float) -> str:
    """Format a percentage with enough digits to distinguish it from another one."""
    digits = next((n for n in range(5) if f"{100 * fraction:.{n}f}" != f"{100 * other:.{n}f}"), 5)
    return percent(fraction, digits).replace(" ", "\xa0")


def _json(value: Any) -> str:
    """Return JSON that can't end the enclosing script, whatever the topic names."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _text(name: str) -> str:
    return resources.files("slugline.exporting").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """Return the hash of a script or style for a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
