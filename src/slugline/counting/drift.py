"""Two-sample tests of texts against training documents, which allow for other shares of topics.

If only the shares of topics have changed, texts look like training documents of each topic, mixed
in the shares of the texts. One test compares mean word vectors (Hotelling's), the other one looks
for words that are in more texts than that mixture explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import f as f_distribution
from scipy.stats import nbinom

from slugline.base.arrays import F64, I64
from slugline.base.threads import limit_blas
from slugline.counting.estimation import ShareEstimate, topic_shares
from slugline.model.text_profile import MAX_CHARACTERS, TextProfile, TextWords

#: With fewer texts, neither test is made.
MIN_TEXTS = 60
# Probability of a warning if only shares have changed: half of it for each test.
_FALSE_WARNINGS = 0.02
# Degrees of freedom of the covariance for each direction of vectors that is compared, and the most
# directions: of 16, 32, 48, 64 and 96, those with the highest power at 2 % of false warnings, on
# training splits of 19 sets with three models each.
_FREEDOM_PER_DIRECTION, _MAX_DIRECTIONS = 4, 48
# Number of documents with the overall rate of a word that are added to each topic.
_N_ADDED = 2.0
# A word in fewer texts isn't looked at.
_MIN_WORD_TEXTS = 4
# Number of words that are named.
_MAX_WORDS = 5


class FrequentWord(NamedTuple):
    """A word that is in more texts than expected.

    Attributes
    ----------
    word : str
    fraction, expected : float
        Fraction of the texts that contain it; and the one that training documents suggest.
    """

    word: str
    fraction: float
    expected: float


class Drift(NamedTuple):
    """How texts differ from training documents, beyond the shares of topics.

    Attributes
    ----------
    p_value : float
        Probability that one of the two tests shows as much if only shares have changed, by
        Bonferroni's correction.
    words : tuple of FrequentWord
        Words that are significantly more frequent, the most significant ones first.
    """

    p_value: float
    words: tuple[FrequentWord, ...] = ()

    def is_significant(self, n_groups: int = 1) -> bool:
        """Return whether there is more than chance, if so many groups of texts are tested."""
        return self.p_value < _FALSE_WARNINGS / n_groups


class _ExpectedTexts:
    """Training documents of each topic, mixed in the shares of texts.

    Parameters
    ----------
    profile : TextProfile
    estimates : sequence of ShareEstimate
    n_texts : float
        Number of texts; with copies, the number of different ones that are as informative.
    """

    def __init__(
        self, profile: TextProfile, estimates: Sequence[ShareEstimate], n_texts: float
    ) -> None:
        self.n_texts = n_texts
        self.fractions = profile.topic_fractions(topic_shares(estimates))
        errors = np.concatenate(
            [each.simulated.errors[: each.sample.n_model_topics] for each in estimates]
        )
        errors = errors * profile.drawn_fractions[:, np.newaxis]
        if len(self.fractions) > len(errors):
            errors = np.concatenate([errors, -errors.sum(axis=0, keepdims=True)])
        self.share_errors = errors / np.sqrt(errors.shape[1])
        # Variance of a mean over documents of unit variance.
        self.squares = self.fractions**2 / (profile.sizes + 1)

    def mean(self, means: F64) -> tuple[F64, F64]:
        """Return the mixture of the means of topics, and how errors of shares change it.

        Shapes are (n_values,) and (n_values, n_sets).
        """
        mixture = self.fractions @ means
        return mixture, (means - mixture).T @ self.share_errors


def find_drift(
    profile: TextProfile | None, texts: Sequence[str], estimates: Sequence[ShareEstimate]
) -> Drift | None:
    """Test whether texts differ from training documents, beyond the shares of topics.

    Parameters
    ----------
    profile : TextProfile or None
    texts : sequence of str
        Random sample of the texts, or all of them.
    estimates : sequence of ShareEstimate
        One, or one for each topic of a multilabel model.

    Returns
    -------
    Drift or None
        None with too few texts, or without a profile or estimates.
    """
    if profile is None or not estimates:
        return None
    texts = [text[:MAX_CHARACTERS] for text in texts]
    # Copies, such as automatic replies, say as much as a few different texts.
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    weights = np.array([*counts.values()], dtype=np.float64)
    n_effective = float(weights.sum() ** 2 / max((weights**2).sum(), 1))
    if n_effective < MIN_TEXTS:
        return None
    with limit_blas():
        expected = _ExpectedTexts(profile, estimates, n_effective)
        p_vectors = _compare_vectors(profile, [*counts], weights, expected)
        p_words, words = _compare_words(profile, [*counts], weights, expected)
    return Drift(min(1.0, 2 * min(p_vectors, p_words)), words)


def _compare_vectors(
    profile: TextProfile, texts: Sequence[str], weights: F64, expected: _ExpectedTexts
) -> float:
    """Return the p-value of Hotelling's test of the mean word vector."""
    vectors = profile.encode(texts)
    freedom = profile.degrees_of_freedom
    n_directions = min(_MAX_DIRECTIONS, profile.means.shape[1], freedom // _FREEDOM_PER_DIRECTION)
    if vectors is None or n_directions < 1:
        return 1.0
    # The directions in which training documents vary most.
    _, directions = np.linalg.eigh(profile.total_covariance)
    directions = directions[:, ::-1][:, :n_directions]
    mixture, by_shares = expected.mean(profile.means.astype(np.float64) @ directions)
    difference = weights @ vectors @ directions / weights.sum() - mixture
    within = directions.T @ profile.covariance @ directions
    covariance = within * (1 / expected.n_texts + expected.squares.sum()) + by_shares @ by_shares.T
    # Of documents that are all the same, vectors vary in fewer directions.
    statistic = difference @ np.linalg.pinv(covariance, hermitian=True) @ difference
    scale = (freedom - n_directions + 1) / (freedom * n_directions)
    return float(f_distribution.sf(statistic * scale, n_directions, freedom - n_directions + 1))


def _compare_words(
    profile: TextProfile, texts: Sequence[str], weights: F64, expected: _ExpectedTexts
) -> tuple[float, tuple[FrequentWord, ...]]:
    """Return the p-value of the most significant word, corrected for their number, and words."""
    words = TextWords.from_texts(texts)
    hashes, first, numbers = np.unique(words.hashes, return_index=True, return_inverse=True)
    n_texts = np.bincount(numbers.ravel(), weights[words.texts], len(hashes))
    chosen = np.flatnonzero(n_texts >= _MIN_WORD_TEXTS)
    if not len(chosen):
        return 1.0, ()
    fractions = n_texts[chosen] / weights.sum()
    rates, variances = _expected_rates(profile.word_counts(hashes[chosen]), profile, expected)
    p_values = _tail(fractions, rates, variances, expected.n_texts) * len(chosen)
    most = [
        i
        for i in np.argsort(p_values, kind="stable")[:_MAX_WORDS].tolist()
        if 2 * p_values[i] < _FALSE_WARNINGS
    ]
    places = words.first[first[chosen]]
    named = [
        FrequentWord(words.spellings.word(int(places[i])), float(fractions[i]), float(rates[i]))
        for i in most
    ]
    return float(p_values.min()), tuple(named)


def _expected_rates(counts: F64, profile: TextProfile, expected: _ExpectedTexts) -> tuple[F64, F64]:
    """Return the expected fractions of texts that contain words, and their variances.

    Parameters
    ----------
    counts : float64 array, shape (n_topics, n_words)
        Number of training documents of each topic that contain each word.
    profile : TextProfile
    expected : _ExpectedTexts
    """
    sizes = profile.sizes[:, np.newaxis].astype(np.float64)
    overall = (counts.sum(axis=0) + 0.5) / (sizes.sum() + 1)
    rates = (counts + _N_ADDED * overall) / (sizes + _N_ADDED)
    mixture, by_shares = expected.mean(rates)
    variances = expected.squares @ (rates * (1 - rates)) + (by_shares**2).sum(axis=1)
    # Half a document more has the word: one that no document has isn't impossible.
    unseen = 0.5 * expected.squares.sum()
    return mixture + unseen, variances + unseen * expected.squares.sum()


def _tail(fractions: F64, rates: F64, variances: F64, n_texts: float) -> F64:
    """Return the probabilities of at least as many texts with words.

    Their number is negative binomial: Poisson numbers whose expectation is uncertain.
    """
    means = n_texts * rates
    extra = np.maximum(n_texts**2 * variances, 1e-6 * means)
    size = means**2 / extra
    found: I64 = np.floor(n_texts * fractions + 1e-9).astype(np.int64)
    tail: F64 = nbinom.sf(found - 1, size, size / (size + means))
    return tail
