"""Word vectors, from the table that comes with the package or from another one.

`slugline.text.vector_sums` says how texts are read.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, I64
from slugline.base.files import PathLike
from slugline.corpus.documents import check_texts
from slugline.errors import EncoderError
from slugline.text.characters import is_unspaced
from slugline.text.counting import sum_vectors
from slugline.text.hashing import PADDING, hash_spans
from slugline.text.tokens import encode_text, find_words, map_chunks
from slugline.text.vector_sums import TextSums, find_vectors
from slugline.text.vector_table import VectorTable, map_table

#: Version of the table used in training.
VERSION = 1
#: Folder of the package's tables.
FOLDER = Path(__file__).parent


class WordContribution(NamedTuple):
    """Contribution of a word, or a part or piece of it, to a text's sum of vectors.

    Attributes
    ----------
    start, end : int
        Byte offsets of the word, or of the piece in scripts without spaces, in the buffer of
        `find_words([text])`.
    vector : float32 array, shape (n_columns,)
    """

    start: int
    end: int
    vector: F32


class WordVectors:
    """Word vectors in a table, usually memory-mapped.

    Iterating yields the words in the order of the table's rows. Only the header of the file is read
    until vectors are used. Thread-safe.

    Parameters
    ----------
    table : VectorTable

    Attributes
    ----------
    table : VectorTable
    """

    def __init__(self, table: VectorTable) -> None:
        self.table = table

    @classmethod
    def open(cls, path: PathLike) -> WordVectors:
        """Map a table.

        Raises
        ------
        EncoderError : if there is no such file, or it is damaged or of another version.
        """
        return cls(map_table(path))

    def __reduce__(self) -> tuple[object, ...]:
        # On another machine, the package's table may be in a different folder.
        if self.table.path == _table_path(self.version):
            return open_table, (self.version,)
        return WordVectors.open, (self.table.path,)

    def __len__(self) -> int:
        return self.table.header.n_words

    def __iter__(self) -> Iterator[str]:
        return map(self.table.word, range(len(self)))

    def __repr__(self) -> str:
        return f"<WordVectors {self.table.path.name}: {len(self):,} x {self.n_columns}>"

    @property
    def n_columns(self) -> int:
        """Number of columns of a vector."""
        return self.table.header.n_columns

    @property
    def version(self) -> int:
        """Version of the table."""
        return self.table.header.version

    @property
    def digest(self) -> str:
        """Digest of the table, as stated in its file."""
        return self.table.digest

    def row(self, word: str) -> int | None:
        """Return the row of a word as returned by `tokenize`, or None if it is not in the table."""
        data = encode_text(word)
        if not data:
            return None
        array = np.frombuffer(data + PADDING, dtype=np.uint8)
        hashes = hash_spans(array, np.zeros(1, dtype=np.int64), np.array([len(data)]))
        (row,) = self.table.find_rows(hashes).tolist()
        return None if row < 0 else row

    def vector(self, word: str) -> F32:
        """Return the contribution of a word to a text's sum, shape (n_columns,).

        Raises
        ------
        KeyError : if the word isn't in the table.
        """
        row = self.row(word)
        if row is None:
            raise KeyError(word)
        return self.vectors([row])[0]

    def vectors(self, rows: Sequence[int] | I64) -> F32:
        """Return the vectors of rows, shape (n_rows, n_columns)."""
        return self.table.apply_scale(self.table.unpack(np.asarray(rows, dtype=np.int64)))

    def sum_texts(self, texts: Sequence[str], n_threads: int = 1) -> TextSums:
        """Return each text's sum of vectors and known fraction.

        Raises
        ------
        DataError : if a text is not a `str`.
        """
        texts = check_texts(texts)
        sums = np.empty((len(texts), self.n_columns), dtype=np.float32)
        known = np.empty(len(texts), dtype=np.float32)
        n_done = 0
        for part in map_chunks(functools.partial(sum_vectors, self.table), texts, n_threads):
            chunk = slice(n_done, n_done + len(part.known))
            sums[chunk], known[chunk] = part
            n_done = chunk.stop
        return TextSums(sums, known)

    def word_contributions(self, text: str) -> list[WordContribution]:
        """Return the vectors of a text's sum, in the order of its words."""
        words = find_words([text])
        spans = find_vectors(self.table, words)
        is_piece = is_unspaced(np.frombuffer(words.buffer, dtype=np.uint8), spans.starts)
        starts = np.where(is_piece, spans.starts, words.starts[spans.owners]).tolist()
        ends = np.where(is_piece, spans.ends, words.ends[spans.owners]).tolist()
        vectors = self.vectors(spans.rows)
        return [*map(WordContribution, starts, ends, vectors)]


def open_table(version: int = VERSION) -> WordVectors:
    """Return the package's table of word vectors, mapped once.

    Raises
    ------
    EncoderError : if the package has no table of this version, or it is damaged.
    """
    return _open_once(_table_path(version), version)


@functools.cache
def _open_once(path: Path, version: int) -> WordVectors:
    if version != VERSION and not path.exists():
        raise EncoderError(
            f"this version of Slugline has no {path.name}; install the version that trained the "
            "model, or retrain the model."
        )
    vectors = WordVectors.open(path)
    if vectors.version != version:
        raise EncoderError(
            f"{path}: contains version {vectors.version} of the word vectors instead of "
            f"{version}; install slugline again."
        )
    return vectors


def _table_path(version: int) -> Path:
    return FOLDER / f"word_vectors_{version}.slugvec"
