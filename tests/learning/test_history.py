"""The history of a training: plain data, the best epoch, a table and curves."""

from __future__ import annotations

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from slugline.learning.net.training import History


@pytest.fixture
def history() -> History:
    history = History(n_rows=7982, batch_size=512)
    history.append({"loss": 2.5, "accuracy": 0.5, "val_loss": 1.7, "val_accuracy": 0.625})
    history.append({"loss": 1.4, "accuracy": 0.7, "val_loss": 1.3, "val_accuracy": 0.75})
    history.append({"loss": 0.9, "accuracy": 0.8, "val_loss": 1.4, "val_accuracy": 0.6875})
    return history


@pytest.fixture
def without_validation() -> History:
    return History({"loss": [2.0, 1.0, 1.5], "accuracy": [0.5, 0.75, 0.7]})


def test_figures_are_found_by_name(history: History) -> None:
    assert history["val_loss"] == history.history["val_loss"] == [1.7, 1.3, 1.4]
    assert history.n_epochs == 3


@pytest.mark.parametrize(
    ("figures", "best_epoch"),
    [
        pytest.param({"loss": [3, 2, 1], "val_loss": [3, 1, 2]}, 2, id="by validation loss"),
        pytest.param({"loss": [3, 1, 2]}, 2, id="else by training loss"),
        pytest.param({"loss": [3, 2, 1], "val_loss": [1, 1, 1]}, 1, id="the first of equals"),
    ],
)
def test_the_best_epoch_has_the_lowest_loss(
    figures: dict[str, list[float]], best_epoch: int
) -> None:
    assert History(figures).best_epoch == best_epoch


def test_its_json_is_plain_data(history: History) -> None:
    history.restored_epoch, history.stopped_by = 2, "early stopping"
    assert json.loads(history.to_json()) == {
        "history": {
            "loss": [2.5, 1.4, 0.9],
            "accuracy": [0.5, 0.7, 0.8],
            "val_loss": [1.7, 1.3, 1.4],
            "val_accuracy": [0.625, 0.75, 0.6875],
        },
        "n_rows": 7982,
        "batch_size": 512,
        "restored_epoch": 2,
        "stopped_by": "early stopping",
    }


def test_a_notebook_shows_a_table_with_the_best_epoch_marked(without_validation: History) -> None:
    assert without_validation._repr_html_() == (
        "<table><thead><tr><th>epoch</th><th>loss</th><th>accuracy</th></tr></thead><tbody>"
        "<tr><td>1</td><td>2.0000</td><td>0.5000</td></tr>"
        "<tr><td>2 (best)</td><td>1.0000</td><td>0.7500</td></tr>"
        "<tr><td>3</td><td>1.5000</td><td>0.7000</td></tr>"
        "</tbody></table>"
    )


def test_an_empty_history_shows_an_empty_table() -> None:
    assert History()._repr_html_() == (
        "<table><thead><tr><th>epoch</th></tr></thead><tbody></tbody></table>"
    )


def test_curves_have_dots_for_training_and_a_line_for_validation(history: History) -> None:
    axes = history.plot(Figure().subplots(1, 2))
    for ax, name, label in zip(
        axes, ["loss", "accuracy"], ["Loss (lower is better)", "Accuracy"], strict=True
    ):
        training, validation, best = ax.lines
        assert (training.get_label(), training.get_marker()) == ("Training", "o")
        assert training.get_linestyle() in {"none", "None"}
        dots = np.asarray(training.get_xydata())
        assert dots.tolist() == [[i + 1, v] for i, v in enumerate(history[name])]
        assert (validation.get_label(), validation.get_marker()) == ("Validation", "None")
        assert validation.get_linestyle() == "-"
        assert np.asarray(validation.get_ydata()).tolist() == history[f"val_{name}"]
        assert np.asarray(best.get_xdata()).tolist() == [2, 2]
        assert [text.get_text() for text in ax.texts] == ["best epoch: 2"]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("Epoch", label)
        legend = ax.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["Training", "Validation"]


def test_curves_without_validation_are_dots_alone(without_validation: History) -> None:
    for ax in without_validation.plot(Figure().subplots(1, 2)):
        assert [line.get_label() for line in ax.lines] == ["Training"]
        assert not ax.texts


def test_curves_make_a_figure_of_their_own_where_none_is_given(history: History) -> None:
    plt.switch_backend("agg")
    loss_axes, accuracy_axes = history.plot()
    figure = plt.gcf()
    try:
        assert loss_axes.figure is accuracy_axes.figure is figure
        figure.canvas.draw()
    finally:
        plt.close(figure)
