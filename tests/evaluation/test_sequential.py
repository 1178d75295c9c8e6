"""The sequential test of daily fractions: rare false alarms, and soon a change."""

from __future__ import annotations

import numpy as np
import pytest

from slugline.base.arrays import F64
from slugline.evaluation.sequential import ChangeAlarms, find_alarms, find_band


def find(counts: F64, sizes: F64, *, fraction: float = 0.15, n_tests: int = 16) -> ChangeAlarms:
    """Return the alarms about series of counts, shape (n_days, n_series), in one band."""
    low, high = find_band(fraction, 2000)
    n_days, n_series = counts.shape
    with np.errstate(invalid="ignore"):
        return find_alarms(
            counts / sizes,
            np.broadcast_to(sizes, counts.shape),
            np.arange(n_days) % 7,
            np.full(n_series, low),
            np.full(n_series, high),
            n_tests,
        )


def draw(n_days: int, n_series: int, n: int = 300, spread: float = 0.15) -> tuple[F64, F64]:
    """Return counts of a fraction of 0.15 that varies by day and weekday, and numbers of texts."""
    rng = np.random.default_rng(n_days)
    weekdays = rng.normal(0, spread, (7, n_series))[np.arange(n_days) % 7]
    fractions = 0.15 * np.exp(weekdays + rng.normal(0, spread, (n_days, n_series)))
    return rng.binomial(n, fractions).astype(float), np.full((n_days, 1), float(n))


def test_find_band_is_wider_for_fewer_documents() -> None:
    few, many = find_band(0.15, 100), find_band(0.15, 100_000)
    assert few.low < many.low
    assert many.high < few.high
    assert many == pytest.approx((0.138, 0.163), abs=1e-3)


def test_find_band_without_documents_holds_all_fractions() -> None:
    assert find_band(0.0, 0) == (0, 1)


def test_find_alarms_raises_few_false_alarms_in_a_year() -> None:
    alarms = find(*draw(365, 400))
    # In a year, 16 tests raise one with a probability of 0.05 at most.
    assert np.mean(alarms.raised >= 0) <= 2 * 0.05 / 16


@pytest.mark.parametrize("first", [5, 40, 300])
def test_find_alarms_finds_a_doubled_fraction_and_its_beginning(first: int) -> None:
    counts, sizes = draw(first + 30, 40)
    counts[first:] = np.minimum(2 * counts[first:], sizes[first:])
    alarms = find(counts, sizes)
    delays = alarms.raised - first + 1
    assert np.median(delays) <= 10
    assert np.abs(np.median(alarms.began) - first) <= 1


def test_find_alarms_finds_a_fall() -> None:
    counts, sizes = draw(80, 20)
    counts[40:] = np.rint(counts[40:] / 4)
    alarms = find(counts, sizes)
    assert (alarms.raised >= 40).all()


def test_find_alarms_ignores_a_single_odd_day() -> None:
    counts, sizes = draw(100, 20)
    counts[50] = sizes[50]
    assert (find(counts, sizes).raised < 0).all()


def test_find_alarms_finds_a_jump_from_hardly_any_to_half() -> None:
    counts = np.ones((60, 4))
    counts[40:] = 150
    alarms = find(counts, np.full((60, 1), 300.0), fraction=0.003)
    assert (alarms.raised >= 42).all()  # a single day is no alarm, however odd
    assert (alarms.raised <= 44).all()
    assert alarms.began.tolist() == [40] * 4


def test_find_alarms_ignores_days_without_documents() -> None:
    counts, sizes = draw(60, 20)
    counts[30:] = np.minimum(2 * counts[30:], sizes[30:])
    gaps = np.ones(120, dtype=bool)
    gaps[::2] = False
    spread_counts, spread_sizes = np.zeros((120, 20)), np.zeros((120, 1))
    spread_counts[~gaps], spread_sizes[~gaps] = counts, sizes
    alarms = find(spread_counts, spread_sizes)
    assert (alarms.raised >= 60).all()
    assert not gaps[alarms.raised].any()


@pytest.mark.parametrize("n_days", [0, 1])
def test_find_alarms_raises_nothing_on_the_first_day(n_days: int) -> None:
    counts = np.full((n_days, 2), 200.0)
    assert find(counts, np.full((n_days, 1), 300.0)).raised.tolist() == [-1, -1]


def test_find_alarms_accepts_bands_at_the_ends() -> None:
    fractions = np.tile([0.0, 1.0], (50, 1))
    sizes = np.full((50, 2), 100.0)
    low, high = np.zeros(2), np.ones(2)
    alarms = find_alarms(fractions, sizes, np.arange(50) % 7, low, high, 4)
    assert alarms.raised.tolist() == [-1, -1]
