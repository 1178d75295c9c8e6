"""Options for counting the topics of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slugline.base.checks import short_repr
from slugline.counting.dates import DATE_ORDERS, PERIODS, DateOrder
from slugline.counting.labelled import LabelledSample
from slugline.errors import OptionError, Parameter


@dataclass(frozen=True)
class CountOptions:
    """Options for counting.

    Attributes
    ----------
    text, n_threads
        See `PredictOptions`.
    by : str, optional
        A column, or "day", "week", "month", "quarter" or "year".
    date : str, optional
        Date column; by default, the only column that contains dates.
    date_order : {"day-first", "month-first"}, optional
        Order of day and month in dates such as 03/04/2026; by default, detected from the first
        rows.
    labelled : LabelledSample, optional
        Labels of some of the texts.
    topics : sequence of str, optional
        Topics to show; by default, all.
    seed : int, default 0
    """

    text: str | Sequence[str] | None = None
    n_threads: int = 1
    by: str | None = None
    date: str | None = None
    date_order: DateOrder | None = None
    labelled: LabelledSample | None = None
    topics: Sequence[str] = ()
    seed: int = 0

    @property
    def group_columns(self) -> list[str]:
        """Columns given by `by` and `date`, without names of periods."""
        return [name for name in (self.by, self.date) if name is not None and name not in PERIODS]

    def __post_init__(self) -> None:
        for name in ("date", "date_order"):
            if getattr(self, name) is not None and self.by is None:
                raise OptionError(
                    Parameter(name),
                    " requires grouping by date; add ",
                    Parameter("by", "month"),
                    ".",
                )
        if self.date_order not in (None, *DATE_ORDERS):
            raise OptionError(
                Parameter("date_order"),
                f" is {short_repr(self.date_order)}; choose {' or '.join(DATE_ORDERS)}.",
            )
