"""Saves a model in fewer bytes, and measures the loss of accuracy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from slugline.base.files import PathLike
from slugline.experiment.run import Experiment, decide_corpus, evaluate
from slugline.model.file.container import pack, write
from slugline.model.file.content import from_model_file, to_model_file, with_metrics


@dataclass(frozen=True)
class SmallerFile:
    """Cost of storing weights in fewer bits, or not all of them."""

    # With the evaluation of the weights in the file.
    experiment: Experiment
    precision: str
    # The limit that was asked for.
    max_bytes: int | None
    accuracy_before: float
    accuracy_after: float
    # Size of the file with all weights in float32, and of the one saved.
    bytes_before: int
    bytes_after: int

    def summary(self) -> str:
        """Return how the file was made smaller and what that cost, in a line."""
        measures = [] if self.precision == "float32" else [self.precision]
        if self.max_bytes is not None:
            measures.append(f"at most {_kilobytes(self.max_bytes)}")
        if self.bytes_after >= self.bytes_before:
            return f"{', '.join(measures)}: {_kilobytes(self.bytes_after)} as it is"
        return (
            f"{', '.join(measures)}: accuracy {self.accuracy_before:.4f} before, "
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
    path: PathLike,
    *,
    quantize: Literal["float16", "int8"] | None = None,
    max_size: int | None = None,
    card_notes: str = "",
) -> SmallerFile:
    """Save an experiment's model in a smaller file, with the metrics of the weights in it.

    Parameters
    ----------
    experiment : Experiment
    path : path of the file
    quantize, max_size, card_notes
        See `TopicClassifier.save`.

    Raises
    ------
    ModelFileError : if it can't be written; an earlier file then stays.
    OptionError : if there is no such precision, or `max_size` is too small.
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
    experiment = replace(experiment, evaluation=after, routing=decide_corpus(smaller, test))
    write(path, with_metrics(file, experiment.fitted, experiment.metrics or {}))
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
