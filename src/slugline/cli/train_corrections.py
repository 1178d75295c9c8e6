"""`slugline train --corrections`: read corrections, train on them, and print the changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

from slugline.base.files import file_sha256
from slugline.base.wording import counted, join_words
from slugline.cli.output import print_json, print_table, say, show, warn
from slugline.cli.train_options import TrainRequest
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import Topic
from slugline.corpus.topic_sets import as_sets
from slugline.corrections.learning import CorrectionResult, restore_integer_topics, to_corpus
from slugline.corrections.summary import describe_pending
from slugline.errors import OptionError, SluglineError, StoreError
from slugline.labels.store import Correction, LabelStore
from slugline.model.file import container
from slugline.model.file.content import load_model
from slugline.model.file.generations import earlier_files
from slugline.model.file.schema import ModelInfo
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings
from slugline.reports.training_text import TOPIC_HEADER, summarize_corrections, topic_rows

T = TypeVar("T")

# Maximum number of rows in the topic table; --json contains all.
_MAX_ROWS = 20
# Maximum number of topics in a warning.
_MAX_TOPICS = 5


class ModelCorrections(NamedTuple):
    """The corrections to train on, and the model to replace."""

    path: Path
    # Corrections of the chosen models.
    rows: list[Correction]
    # The model at --output, if there is one.
    replaced: ReplacedModel | None


class ReplacedModel(NamedTuple):
    """The model at --output and its metadata."""

    fitted: Fitted
    info: ModelInfo


def read_corrections(request: TrainRequest, path: Path) -> ModelCorrections:
    """Return the corrections in a file, and the model to replace.

    Raises
    ------
    OptionError : if corrections can't be added to the data of the model at --output.
    StoreError : if the file can't be read, or is not a file of corrections.
    DataError : if it contains no corrections.
    SluglineError : if all of them are pending.
    ModelFileError : if the file at --output is not a model.
    EncoderError : if that model's encoder is missing.
    """
    output = request.output
    with LabelStore(path, create=False) as store:
        corrections = [*store.corrections()]
    models = request.corrections_of or [output.name.removesuffix(".slug")]
    to_corpus(corrections, str(path), models)  # raises an error for unusable corrections
    n_all = len(corrections)
    corrections = [row for row in corrections if row.model in models]
    if n_others := n_all - len(corrections):
        say(f"{path}: left out: {counted(n_others, 'correction')} of other models")
    if all(row.is_pending for row in corrections):
        _stop_without_corrections(path, corrections, request)
    return ModelCorrections(
        path=path,
        rows=corrections,
        replaced=_read_current_model(output) if output.exists() else None,
    )


def with_model_settings(request: TrainRequest, replaced: ReplacedModel | None) -> TrainRequest:
    """Return the request with a model's layout and, unless set by options, its settings."""
    if replaced is None:
        return request
    fitted, info = replaced
    request = replace(request, reading=replace(request.reading, layout=fitted.layout))
    if request.has_settings:
        return request
    fraction = info.test_fraction
    if "test_fraction" in request.given or fraction is None:
        fraction = request.test_fraction
    return replace(
        request,
        settings=_settings_of(fitted, request.settings.n_jobs),
        quantize=None if info.weight_type == "float32" else info.weight_type,
        test_fraction=fraction,
    )


def _read_current_model(output: Path) -> ReplacedModel:
    """Return the model at --output; OptionError if corrections can't be added to its data."""
    fitted, file = load_model(output)
    if fitted.columns:
        raise OptionError(
            f"{output} uses additional columns, which corrections don't contain; correct its "
            "training data instead, without --corrections."
        )
    if fitted.dense is not None and fitted.dense.n_unlabelled:
        raise OptionError(
            f"{output} was trained with --unlabelled, which can't be combined with --corrections; "
            "leave out --corrections, or train it without --unlabelled first."
        )
    return ReplacedModel(fitted, file.info)


def warn_of_other_data(output: Path, train: Corpus, corrections: ModelCorrections) -> None:
    """Warn if the model at --output seems to have been trained on other documents."""
    if corrections.replaced is None:
        return
    fitted = corrections.replaced.fitted
    corrected = as_sets([row.topic for row in corrections.rows])
    topics = {*train.all_topics(), *(str(topic) for topics in corrected for topic in topics)}
    missing = [str(topic) for topic in fitted.topics.names if str(topic) not in topics]
    n_documents = len(train) + len(corrections.rows)
    if not missing and n_documents >= fitted.n_documents:
        return
    without = f", none of them with the topic {join_words(missing, _MAX_TOPICS)}" if missing else ""
    warn(
        [
            f"{output} was trained on {counted(fitted.n_documents, 'document')}, but {train.name} "
            f"and {corrections.path} have {n_documents:,}{without}; if {train.name} is not its "
            f"training data, `slugline rollback {output}` restores it."
        ]
    )


def _settings_of(fitted: Fitted, n_jobs: int | None) -> FitSettings:
    """Return a model's settings, with topic names as strings, as in files."""
    settings = FitSettings.from_fitted(fitted, n_jobs=n_jobs)
    weights = settings.class_weight
    if isinstance(weights, Mapping):
        weights = _with_string_keys(weights)
    descriptions = _with_string_keys(settings.descriptions)
    return replace(settings, descriptions=descriptions, class_weight=weights)


def _with_string_keys(by_topic: Mapping[Topic, T]) -> dict[Topic, T]:
    return {str(topic): value for topic, value in by_topic.items()}


def note_learned(result: CorrectionResult, output: Path) -> None:
    """Record in the corrections file which corrections the saved model was trained on."""
    path = Path(result.training_sets.corrections.name)
    digest = file_sha256(output)[: container.DIGEST_LENGTH]
    numbers = [int(number) for number in result.training_sets.corrections.places or ()]
    try:
        with LabelStore(path, create=False) as store:
            store.mark_learned(numbers, digest)
    except StoreError as error:
        warn([f"cannot mark the corrections as used in {output}: {error}"])


def _stop_without_corrections(
    path: Path, corrections: Sequence[Correction], request: TrainRequest
) -> NoReturn:
    """Print the number of pending corrections and raise SluglineError."""
    pending = describe_pending(len(corrections))
    if request.as_json:
        empty = {"n_texts": 0, "n_pending": len(corrections)}
        print_json({"corrections": empty, "model": None})
    else:
        show(pending)
    raise SluglineError(
        f"{request.output} is not written: all corrections in {path} wait for approval. Approve "
        f"them with `slugline labels approve {path} pending`, or list them first."
    )


def check_retraining(result: CorrectionResult, request: TrainRequest) -> Fitted:
    """Check that the new model may replace the model at --output, and return it.

    Raises
    ------
    SluglineError : if something got clearly worse, and --force is not given.
    """
    output = request.output
    if not result.passes and not request.force:
        topics = " of these topics" if result.worse_topics else ""
        advice = f"Look at the corrections{topics}, or write the model anyway with --force."
        hold_back(result, request, advice)
    if not result.passes:
        warn([result.why_not()])
    fitted = result.experiment.fitted
    if output.exists():
        fitted = restore_integer_topics(fitted, container.read(output).info.topics)
    return fitted


def hold_back(result: CorrectionResult, request: TrainRequest, advice: str) -> NoReturn:
    """Print the changes due to corrections; raise SluglineError with the reason not to write."""
    if request.as_json:
        print_json({"corrections": result.to_dict(), "model": None, "report": None})
    else:
        print_retraining(result)
    raise SluglineError(f"{request.output} is not written: {result.why_not()}. {advice}")


def print_retraining(result: CorrectionResult, output: Path | None = None) -> None:
    """Print the changes due to corrections, and how to restore a replaced model."""
    name = result.training_sets.corrections.name
    show("", f"changes due to {name}")
    print_table(summarize_corrections(result), left_aligned=(0, 1))
    if result.n_pending:
        pending = describe_pending(result.n_pending)
        show(f"{pending}; `slugline labels show {name}` lists them")
    rows = topic_rows(result)
    if rows:
        show()
        print_table([TOPIC_HEADER, *rows[:_MAX_ROWS]], left_aligned=(0, 7))
    if len(rows) > _MAX_ROWS:
        show(f"and {len(rows) - _MAX_ROWS} more; use --json to see all")
    if result.is_unchanged:
        show(f"nothing new to learn: {output} is identical and was left unchanged")
    elif output is not None and (earlier := earlier_files(output)):
        show(f"before  {earlier[0].name}; to restore it: slugline rollback {output}")
