"""What it costs to store weights in fewer bits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slugline.experiment.run import Experiment
from slugline.experiment.testing import evaluate
from slugline.saving.classifier_file import as_model_file, from_model_file
from slugline.saving.container import pack, write

if TYPE_CHECKING:
    import os


__all__ = ["Quantized", "save_quantized"]


@dataclass(frozen=True)
class Quantized:
    """What it cost to store a classifier's weights in fewer bits.

    Attributes
    ----------
    experiment : Experiment
        The one before, with the evaluation of the file as it is saved.
    precision : {"float16", "int8"}
    accuracy_before, accuracy_after : float
        On the test documents.
    bytes_before, bytes_after : int
        Size of the file with float32 weights, which is not kept, and of the one saved.
    """

    experiment: Experiment
    precision: str
    accuracy_before: float
    accuracy_after: float
    bytes_before: int
    bytes_after: int

    def to_dict(self) -> dict[str, Any]:
        """Return the results as plain data for JSON."""
        return {
            "precision": self.precision,
            "accuracy": {"before": self.accuracy_before, "after": self.accuracy_after},
            "bytes": {"before": self.bytes_before, "after": self.bytes_after},
        }


def save_quantized(
    experiment: Experiment,
    path: str | os.PathLike[str],
    precision: str,
    *,
    card_notes: str = "",
) -> Quantized:
    """Save an experiment's classifier with weights in fewer bits, and measure what that costs.

    The file keeps the metrics of the weights that it holds.

    Parameters
    ----------
    experiment : Experiment
    path : path of the file
    precision : {"float16", "int8"}
    card_notes : str, default ""
        See `TopicClassifier.save`.

    Raises
    ------
    ModelFileError : if it can't be written; an earlier file at `path` then stays.
    OptionError : if there is no such precision.
    """
    as_file = partial(
        as_model_file,
        experiment.fitted,
        test_fraction=experiment.test_fraction,
        card_notes=card_notes,
    )
    rounded = from_model_file(as_file(precision=precision), experiment.fitted.encoder)
    after = replace(experiment, evaluation=evaluate(rounded, experiment.test))
    write(path, as_file(metrics=after.metrics, precision=precision))
    return Quantized(
        experiment=after,
        precision=precision,
        accuracy_before=experiment.evaluation.accuracy,
        accuracy_after=after.evaluation.accuracy,
        bytes_before=len(pack(as_file(metrics=experiment.metrics))),
        bytes_after=Path(path).stat().st_size,
    )
