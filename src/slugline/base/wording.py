"""Wording of messages and reprs: counts with nouns, enumerations and safe printing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

Rows = Sequence[tuple[str, str]]


def format_call(value: object) -> str:
    """Return the constructor call of a value, without default arguments."""
    parameters = inspect.signature(type(value)).parameters
    arguments = {name: getattr(value, name) for name in parameters if hasattr(value, name)}
    changed = [
        f"{name}={argument!r}"
        for name, argument in arguments.items()
        # Compare by repr, since arrays have no single truth value.
        if repr(argument) != repr(parameters[name].default)
    ]
    return f"{type(value).__name__}({', '.join(changed)})"


def format_lines(title: str, rows: Rows) -> str:
    """Return a title followed by a line for each pair of name and text.

    >>> print(format_lines("A model", [("topics", "46"), ("terms", "10,000 words")]))
    A model
      topics  46
      terms   10,000 words
    """
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in rows)])


def format_html_table(title: str, rows: Rows) -> str:
    """Return a title and pairs of name and text as an escaped HTML table."""
    import html

    cells = "".join(
        f"<tr><th style='text-align: left'>{html.escape(name)}</th>"
        f"<td style='text-align: left'>{html.escape(text)}</td></tr>"
        for name, text in rows
    )
    return f"<table><caption>{html.escape(title)}</caption><tbody>{cells}</tbody></table>"


class TitledRows:
    """Base class for reprs of a title with rows, shown as a table in notebooks."""

    def _title_and_rows(self) -> tuple[str, Rows]:
        raise NotImplementedError

    def __repr__(self) -> str:
        return format_lines(*self._title_and_rows())

    def _repr_html_(self) -> str:
        return format_html_table(*self._title_and_rows())


def counted(n: int, noun: str) -> str:
    """Return a number with its noun, singular or plural.

    >>> counted(1, "topic"), counted(8982, "document")
    ('1 topic', '8,982 documents')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def percent(fraction: float, digits: int = 1) -> str:
    """Return a fraction as a percentage.

    >>> percent(0.78139)
    '78.1 %'
    """
    return f"{100 * fraction:.{digits}f} %"


def whole_percent(fraction: float) -> str:
    r"""Return a fraction as a whole percentage.

    Values that would round to 0 % or 100 % are shown as < 1 % or > 99 %.

    >>> whole_percent(0.982), whole_percent(0.004), whole_percent(0.996), whole_percent(1)
    ('98\xa0%', '<\xa01\xa0%', '>\xa099\xa0%', '100\xa0%')
    """
    if 0 < fraction < 0.005:
        return "<\xa01\xa0%"
    if 0.995 <= fraction < 1:
        return ">\xa099\xa0%"
    return f"{100 * fraction:.0f}\xa0%"


def format_seconds(seconds: float) -> str:
    """Format a time with at least two digits.

    >>> format_seconds(0.0123), format_seconds(1234.5)
    ('0.012 s', '1,234 s')
    """
    if seconds < 0.001:
        return "< 0.001 s"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:,.0f} s"


def all_of(n: int, noun: str) -> str:
    """Return "all" with a number and noun.

    >>> all_of(1, "document"), all_of(30, "document")
    ('the only document', 'all 30 documents')
    """
    return f"the only {noun}" if n == 1 else f"all {counted(n, noun)}"


def join_words(
    values: Sequence[object],
    max_listed: int | None = None,
    *,
    comma: str = ", ",
    last: str | None = "and",
) -> str:
    """Join values as an enumeration: the first `max_listed` and the number of others.

    `last` is the word before the last value, or None for a comma.

    >>> join_words([7, 8, 10]), join_words("abcd", 2), join_words("abc", last=None)
    ('7, 8 and 10', 'a, b and 2 more', 'a, b, c')
    """
    words = [str(value) for value in values[:max_listed]]
    if len(words) < len(values):
        return f"{comma.join(words)} and {len(values) - len(words):,} more"
    if last is None or len(words) < 2:
        return comma.join(words)
    return f"{comma.join(words[:-1])} {last} {words[-1]}"


def one_line(text: str, max_length: int) -> str:
    r"""Return a text on one line, cut to at most `max_length` characters.

    >>> one_line("Wheat\n rose  by a tenth", 12)
    'Wheat rose…'
    """
    # Cut the text before splitting, since it may have megabytes.
    line = " ".join(text[: 4 * max_length].split())
    is_whole = len(line) <= max_length and len(text) <= 4 * max_length
    return line if is_whole else f"{line[: max_length - 1].rstrip()}…"


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the closest match to a mistyped name, ignoring case, or None.

    `cutoff` is the minimum similarity, from 0 to 1.

    >>> nearest("wheet", ["corn", "wheat"]), nearest("BODY", ["topic", "Body"])
    ('wheat', 'Body')
    """
    import difflib

    by_folded = {other.casefold(): other for other in names}
    near = difflib.get_close_matches(name.casefold(), [*by_folded], n=1, cutoff=cutoff)
    return by_folded[near[0]] if near else None


def have(n: int) -> str:
    """Return "has" or "have", depending on `n`."""
    return "has" if n == 1 else "have"


# Safe printing ------------------------------------------------------------------------------------

# Control characters, bidirectional controls, and lone surrogates, which UTF-8 can't encode.
_INVISIBLE = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, keep: str = "\n\t") -> str:
    r"""Escape invisible characters in a text, except those in `keep`.

    >>> print(printable("\x1b[2Jzinc\u202e"))
    \x1b[2Jzinc\u202e
    """

    def escape(match: re.Match[str]) -> str:
        if match[0] in keep:
            return match[0]
        code = ord(match[0])
        return rf"\x{code:02x}" if code < 256 else rf"\u{code:04x}"

    return _INVISIBLE.sub(escape, text)


def printable_json(text: str) -> str:
    r"""Escape the invisible characters that JSON allows.

    >>> print(printable_json('{"topic":"\x9b2Jzinc"}'))
    {"topic":"\u009b2Jzinc"}
    """
    # JSON contains raw newlines only between strings; those inside strings are already escaped.
    return _INVISIBLE.sub(
        lambda match: match[0] if match[0] == "\n" else rf"\u{ord(match[0]):04x}", text
    )
