"""What the screen shows of an experiment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from slugline.cli.metrics import shares
from slugline.cli.output import print_table, show

if TYPE_CHECKING:
    from slugline.curve import LearningCurves
    from slugline.experiment.run import Experiment
    from slugline.experiment.smaller_file import SmallerFile

__all__ = ["print_experiment"]


def print_experiment(
    experiment: Experiment,
    smaller: SmallerFile | None,
    model: Path,
    report: Path,
    curves: LearningCurves | None,
) -> None:
    """Print how good the classifier is, what it learned from, and where the files are."""
    from slugline.displays import counted
    from slugline.report.curve_text import doubling

    evaluation = experiment.evaluation
    show(
        f"{experiment.name}: learned {counted(len(experiment.fitted.topics), 'topic')} from "
        f"{counted(experiment.n_learned, 'document')} in {experiment.seconds:.1f} s, "
        f"tested on {counted(experiment.n_test, 'other')}"
    )
    print_table(
        [
            *shares(evaluation),
            ("baseline", f"{experiment.majority:.3f}", f"always {experiment.majority_topic!r}"),
            *_learned(experiment),
        ],
        left=(0, 2),
    )
    if smaller:
        show(smaller.summary())
    for each in curves.curves if curves else ():
        show(doubling(each))
    show(f"model   {model}")
    show(f"report  {report}")


def _learned(experiment: Experiment) -> Iterator[tuple[str, str, str]]:
    """Return rows on what was found in the training documents."""
    fitted = experiment.fitted
    if experiment.n_skipped:
        yield "skipped", f"{experiment.n_skipped:,}", "rows that can't be used"
    if experiment.best_epoch is not None:
        yield "epochs", f"{experiment.best_epoch}", "best by validation loss"
    n_left_out = fitted.learner.settings().get("n_left_out", 0)
    if n_left_out:
        yield "left out", f"{n_left_out}", "training documents whose topic looks wrong"
    if fitted.dense is not None:
        yield (
            "encoder",
            f"{fitted.dense.share:.2f}",
            f"share of the scores' spread, from {fitted.dense.encoder.name}",
        )
    if fitted.descriptions:
        yield "described", f"{len(fitted.descriptions)}", "topics, to the encoder"
    if fitted.tuning is not None:
        first, best = fitted.tuning.trials[0], fitted.tuning.best
        yield "tuned", f"{best.accuracy:.3f}", f"by cross-validation, {first.accuracy:.3f} untuned"
        yield "", "", fitted.tuning.outcome
