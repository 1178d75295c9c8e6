"""A chart of counts by month beside the truth, which only made-up texts have."""

from __future__ import annotations

import calendar
from collections.abc import Mapping

from slugline.base.chart import Axis, Chart, Key
from slugline.counting.results import Counts


class MonthChart:
    """The estimated numbers of a topic's texts, the model's answers and the true numbers.

    Parameters
    ----------
    counts : Counts
        By month of a year.
    topic : str
    truth : mapping of str to int
        The number of texts of each month.
    """

    def __init__(self, counts: Counts, topic: str, truth: Mapping[str, int]) -> None:
        self._topic = topic
        self._months = [group.name for group in counts.groups]
        self._counts = [group.restrict([topic]).topics[0] for group in counts.groups]
        self._truth = [truth[month] for month in self._months]

    def _repr_html_(self) -> str:
        ends = [(count.n_low, count.n_high) for count in self._counts]
        answers = [count.n_answers or 0 for count in self._counts]
        months = [calendar.month_abbr[int(name.partition("-")[2])] for name in self._months]
        places = range(len(months))
        chart = Chart(
            Axis(-0.4, len(months) - 0.6, self._months[0][:4], [*enumerate(months)]),
            Axis.numbers(
                "Tickets", [0, *(end for pair in ends for end in pair), *answers, *self._truth]
            ),
            [
                Key("truth", "ink", "dots"),
                Key("estimate, 95 %", "validation"),
                Key("answers", "training", "dashes"),
            ],
        )
        chart.band([*places], ends, "validation")
        chart.line(zip(places, answers, strict=True), "training", width=1, dashed=True)
        estimates = [count.n for count in self._counts]
        chart.line(zip(places, estimates, strict=True), "validation")
        for point in zip(places, self._truth, strict=True):
            chart.dot(point, "ink")
        svg = chart.svg(f"Tickets about {self._topic} by month: truth, estimate with band, answers")
        return svg.replace("<svg", '<svg class="chart counts"', 1)
