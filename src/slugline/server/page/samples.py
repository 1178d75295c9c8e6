"""Texts to try, for the model that comes with Slugline. We wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from slugline.saving.shipped import SHIPPED, model_path
from slugline.served import ServedModel

__all__ = ["Sample", "samples_for"]


class Sample(NamedTuple):
    """A text, and the few words on the button that tries it."""

    name: str
    text: str


_NEWSWIRES = (
    Sample(
        "A harvest",
        "Wheat shipments through the straits rose by a tenth in March, as a good harvest and a "
        "weak currency made grain from the region the cheapest on offer. Exporters expect to "
        "sell 3.2 mln tonnes in April, most of it to mills in North Africa, and say that barley "
        "will follow once the ports are free of ice.",
    ),
    Sample(
        "Oil ministers",
        "Oil ministers meet on Thursday to decide whether to pump less until the summer. Crude "
        "for May delivery rose 40 cents to 18.60 dlrs a barrel after two members said that they "
        "would cut output by five pct if the others did the same.",
    ),
    Sample(
        "A takeover",
        "Shares of the brewer rose sharply after it agreed to be taken over by a rival for 640 "
        "mln dlrs in cash and stock, a third more than they closed at on Friday. The board will "
        "recommend the offer to shareholders next month.",
    ),
    Sample(
        "Quarterly figures",
        "Net profit for the first quarter was 4.2 mln dlrs, or 31 cts a share, against a loss of "
        "1.1 mln dlrs a year earlier. Sales rose 12 pct to 88 mln dlrs.",
    ),
    Sample(
        "No newswire",
        "My parcel has been on its way for a week. Can you tell me where it is, or send me "
        "another one?",
    ),
)


def samples_for(model: ServedModel) -> tuple[Sample, ...]:
    """Return the samples that a model is made for: none, unless it is one of ours."""
    ours = {Path(model_path(name)).resolve() for name in SHIPPED}
    return _NEWSWIRES if model.path.resolve() in ours else ()
