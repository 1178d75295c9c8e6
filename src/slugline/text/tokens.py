"""Split texts into words with array operations.

Words are defined as in the classic newswire data set: the text is lower-cased, and words are
separated by white space and ASCII punctuation except the apostrophe. Punctuation of other scripts
also separates words.

A chunk of documents is joined into one byte buffer, and each later step is a NumPy operation over
all its words, so Python loops over chunks, not words. NumPy releases the interpreter lock, so
chunks can run on threads. A word's hash depends only on its bytes, not on chunk boundaries.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from slugline.base.arrays import I32, I64, U32, U64
from slugline.base.threads import map_in_order
from slugline.corpus.documents import check_all_str, check_iterable_of_texts, check_texts
from slugline.text.characters import TRANSLATION, character_table, normalize_nfc, normalize_text
from slugline.text.hashing import PADDING, hash_spans, number_distinct
from slugline.text.sparse import ranges, row_offsets

T = TypeVar("T")
#: Joined documents, their lengths, tables of ASCII and of other characters, and a function that
#: normalizes a document, given its index.
KernelArguments: TypeAlias = tuple[bytes, I64, bytes, U32 | None, Callable[[int], bytes]]


class ChunkSizes(NamedTuple):
    """Sizes of chunks.

    A chunk's temporary arrays fit into a core's own cache, which makes passes over them twice as
    fast. With smaller chunks, threads wait for the interpreter lock.

    Attributes
    ----------
    characters : int
        Number of characters after which a chunk ends.
    texts_per_step : int
        Number of texts added to a chunk per step.
    max_step_characters : int
        If the texts of a step have more characters in total, each becomes a separate chunk:
        temporary arrays are many times as large as the texts.
    max_texts : int
        Maximum number of texts in a chunk: each may have a row of word vectors.
    """

    characters: int = 1 << 18
    texts_per_step: int = 64
    max_step_characters: int = 1 << 22
    max_texts: int = 1 << 14


CHUNK_SIZES = ChunkSizes()
_SPACE = ord(" ")
_SPACES = re.compile(" +")


@dataclass(frozen=True, eq=False)
class Words:
    """All words of some documents, in order.

    Attributes
    ----------
    buffer : bytes
        The documents, normalised and joined, as UTF-8.
    starts, ends : int64 arrays, shape (n_words,)
        Offsets of each word in `buffer`.
    indptr : int64 array, shape (n_documents + 1,)
        Document `d` has the words from `indptr[d]` to `indptr[d + 1] - 1`.
    hashes : uint64 array, shape (n_words,)
        Hash of each word's bytes, never 0.
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
    def distinct(self) -> tuple[Words, I32]:
        """The distinct words, and the index of its distinct word for each word of `self`.

        The distinct words are in order of first appearance, one document each.
        """
        first, numbers = number_distinct(self.hashes)
        indptr = np.arange(len(first) + 1)
        words = Words(self.buffer, self.starts[first], self.ends[first], indptr, self.hashes[first])
        return words, numbers

    def extract(self, numbers: I64) -> tuple[bytes, I64]:
        """Return the bytes of the words with these indices, concatenated, and their lengths."""
        lengths = self.ends[numbers] - self.starts[numbers]
        places = ranges(self.starts[numbers], lengths)
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
    """Return all words of `texts` with their hashes, in a few array operations.

    Raises DataError if a document is not a `str`.
    """
    data, lengths = join_texts(check_texts(texts), normalize_text)
    # Spaces surround each document, so edges alternate between starts and ends, and no word spans
    # two documents.
    buffer = b" ".join([b"", data, PADDING]).translate(TRANSLATION)
    array = np.frombuffer(buffer, dtype=np.uint8)
    is_space = array == _SPACE
    edges = np.flatnonzero(is_space[1:] != is_space[:-1])
    edges += 1
    starts, ends = edges[0::2], edges[1::2]
    lengths += 1  # for the space
    indptr = np.searchsorted(starts, row_offsets(lengths) + 1)
    return Words(buffer, starts, ends, indptr, hash_spans(array, starts, ends - starts))


def map_chunks(
    function: Callable[[Sequence[str]], T],
    texts: Iterable[str],
    n_threads: int = 1,
    sizes: ChunkSizes | None = None,
) -> Iterator[T]:
    """Apply `function` to consecutive chunks of `texts`, in order, on `n_threads` threads.

    Only a few chunks per thread are in memory at a time, so `texts` may be an endless stream.
    """
    chunks = _chunks(texts, sizes or CHUNK_SIZES)
    first_chunks = list(itertools.islice(chunks, 1 if n_threads == 1 else 2))
    if len(first_chunks) < 2:  # one thread, or nothing to share
        n_threads = 1
    chunks = itertools.chain(first_chunks, chunks)
    yield from map_in_order(function, chunks, n_threads, n_waiting=n_threads + 1)


def _chunks(texts: Iterable[str], sizes: ChunkSizes) -> Iterator[list[str]]:
    remaining = iter(check_iterable_of_texts(texts))
    chunk: list[str] = []
    n_given = size = 0
    # Take several texts per step: a Python loop over single texts is noticeably slow.
    while step := list(itertools.islice(remaining, sizes.texts_per_step)):
        check_all_str(step, n_given)
        n_given += len(step)
        step_size = sum(map(len, step))
        if step_size > sizes.max_step_characters:
            yield from filter(None, [chunk, *([text] for text in step)])
            chunk, size = [], 0
            continue
        size += step_size
        chunk += step
        if size >= sizes.characters or len(chunk) >= sizes.max_texts:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def join_texts(
    texts: Sequence[str], prepare: Callable[[str], str] | None = None
) -> tuple[bytes, I64]:
    """Return the bytes of the documents, joined with spaces, and the number of bytes of each.

    `prepare` is applied to texts that are not ASCII.
    """
    whole = " ".join(texts)
    if whole.isascii():
        return whole.encode(), np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    if prepare is not None:
        texts = [text if text.isascii() else prepare(text) for text in texts]
    try:
        data = [*map(str.encode, texts)]
    except UnicodeEncodeError:
        # Lone surrogates are rare, and always passing an error handler takes four times as long.
        data = [*map(encode_text, texts)]
    return b" ".join(data), np.fromiter(map(len, data), dtype=np.int64, count=len(data))


class JoinedTexts(NamedTuple):
    """Texts as the compiled kernels read them.

    Attributes
    ----------
    texts : sequence of str
    data : bytes
        The texts as UTF-8, with a space between them.
    lengths : int64 array, shape (n_texts,)
        Number of bytes of each text.
    """

    texts: Sequence[str]
    data: bytes
    lengths: I64

    @classmethod
    def join(cls, texts: Sequence[str]) -> JoinedTexts:
        """Encode texts."""
        return cls(texts, *join_texts(texts))

    def kernel_arguments(self) -> KernelArguments:
        """Return the first arguments of a kernel that reads words."""
        # Characters of a plane beyond the first have four bytes, of which this is the first.
        characters = None if self.data.isascii() else character_table(1 + (b"\xf0" in self.data))
        return self.data, self.lengths, TRANSLATION, characters, self._normalize

    def _normalize(self, document: int) -> bytes:
        return encode_text(normalize_nfc(self.texts[document]))


def encode_text(text: str) -> bytes:
    """Return a text as UTF-8."""
    # A lone surrogate, as in broken JSON, counts as a character like any other.
    return text.encode("utf-8", "surrogatepass")
