"""Learning from all documents, with none set aside to test on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.experiment.concerns import data_warnings, encoder_warnings, fit_warnings
from slugline.experiment.run import check_validation, timed_fit
from slugline.fitted import Fitted

if TYPE_CHECKING:
    from slugline.progress import Progress

__all__ = ["Untested", "learn_from_all"]


@dataclass(frozen=True)
class Untested:
    """What was learned from all documents; how good it is was not measured.

    Attributes
    ----------
    fitted : Fitted
    name : str
        The name of the data.
    n_validation : int
        Documents of a validation file; 0 if there was none.
    warnings, notes : tuple of str
        What may be wrong with the data or the settings, and what was decided while reading.
    n_skipped : int
        Rows left out because they could not be used.
    seconds : float
        Wall time of fitting.
    """

    fitted: Fitted
    name: str
    n_validation: int
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    n_skipped: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON; there is no evaluation."""
        return {
            "data": {
                "name": self.name,
                "n_train": self.fitted.n_documents,
                "n_validation": self.n_validation,
                "n_test": 0,
                "n_skipped": self.n_skipped,
                "n_topics": len(self.fitted.topics),
                "notes": list(self.notes),
            },
            "evaluation": None,
            "encoder": self.fitted.dense.to_dict() if self.fitted.dense else None,
            "warnings": list(self.warnings),
            "seconds": self.seconds,
        }


def learn_from_all(
    classifier: TopicClassifier,
    train: Corpus,
    validation: Corpus | None = None,
    *,
    min_precision: float | None = None,
    progress: Progress | None = None,
) -> Untested:
    """Fit `classifier` on all documents; see `run_experiment` for the parameters."""
    check_validation(classifier, train, validation)
    seconds = timed_fit(classifier, train, validation, progress, min_precision)
    return Untested(
        fitted=classifier.fitted_,
        name=train.name,
        n_validation=len(validation) if validation else 0,
        warnings=(
            *data_warnings(train, classifier.descriptions or ()),
            *encoder_warnings(classifier),
            *fit_warnings(classifier.fitted_),
        ),
        notes=train.notes,
        n_skipped=train.n_skipped,
        seconds=seconds,
    )
