"""Save and print the results of `slugline train`, with or without a test."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slugline.base.wording import counted, percent
from slugline.cli.metrics import (
    TestedDecider,
    decisions_entry,
    main_metrics,
    print_broken_promise,
    print_decisions,
    print_levels,
    tested_decider,
)
from slugline.cli.output import print_json, print_table, show
from slugline.evaluation.intervals import wilson
from slugline.experiment.curve import LearningCurves
from slugline.experiment.experiment import Experiment
from slugline.experiment.quantization import QuantizationResult, save_quantized
from slugline.model.file.container import write
from slugline.model.file.content import to_model_file
from slugline.model.file.generations import earlier_files, keep_current

if TYPE_CHECKING:
    from slugline.corrections.learning import CorrectionResult
    from slugline.model.file.schema import ModelFile


@dataclass(frozen=True)
class TrainingResults:
    """A saved model and all results of one run of `slugline train`."""

    # Evaluated with the weights in the file.
    experiment: Experiment
    model: Path
    # The cost of quantized weights.
    quantization: QuantizationResult | None = None
    # Changes due to corrections.
    retraining: CorrectionResult | None = None
    # None without a test.
    report: Path | None = None
    curves: LearningCurves | None = None

    @property
    def tested_decider(self) -> TestedDecider | None:
        """The thresholds, if a precision was requested."""
        return tested_decider(self.experiment.fitted, self.experiment.decisions)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        parts = {
            "quantization": self.quantization,
            "curve": self.curves,
            "corrections": self.retraining,
        }
        files = {"model": self.model, "report": self.report}
        return {
            **self.experiment.to_dict(),
            **{name: part.to_dict() for name, part in parts.items() if part},
            **decisions_entry(self.tested_decider),
            **{name: str(path) for name, path in files.items() if path},
        }


def save_model(
    experiment: Experiment,
    path: Path,
    *,
    quantize: Literal["float16", "int8"] | None = None,
    retraining: CorrectionResult | None = None,
) -> TrainingResults:
    """Save the model, keeping the previous file if `slugline rollback` may be needed.

    A model trained with corrections replaces another one only if its file loads, predicts, and
    differs; see `CorrectionResult.is_unchanged`.

    Raises
    ------
    TrainingError : if a model trained with corrections can't be loaded or gives no answers.
    """
    content = None
    if retraining is not None and path.exists():
        from slugline.corrections.learning import check_model_file

        trial = path.with_name(f".{path.name}.trial")
        try:
            saved = _write_model(experiment, trial, quantize, retraining)
            content = check_model_file(trial, retraining.training_sets.test.texts)
            saved = replace(saved, model=path)
            if filecmp.cmp(trial, path, shallow=False):
                return replace(saved, retraining=replace(retraining, is_unchanged=True))
        finally:
            trial.unlink(missing_ok=True)
    fitted = experiment.fitted
    # If earlier files are kept, `rollback` must restore the latest one.
    is_broken_off = fitted.stream is not None and fitted.interrupted and path.exists()
    if content is not None or is_broken_off or earlier_files(path):
        keep_current(path)
    if content is not None:
        write(path, content)
        return saved
    return _write_model(experiment, path, quantize, retraining)


def _write_model(
    experiment: Experiment,
    path: Path,
    quantize: Literal["float16", "int8"] | None,
    retraining: CorrectionResult | None,
) -> TrainingResults:
    notes = retraining.card_notes() if retraining else ""
    if quantize is not None:
        quantization = save_quantized(experiment, path, quantize=quantize, card_notes=notes)
        return TrainingResults(quantization.experiment, path, quantization, retraining)
    write(path, saved_content(experiment, notes))
    return TrainingResults(experiment, path, retraining=retraining)


def saved_content(experiment: Experiment, card_notes: str = "") -> ModelFile:
    """Return the content of a model file with the metrics of an experiment."""
    return to_model_file(
        experiment.fitted,
        metrics=experiment.metrics,
        test_fraction=experiment.test_fraction,
        card_notes=card_notes,
    )


def print_results(results: TrainingResults, as_json: bool) -> None:
    """Print the metrics, the training data, and the output files."""
    print_broken_promise(results.tested_decider, as_json)
    if as_json:
        print_json(results.to_dict())
        return
    experiment = results.experiment
    show(_headline(experiment))
    rows = [*_accuracy_rows(experiment), *_training_rows(experiment)]
    if rows:
        print_table(rows, left_aligned=(0, 2))
    for line in _remarks(results):
        show(line)
    if results.report is None:
        print_decisions(results.tested_decider)
        if experiment.fitted.stream is None:
            show(
                "not tested, so there is no report; `slugline evaluate` tests it on other documents"
            )
        show(f"model   {results.model}")
        return
    show(f"model   {results.model}")
    show(f"report  {results.report}")
    if experiment.evaluation is not None:
        print_levels(experiment.evaluation)
    print_decisions(results.tested_decider)
    if results.retraining is not None:
        from slugline.cli.train_corrections import print_retraining

        print_retraining(results.retraining, results.model)


def _remarks(results: TrainingResults) -> Iterator[str]:
    """Yield remarks on the gain from more labels and on quantized weights."""
    from slugline.reports.training_text import describe_forecast

    if results.experiment.on_labels is not None:
        yield results.experiment.on_labels.advice
    if results.quantization:
        yield results.quantization.summary()
    if results.curves is not None:
        yield from map(describe_forecast, results.curves.curves)


def _headline(experiment: Experiment) -> str:
    """Return a line with the numbers of topics and training documents."""
    fitted = experiment.fitted
    documents = counted(experiment.n_learned, "document")
    end = ""
    if experiment.on_labels is not None:
        end = f", measured on {counted(experiment.on_labels.n_labels, 'label')}"
    elif experiment.evaluation is not None:
        end = f", tested on {counted(experiment.n_test, 'other')}"
    elif fitted.stream is not None:
        documents = counted(fitted.n_learned, "document")
        if fitted.n_unlearned:
            documents = f"{fitted.n_learned:,} of {counted(fitted.n_documents, 'document')}"
    elif fitted.n_documents:
        documents = f"{'' if fitted.n_documents == 1 else 'all '}{documents}"
    else:
        documents = "their descriptions, without any document,"
    several = ""
    if fitted.multilabel_rule is not None and len(fitted.topics) > 1:
        several = f", {'one path' if fitted.multilabel_rule.path_ends else 'several'} for a text,"
    return (
        f"{experiment.name}: learned {counted(len(fitted.topics), 'topic')}{several} from "
        f"{documents} in {experiment.seconds:.1f} s{end}"
    )


def _accuracy_rows(experiment: Experiment) -> Iterator[tuple[str, str, str]]:
    """Yield accuracy rows, if measured."""
    stream, on_labels = experiment.fitted.stream, experiment.on_labels
    if on_labels is not None:
        name = "exact match" if experiment.fitted.multilabel else "accuracy"
        estimated = f"{on_labels.interval}, on the texts without a label"
        yield name, f"{on_labels.accuracy:.3f}", estimated
        yield "baseline", f"{on_labels.majority:.3f}", f"always {on_labels.majority_topic!r}"
    elif experiment.evaluation is not None and not experiment.has_biased_test:
        yield from main_metrics(experiment.evaluation)
        exact = "exact match of " if experiment.fitted.multilabel else ""
        always = f"{exact}always {experiment.majority_topic!r}"
        yield "baseline", f"{experiment.majority:.3f}", always
    elif stream is not None and stream.n_evaluated:
        name = "exact match" if experiment.fitted.multilabel else "accuracy"
        interval = wilson(stream.n_right, stream.n_evaluated)
        documents = counted(stream.n_evaluated, "held-out text")
        yield name, f"{stream.accuracy:.3f}", f"{interval}, on {documents}"


def _training_rows(experiment: Experiment) -> Iterator[tuple[str, str, str]]:
    """Yield rows on the training documents, the encoder and the tuned settings."""
    fitted = experiment.fitted
    if experiment.evaluation is not None and experiment.has_biased_test:
        tested = f"on {counted(experiment.n_test, 'test document')}, many of which a model doubted"
        yield "test", f"{experiment.evaluation.accuracy:.3f}", tested
    if experiment.evaluation is None and fitted.stream is None:
        return
    if experiment.n_skipped:
        yield "skipped", f"{experiment.n_skipped:,}", "rows that can't be used"
    if fitted.stream is not None:
        return
    if experiment.best_epoch is not None:
        yield "epochs", f"{experiment.best_epoch}", "best by validation loss"
    if n := experiment.fitted.n_suspect_labels:
        advice = "`slugline audit` shows suspects"
        yield "left out", f"{n:,}", f"training documents whose topic looks wrong; {advice}"
    if fitted.dense is not None:
        weight = percent(fitted.dense.encoder_weight, 0)
        encoders = " and ".join(fitted.dense.encoder.name.split(","))
        words = "" if weight == percent(1, 0) else ", and the rest from words"
        yield "encoder", weight, f"of the decision comes from {encoders}{words}"
    if fitted.tuning is not None:
        first, best = fitted.tuning.trials[0], fitted.tuning.best
        metric = "" if fitted.tuning.metric == "accuracy" else f"{fitted.tuning.metric} "
        untuned = f"{metric}by cross-validation, {first.score:.3f} untuned"
        yield "tuned", f"{best.score:.3f}", untuned
        yield "", "", fitted.tuning.outcome
