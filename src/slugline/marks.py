"""A text whose words are marked by how much they speak for something or against it, as HTML."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from slugline.displays import counted
from slugline.errors import DataError

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["STYLE", "highlighted", "pieces"]

# Marks that are fainter than this share of the strongest one are left out: nobody would see them.
_FAINTEST = 0.05
# Sums that are less than this share of the largest span's are what rounding left of nothing.
_ROUNDED = 1e-9
# What HTML can't hold, or a browser would not show: control characters and halves of characters.
_UNSHOWN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

# Steps of strength: more could not be told apart. They are classes, as a page with a strict content
# policy allows no style of a single mark.
_STEPS = 9
#: The rules for what `highlighted` returns. A page may say which colours: `--for` and `--against`.
#: Lines under the words tell the two apart as well: solid for, dashed against.
STYLE = """\
.highlighted { white-space: pre-wrap; overflow-wrap: anywhere; }
.highlighted mark { --own: var(--for, #2f81c8); border-radius: 0.125em; background: color-mix(in srgb, var(--own) calc(6% + 38% * var(--strength)), transparent); color: inherit; text-decoration: underline solid 0.1em var(--own); text-underline-offset: 0.2em; text-decoration-skip-ink: none; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.highlighted mark.against { --own: var(--against, #d9622b); text-decoration-style: dashed; }
"""  # noqa: E501
STYLE += "".join(
    f".highlighted .s{step} {{ --strength: {step / _STEPS:.2f}; }}\n"
    for step in range(1, _STEPS + 1)
)


def highlighted(text: str, spans: Iterable[tuple[int, int, float]]) -> Markup:
    """Return a text as safe HTML in which words are marked.

    A page needs `STYLE` once. It may stand within a paragraph or a cell; the direction of its
    writing is its own.

    Parameters
    ----------
    text : str
    spans : iterable of (start, end, share)
        `text[start:end]` counts `share`: over 0 if it speaks for something, under 0 if against it.
        Spans may overlap; where they do, their shares are added. The strongest mark is that of the
        largest share in this text, whatever its unit.

    Returns
    -------
    Markup, a `<bdi class="highlighted">`.

    Raises
    ------
    DataError : if a span is not within the text, or a share is not finite.
    """
    from markupsafe import Markup

    marked = pieces(text, spans)
    most = max((abs(share) for *_, share in marked), default=0)
    parts, last = [], 0
    for start, end, share in marked:
        if abs(share) <= _FAINTEST * most:
            continue
        parts += [_shown(text[last:start]), _mark(_shown(text[start:end]), share, most)]
        last = end
    parts.append(_shown(text[last:]))
    return Markup('<bdi class="highlighted">{}</bdi>').format(Markup("").join(parts))


def _mark(word: str, share: float, most: float) -> Markup:
    from markupsafe import Markup

    mark = Markup('<mark class="{} s{}" title="{:+.3g}">{}</mark>')
    side, step = "for" if share > 0 else "against", math.ceil(_STEPS * abs(share) / most)
    return mark.format(side, step, share, word)


def pieces(text: str, spans: Iterable[tuple[int, int, float]]) -> list[tuple[int, int, float]]:
    """Return neighbouring pieces of the text, each with the sum of the shares of its spans."""
    beginning: dict[int, list[float]] = {}
    ending: dict[int, list[float]] = {}
    for start, end, share in spans:
        if not 0 <= start < end <= len(text) or not math.isfinite(share):
            raise DataError(
                f"a span from {start} to {end} counts {share}, in a text of "
                f"{counted(len(text), 'character')}; give spans within it and finite shares."
            )
        beginning.setdefault(start, []).append(share)
        ending.setdefault(end, []).append(share)
    shares = itertools.chain.from_iterable(beginning.values())
    least = _ROUNDED * max(map(abs, shares), default=0)
    found, n_open, total = [], 0, 0.0
    for start, end in itertools.pairwise(sorted({*beginning, *ending})):
        begun, ended = beginning.get(start, []), ending.get(start, [])
        n_open += len(begun) - len(ended)
        total = total + sum(begun) - sum(ended) if n_open else 0.0
        if abs(total) > least:
            found.append((start, end, total))
    return found


def _shown(text: str) -> str:
    return _UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", text)
