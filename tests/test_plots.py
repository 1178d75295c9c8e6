"""Curves by epoch: words that nothing crosses, and axes that count as people do."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from slugline.base import plots
from slugline.base.plots import count_percents, plot_epochs


def panel(n_epochs: int, best_epoch: int, others: int = 0) -> Axes:
    """Return the picture of a loss, as large as in a report, with its parts in their places."""
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    loss, accuracy = figure.subplots(), Figure().subplots()
    falling = [1 / epoch for epoch in range(1, n_epochs + 1)]
    curves = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), falling)
    runs = {f"Another run, number {number}": curves for number in range(others)}
    plot_epochs([loss, accuracy], curves, best_epoch, runs)
    figure.draw_without_rendering()
    return loss


def box(artist: Any) -> Bbox:
    return artist.get_window_extent()


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside another run"])
@pytest.mark.parametrize(("n_epochs", "best_epoch"), [(1, 1), (9, 6), (22, 22), (100, 1)])
def test_nothing_crosses_the_words(n_epochs: int, best_epoch: int, others: int) -> None:
    ax = panel(n_epochs, best_epoch, others)
    legend, best, inside = box(ax.get_legend()), box(ax.texts[0]), box(ax.patch)
    assert legend.y0 >= best.y1
    assert best.y0 >= inside.y1
    assert ax.figure.bbox.x0 <= min(legend.x0, best.x0)
    assert max(legend.x1, best.x1) <= ax.figure.bbox.x1
    assert legend.y1 <= ax.figure.bbox.y1


def test_the_legend_names_other_runs_last() -> None:
    legend = panel(9, 6, others=1).get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["Training", "Validation", "Another run, number 0"]


@pytest.mark.parametrize("n_epochs", [1, 2, 9, 22, 100])
def test_epochs_are_whole_and_begin_with_the_first(n_epochs: int) -> None:
    ax = panel(n_epochs, 1)
    low, high = ax.get_xlim()
    shown = [tick for tick in ax.get_xticks() if low <= tick <= high]
    assert shown
    assert all(tick == int(tick) and 1 <= tick <= n_epochs for tick in shown)


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0.82, 1.0, ["85 %", "90 %", "95 %", "100 %"]),
        (0.971, 0.979, ["97.2 %", "97.4 %", "97.6 %", "97.8 %"]),
    ],
    ids=["wide", "narrow"],
)
def test_percents_are_not_rounded_to_what_they_are_not(
    low: float, high: float, marks: list[str]
) -> None:
    figure = Figure()
    ax = figure.subplots()
    ax.set_ylim(low, high)
    count_percents(ax.yaxis)
    figure.draw_without_rendering()
    labels = {tick.get_text() for tick in ax.get_yticklabels()}
    assert labels >= set(marks)
    for label, place in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True):
        assert float(label.get_text().removesuffix(" %")) == pytest.approx(100 * place)


def test_drawing_needs_nothing_of_training() -> None:
    tree = ast.parse(Path(plots.__file__).read_text(encoding="utf-8"))
    imported = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert not [name for name in imported if name.startswith("slugline")]
