"""The model tab: the card and topics."""

from __future__ import annotations

import functools

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from slugline.base.html import render_markdown
from slugline.base.wording import percent
from slugline.model.file.schema import ModelInfo
from slugline.model.file.shipped import SHIPPED
from slugline.reports.render import typeset
from slugline.serving.page.daily_sums import daily_values
from slugline.serving.page.rendering import render_page, requested_model
from slugline.serving.web.state import service_of

# The page ---------------------------------------------------------------------------------------


async def show_model(request: Request) -> Response:
    """Show a model's card and topics."""
    service, model = service_of(request), requested_model(request)
    info = model.file.info
    return render_page(
        request,
        "model.html.j2",
        title=f"The model {model.name}",
        shipped=SHIPPED.get(model.name),
        key=_key_numbers(info, model.decider.precision),
        topics=[(topic, info.descriptions.get(str(topic), "")) for topic in info.topics],
        card=await service.threads.run(_render, model.file.card),
        problem=service.models.problems.get(model.name),
        has_daily_sums=service.has_daily_sums,
        **(await daily_values(request, model)),
    )


def _key_numbers(info: ModelInfo, precision: float | None) -> list[tuple[str, str]]:
    """Return the key numbers with their descriptions."""
    numbers = [
        (f"{len(info.topics):,}", "topic" if len(info.topics) == 1 else "topics"),
        (f"{info.n_documents:,}", "training documents"),
    ]
    if "estimated_accuracy" in info.metrics:
        right = typeset(percent(info.metrics["estimated_accuracy"]))
        numbers.append((right, "right on unlabelled texts"))
    elif "test_accuracy" in info.metrics:
        right = typeset(percent(info.metrics["test_accuracy"]))
        numbers.append((right, "right on test documents"))
    elif "test_micro_f1" in info.metrics:
        f1 = f"{info.metrics['test_micro_f1']:.3f}"
        numbers.append((f1, "micro-F1 on test documents"))
    if precision is not None:
        percentage = typeset(f"{100 * precision:g} %")
        numbers.append((percentage, "required precision; otherwise the answer is “unsure”"))
    return numbers


@functools.lru_cache(maxsize=16)
def _render(card: str) -> Markup:
    """Render a card as HTML; slow for long cards."""
    return render_markdown(_without_title(card))


def _without_title(card: str) -> str:
    """Remove the title and the list of topics, which the page shows elsewhere."""
    before, heading, after = card.rpartition("\n## Its ")
    if heading and "topic" in after.partition("\n")[0]:
        card = before
    first, _, body = card.partition("\n")
    return body if first.startswith("# ") else card
