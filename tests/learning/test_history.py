"""The history of a training: plain data, the best epoch, a table and curves."""

from __future__ import annotations

import re

import pytest

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


@pytest.mark.parametrize(
    ("figures", "best_epoch"),
    [
        pytest.param({"loss": [3, 2, 1], "val_loss": [3, 1, 2]}, 2, id="by validation loss"),
        pytest.param({"loss": [3, 1, 2]}, 2, id="else by training loss"),
        pytest.param({"loss": [3, 2, 1], "val_loss": [1, 1, 1]}, 1, id="the first of equals"),
    ],
)
def test_best_epoch_has_the_lowest_loss(figures: dict[str, list[float]], best_epoch: int) -> None:
    assert History(figures).best_epoch == best_epoch


def test_repr_html_is_a_table_and_two_charts(without_validation: History) -> None:
    table, charts = without_validation._repr_html_().split("</table>")
    assert charts.count('<svg role="img"') + charts.count("<svg x=") == 2
    assert table == (
        "<table><thead><tr><th>epoch</th><th>loss</th><th>accuracy</th></tr></thead><tbody>"
        "<tr><td>1</td><td>2.0000</td><td>0.5000</td></tr>"
        "<tr><td>2 (best)</td><td>1.0000</td><td>0.7500</td></tr>"
        "<tr><td>3</td><td>1.5000</td><td>0.7000</td></tr>"
        "</tbody>"
    )


def test_charts_have_dots_for_training_and_a_line_for_validation(history: History) -> None:
    for chart, label in zip(history.charts(), ["Loss (lower is better)", "Accuracy"], strict=True):
        texts = re.findall(">([^<]+)</text>", chart)
        assert {"Training", "Validation", "Epoch", label, "best epoch: 2"} <= {*texts}
        assert chart.count('r="3"') == 3
        ((points, style),) = re.findall(r'<polyline points="([^"]+)" style="([^"]+)"', chart)
        assert len(points.split()) == 3
        assert "--validation" in style
