"""Save a model with quantized weights and measure the loss of accuracy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from slugline.base.files import PathLike
from slugline.experiment.evaluate import decide_corpus, evaluate_fitted
from slugline.experiment.experiment import Experiment
from slugline.model.file.container import pack, write
from slugline.model.file.content import from_model_file, to_model_file, with_metrics


@dataclass(frozen=True)
class QuantizationResult:
    """Cost of quantizing weights."""

    # Evaluated with the weights in the file.
    experiment: Experiment
    weight_type: str
    accuracy_before: float
    accuracy_after: float
    # Size of the file with float32 weights, and of the saved file.
    bytes_before: int
    bytes_after: int

    def summary(self) -> str:
        """Return a one-line description of the weight type and its cost."""
        if self.bytes_after >= self.bytes_before:
            return f"{self.weight_type}: {_kilobytes(self.bytes_after)}, no less than with float32"
        return (
            f"{self.weight_type}: accuracy {self.accuracy_before:.4f} before, "
            f"{self.accuracy_after:.4f} after; {_kilobytes(self.bytes_before)} before, "
            f"{_kilobytes(self.bytes_after)} after"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the results as plain data for JSON."""
        return {
            "precision": self.weight_type,
            "accuracy": {"before": self.accuracy_before, "after": self.accuracy_after},
            "bytes": {"before": self.bytes_before, "after": self.bytes_after},
        }


def save_quantized(
    experiment: Experiment,
    path: PathLike,
    quantize: Literal["float16", "int8"],
    *,
    card_notes: str = "",
) -> QuantizationResult:
    """Save an experiment's model with quantized weights and the metrics of these weights.

    Parameters
    ----------
    experiment : Experiment
    path : path of the file
    quantize, card_notes
        See `TopicClassifier.save`.

    Raises
    ------
    ModelFileError : if it can't be written; an existing file is left unchanged.
    OptionError : if `quantize` is not a supported type.
    """
    to_file = partial(
        to_model_file,
        experiment.fitted,
        metrics=experiment.metrics,
        test_fraction=experiment.test_fraction,
        card_notes=card_notes,
    )
    file = to_file(weight_type=quantize)
    stored = from_model_file(file, experiment.fitted.encoder)
    before, test = experiment.tested
    after = evaluate_fitted(stored, test, random_state=stored.seed)
    experiment = replace(experiment, evaluation=after, decisions=decide_corpus(stored, test))
    write(path, with_metrics(file, experiment.fitted, experiment.metrics or {}))
    return QuantizationResult(
        experiment=experiment,
        weight_type=file.info.weight_type,
        accuracy_before=before.accuracy,
        accuracy_after=after.accuracy,
        bytes_before=len(pack(to_file())),
        bytes_after=Path(path).stat().st_size,
    )


def _kilobytes(n_bytes: int) -> str:
    return f"{n_bytes / 1000:,.0f} kB"
