"""Splits texts into words and hashes them to 64 bits, a whole array at a time: the hot path.

Words are those of the classic newswire data set: the text is lower-cased, white space and ASCII
punctuation except the apostrophe separate words, and whatever is between them is a word. Beyond
ASCII, so does the punctuation of other scripts; see `slugline.text.scripts`.

Documents are processed in chunks. A chunk is joined into one byte buffer, and every later step is a
NumPy operation over all its words at once, so Python's own loop runs per chunk, not per word. NumPy
releases the interpreter lock in these operations, so chunks can run on threads. Results never
depend on where chunks are cut: a word's hash is a function of its bytes alone.
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

from slugline.base.arrays import I64, U64
from slugline.documents import as_texts, check_texts, no_string
from slugline.ragged import boundaries, ranges
from slugline.text.hashing import PADDING, distinct, hash_spans
from slugline.text.scripts import plain

__all__ = [
    "PUNCTUATION",
    "TRANSLATION",
    "Words",
    "find_words",
    "join",
    "map_chunks",
    "span_text",
    "tokenize",
]

T = TypeVar("T")

#: The characters that separate words, besides white space. No apostrophe: "don't" is one word.
PUNCTUATION = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'
# The temporary arrays of such a chunk stay in a core's own cache, where passes over memory are
# twice as fast as over a whole corpus. Smaller chunks make threads queue for the interpreter lock.
_CHUNK_CHARACTERS = 1 << 18
_PIECE_TEXTS = 16
# Texts as long as books are processed one by one: temporary arrays are many times as large.
_BOOK_CHARACTERS = 1 << 22
_ASCII_SPACE = "\t\n\v\f\r\x1c\x1d\x1e\x1f"
_SPACE = ord(" ")
_SEPARATORS = (PUNCTUATION + _ASCII_SPACE).encode()
#: Lower-cases ASCII and turns separators into spaces. Bytes from 128 up belong to multi-byte UTF-8
#: characters and stay as they are.
TRANSLATION = bytes(
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
        Where each word is in `buffer`.
    indptr : int64 array, shape (n_documents + 1,)
        Document `d` has the words from `indptr[d]` up to but not including `indptr[d + 1]`.
    hashes : uint64 array, shape (n_words,)
        A hash of each word's bytes; equal words have equal hashes, and none is 0.
    """

    buffer: bytes
    starts: I64
    ends: I64
    indptr: I64
    hashes: U64

    def __len__(self) -> int:
        return len(self.starts)

    def word(self, i: int) -> str:
        """Return the `i`-th word as text."""
        return span_text(self.buffer[self.starts[i] : self.ends[i]])

    @cached_property
    def distinct(self) -> tuple[Words, npt.NDArray[np.int32]]:
        """Each word once, as a document of its own, and the number of the word at each position.

        Words are numbered in order of appearance.
        """
        first, numbers = distinct(self.hashes)
        indptr = np.arange(len(first) + 1)
        words = Words(self.buffer, self.starts[first], self.ends[first], indptr, self.hashes[first])
        return words, numbers

    def cut(self, chosen: I64) -> tuple[bytes, I64]:
        """Return the bytes of the chosen words, one after another, and the length of each."""
        lengths = self.ends[chosen] - self.starts[chosen]
        places = ranges(self.starts[chosen], lengths)
        return np.frombuffer(self.buffer, dtype=np.uint8)[places].tobytes(), lengths


def span_text(data: bytes) -> str:
    """Return the text of a word, or of neighbouring words with one space between them."""
    return _SPACES.sub(" ", data.decode("utf-8", "surrogatepass"))


def tokenize(text: str) -> list[str]:
    """Return the words of one document.

    >>> tokenize("OPEC's output up 1.5%, says Shell-Mex")
    ["opec's", 'output', 'up', '1', '5', 'says', 'shell', 'mex']
    """
    words = find_words([text])
    return [words.word(i) for i in range(len(words))]


def find_words(texts: Sequence[str]) -> Words:
    """Return all words of all `texts`, with their hashes, in a handful of array operations.

    Raises
    ------
    DataError : if a document is not a `str`.
    """
    data, lengths = join(as_texts(texts), plain)
    # With spaces before, between and after documents, edges alternate between starts and ends, and
    # no word runs from one document into the next.
    buffer = b" ".join([b"", data, PADDING]).translate(TRANSLATION)
    array = np.frombuffer(buffer, dtype=np.uint8)
    is_space = array == _SPACE
    edges = np.flatnonzero(is_space[1:] != is_space[:-1])
    edges += 1
    starts, ends = edges[0::2], edges[1::2]
    lengths += 1  # for the space
    firsts = boundaries(lengths) + 1
    indptr = np.searchsorted(starts, firsts)
    return Words(buffer, starts, ends, indptr, hash_spans(array, starts, ends - starts))


def map_chunks(
    function: Callable[[Sequence[str]], T], texts: Iterable[str], n_threads: int = 1
) -> Iterator[T]:
    """Apply `function` to consecutive chunks of `texts`, in order, on `n_threads` threads.

    Only a few chunks per thread are in memory at a time, so `texts` may be an endless stream.
    """
    chunks = _chunks(texts)
    some = list(itertools.islice(chunks, 1 if n_threads == 1 else 2))
    chunks = itertools.chain(some, chunks)
    if len(some) < 2:  # one thread, or nothing to share
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
    # A few at a time, because a Python step for every text would be noticeable.
    while piece := list(itertools.islice(remaining, _PIECE_TEXTS)):
        check_texts(piece, n_given)
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


def join(texts: Sequence[str], prepare: Callable[[str], str]) -> tuple[bytes, I64]:
    """Return the documents as bytes, joined with spaces, and the number of bytes of each.

    Parameters
    ----------
    texts : sequence of str
    prepare : callable
        What is done to a text beyond ASCII before.
    """
    joined = " ".join(texts)
    if joined.isascii():
        return joined.encode(), np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    data = [text.encode() if text.isascii() else _encode(prepare(text)) for text in texts]
    return b" ".join(data), np.fromiter(map(len, data), dtype=np.int64, count=len(data))


def _encode(text: str) -> bytes:
    # A lone surrogate, as in broken JSON, counts as a character like any other.
    return text.encode("utf-8", "surrogatepass")
