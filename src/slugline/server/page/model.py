"""What there is to know of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from slugline.report.words import number, percent, typeset
from slugline.saving.schema import ModelInfo
from slugline.saving.shipped import SHIPPED
from slugline.server.page.markdown import as_html
from slugline.server.page.rendering import chosen_model, page
from slugline.server.state import state_of

__all__ = ["Figure", "show_model"]

# What is measured when a model is trained, in the words of the page; others keep their names.
_NAMES = {
    "test_accuracy": "right on documents left out to test",
    "test_macro_f1": "F1, the mean over topics",
    "test_log_loss": "log loss: 0 is best",
    "test_documents": "documents to test on",
    "majority_baseline": "right if it always named the most common topic",
}


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
        figures=[
            Figure(_shown(name, value), _NAMES.get(name, name.replace("_", " ")))
            for name, value in info.metrics.items()
        ],
        topics=[(topic, _description(info, topic)) for topic in info.topics],
        card=as_html(_without_title(model.file.card), level=2),
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


def _shown(name: str, value: float) -> str:
    if float(value).is_integer() and abs(value) > 1:
        return f"{value:,.0f}"
    is_share = name.endswith(("accuracy", "baseline"))
    return typeset(percent(value)) if is_share else number(value, 3)


def _description(info: ModelInfo, topic: str | int) -> str:
    descriptions: Mapping[str, str] = info.descriptions or {}
    return descriptions.get(str(topic), "")


def _without_title(card: str) -> str:
    """Return a card without its heading, and without its topics, which the page lists itself."""
    first, _, rest = card.partition("\n")
    return rest if first.startswith("# ") else card
