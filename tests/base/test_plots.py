"""Curves by epoch: words that nothing crosses, and axes that count as people do."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from slugline.base import plots
from slugline.base.lazy import install_command
from slugline.base.plots import plot_epochs
from slugline.errors import OptionError
from slugline.learning.net.training import History

pytestmark = pytest.mark.slow


def panel(n_epochs: int, best_epoch: int) -> Axes:
    """Return the plot of a loss with its parts in their places."""
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    loss, accuracy = figure.subplots(), Figure().subplots()
    falling = [1 / epoch for epoch in range(1, n_epochs + 1)]
    curves = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), falling)
    plot_epochs([loss, accuracy], curves, best_epoch)
    figure.draw_without_rendering()
    return loss


def box(artist: Any) -> Bbox:
    return artist.get_window_extent()


@pytest.mark.parametrize(("n_epochs", "best_epoch"), [(1, 1), (9, 6), (22, 22), (100, 1)])
def test_plot_epochs_lets_no_line_cross_its_words(n_epochs: int, best_epoch: int) -> None:
    ax = panel(n_epochs, best_epoch)
    legend, best, inside = box(ax.get_legend()), box(ax.texts[0]), box(ax.patch)
    assert legend.y0 >= best.y1
    assert best.y0 >= inside.y1
    assert ax.figure.bbox.x0 <= min(legend.x0, best.x0)
    assert max(legend.x1, best.x1) <= ax.figure.bbox.x1
    assert legend.y1 <= ax.figure.bbox.y1


@pytest.mark.parametrize("n_epochs", [1, 2, 9, 22, 100])
def test_plot_epochs_marks_whole_epochs_from_the_first(n_epochs: int) -> None:
    ax = panel(n_epochs, 1)
    low, high = ax.get_xlim()
    shown = [tick for tick in ax.get_xticks() if low <= tick <= high]
    assert shown
    assert all(tick == int(tick) and 1 <= tick <= n_epochs for tick in shown)


def test_figure_class_names_the_extra_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OptionError) as error:
        History({"loss": [1.0], "accuracy": [0.5]}).plot()
    assert str(error.value) == (
        "PNG files and `plot` need the package matplotlib, which is not installed; "
        f"type: {install_command('plot')}"
    )


def test_plots_import_only_base_packages() -> None:
    tree = ast.parse(Path(plots.__file__).read_text(encoding="utf-8"))
    imported = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert [name for name in imported if name.startswith("slugline")] == [
        "slugline.base.lazy",
        "slugline.base.wording",
        "slugline.errors",
    ]


def test_draw_png_has_the_colours_of_reports() -> None:
    from io import BytesIO

    from matplotlib.image import imread

    from slugline.base.plots import draw_png

    def plot(ax: Any) -> None:
        ax.plot([0, 1], [0, 1])
        assert ax.spines["top"].get_visible()  # as matplotlib draws it

    picture = imread(BytesIO(draw_png(plot)))
    paper = [round(255 * part) for part in picture[2, 2, :3]]
    assert paper == [0xFB, 0xFA, 0xF7]  # --paper of colours.css


def test_plot_models_puts_names_beside_the_plot() -> None:
    models = [
        plots.ModelMark("default", 0.33, 0.8, (0.627, 0.905), True),
        plots.ModelMark("tfidf-svc", 0.0122, 0.567, (0.392, 0.726)),
        plots.ModelMark("naive-bayes", 120.5, 0.567, (0.392, 0.726)),
    ]
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    ax = figure.subplots()
    plots.plot_models(ax, models)
    figure.draw_without_rendering()
    names = ax.get_yticklabels()
    expected = ["default, 0.33 s", "tfidf-svc, 0.012 s", "naive-bayes, 120 s"]
    assert [name.get_text() for name in names] == expected
    boxes = [name.get_window_extent() for name in names]
    assert [box.y0 for box in boxes] == sorted((box.y0 for box in boxes), reverse=True)
    assert min(box.x0 for box in boxes) > 0
    assert max(box.x1 for box in boxes) < ax.get_window_extent().x0
