"""A smaller file of a classifier, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slugline.experiment.run import Experiment, evaluate
from slugline.model.file.container import pack, write
from slugline.model.file.content import from_model_file, to_model_file, with_metrics

if TYPE_CHECKING:
    import os


__all__ = ["SmallerFile", "save_smaller"]


@dataclass(frozen=True)
class SmallerFile:
    """What it cost to store a classifier's weights in fewer bits, or not all of them.

    Attributes
    ----------
    experiment : Experiment
        The one before, with the evaluation of the file as it is saved.
    precision : {"float32", "float16", "int8"}
    max_bytes : int or None
        The most that the file may have.
    accuracy_before, accuracy_after : float
        On the test documents.
    bytes_before, bytes_after : int
        Size of the file with all weights in float32, which is not kept, and of the one saved.
    """

    experiment: Experiment
    precision: str
    max_bytes: int | None
    accuracy_before: float
    accuracy_after: float
    bytes_before: int
    bytes_after: int

    def summary(self) -> str:
        """Return how the file was made smaller and what that cost, in a line."""
        how = [] if self.precision == "float32" else [self.precision]
        if self.max_bytes is not None:
            how.append(f"at most {_kilobytes(self.max_bytes)}")
        return (
            f"{', '.join(how)}: accuracy {self.accuracy_before:.4f} before, "
            f"{self.accuracy_after:.4f} after; {_kilobytes(self.bytes_before)} before, "
            f"{_kilobytes(self.bytes_after)} after"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the results as plain data for JSON."""
        return {
            "precision": self.precision,
            "max_bytes": self.max_bytes,
            "accuracy": {"before": self.accuracy_before, "after": self.accuracy_after},
            "bytes": {"before": self.bytes_before, "after": self.bytes_after},
        }


def save_smaller(
    experiment: Experiment,
    path: str | os.PathLike[str],
    *,
    quantize: str | None = None,
    max_size: int | None = None,
    card_notes: str = "",
) -> SmallerFile:
    """Save an experiment's classifier in a smaller file, and measure what that costs.

    The file keeps the metrics of the weights that it holds.

    Parameters
    ----------
    experiment : Experiment
    path : path of the file
    quantize, max_size, card_notes
        See `TopicClassifier.save`.

    Raises
    ------
    ModelFileError : if it can't be written; an earlier file at `path` then stays.
    OptionError : if there is no such precision, or the model can't be made as small as `max_size`.
    """
    as_file = partial(
        to_model_file,
        experiment.fitted,
        metrics=experiment.metrics,
        test_fraction=experiment.test_fraction,
        card_notes=card_notes,
    )
    file = as_file(precision=quantize or "float32", max_size=max_size)
    smaller = from_model_file(file, experiment.fitted.encoder)
    before, test = experiment.tested
    after = evaluate(smaller, test, seed=smaller.seed)
    experiment = replace(experiment, evaluation=after)
    write(path, with_metrics(file, experiment.metrics or {}))
    return SmallerFile(
        experiment=experiment,
        precision=file.info.precision,
        max_bytes=file.info.max_bytes or None,
        accuracy_before=before.accuracy,
        accuracy_after=after.accuracy,
        bytes_before=len(pack(as_file())),
        bytes_after=Path(path).stat().st_size,
    )


def _kilobytes(n_bytes: int) -> str:
    return f"{n_bytes / 1000:,.0f} kB"
