"""The page of a model: its card, its topics and the most important numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from slugline.base.html import render_markdown
from slugline.model.file.content import SHIPPED
from slugline.model.file.schema import ModelInfo
from slugline.reports.page import percent, typeset
from slugline.serving.http.settings import state_of
from slugline.serving.page.page import chosen_model, page

__all__ = [
    "Figure",
    "show_model",
]


# The page ---------------------------------------------------------------------------------------


class Figure(NamedTuple):
    """A number, and what it is."""

    value: str
    name: str


async def show_model(request: Request) -> Response:
    """Show a model's card and topics."""
    model = chosen_model(request)
    info = model.file.info
    return page(
        request,
        "model.html.j2",
        title=f"The model {model.name}",
        shipped=SHIPPED.get(model.name),
        key=_key(info, model.router.precision),
        topics=[(topic, _description(info, topic)) for topic in info.topics],
        card=render_markdown(_without_title(model.file.card)),
        problem=state_of(request).models.problems.get(model.name),
    )


def _key(info: ModelInfo, precision: float | None) -> list[Figure]:
    """Return the few numbers to remember."""
    found = [
        Figure(f"{len(info.topics):,}", "topic" if len(info.topics) == 1 else "topics"),
        Figure(f"{info.n_documents:,}", "documents learned from"),
    ]
    if "test_accuracy" in info.metrics:
        right = typeset(percent(info.metrics["test_accuracy"]))
        found.append(Figure(right, "right on documents left out to test"))
    if precision is not None:
        share = typeset(f"{100 * precision:g} %")
        found.append(Figure(share, "of its answers are to be right; else it says “unsure”"))
    return found


def _description(info: ModelInfo, topic: str | int) -> str:
    descriptions: Mapping[str, str] = info.descriptions or {}
    return descriptions.get(str(topic), "")


def _without_title(card: str) -> str:
    """Return a card without its heading, and without its topics, which the page lists itself."""
    before, heading, after = card.rpartition("\n## Its ")
    if heading and "topic" in after.partition("\n")[0]:
        card = before
    first, _, rest = card.partition("\n")
    return rest if first.startswith("# ") else card
