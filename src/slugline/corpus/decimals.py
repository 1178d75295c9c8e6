"""Parse numbers with a decimal comma, in tables whose cells aren't separated by commas."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Maximum length of a number in characters.
_MAX_LENGTH = 40
_LIKE_NUMBER = r"[+-]?[0-9][0-9.,]*"
_DECIMAL_COMMA = r"[+-]?(?:[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+)(?:,[0-9]+)?"
# In English notation, three digits follow each comma, and up to three precede the first.
_THOUSANDS = r"[+-]?[1-9][0-9]{0,2},[0-9]{3}"
# Minimum fraction of cells in a column that must be such numbers.
_MIN_FRACTION = 0.8


def read_decimal_comma(text: str) -> float | None:
    """Parse a number with a decimal comma and full stops between thousands, or return None.

    >>> [read_decimal_comma(text) for text in ("48,42", "1.234,56", "1.234", "3.14", "1,2,3")]
    [48.42, 1234.56, 1234.0, None, None]
    """
    text = text.strip()
    if len(text) > _MAX_LENGTH or not re.fullmatch(_DECIMAL_COMMA, text):
        return None
    return float(text.replace(".", "").replace(",", "."))


def read_clear_decimal_comma(text: str) -> float | None:
    """Parse a number whose comma can't be a thousands separator, or return None.

    >>> [read_clear_decimal_comma(text) for text in ("48,42", "1.234,567", "1,234", "1.234")]
    [48.42, 1234.567, None, None]
    """
    is_clear = "," in text[:_MAX_LENGTH] and not re.fullmatch(_THOUSANDS, text.strip())
    return read_decimal_comma(text) if is_clear else None


def have_decimal_commas(cells: Iterable[object]) -> bool:
    """Return True if the cells of a column are numbers with a decimal comma.

    At least one cell must contain a comma, and all cells that look like numbers (dates don't) must
    parse with a decimal comma. The table's delimiter must not be a comma.

    >>> have_decimal_commas(["1.234", "48,42", ""]), have_decimal_commas(["3.14", "1,5"])
    (True, False)
    """
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]
    numbers = [text for text in texts if re.fullmatch(_LIKE_NUMBER, text)]
    return (
        any("," in number for number in numbers)
        and len(numbers) >= _MIN_FRACTION * len(texts)
        and all(read_decimal_comma(number) is not None for number in numbers)
    )
