"""Numbers with a decimal comma, which tables have if their cells aren't separated by commas."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Maximum number of characters of a number.
_MAX_LENGTH = 40
_LIKE_NUMBER = r"[+-]?[0-9][0-9.,]*"
_DECIMAL_COMMA = r"[+-]?(?:[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+)(?:,[0-9]+)?"
# In English numbers, three digits follow each comma, and up to three precede the first one.
_THOUSANDS = r"[+-]?[1-9][0-9]{0,2},[0-9]{3}"
# Minimum fraction of the cells of a column that must be such numbers.
_MIN_FRACTION = 0.8


def read_decimal_comma(text: str) -> float | None:
    """Return the number in a text with a decimal comma and full stops between thousands, or None.

    >>> [read_decimal_comma(text) for text in ("48,42", "1.234,56", "1.234", "3.14", "1,2,3")]
    [48.42, 1234.56, 1234.0, None, None]
    """
    text = text.strip()
    if len(text) > _MAX_LENGTH or not re.fullmatch(_DECIMAL_COMMA, text):
        return None
    return float(text.replace(".", "").replace(",", "."))


def read_clear_decimal_comma(text: str) -> float | None:
    """Return a number whose comma can't separate thousands, or None.

    >>> [read_clear_decimal_comma(text) for text in ("48,42", "1.234,567", "1,234", "1.234")]
    [48.42, 1234.567, None, None]
    """
    is_clear = "," in text[:_MAX_LENGTH] and not re.fullmatch(_THOUSANDS, text.strip())
    return read_decimal_comma(text) if is_clear else None


def have_decimal_commas(cells: Iterable[object]) -> bool:
    """Whether the cells of a column are numbers with a decimal comma.

    They are if one cell has a comma, and all cells that look like numbers (dates don't) can be read
    with a decimal comma. Commas must not separate the cells of the table.

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
