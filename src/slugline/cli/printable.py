"""Make text from anywhere safe to print: a terminal finds nothing in it to obey."""

from __future__ import annotations

import re

__all__ = ["printable", "printable_json"]

# Control characters, those that change the direction of writing, and halves of characters, which
# UTF-8 can't encode.
_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, keep: str = "\n\t") -> str:
    r"""Return the text with an escape sequence for each character that can't be seen.

    Parameters
    ----------
    text : str
    keep : str, default newline and tab
        Control characters to leave as they are.

    >>> print(printable("\x1b[2Jzinc\u202e"))
    \x1b[2Jzinc\u202e
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def printable_json(text: str) -> str:
    r"""Return the same JSON with escapes for characters that JSON allows but nobody can see.

    >>> print(printable_json('{"topic":"\x9b2Jzinc"}'))
    {"topic":"\u009b2Jzinc"}
    """
    # JSON has newlines only between strings; within them it escapes newlines itself.
    return _UNSEEN.sub(
        lambda found: found[0] if found[0] == "\n" else rf"\u{ord(found[0]):04x}", text
    )


def _escaped(character: str) -> str:
    code = ord(character)
    return rf"\x{code:02x}" if code < 256 else rf"\u{code:04x}"
