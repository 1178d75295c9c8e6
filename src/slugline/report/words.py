"""Figures as people read them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slugline.lesson.results import OverSeeds

__all__ = [
    "counted",
    "has_spread",
    "layers",
    "listed",
    "number",
    "percent",
    "percent_or_dash",
    "points",
    "shortened",
    "spread",
    "spread_percent",
    "tiny",
    "typeset",
]

#: A standard deviation of fewer values says next to nothing.
N_FOR_SPREAD = 3
#: Decimal places, however small a standard deviation is.
MOST_DIGITS = 6

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NO_BREAK_SPACE, _NO_BREAK_HYPHEN = "\u00a0", "\u2011"


def percent(share: float, digits: int = 1) -> str:
    """Write a share as a percentage.

    >>> percent(0.78139)
    '78.1 %'
    """
    return f"{100 * share:.{digits}f} %"


def percent_or_dash(share: float) -> str:
    """Write a share as a whole percentage, and one that is not defined as a dash.

    >>> percent_or_dash(0.78139), percent_or_dash(math.nan)
    ('78 %', '–')
    """
    return "–" if math.isnan(share) else percent(share, 0)


def points(difference: float) -> str:
    """Write how far two shares are apart, whichever is larger.

    >>> points(-0.0801)
    '8.0 points'
    """
    return f"{100 * abs(difference):.1f} points"


def number(value: float, digits: int = 2) -> str:
    """Write a number with a comma for every thousand.

    >>> number(8982, 0)
    '8,982'
    """
    return f"{value:,.{digits}f}"


def counted(n: int, noun: str) -> str:
    """Write a number with its noun.

    >>> counted(1, "topic"), counted(8982, "document")
    ('1 topic', '8,982 documents')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def shortened(name: str, most: int = 50) -> str:
    """Cut off the end of a name that has more than `most` characters.

    >>> shortened("money-supply", 8)
    'money-s…'
    """
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}…"


def has_spread(figure: OverSeeds) -> bool:
    """Return whether there are enough seeds to tell how far they spread.

    The standard deviation of two values comes out at less than a third of the true one in one case
    of four.
    """
    return len(figure.values) >= N_FOR_SPREAD


def spread(figure: OverSeeds, digits: int = 2) -> str:
    """Write a mean and, where there are at least three seeds, its standard deviation.

    Both get more than `digits` decimal places, if the deviation would be rounded to zero else.
    """
    return _spread(figure, 1, digits)


def spread_percent(figure: OverSeeds) -> str:
    """Write a mean share and its standard deviation, as `spread` does, as percentages."""
    return f"{_spread(figure, 100, 1)} %"


def _spread(figure: OverSeeds, unit: float, digits: int) -> str:
    if figure.sd is None or not has_spread(figure):
        return number(unit * figure.mean, digits)
    sd = unit * figure.sd
    while round(sd, digits) == 0 < sd and digits < MOST_DIGITS:
        digits += 1
    return f"{number(unit * figure.mean, digits)} ± {number(sd, digits) if sd else 0}"


def tiny(value: float) -> str:
    """Write the size of a rounding error.

    >>> tiny(4.8e-07)
    '5 × 10⁻⁷'
    >>> tiny(0.0)
    '0'
    """
    if not value:
        return "0"
    digit, exponent = f"{value:.0e}".split("e")
    return f"{digit} × 10{str(int(exponent)).translate(_RAISED)}"


def layers(hidden: Sequence[int]) -> str:
    """Name hidden layers by their widths.

    >>> layers([64, 4])
    '64-4'
    """
    return "-".join(map(str, hidden))


def listed(values: Sequence[object]) -> str:
    """Write values as a list in a sentence.

    >>> listed([7, 8, 10])
    '7, 8 and 10'
    """
    words = [str(value) for value in values]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def typeset(text: str) -> str:
    """Keep a number and its unit, and the numbers of a net's name, on one line."""
    text = re.sub(r"(?<=\d)-(?=\d)", _NO_BREAK_HYPHEN, text)
    return re.sub(r" (?=[%±×])|(?<=[±×]) |(?<=\d) (?=points|MB)", _NO_BREAK_SPACE, text)
