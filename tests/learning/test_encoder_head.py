"""What an encoder's head learns from: documents, topics' names, and one of two encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from slugline.classifier import TopicClassifier
from slugline.learning.calibration import log_losses, spread
from slugline.learning.encoder import fit
from slugline.learning.encoder.fit import EncoderHead, Names, UnlabelledRows, fit_encoder_head
from slugline.learning.encoder.fusion import fit_score_factors, fuse_scores
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from stand_ins import Meanings

Floats = npt.NDArray[np.float32]
N_TOPICS, N_COLUMNS, PER_TOPIC = 5, 40, 5
RNG = np.random.default_rng(3)
CENTRES = RNG.normal(size=(N_TOPICS, N_COLUMNS))
Y, NEW_Y = (np.arange(n) % N_TOPICS for n in (PER_TOPIC * N_TOPICS, 1000))


def unit(rows: npt.NDArray[Any]) -> Floats:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def noisy(y: npt.NDArray[Any], noise: float, seed: int) -> Floats:
    """Return rows around the centres of topics."""
    return unit(CENTRES[y] + noise * np.random.default_rng(seed).normal(size=(len(y), N_COLUMNS)))


ROWS, NEW = noisy(Y, 3.0, 0), noisy(NEW_Y, 3.0, 1)
# Words that know nothing.
WORDS = np.random.default_rng(2).normal(size=(len(Y), N_TOPICS)).astype(np.float32)


def head(
    rows: Floats, names: Floats | None = None, weight: Floats | None = None, widths: Any = ()
) -> EncoderHead:
    left_out = np.arange(len(Y)), WORDS
    named = None if names is None else Names(names, np.arange(N_TOPICS))
    context = FitContext(N_TOPICS, sample_weight=weight)
    found, _ = fit_encoder_head(
        rows, Labels.from_topics(Y), context, left_out, names=named, widths=widths
    )
    assert found is not None
    return found


def accuracy(found: EncoderHead, rows: Floats) -> float:
    scores = rows @ found.weights + found.biases
    return float((scores.argmax(axis=1) == NEW_Y).mean())


@pytest.mark.parametrize("weight", [None, np.full(len(Y), 0.5, dtype=np.float32)])
def test_encoder_head_uses_helpful_topic_names(weight: Floats | None) -> None:
    without, with_names = head(ROWS, None, weight), head(ROWS, unit(CENTRES), weight)
    assert accuracy(with_names, NEW) > accuracy(without, NEW) + 0.05


def test_encoder_head_ignores_misleading_topic_names() -> None:
    misleading = unit(CENTRES[(np.arange(N_TOPICS) + 1) % N_TOPICS])
    without, with_names = head(ROWS), head(ROWS, misleading)
    np.testing.assert_array_equal(with_names.weights, without.weights)
    assert with_names[2:] == without[2:]


@pytest.mark.parametrize("weight", [None, np.full(len(Y), 20, dtype=np.float32)])
def test_encoder_head_learns_only_weights_from_unlabelled_rows(weight: Floats | None) -> None:
    rows, context = noisy(Y, 2.2, 0), FitContext(N_TOPICS, sample_weight=weight)
    tested = noisy(NEW_Y, 2.2, 1)
    more = UnlabelledRows(noisy(NEW_Y, 2.2, 4), np.zeros((len(NEW_Y), N_TOPICS), dtype=np.float32))
    task = (rows, Labels.from_topics(Y), context, (np.arange(len(Y)), WORDS))
    (before, sums), (after, sums_after) = (
        fit_encoder_head(*task, unlabelled=unlabelled) for unlabelled in (None, more)
    )
    assert before is not None
    assert after is not None
    assert accuracy(after, tested) > accuracy(before, tested) + 0.05
    np.testing.assert_array_equal(sums, sums_after)
    assert after[2:] == before[2:]
    spreads = [spread(more.rows @ found.weights + found.biases) for found in (before, after)]
    assert spreads[1] == pytest.approx(spreads[0], rel=1e-3)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_encoder_head_favors_the_better_of_two_encoders(order: Sequence[int]) -> None:
    def joined(rows: Floats, seed: int) -> Floats:
        noise = unit(np.random.default_rng(seed).normal(size=rows.shape))
        return unit(np.hstack([(rows, noise)[part] for part in order]))

    rows, new = joined(ROWS, 4), joined(NEW, 5)
    alike, chosen = head(rows), head(rows, widths=(N_COLUMNS, N_COLUMNS))
    assert accuracy(chosen, new) > accuracy(alike, new) + 0.03
    lengths = np.linalg.norm(chosen.weights.reshape(2, -1), axis=1)
    assert lengths[order.index(0)] > 2 * lengths[order.index(1)]


def test_encoder_head_chooses_weights_of_encoders_on_a_sample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    y, n_fitted = np.arange(400) % N_TOPICS, []
    noise = unit(np.random.default_rng(4).normal(size=(len(y), N_COLUMNS)))
    rows = unit(np.hstack([noisy(y, 3.0, 0), noise]))
    words = np.zeros((len(y), N_TOPICS), dtype=np.float32)
    task = (rows, Labels.from_topics(y), FitContext(N_TOPICS), (np.arange(len(y)), words))
    fit_dense_head = fit.fit_dense_head

    def counted(X: Floats, *arguments: Any, **options: Any) -> fit.DenseFit:
        n_fitted.append(len(X))
        return fit_dense_head(X, *arguments, **options)

    monkeypatch.setattr(fit, "fit_dense_head", counted)
    widths = (N_COLUMNS, N_COLUMNS)
    by_all, _ = fit_encoder_head(*task, widths=widths)
    assert n_fitted == [400] * 5
    monkeypatch.setattr(fit, "_MAX_SHARED", 200)
    by_sample, _ = fit_encoder_head(*task, widths=widths)
    assert n_fitted[5:] == [*[200] * 5, 400]
    assert by_all is not None
    assert by_sample is not None
    # Of many rows, the likeliest fit has nearly all the weight.
    differences = by_sample.weights - by_all.weights
    assert np.abs(differences).max() < 0.02 * np.abs(by_all.weights).max()


def test_encoder_head_of_a_fast_encoder_is_about_the_same_from_fewer_fits() -> None:
    y = np.arange(1_200) % N_TOPICS
    rows, words = noisy(y, 3.0, 0), np.zeros((len(y), N_TOPICS), dtype=np.float32)
    task = (unit(rows), Labels.from_topics(y), FitContext(N_TOPICS), (np.arange(len(y)), words))
    slow, _ = fit_encoder_head(*task)
    fast, sums = fit_encoder_head(*task, is_fast=True)
    assert slow is not None
    assert fast is not None
    assert sums is not None
    assert sums.shape == words.shape
    assert np.abs(fast.weights - slow.weights).max() < 0.2 * np.abs(slow.weights).max()


@pytest.mark.parametrize("widths", [(), (N_COLUMNS // 2, N_COLUMNS // 2)])
def test_encoder_head_samples_heldout_rows_with_a_weight(
    widths: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "_MAX_FUSED", len(NEW_Y) // 2)
    monkeypatch.setattr(fit, "_MAX_SHARED", len(NEW_Y) // 2)
    weight = np.ones(len(NEW_Y), dtype=np.float32)
    weight[::2] = 0  # those that a sample of half of the rows would have
    words = np.zeros((len(NEW_Y), N_TOPICS), dtype=np.float32)
    context = FitContext(N_TOPICS, sample_weight=weight)
    labels, heldout = Labels.from_topics(NEW_Y), (np.arange(len(NEW_Y)), words)
    found, sums = fit_encoder_head(NEW, labels, context, heldout, widths=widths, is_fast=True)
    assert found is not None
    assert sums is not None
    assert np.isfinite(sums).all()
    assert accuracy(found, noisy(NEW_Y, 3.0, 6)) > 0.5


def test_encoder_head_averages_weights_of_encoders_by_likelihood() -> None:
    rows = unit(np.hstack([ROWS, unit(np.random.default_rng(4).normal(size=ROWS.shape))]))
    words = np.zeros((len(Y), N_TOPICS), dtype=np.float32)
    task = fit.HeadTask(rows, Y, N_TOPICS, None, np.arange(len(Y)), words, None)
    fits = [task.fit(scale) for scale in task.scales([N_COLUMNS, N_COLUMNS])]
    mean = fit.average(fits)
    losses = [one.loss for one in fits]
    assert mean.loss < max(losses)
    best = fits[int(np.argmin(losses))]
    assert mean.scale is best.scale

    def difference(other: Any) -> float:
        return float(
            np.abs(mean.scores / spread(mean.scores) - other.scores / spread(other.scores)).mean()
        )

    assert 0 < difference(best) == min(map(difference, fits))


def test_encoder_head_of_few_rows_is_less_sure() -> None:
    """By twenty rows that two good models agree on, other rows are not quite as probable."""
    rng = np.random.default_rng(6)

    def scores(y: npt.NDArray[Any]) -> list[Floats]:
        truth = 1.5 * np.eye(2)[y]
        return [(rng.normal(size=truth.shape) + truth).astype(np.float32) for _ in range(2)]

    y, new_y = np.arange(20) % 2, np.arange(2000) % 2
    first, second = scores(new_y)
    excess = []
    for _ in range(30):
        first_few, second_few = scores(y)
        factors = fit_score_factors([first_few, second_few], y)
        fusion = fuse_scores(first_few, second_few, factors, y)
        summed = fusion.sparse_factor * first + fusion.dense_factor * second
        loss = log_losses(summed.astype(np.float32), new_y).mean()
        best_of_few = factors[0] * first + factors[1] * second
        excess.append(log_losses(best_of_few.astype(np.float32), new_y).mean() - loss)
    assert np.mean(excess) > 0.05


def test_encoder_head_of_training_rows_has_the_spread_of_heldout_scores() -> None:
    """The head learns from six times as many rows as the scores that are calibrated."""
    y = np.arange(240) % N_TOPICS
    rows, words = noisy(y, 3.0, 8), np.zeros((len(y), N_TOPICS), dtype=np.float32)
    training, heldout = np.arange(0, 240, 3), np.flatnonzero(np.arange(240) % 3)
    found, sums = fit_encoder_head(
        rows,
        Labels.from_topics(y),
        FitContext(N_TOPICS),
        (heldout, words[heldout]),
        training=training,
        is_fast=True,
    )
    assert found is not None
    assert sums is not None
    assert spread(NEW @ found.weights + found.biases) == pytest.approx(spread(sums), rel=0.2)


def test_encoder_head_reads_topic_names_if_documents_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"wheat": 0, "rye": 0, "grain": 0, "loan": 1, "debt": 1, "banking": 1}
    topics = ["grain", "banking"]
    for n, n_names in ((40, 2), (51, 0)):
        monkeypatch.setenv("SLUGLINE_CACHE", str(tmp_path / str(n)))
        encoder = Meanings(words)
        texts = [f"{word} {number}" for number in range(n) for word in ("wheat", "loan")]
        TopicClassifier(encoder=encoder).fit(texts, topics * n)
        assert encoder.n_texts == len(texts) + n_names
