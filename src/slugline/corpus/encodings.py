"""Detect text encodings: by byte-order mark, then UTF-8, then the most plausible encoding.

Byte statistics, as in charset_normalizer, need about a hundred letters. Tables are often shorter,
so European languages are first recognized by their letters: an encoding is rejected if it yields
a mix of letters found in no language, a capital after a lower-case letter, or a symbol such as a
quote within a word.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

#: Byte-order marks; UTF-32 comes first because a UTF-16 mark is a prefix of one of its marks.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Maximum number of bytes to examine.
_MAX_SAMPLE = 20_000
# Minimum number of bytes above 127 for guessing encodings other than European Latin ones.
_MIN_FOREIGN = 10
# Maximum fraction of misplaced characters among those above 127 in a plausible text.
_MAX_ODD = 0.05

# Letters of each language outside ASCII.
_WESTERN = (
    "äöüßéèàêç",  # German
    "àâæçèéêëîïôùûüÿœ",  # French
    "áéíñóúüçà",  # Spanish
    "áâãàçéêíóôõúü",  # Portuguese
    "àèéìòù",  # Italian
    "éëïóöüèêáç",  # Dutch
    "æøåéèêóôâò",  # Danish and Norwegian
    "äöåéàü",  # Swedish and Finnish
    "äöüõ",  # Estonian
    "éèêëïöüçñâà",  # English, in loanwords
)
_POLISH, _HUNGARIAN, _ROMANIAN = "ąćęłńóśźż", "áéíóöőúüű", "âăîşţșț"
_CZECH, _SLOVAK, _SOUTH_SLAVIC = "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýžö", "čćđšž"
_CENTRAL = (_POLISH, _CZECH, _SLOVAK, _HUNGARIAN, _ROMANIAN, _SOUTH_SLAVIC)
_TURKISH, _ICELANDIC = ("çğıöşüâîûi\u0307",), ("áðéíóúýþæö",)
# All of western Europe, for multilingual texts.
_ALL_WESTERN = ("àáâãäåæçèéêëìíîïñòóôõöøœùúûüÿß",)
# Encodings of Latin letters, most likely first.
_LATIN = (
    ("cp1252", _WESTERN),
    ("cp1254", _TURKISH),
    ("cp1252", _ICELANDIC),
    ("cp1250", _CENTRAL),
    ("iso8859-2", _CENTRAL),
    ("cp1252", _ALL_WESTERN),
    ("iso8859-15", (*_WESTERN, *_ALL_WESTERN)),
    ("cp850", _WESTERN),
    ("mac_roman", _WESTERN),
)
_CYRILLIC = (
    "абвгдежзийклмнопрстуфхцчшщъыьэюяё",  # Russian and Bulgarian
    "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",  # Ukrainian
)
_GREEK = ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",)
# Encodings of other alphabets; the best match is the one that yields the most lower-case letters.
_OTHERS = (
    *((name, _CYRILLIC) for name in ("cp1251", "koi8-r", "koi8-u", "cp866", "iso8859-5")),
    *((name, _GREEK) for name in ("cp1253", "iso8859-7")),
)
_SINGLE_BYTE = {encoding for encoding, _ in (*_LATIN, *_OTHERS)}
# Symbols common in text; rarer symbols, which occur next to letters; symbols between two letters.
_SIGNS = {*"€£§°·«»‹›‘’‚“”„–—…¿¡\N{NO-BREAK SPACE}"}
_RARE_SIGNS = {*"ªº²³¹½¼¾©®™×±µ¶•†‡´¬\N{SOFT HYPHEN}"}
_BETWEEN = "‘’´–—…·\N{NO-BREAK SPACE}\N{SOFT HYPHEN}"
# Any symbol may occur between Chinese and Japanese letters.
_LETTER = r"[^\W\d_\u2e80-\U0010ffff]"
# The expressions below are compiled on first use, which saves milliseconds for most files. This one
# matches a symbol between two letters, or one that never follows a letter.
_ODD = rf"(?<={_LETTER})(?:[„‚§¿¡¹£€½¼¾]|(?:[^\w\s\x00-\x7f{_BETWEEN}]|[ªº²³])(?={_LETTER}))"
# Greek, Cyrillic and other letters in a word of ASCII.
_FOREIGN_LETTER = r"[^\W\d_\x00-\u036f\u1e00-\u1fff\u2e80-\U0010ffff]"
_MIXED = f"(?<=[a-zA-Z]){_FOREIGN_LETTER}|{_FOREIGN_LETTER}(?=[a-zA-Z])"
# A run of letters that no Latin word contains; a few bytes of Chinese or Russian may decode to it.
_LATIN_RUN = r"[^\x00-\x7f\W]{4}"


def detect_encoding(head: bytes, likely: str | None = None, *, is_cut: bool = False) -> str | None:
    """Detect the encoding of a file from its first bytes; None for UTF-8 or if unclear.

    A byte-order mark takes precedence. Next is UTF-8, if at least half of the non-ASCII lines are
    valid; then the `likely` encoding, if the bytes are valid in it; then the most plausible one.

    Parameters
    ----------
    head : bytes
    likely : str, optional
        A likely encoding, such as the encoding of a model's training data.
    is_cut : bool, default False
        True if the bytes may end in the middle of a character.
    """
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    if b"\0" in head:
        if likely and likely.startswith("utf") and _decode(head, likely, is_cut):
            return likely
        return guess_utf16(head)
    n_utf8, n_others = _count_utf8_lines(head, is_cut)
    if n_utf8 >= n_others:
        return None
    guess = guess_encoding([line for line in head.split(b"\n") if not line.isascii()])
    # Byte pairs in Chinese, unlike western languages, may be valid UTF-8 by chance.
    if likely and not likely.startswith("utf") and not (n_utf8 and likely in _SINGLE_BYTE):
        text = _decode(head, likely, is_cut)
        if text and (guess is None or _is_plausible(text)):
            return likely
    is_mixed = n_utf8 > 0 and guess in _SINGLE_BYTE
    return None if is_mixed else guess


def is_utf8(head: bytes, *, is_cut: bool = False) -> bool:
    """Return True if all lines are UTF-8 and at least one is not ASCII."""
    n_utf8, n_others = _count_utf8_lines(head, is_cut)
    return n_utf8 > 0 and n_others == 0


def guess_utf16(head: bytes) -> str | None:
    """Return "utf-16-le" or "utf-16-be" if zero bytes indicate UTF-16 without a mark; else None.

    Spaces, line breaks and cell delimiters have a zero byte in every script.
    """
    start = head[: _MAX_SAMPLE // 2 * 2]
    for encoding, zeros, others in (
        ("utf-16-le", start[1::2], start[::2]),
        ("utf-16-be", start[::2], start[1::2]),
    ):
        n_zeros = zeros.count(0)
        if len(start) > 3 and n_zeros > 0.05 * len(zeros) and not others.count(0):
            text = _decode(head, encoding, is_cut=True)
            # In short samples, alternating zeros may be chance.
            if text and (n_zeros > 0.4 * len(zeros) or "\n" in text):
                return encoding
    return None


def guess_encoding(samples: Sequence[bytes]) -> str | None:
    """Guess the encoding of samples that are not UTF-8; None if there is no good guess.

    Short samples suffice only for European languages.
    """
    sample = b"\n".join(samples)[:_MAX_SAMPLE]
    for encoding, alphabets in _LATIN:
        text = _decode(sample, encoding)
        # A single letter is ambiguous: the ³ of m³ is ł in another encoding.
        min_distinct = 0 if encoding == "cp1252" else 2
        is_known = text and _is_in_alphabet(text, alphabets, min_distinct)
        if text and is_known and not re.search(_LATIN_RUN, text):
            return _choose_western(sample, text) if encoding == "cp1252" else encoding
    if sum(byte > 127 for byte in sample) < _MIN_FOREIGN:
        return None
    plausible = [
        (sum(map(str.islower, text)), encoding)
        for encoding, alphabets in _OTHERS
        if (text := _decode(sample, encoding)) and _is_in_alphabet(text, alphabets, 2)
    ]
    if plausible:
        return max(plausible, key=lambda guess: guess[0])[1]
    for encoding, (first, last, min_fraction) in _EASTERN:
        text = _decode(sample, encoding, is_cut=True) or ""
        is_likely = _fraction(text, first, last) > min_fraction
        if is_likely and (encoding != "gb18030" or _is_simplified(text)):
            return "cp949" if encoding == "euc_kr" else encoding  # cp949 extends EUC-KR
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    # A guess of UTF-16 means that pairs of letters were taken for Chinese characters.
    if best is None or best.encoding.startswith(("utf", "ascii")):
        return None
    text = _decode(sample, best.encoding, is_cut=True)
    return best.encoding if text and _is_plausible(text) else None


def _choose_western(sample: bytes, text: str) -> str:
    """Return cp1252, or Latin-9 if the bytes that differ between the two are letters."""
    latin_9 = _decode(sample, "iso8859-15")
    if (
        latin_9
        and _is_in_alphabet(latin_9, _ALL_WESTERN, 1)
        and _count_odd(latin_9) < _count_odd(text)
    ):
        return "iso8859-15"
    return "cp1252"


def _is_simplified(text: str) -> bool:
    """Return True if nearly all Chinese characters are among the common ones of GB 2312."""
    characters = [c.encode("gb18030", "replace") for c in text if "\u4e00" <= c <= "\u9fff"]
    n_common = sum(0xB0 <= c[0] <= 0xD7 and c[-1] > 0xA0 for c in characters if len(c) == 2)
    return n_common > 0.9 * len(characters)


def _fraction(text: str, first: str, last: str) -> float:
    """Return the fraction of non-ASCII letters in a range; 0 without such letters."""
    letters = [c for c in text if c > "\x7f" and c.isalpha()]
    return sum(first <= c <= last for c in letters) / max(len(letters), 1)


# Range of letters, and minimum fraction of non-ASCII letters in that range.
_KOREAN, _CHINESE = ("\uac00", "\ud7a3", 0.9), ("\u4e00", "\u9fff", 0.9)
_JAPANESE = "\u3041", "\u30ff", 0.2
# Multi-byte encodings. Korean and Japanese come first because their bytes are also valid Chinese.
_EASTERN = (
    ("euc_kr", _KOREAN),
    ("cp932", _JAPANESE),
    ("euc_jp", _JAPANESE),
    ("gb18030", _CHINESE),
    ("big5", _CHINESE),
    ("cp949", _KOREAN),
)


def _count_utf8_lines(head: bytes, is_cut: bool) -> tuple[int, int]:
    """Count the lines that are UTF-8 but not ASCII, and the lines that are neither.

    If the head is cut, its incomplete last line is ignored unless it is the only one. Other lines
    may not end within a character: a line that seems to do so may end in ß in cp1252.
    """
    n_utf8 = n_others = 0
    lines = head.split(b"\n")
    is_part = is_cut and len(lines) == 1
    if is_cut and not is_part:
        lines.pop()
    for line in lines:
        if not line.isascii():
            is_valid = _decode(line, "utf-8", is_part) is not None
            n_utf8 += is_valid
            n_others += not is_valid
    return n_utf8, n_others


def _is_in_alphabet(text: str, alphabets: Sequence[str], min_distinct: int) -> bool:
    """Return True for plausible text with enough distinct letters, all from one language."""
    foreign = [character for character in text if character > "\x7f"]
    letters = [c for c in foreign if c not in _SIGNS and c not in _RARE_SIGNS]
    if len(letters) < sum(character in _RARE_SIGNS for character in foreign):
        return False
    small = {*"".join(letters).lower()}
    if len(small) < min_distinct:
        return False
    return any(small <= {*alphabet} for alphabet in alphabets) and _is_plausible(text)


def _is_plausible(text: str) -> bool:
    """Return True if a text has hardly any misplaced characters; see `_count_odd`."""
    return _count_odd(text) <= _MAX_ODD * sum(character > "\x7f" for character in text)


def _count_odd(text: str) -> int:
    """Count misplaced non-ASCII characters.

    These are symbols and foreign letters within words, capitals after lower-case letters, and
    control characters.
    """
    n_odd = len(re.findall(_ODD, text)) + len(re.findall(_MIXED, text))
    for previous, character in zip(f" {text}", text, strict=False):
        if character > "\x7f":
            is_capital_in_word = character.isupper() and previous.islower()
            is_control_character = character < "\xa0"
            n_odd += is_capital_in_word + is_control_character
    return n_odd


def _decode(data: bytes, encoding: str, is_cut: bool = False) -> str | None:
    """Decode bytes; return None if they are invalid."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data, final=not is_cut)
    except UnicodeError:
        return None
