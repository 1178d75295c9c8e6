"""Word vectors and words of training documents by topic, for comparison with later texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, F64, I64, U32
from slugline.errors import DataError
from slugline.learning.encoder.vectors import WordVectorEncoder
from slugline.learning.labels import Labels
from slugline.model.heldout import spread_positions
from slugline.text.sparse import row_lengths
from slugline.text.tokens import Words, find_words

#: Maximum number of documents in a profile, and of characters read from each.
MAX_DOCUMENTS, MAX_CHARACTERS = 1000, 2000
# Words in fewer documents, about half of all words, are dropped.
_MIN_DOCUMENTS = 2
# Only the highest 29 bits of hashes are kept, to stay within the number limit of model files.
_HASH_SHIFT = np.uint64(35)
_TYPES = {
    "sizes": np.float32,
    "drawn_fractions": np.float32,
    "means": np.float32,
    "covariance": np.float32,
    "words": np.uint32,
    "word_topics": np.uint16,
    "n_word_topics": np.uint16,
    "n_documents": np.uint16,
}


class TextWords(NamedTuple):
    """The distinct words of each text.

    Attributes
    ----------
    texts : int64 array, shape (n_pairs,)
        Index of the text in each (text, word) pair.
    hashes : uint32 array, shape (n_pairs,)
    spellings : Words
        Words of all texts.
    first : int64 array, shape (n_pairs,)
        Index in `spellings` of one occurrence of the word in the text.
    """

    texts: I64
    hashes: U32
    spellings: Words
    first: I64

    @classmethod
    def from_texts(cls, texts: Sequence[str]) -> TextWords:
        """Return the words of texts."""
        words = find_words(texts)
        hashes = (words.hashes >> _HASH_SHIFT).astype(np.uint32)
        owners = np.repeat(np.arange(len(texts)), row_lengths(words.indptr))
        pairs = owners.astype(np.uint64) << np.uint64(32) | hashes
        _, first = np.unique(pairs, return_index=True)
        return cls(owners[first], hashes[first], words, first)


@dataclass(frozen=True, eq=False)
class TextProfile:
    """Word vectors and words of a sample of training documents, by topic.

    Each document counts for one topic. In multilabel models, this is one of its topics; documents
    without a topic count for an additional last one.

    Attributes
    ----------
    sizes : float32 array, shape (n_topics,) or (n_topics + 1,)
        Number of documents that count for each topic.
    drawn_fractions : float32 array, shape (n_topics,)
        Fraction of the documents with each topic that count for it.
    means : float32 array, shape (len(sizes), n_columns)
        Mean vector of each topic. No columns if the word vectors don't cover the language.
    covariance : float32 array, shape (n_columns, n_columns)
        Pooled within-topic covariance of vectors.
    words : uint32 array, shape (n_words,)
        Hashes of words, ascending.
    word_topics, n_documents : uint16 arrays, shape (n_pairs,)
        Topics in which each word occurs, word by word, and the number of documents in each.
    n_word_topics : uint16 array, shape (n_words,)
        Number of topics in which each word occurs.
    table_digest : str
        Digest of the word vector table.
    """

    sizes: F32
    drawn_fractions: F32
    means: F32
    covariance: F32
    words: U32
    word_topics: npt.NDArray[np.uint16]
    n_word_topics: npt.NDArray[np.uint16]
    n_documents: npt.NDArray[np.uint16]
    table_digest: str

    @classmethod
    def from_documents(
        cls, texts: Sequence[str], labels: Labels, n_topics: int
    ) -> TextProfile | None:
        """Return the profile of training documents; None without any, or with too many topics."""
        if not len(texts) or n_topics > MAX_DOCUMENTS:
            return None
        sampled = spread_positions(len(texts), min(len(texts), MAX_DOCUMENTS))
        cut = [texts[row][:MAX_CHARACTERS] for row in sampled.tolist()]
        labels = labels.take(sampled)
        drawn = _draw_topics(labels, n_topics)
        n_groups = n_topics + 1 if labels.multilabel else n_topics
        sizes = np.bincount(drawn, minlength=n_groups).astype(np.float32)
        n_with_topic = np.bincount(labels.topics, minlength=n_topics)
        means, covariance = _vector_moments(cut, drawn, sizes)
        words = TextWords.from_texts(cut)
        pairs, counts = np.unique(
            words.hashes.astype(np.uint64) << np.uint64(16) | drawn[words.texts].astype(np.uint64),
            return_counts=True,
        )
        hashes, starts, topic_counts = np.unique(
            pairs >> np.uint64(16), return_index=True, return_counts=True
        )
        totals = np.bincount(np.repeat(np.arange(len(starts)), topic_counts), counts)
        is_kept = totals >= _MIN_DOCUMENTS
        kept_pairs = np.repeat(is_kept, topic_counts)
        return cls(
            sizes=sizes,
            drawn_fractions=(sizes[:n_topics] / np.maximum(n_with_topic, 1)).astype(np.float32),
            means=means,
            covariance=covariance,
            words=hashes[is_kept].astype(np.uint32),
            word_topics=(pairs[kept_pairs] & np.uint64(0xFFFF)).astype(np.uint16),
            n_word_topics=topic_counts[is_kept].astype(np.uint16),
            n_documents=counts[kept_pairs].astype(np.uint16),
            table_digest=WordVectorEncoder().digest,
        )

    def encode(self, texts: Sequence[str]) -> F64 | None:
        """Return the vectors of texts, or None if they aren't comparable with the profile.

        The word vectors may not cover the language, or may have changed.
        """
        encoder = WordVectorEncoder()
        if not self.means.size or encoder.digest != self.table_digest:
            return None
        return encoder.encode(texts).astype(np.float64)

    @property
    def degrees_of_freedom(self) -> int:
        """Degrees of freedom of the covariance."""
        return int(self.sizes.sum()) - int(np.count_nonzero(self.sizes))

    def topic_fractions(self, shares: F64) -> F64:
        """Return the expected fraction of texts that count for each topic, shape (len(sizes),).

        Parameters
        ----------
        shares : float64 array, shape (n_topics,)
        """
        drawn = np.maximum(shares, 0) * self.drawn_fractions
        if len(self.sizes) > len(shares):
            without = max(0.0, 1 - drawn.sum()) if self.sizes[-1] else 0.0
            drawn = np.append(drawn, without)
        fractions: F64 = drawn / max(drawn.sum(), 1e-9)
        return fractions

    def word_counts(self, hashes: U32) -> F64:
        """Return the number of documents of each topic that contain each word.

        Parameters
        ----------
        hashes : uint32 array, shape (n_words,)
            Distinct.

        Returns
        -------
        float64 array, shape (len(sizes), n_words)
        """
        table = np.zeros((len(self.sizes), len(hashes)))
        _, columns, places = np.intersect1d(hashes, self.words, return_indices=True)
        ends = self.n_word_topics.cumsum(dtype=np.int64)
        for column, place in zip(columns.tolist(), places.tolist(), strict=True):
            pairs = slice(ends[place] - self.n_word_topics[place], ends[place])
            table[self.word_topics[pairs], column] = self.n_documents[pairs]
        return table

    # Arrays of a model file

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of a model file."""
        return {name: getattr(self, name) for name in _TYPES}

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, npt.NDArray[Any]],
        *,
        n_topics: int,
        multilabel: bool,
        table_digest: str,
    ) -> TextProfile:
        """Return the profile from the untrusted arrays of a model file.

        Raises
        ------
        DataError : if the arrays are invalid.
        """
        if {*arrays} != {*_TYPES}:
            raise DataError(f"arrays of the text profile are {sorted(arrays)}")
        for name, array in arrays.items():
            if array.dtype != _TYPES[name]:
                raise DataError(f"`{name}` of the text profile is of type {array.dtype}")
        profile = cls(**arrays, table_digest=table_digest)
        n_groups, n_words = n_topics + multilabel, len(profile.words)
        n_columns = profile.means.shape[-1]
        shapes = {
            "sizes": (n_groups,),
            "drawn_fractions": (n_topics,),
            "means": (n_groups, n_columns),
            "covariance": (n_columns, n_columns),
            "words": (n_words,),
            "n_word_topics": (n_words,),
            "word_topics": (int(profile.n_word_topics.sum(dtype=np.int64)),),
            "n_documents": profile.word_topics.shape,
        }
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise DataError(f"`{name}` of the text profile is of shape {arrays[name].shape}")
        if (profile.words[1:] <= profile.words[:-1]).any():
            raise DataError("words of the text profile are not in ascending order")
        if profile.word_topics.max(initial=0) >= n_groups:
            raise DataError("words of the text profile have topics that do not exist")
        numbers = profile.sizes, profile.drawn_fractions
        if not all((each >= 0).all() for each in numbers) or not 0 < profile.sizes.sum() < 1e9:
            raise DataError("the text profile has negative numbers of documents, or none")
        if (profile.n_documents > profile.sizes[profile.word_topics]).any():
            raise DataError("words of the text profile are in more documents than topics have")
        return profile


def _draw_topics(labels: Labels, n_topics: int) -> I64:
    """Return one topic per document; `n_topics` for documents without a topic.

    The choice rotates, so neighbouring multi-label documents count for different topics.
    """
    if not labels.multilabel:
        return labels.topics
    n_each = labels.n_each
    places = labels.starts[:-1] + np.arange(len(n_each)) % np.maximum(n_each, 1)
    drawn: I64 = np.append(labels.topics, n_topics)[np.where(n_each > 0, places, -1)]
    return drawn


def _vector_moments(texts: Sequence[str], topics: I64, sizes: F32) -> tuple[F32, F32]:
    """Return the mean vector of each topic, and the within-topic covariance.

    Each mean includes one pseudo-document with the overall mean.
    """
    encoder = WordVectorEncoder()
    if not encoder.knows_language(texts):
        return np.zeros((len(sizes), 0), np.float32), np.zeros((0, 0), np.float32)
    vectors = encoder.encode(texts).astype(np.float64)
    sums = np.zeros((len(sizes), vectors.shape[1]))
    np.add.at(sums, topics, vectors)
    means = (sums + vectors.mean(axis=0)) / (sizes + 1)[:, np.newaxis]
    residuals = vectors - means[topics]
    # At least half of the documents, since residuals of small topics aren't all zero.
    freedom = max(len(vectors) - np.count_nonzero(sizes), len(vectors) / 2)
    covariance = residuals.T @ residuals / freedom
    return means.astype(np.float32), covariance.astype(np.float32)
