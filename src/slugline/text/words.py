"""Text to words to 64-bit hashes, in whole-array steps: the hot path.

A word is what the classic newswire data set calls one: the text is lower-cased, ASCII punctuation
except the apostrophe and all white space separate, and whatever stands between is a word.

Documents are taken a chunk at a time. A chunk is joined into one byte buffer, and every step after
that is a NumPy operation over all its words at once, so Python's own loop runs per chunk, not per
word. NumPy releases the interpreter lock in these operations, hence chunks can run on threads.
Results never depend on where the chunks were cut: a word's hash is a function of its bytes alone.
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from slugline.documents import as_texts, no_string
from slugline.ragged import boundaries, ranges
from slugline.text.hashing import PADDING, distinct, hash_spans

__all__ = ["PUNCTUATION", "Words", "find_words", "map_chunks", "span_text", "tokenize"]

T = TypeVar("T")

#: The characters that separate words, besides white space. No apostrophe: "don't" is one word.
PUNCTUATION = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'
# The temporaries of such a chunk stay in a core's own cache, where these memory passes are twice as
# fast as over a whole corpus at once; smaller chunks make threads queue for the interpreter lock.
_CHUNK_CHARACTERS = 1 << 18
_PIECE_TEXTS = 16
# Texts of books are taken one by one, as the temporaries of each are many times its size.
_BOOK_CHARACTERS = 1 << 22
_ASCII_SPACE = "\t\n\v\f\r\x1c\x1d\x1e\x1f"
# All other characters for which str.isspace() holds.
_WIDE_SPACE = "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"


_WIDE_SPACE += "\u2028\u2029\u202f\u205f\u3000"


_WIDE_SPACES = re.compile(f"[{_WIDE_SPACE}]")
_SPACE = ord(" ")
# One pass over the bytes lower-cases ASCII and blanks the separators. Bytes from 128 up belong to
# multi-byte UTF-8 characters and pass through.
_SEPARATORS = (PUNCTUATION + _ASCII_SPACE).encode()
_TRANSLATION = bytes(
    _SPACE if byte in _SEPARATORS else ord(chr(byte).lower()) if byte < 128 else byte
    for byte in range(256)
)
_SPACES = re.compile(" +")


@dataclass(frozen=True)
class Words:
    """All words of some documents, in order.

    Attributes
    ----------
    buffer : bytes
        The documents, normalised and joined, as UTF-8.
    starts, ends : int64 arrays, shape (n_words,)
        Where each word lies in `buffer`.
    indptr : int64 array, shape (n_documents + 1,)
        Document `d` has the words `indptr[d]` up to, not including, `indptr[d + 1]`.
    hashes : uint64 array, shape (n_words,)
        A hash of each word's bytes; equal words have equal hashes, never 0.
    """

    buffer: bytes
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.starts)

    def word(self, i: int) -> str:
        """Return the `i`-th word as text."""
        return span_text(self.buffer[self.starts[i] : self.ends[i]])

    @cached_property
    def distinct(self) -> tuple[Words, npt.NDArray[np.int32]]:
        """Each word once, as a document of its own, and which of these stands at each place.

        They are in order of appearance.
        """
        first, numbers = distinct(self.hashes)
        indptr = np.arange(len(first) + 1)
        words = Words(self.buffer, self.starts[first], self.ends[first], indptr, self.hashes[first])
        return words, numbers

    def cut(self, chosen: npt.NDArray[np.int64]) -> tuple[bytes, npt.NDArray[np.int64]]:
        """Cut some words out of the buffer: their bytes, one after another, and their lengths."""
        lengths = self.ends[chosen] - self.starts[chosen]
        places = ranges(self.starts[chosen], lengths)
        return np.frombuffer(self.buffer, dtype=np.uint8)[places].tobytes(), lengths


def span_text(data: bytes) -> str:
    """Return the text of a word, or of neighbouring ones with one space between them."""
    return _SPACES.sub(" ", data.decode("utf-8", "surrogatepass"))


def tokenize(text: str) -> list[str]:
    """Split one document into its words.

    >>> tokenize("OPEC's output up 1.5%, says Shell-Mex")
    ["opec's", 'output', 'up', '1', '5', 'says', 'shell', 'mex']
    """
    words = find_words([text])
    return [words.word(i) for i in range(len(words))]


def find_words(texts: Sequence[str]) -> Words:
    """Find and hash all words of all `texts` in a handful of array operations.

    Raises
    ------
    DataError : if a document is not a `str`.
    """
    data, lengths = _join(as_texts(texts))
    # A space before, between and after: edges then alternate between starts and ends, and no word
    # runs from one document into the next.
    buffer = b" ".join([b"", data, PADDING]).translate(_TRANSLATION)
    array = np.frombuffer(buffer, dtype=np.uint8)
    is_space = array == _SPACE
    edges = np.flatnonzero(is_space[1:] != is_space[:-1])
    edges += 1
    starts, ends = edges[0::2], edges[1::2]
    lengths += 1  # and a space
    firsts = boundaries(lengths) + 1
    indptr = np.searchsorted(starts, firsts)
    return Words(buffer, starts, ends, indptr, hash_spans(array, starts, ends - starts))


def map_chunks(
    function: Callable[[Sequence[str]], T], texts: Iterable[str], n_threads: int = 1
) -> Iterator[T]:
    """Apply `function` to consecutive chunks of `texts`, in order, on `n_threads` threads.

    Only a few chunks per thread are held at a time, so `texts` may be an endless stream.
    """
    chunks = _chunks(texts)
    if n_threads == 1:
        yield from map(function, chunks)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        pending: deque[object] = deque()
        for chunk in chunks:
            pending.append(pool.submit(function, chunk))
            if len(pending) > 2 * n_threads:
                yield pending.popleft().result()  # type: ignore[attr-defined]
        while pending:
            yield pending.popleft().result()  # type: ignore[attr-defined]


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(no_string(texts))
    chunk: list[str] = []
    n_given = size = 0
    # A few at a time, as a step of Python's for every text would be felt.
    while piece := as_texts(itertools.islice(remaining, _PIECE_TEXTS), n_given):
        n_given += len(piece)
        piece_size = sum(map(len, piece))
        if piece_size > _BOOK_CHARACTERS:
            yield from filter(None, [chunk, *([text] for text in piece)])
            chunk, size = [], 0
            continue
        size += piece_size
        chunk += piece
        if size >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _join(texts: list[str]) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Put documents behind one another, with spaces; give the bytes, and how many each has."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    joined = " ".join(texts)
    if joined.isascii():
        return joined.encode(), lengths
    for place, text in enumerate(texts):
        if not text.isascii():
            texts[place] = text = _WIDE_SPACES.sub(" ", text.lower())
            lengths[place] = len(_encode(text))
    return _encode(" ".join(texts)), lengths


def _encode(text: str) -> bytes:
    # A lone surrogate, as in broken JSON, is a character like any other here.
    return text.encode("utf-8", "surrogatepass")
