"""Tests for drift: changes since training beyond the topic shares.

If only the shares have changed, the texts look like a mixture of the training documents of each
topic, weighted by the new shares. Hotelling's test compares mean word vectors, the second test
looks for words in more texts than the mixture explains, and the third compares the confidence of
the model's answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import betainc, fdtrc, ndtr

from slugline.base.arrays import F64
from slugline.base.threads import limit_blas
from slugline.counting.estimation import ShareEstimate, topic_shares
from slugline.model.text_profile import MAX_CHARACTERS, TextProfile, TextWords

#: Minimum number of texts for the tests.
MIN_TEXTS = 60
# Probability of a warning if only shares have changed, split evenly between the tests.
_FALSE_WARNINGS, _N_TESTS = 0.02, 3
# Degrees of freedom of the covariance per column compared, and the maximum number of columns. The
# columns of the word vectors are ordered by variance. The principal components of the training
# documents would give a weak test because their variance is overestimated. Of 16, 32, 48, 64 and 96
# columns, 32 to 64 had the highest power on training splits of eight sets.
_FREEDOM_PER_COLUMN, _MAX_COLUMNS = 4, 48
# Pseudo-documents with a word's overall rate, added to each topic.
_N_ADDED = 2.0
# Minimum number of texts that contain a tested word.
_MIN_WORD_TEXTS = 4
# Maximum number of words to report.
_MAX_WORDS = 5


class FrequentWord(NamedTuple):
    """A word that occurs in more texts than expected.

    Attributes
    ----------
    word : str
    fraction, expected : float
        Fraction of the texts that contain it, and the fraction expected from training documents.
    """

    word: str
    fraction: float
    expected: float


class Drift(NamedTuple):
    """Difference between texts and training documents beyond the shares of topics.

    Attributes
    ----------
    p_value : float
        Smallest p-value of the tests, Bonferroni-corrected.
    words : tuple of FrequentWord
        Words that are significantly more frequent than expected, most significant first.
    """

    p_value: float
    words: tuple[FrequentWord, ...] = ()

    def is_significant(self, n_groups: int = 1) -> bool:
        """Return True if the difference is significant when `n_groups` groups are tested."""
        return self.p_value < _FALSE_WARNINGS / n_groups


class _ExpectedTexts:
    """Mixture of the training documents of each topic, weighted by the shares of the texts.

    Parameters
    ----------
    profile : TextProfile
    estimates : sequence of ShareEstimate
    n_texts : float
        Effective number of texts, which counts copies less.
    """

    def __init__(
        self, profile: TextProfile, estimates: Sequence[ShareEstimate], n_texts: float
    ) -> None:
        self.n_texts = n_texts
        self.fractions = profile.topic_fractions(topic_shares(estimates))
        errors = np.concatenate(
            [each.simulated.errors[: each.sample.n_model_topics] for each in estimates]
        )
        # In multi-label profiles, only a fraction of the documents with a topic count for it. The
        # rest belongs to documents without a topic, whose error is the negative sum of the others.
        errors = errors * profile.drawn_fractions[:, np.newaxis]
        if len(self.fractions) > len(errors):
            errors = np.concatenate([errors, -errors.sum(axis=0, keepdims=True)])
        self.share_errors = errors / np.sqrt(errors.shape[1])
        # Variance that each topic adds to the mixture, for documents of unit variance.
        self.mean_variances = self.fractions**2 / (profile.sizes + 1)

    def mean(self, means: F64) -> tuple[F64, F64]:
        """Return the mixture of topic means, and its error for each simulated set of share errors.

        Shapes are (n_values,) and (n_values, n_sets).
        """
        mixture = self.fractions @ means
        return mixture, (means - mixture).T @ self.share_errors


def find_drift(
    profile: TextProfile | None, texts: Sequence[str], estimates: Sequence[ShareEstimate]
) -> Drift | None:
    """Test for changes since training beyond the topic shares.

    Without a profile or texts, only the confidence of the answers is tested.

    Parameters
    ----------
    profile : TextProfile or None
    texts : sequence of str
        All texts or a random sample of them; empty if unknown.
    estimates : sequence of ShareEstimate
        One, or one per topic of a multi-label model.

    Returns
    -------
    Drift or None
        None if there are too few texts, or nothing to compare.
    """
    if not estimates:
        return None
    # Copies, such as automatic replies, carry less information than distinct texts.
    counts: dict[str, int] = {}
    for text in texts:
        counts[text[:MAX_CHARACTERS]] = counts.get(text[:MAX_CHARACTERS], 0) + 1
    weights = np.array([*counts.values()], dtype=np.float64)
    n_texts = float(estimates[0].n_texts)
    if len(texts):
        n_texts *= weights.sum() / (weights**2).sum()
    if n_texts < MIN_TEXTS:
        return None
    p_values: list[float] = []
    words: tuple[FrequentWord, ...] = ()
    if len(estimates) == 1 and estimates[0].confidence is not None:
        p_values.append(_compare_confidence(estimates[0], estimates[0].confidence, n_texts))
    if profile is not None and len(texts):
        with limit_blas():
            n_effective = float(weights.sum() ** 2 / (weights**2).sum())
            expected = _ExpectedTexts(profile, estimates, n_effective)
            p_values.append(_compare_vectors(profile, [*counts], weights, expected))
            p_words, words = _compare_words(profile, [*counts], weights, expected)
            p_values.append(p_words)
    if not p_values:
        return None
    return Drift(min(1.0, len(p_values) * min(p_values)), words)


def _compare_confidence(estimate: ShareEstimate, mean: float, n_texts: float) -> float:
    """Return the p-value of a test for lower model confidence than expected.

    The confidence in a text is the probability of its most likely topic. The expected `mean` over
    the texts comes from the held-out documents of each topic.
    """
    sample = estimate.sample
    sizes = sample.topic_sizes + 1
    confidence = sample.proba.max(axis=1, initial=0)
    # Each topic gets one more document with the overall mean, and one with the overall variance.
    means = (sample.is_topic.T @ confidence + confidence.mean()) / sizes
    squares = (confidence - means[sample.topics]) ** 2
    variances = (sample.is_topic.T @ squares + squares.mean()) / sizes
    expected = estimate.shares @ means
    errors = estimate.simulated.errors
    variance = (
        estimate.shares @ variances / n_texts
        + estimate.shares**2 @ (variances / sizes)
        + (((means - expected) @ errors) ** 2).mean()
    )
    return float(ndtr((mean - expected) / max(np.sqrt(variance), 1e-9)))


def _compare_vectors(
    profile: TextProfile, texts: Sequence[str], weights: F64, expected: _ExpectedTexts
) -> float:
    """Return the p-value of Hotelling's test of the mean word vector."""
    vectors = profile.encode(texts)
    freedom = profile.degrees_of_freedom
    n_columns = min(_MAX_COLUMNS, profile.means.shape[1], freedom // _FREEDOM_PER_COLUMN)
    if vectors is None or n_columns < 1:
        return 1.0
    mixture, by_shares = expected.mean(profile.means[:, :n_columns].astype(np.float64))
    difference = weights @ vectors[:, :n_columns] / weights.sum() - mixture
    within = profile.covariance[:n_columns, :n_columns]
    covariance = (
        within * (1 / expected.n_texts + expected.mean_variances.sum()) + by_shares @ by_shares.T
    )
    # The covariance is singular if all documents are identical. Rounding may make the product
    # negative.
    statistic = max(0.0, difference @ np.linalg.pinv(covariance, hermitian=True) @ difference)
    scale = (freedom - n_columns + 1) / (freedom * n_columns)
    return float(fdtrc(n_columns, freedom - n_columns + 1, statistic * scale))


def _compare_words(
    profile: TextProfile, texts: Sequence[str], weights: F64, expected: _ExpectedTexts
) -> tuple[float, tuple[FrequentWord, ...]]:
    """Return the Bonferroni-corrected p-value of the top word, and the significant words."""
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
        if _N_TESTS * p_values[i] < _FALSE_WARNINGS
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
    variances = expected.mean_variances @ (rates * (1 - rates)) + (by_shares**2).sum(axis=1)
    # Add half a document with the word, so that unseen words have a positive rate.
    unseen = 0.5 * expected.mean_variances.sum()
    return mixture + unseen, variances + unseen * expected.mean_variances.sum()


def _tail(fractions: F64, rates: F64, variances: F64, n_texts: float) -> F64:
    """Return the probability that at least this many texts contain each word.

    The number of texts is negative binomial: Poisson with an uncertain mean.
    """
    means = n_texts * rates
    extra = np.maximum(n_texts**2 * variances, 1e-6 * means)
    size = means**2 / extra
    found = np.floor(n_texts * fractions + 1e-9)
    tail: F64 = np.where(found > 0, betainc(np.maximum(found, 1), size, means / (size + means)), 1)
    return tail
