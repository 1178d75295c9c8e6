"""Render pages and sentences from templates, and format their numbers."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from slugline._version import __version__
from slugline.base.html import render_sentence, style_sheet, template_environment
from slugline.base.wording import counted, have, percent
from slugline.explanation.explanation import STYLE, highlight

if TYPE_CHECKING:
    from jinja2 import Environment

    from slugline.experiment.lesson import SeedSummary

# Numbers ------------------------------------------------------------------------------------------

#: Minimum number of values for a standard deviation.
MIN_SEEDS = 3
#: Maximum number of decimal places.
MAX_DIGITS = 6

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NO_BREAK_SPACE, _NO_BREAK_HYPHEN = "\u00a0", "\u2011"


def percent_or_dash(fraction: float) -> str:
    """Return a fraction as a whole percentage, or a dash if it is NaN.

    >>> percent_or_dash(0.78139), percent_or_dash(math.nan)
    ('78 %', '–')
    """
    return "–" if math.isnan(fraction) else percent(fraction, 0)


def confidence(interval: Sequence[float]) -> str:
    """Return an interval of fractions in parentheses.

    >>> confidence((0.771, 0.8))
    '(95 % confidence interval: 77.1 to 80.0 %)'
    """
    low, high = interval
    return f"(95 % confidence interval: {100 * low:.1f} to {100 * high:.1f} %)"


def points(difference: float) -> str:
    """Return the absolute difference of two fractions in percentage points.

    >>> points(-0.0801)
    '8.0 points'
    """
    return f"{100 * abs(difference):.1f} points"


def number(value: float, digits: int = 2) -> str:
    """Return a number with commas between thousands.

    >>> number(8982, 0)
    '8,982'
    """
    return f"{value:,.{digits}f}"


def shorten(name: str, max_length: int = 50) -> str:
    """Return a name, cut to at most `max_length` characters.

    >>> shorten("money-supply", 8)
    'money-s…'
    """
    return name if len(name) <= max_length else f"{name[: max_length - 1].rstrip()}…"


def quoted(topic: str) -> str:
    """Return a topic's name in quotation marks, shortened."""
    return f"“{shorten(topic)}”"


def has_enough_seeds(metric: SeedSummary) -> bool:
    """True if there are enough seeds for a standard deviation.

    With two values, the estimate is less than a third of the true standard deviation in a quarter
    of cases.
    """
    return len(metric.values) >= MIN_SEEDS


def mean_and_sd(metric: SeedSummary, digits: int = 2) -> str:
    """Return a mean and, for at least three seeds, the standard deviation.

    Both have more than `digits` decimal places if the standard deviation would otherwise round to
    zero.
    """
    return _mean_and_sd(metric, 1, digits)


def mean_and_sd_percent(metric: SeedSummary) -> str:
    """Return a mean fraction and its standard deviation as percentages; see `mean_and_sd`."""
    return f"{_mean_and_sd(metric, 100, 1)} %"


def _mean_and_sd(metric: SeedSummary, unit: float, digits: int) -> str:
    if metric.sd is None or not has_enough_seeds(metric):
        return number(unit * metric.mean, digits)
    sd = unit * metric.sd
    while round(sd, digits) == 0 < sd and digits < MAX_DIGITS:
        digits += 1
    return f"{number(unit * metric.mean, digits)} ± {number(sd, digits) if sd else 0}"


def power(value: float) -> str:
    """Return a rounding error as a power of ten.

    >>> power(4.8e-07)
    '5 × 10⁻⁷'
    >>> power(0.0)
    '0'
    """
    if not value:
        return "0"
    digit, exponent = f"{value:.0e}".split("e")
    return f"{digit} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def widths(hidden: Sequence[int]) -> str:
    """Return the widths of hidden layers.

    >>> widths([64, 4])
    '64-4'
    """
    return "-".join(map(str, hidden))


def typeset(text: str) -> str:
    """Prevent line breaks between numbers and units, and within `64-64`."""
    text = re.sub(r"(?<=\d)-(?=\d)", _NO_BREAK_HYPHEN, text)
    return re.sub(r" (?=[%±×])|(?<=[±×]) |(?<=\d) (?=points|MB)", _NO_BREAK_SPACE, text)


# Pages --------------------------------------------------------------------------------------------

#: Longer words may be too long for a narrow column.
LONG_WORD = 12


def render(template: str, **values: Any) -> str:
    """Render a template of this package.

    Parameters
    ----------
    template : str
        A file name in `templates`.
    **values
        Template variables; text is escaped unless marked `safe`.
    """
    shared = {"version": __version__, "colours": style_sheet("colours.css"), "highlight_css": STYLE}
    page: str = _environment().get_template(template).render(shared | values)
    return page.replace("\0", "\ufffd")  # texts may contain NUL, and HTML must not


def sentences(template: str, **values: Any) -> dict[str, str]:
    """Return the plain text of each non-empty block of a template, by name."""
    blocks = _environment().get_template(template).blocks
    texts = {name: sentence(template, name, **values) for name in blocks}
    return {name: text for name, text in texts.items() if text}


def sentence(template: str, block: str, **values: Any) -> str:
    """Return the plain text of a block of a template, on one line."""
    return render_sentence(_environment(), template, block, values)


@functools.cache
def _environment() -> Environment:
    environment = template_environment("slugline.reports")
    for function in (
        confidence,
        counted,
        has_enough_seeds,
        have,
        number,
        percent,
        percent_or_dash,
        points,
        power,
        quoted,
        shorten,
        mean_and_sd_percent,
        typeset,
        widths,
    ):
        environment.filters[function.__name__] = function
    environment.filters |= {"breakable": _breakable, "prose": _prose}
    environment.filters["marked"] = _mark
    return environment


def _mark(excerpt: tuple[str, Iterable[tuple[int, int, float]]]) -> Markup:
    """Return an excerpt as HTML with its words highlighted."""
    text, spans = excerpt
    return highlight(text, spans)


def table_page(
    title: str,
    rows: Sequence[tuple[str, str]],
    records: Sequence[Mapping[str, Any]],
    picture: str = "",
) -> str:
    """Return a page with a title, pairs of name and text, an SVG chart, and a table."""
    table = [[_cell(value) for value in record.values()] for record in records]
    head = list(records[0]) if records else []
    return render("table.html.j2", title=title, rows=rows, picture=picture, head=head, table=table)


def _cell(value: Any) -> tuple[str, bool]:
    """Return a formatted value, and True if it is a number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "\N{EN DASH}", True
    return (f"{value:,.3f}" if isinstance(value, float) else str(value)), is_number


def _prose(text: str) -> Markup:
    """Return a sentence as HTML, with flags and backticks as code, and units kept with numbers."""
    code = Markup("<code>{}</code>")
    parts = re.split(r"(`[^`]+`|(?<![\w-])--[a-z][\w-]*)", text)  # every second part is code
    return Markup("").join(
        code.format(part.strip("`")) if i % 2 else typeset(part) for i, part in enumerate(parts)
    )


def _breakable(name: str) -> Markup:
    """Return a name in which long words may break after each `_`, `.` and `/`."""
    return Markup(" ").join(
        Markup("<wbr>").join(re.split(r"(?<=[_./])(?=.)", word)) if len(word) > LONG_WORD else word
        for word in name.split(" ")
    )
