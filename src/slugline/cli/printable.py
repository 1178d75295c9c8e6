"""Text in which nothing is left that a terminal would obey, wherever it comes from."""

from __future__ import annotations

import re

__all__ = ["printable", "printable_json"]

# Control characters, those that turn the direction of writing, and halves of characters, which
# can't be written as UTF-8.
_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, keep: str = "\n\t") -> str:
    r"""Return the text with each character that can't be seen as its escape sequence.

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
    r"""Return the same JSON with escapes for characters that JSON lets stand but can't be seen.

    >>> print(printable_json('{"topic":"\x9b2Jzinc"}'))
    {"topic":"\u009b2Jzinc"}
    """
    # Between strings JSON has newlines, and in them it escapes those itself.
    return _UNSEEN.sub(
        lambda found: found[0] if found[0] == "\n" else rf"\u{ord(found[0]):04x}", text
    )


def _escaped(character: str) -> str:
    code = ord(character)
    return rf"\x{code:02x}" if code < 256 else rf"\u{code:04x}"
