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


def spread(figure: OverSeeds, digits: int = 2) -> str:
    """Write a mean and, where there are several seeds, its standard deviation."""
    mean = number(figure.mean, digits)
    return mean if figure.sd is None else f"{mean} ± {figure.sd:.{digits}f}"


def spread_percent(figure: OverSeeds) -> str:
    """Write a mean share and its standard deviation as percentages."""
    mean = f"{100 * figure.mean:.1f}"
    return f"{mean} %" if figure.sd is None else f"{mean} ± {100 * figure.sd:.1f} %"


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
