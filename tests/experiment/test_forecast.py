"""Power laws through errors, and what they say of more documents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.evaluation.intervals import wilson
from slugline.experiment.curve import Forecast, PowerLaw, fit_power_law, forecast

SIZES = [10, 100, 1000, 10_000]


@given(st.floats(0.1, 1), st.floats(0, 0.5))
def test_fit_power_law_recovers_a_power_law(scale: float, slope: float) -> None:
    errors = [PowerLaw(scale, slope).error(n) for n in SIZES]
    law = fit_power_law(SIZES, errors)
    assert law.scale == pytest.approx(scale)
    assert law.slope == pytest.approx(slope, abs=1e-9)


def test_fit_power_law_takes_growing_errors_as_constant() -> None:
    assert fit_power_law(SIZES, [0.1, 0.2, 0.3, 0.4]).slope == 0


def test_fit_power_law_weighs_the_last_points_most() -> None:
    errors = [0.9, 0.89, 0.4, 0.2]
    assert fit_power_law(SIZES, errors).slope == pytest.approx(0.3, abs=0.03)


def test_fit_power_law_takes_errors_of_zero() -> None:
    assert fit_power_law(SIZES, [0.5, 0.1, 0, 0]).error(20_000) < 1e-5


def expected(accuracies: list[float], n_test: int = 10_000) -> Forecast:
    measured = wilson(accuracies[-1] * n_test, n_test)
    found = forecast(SIZES[: len(accuracies)], accuracies, 20_000, measured)
    assert found is not None
    return found


def test_forecast_continues_from_the_last_measured_point() -> None:
    # Errors halve with ten times the documents, and were lucky at last.
    found = expected([0.2, 0.6, 0.8, 0.92])
    law = fit_power_law(SIZES, [0.8, 0.4, 0.2, 0.08])
    assert found.accuracy == pytest.approx(0.92 + law.error(10_000) - law.error(20_000))


def test_forecast_checks_the_law_at_the_last_point() -> None:
    found = expected([0.2, 0.6, 0.8, 0.9])
    assert found.check is not None
    assert (found.check.n_documents, found.check.measured) == (10_000, 0.9)
    assert found.check.forecast == pytest.approx(0.9, abs=1e-9)


def test_forecast_range_is_wider_if_the_law_fails_or_tests_are_few() -> None:
    def width(found: Forecast) -> float:
        return found.high - found.low

    lawful = expected([0.2, 0.6, 0.8, 0.9])
    assert lawful.low <= lawful.accuracy <= lawful.high
    assert width(expected([0.2, 0.6, 0.8, 0.82])) > 2 * width(lawful)
    assert width(expected([0.2, 0.6, 0.8, 0.9], n_test=50)) > 2 * width(lawful)


def test_forecast_needs_three_points_and_four_for_a_check() -> None:
    assert expected([0.2, 0.6, 0.8]).check is None
    assert forecast([10, 100], [0.2, 0.6], 200, wilson(30, 50)) is None


@pytest.mark.slow
@given(st.lists(st.floats(0, 1), min_size=3, max_size=4), st.integers(1, 1000))
def test_forecast_is_an_accuracy_within_its_range(accuracies: list[float], n_test: int) -> None:
    found = expected(accuracies, n_test)
    assert 0 <= found.low <= found.accuracy <= found.high <= 1
    measured = wilson(accuracies[-1] * n_test, n_test)
    assert found.high - found.low >= measured.high - measured.low - 1e-9
