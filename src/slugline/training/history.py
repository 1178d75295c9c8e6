"""What training measured, epoch by epoch, as plain data."""

from __future__ import annotations

import html
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from slugline.displays import as_lines, counted
from slugline.plots import plot_epochs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["History"]


@dataclass(repr=False)
class History:
    """Metrics of each epoch of one `fit`.

    Attributes
    ----------
    history : dict of str to list of float
        `loss` (nats) and `accuracy` on the training rows, averaged while the weights changed;
        `val_loss` and `val_accuracy` after each epoch, if there were validation data.
    n_rows, batch_size : int
        How many rows were trained on, and how many per step.
    restored_epoch : int or None
        The epoch whose weights the net has now, counted from 1, if it is not the last one.
    stopped_by : str or None
        "early stopping" or "interrupt" if training ended before its time.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    n_rows: int = 0
    batch_size: int = 0
    restored_epoch: int | None = None
    stopped_by: str | None = None

    def __repr__(self) -> str:
        if not self.n_epochs:
            return "History of no epochs"
        ended = f", ended by {self.stopped_by}" if self.stopped_by else ""
        best = self.best_epoch
        rows = [
            ("last epoch", self._figures(self.n_epochs)),
            (f"best, {best}", self._figures(best)),
        ]
        return as_lines(
            f"History of {counted(self.n_epochs, 'epoch')} of {self.n_rows:,} rows{ended}", rows
        )

    def __getitem__(self, name: str) -> list[float]:
        return self.history[name]

    @property
    def n_epochs(self) -> int:
        """Number of epochs that were finished."""
        return len(self.history.get("loss", []))

    @property
    def best_epoch(self) -> int:
        """The epoch, counted from 1, of the lowest validation loss; else of the training loss.

        From the next epoch on, the net overfits: it goes on learning its own documents by heart and
        gets worse on others.
        """
        losses = self.history.get("val_loss") or self.history["loss"]
        return min(range(len(losses)), key=losses.__getitem__) + 1

    def append(self, figures: dict[str, float]) -> None:
        """Add one epoch's metrics."""
        for name, value in figures.items():
            self.history.setdefault(name, []).append(value)

    def to_json(self) -> str:
        """Return the history as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> History:
        """Return the history that `to_json` wrote."""
        return cls(**json.loads(text))

    def plot(self, axes: Any = None) -> tuple[Axes, Axes]:
        """Draw loss and accuracy: dots for training, a line for validation, the best epoch marked.

        Parameters
        ----------
        axes : two matplotlib axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        The two axes, for more to be drawn on.
        """
        if axes is None:
            import matplotlib.pyplot as plt

            _, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
        plot_epochs(axes, self.history, self.best_epoch)
        return axes[0], axes[1]

    def _figures(self, epoch: int) -> str:
        return ", ".join(f"{name} {values[epoch - 1]:.4f}" for name, values in self.history.items())

    def _repr_html_(self) -> str:
        """Return a table of epochs for a notebook."""
        names = list(self.history)
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ["epoch", *names])
        rows = "".join(
            f"<tr><td>{epoch}{' (best)' if epoch == self.best_epoch else ''}</td>"
            + "".join(f"<td>{self.history[name][epoch - 1]:.4f}</td>" for name in names)
            + "</tr>"
            for epoch in range(1, self.n_epochs + 1)
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
