"""Check that retraining with the settings in a model file reproduces the file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from slugline.base.files import PathLike
from slugline.base.progress import Progress
from slugline.corpus.corpus import Corpus
from slugline.corpus.topics import add_parents
from slugline.errors import DataError, ModelFileError, OptionError, Parameter
from slugline.evaluation.evaluation import majority_baseline
from slugline.experiment.evaluate import decide_corpus, evaluate_fitted, stored_metrics
from slugline.model.file import container, content, shipped
from slugline.model.file.schema import ModelFile, ModelInfo, to_plain
from slugline.model.fit import fit
from slugline.model.fitted import Fitted
from slugline.model.multilabel_rule import MultilabelRule
from slugline.model.settings import FitSettings

# Number of digits of a digest to print.
_N_DIGITS = 12
# Relative differences of metrics up to this are rounding errors.
_ROUNDED = 1e-9
# Name of the difference between files with the same content.
_PACKING = "packing"


class ModelDifference(NamedTuple):
    """A single difference between two models."""

    # A path in `model.json` such as "versions.numpy", "vocabulary", an array, or "packing".
    what: str
    # The values in the file and in the new model; for arrays, the two that differ most; for
    # vocabularies, the number of terms that are in only one of them
    then: Any
    now: Any


@dataclass(frozen=True)
class ReproducibilityCheck:
    """The differences between a retrained model and its file."""

    # Path of the file.
    model: str
    n_documents: int
    n_bytes: int
    # Versions of libraries, a likely cause, come first.
    differences: tuple[ModelDifference, ...]
    # Metrics taken from the file because no test documents were given.
    not_measured: tuple[str, ...]

    @property
    def is_identical(self) -> bool:
        """True if the new model is byte-for-byte identical to the file."""
        return not self.differences

    @property
    def is_same_model(self) -> bool:
        """True if everything that affects answers is byte-for-byte identical.

        The file may name other library versions, be packed by another zlib, or contain metrics
        that other versions rounded differently.
        """
        return not any(map(_is_of_the_model, self.differences))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return asdict(self) | {
            "identical": self.is_identical,
            "same_model": self.is_same_model,
            "differences": [difference._asdict() for difference in self.differences],
            "not_measured": list(self.not_measured),
        }


def _is_of_the_model(difference: ModelDifference) -> bool:
    what, then, now = difference
    if what.startswith("metrics."):
        are_numbers = isinstance(then, float) and isinstance(now, float)
        return not (are_numbers and math.isclose(then, now, rel_tol=_ROUNDED))
    return what != _PACKING and not what.startswith("versions.")


def check_reproducible(
    path: PathLike,
    train: Corpus,
    validation: Corpus | None = None,
    test: Corpus | None = None,
    *,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> ReproducibilityCheck:
    """Retrain a model with the settings in its file, and compare the two.

    Parameters
    ----------
    path : path of the model
    train : Corpus
        The training documents, including the test documents if the seed chose them.
    validation, test : Corpus, optional
        The test and validation documents, as in training. Without a test, the metrics in the file
        are trusted.
    n_jobs : int, optional
        Number of threads. Results don't depend on it.
    progress : Progress, optional

    Raises
    ------
    ModelFileError : if there is no such model, its training was interrupted, or it was trained on
        batches, on a stream, or on descriptions alone.
    DataError : if these are not its training documents.
    EncoderError : if the encoder is missing, or its table of word vectors has changed.
    OptionError : if validation documents are missing, or given though none were used.
    """
    data = container.read_bytes(shipped.model_path(path))
    original, file = content.load_model(path, data=data)
    info = file.info
    _check_can_repeat(path, info)
    train = add_parents(train, original.separator)
    validation = validation and add_parents(validation, original.separator)
    if test is None and info.test_fraction is not None:
        train, test = train.split(info.test_fraction, info.seed)
    _check_documents(path, info, train)
    _check_validation(path, info, validation)
    if original.encoder is not None:
        original.encoder.check_table()
    again = _train_again(original, train, validation, n_jobs, progress)
    now = content.to_model_file(
        replace(again, multilabel_rule=_decision_as(original, again)),
        metrics=info.metrics,
        test_fraction=info.test_fraction,
        weight_type=info.weight_type,
        card_notes=info.card_notes,
    )
    measured = {}
    if test is not None:
        majority = majority_baseline(train.topics, test.topics)[1]
        # The metrics of a quantized file belong to the weights in it.
        stored = content.from_model_file(now, again.encoder)
        measured = stored_metrics(
            evaluate_fitted(stored, test), majority, decide_corpus(stored, test)
        )
    metrics = {name: measured.get(name, value) for name, value in info.metrics.items()}
    return ReproducibilityCheck(
        model=str(path),
        n_documents=len(train),
        n_bytes=len(data),
        differences=_differences(data, file, content.with_metrics(now, again, metrics)),
        not_measured=tuple(name for name in metrics if name not in measured),
    )


def _check_can_repeat(path: PathLike, info: ModelInfo) -> None:
    """Raise ModelFileError if a model's training can't be repeated from its file."""
    if info.interrupted:
        raise ModelFileError(
            f"{path}: its training was interrupted, and nobody can do that again at the very same "
            "step; train a new model to the end."
        )
    if not info.n_documents:
        raise ModelFileError(
            f"{path}: it was made from descriptions of topics alone, so there are no documents to "
            "train it on again; `slugline evaluate` tests it on some."
        )
    if info.stream is not None:
        raise ModelFileError(
            f"{path}: it learned from a stream; train it again from the same files with the same "
            "options into another file: that has the same bytes, if nothing has changed."
        )
    if info.head is not None and info.head.n_unlabelled:
        raise ModelFileError(
            f"{path}: it learned from texts without labels as well; train it again with the same "
            "files and options into another file: that has the same bytes, if nothing has changed."
        )
    if info.n_batches:
        raise ModelFileError(
            f"{path}: it learned batch by batch, and how documents were cut into batches is not "
            "recorded; only a model that learned from all of them at once can be checked."
        )


def _check_documents(path: PathLike, info: ModelInfo, train: Corpus) -> None:
    digest = train.digest()
    if digest != info.data_digest:
        raise DataError(
            f"{train.name}: its {len(train):,} documents to learn from are not the "
            f"{info.n_documents:,} that {path} learned from (SHA-256 {digest[:_N_DIGITS]}..., not "
            f"{info.data_digest[:_N_DIGITS]}...); check the edition of the data, the columns, and "
            "whether there was a ",
            Parameter("test"),
            " of its own.",
        )


def _check_validation(path: PathLike, info: ModelInfo, validation: Corpus | None) -> None:
    if validation is None:
        if info.validation_digest is not None:
            raise OptionError(
                f"{path} was trained with separate validation documents; check it in Python, with "
                "`slugline.experiment.reproducibility.check_reproducible(..., validation=...)`."
            )
        return
    if info.validation_digest is None:
        raise OptionError(
            f"{path} was trained without ", Parameter("validation"), "; leave it out."
        )
    digest = validation.digest()
    if digest != info.validation_digest:
        raise DataError(
            f"{validation.name}: not the documents on which {path} found its best epoch (SHA-256 "
            f"{digest[:_N_DIGITS]}..., not {info.validation_digest[:_N_DIGITS]}...); check the "
            "edition of the file, and the columns."
        )


def _train_again(
    original: Fitted,
    train: Corpus,
    validation: Corpus | None,
    n_jobs: int | None,
    progress: Progress | None,
) -> Fitted:
    # A corpus has topic names; the model may have been trained on integers.
    original_topics = {str(topic): topic for topic in original.topics.names}

    def topics(corpus: Corpus) -> list[Any]:
        if corpus.multilabel:
            return [tuple(original_topics[topic] for topic in names) for names in corpus.topics]
        return [original_topics[topic] for topic in corpus.topics]

    return fit(
        Corpus(train.texts, topics(train), layout=original.layout),
        FitSettings.from_fitted(original, n_jobs=n_jobs),
        validation=validation and Corpus(validation.texts, topics(validation)),
        progress=progress,
    )


def _decision_as(original: Fitted, again: Fitted) -> MultilabelRule | None:
    """Return the new decision, with topics of the same type as in the original model."""
    if again.multilabel_rule is None or original.multilabel_rule is None:
        return again.multilabel_rule
    return replace(again.multilabel_rule, as_indicator=original.multilabel_rule.as_indicator)


def _differences(data: bytes, then: ModelFile, now: ModelFile) -> tuple[ModelDifference, ...]:
    again = container.pack(now)
    if again == data:
        return ()
    differences = [*_in_settings(then.info, now.info), *_in_terms(then.terms, now.terms)]
    differences += _in_arrays(then.arrays, now.arrays)
    differences.sort(key=lambda difference: not difference.what.startswith("versions."))
    # Different zlib versions pack the same content into different bytes.
    packing = ModelDifference(_PACKING, f"{len(data):,} bytes", f"{len(again):,} bytes")
    return tuple(differences) or (packing,)


def _in_settings(then: ModelInfo, now: ModelInfo) -> Iterator[ModelDifference]:
    plain = (msgspec.to_builtins(info, enc_hook=to_plain) for info in (then, now))
    old, new = (dict(_leaves(value)) for value in plain)
    for name in old | new:
        if old.get(name) != new.get(name):
            yield ModelDifference(name, old.get(name), new.get(name))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each scalar value in JSON data with its path."""
    if not isinstance(value, dict | list | tuple):
        yield path, value
        return
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in inner:
        yield from _leaves(item, f"{path}.{name}" if path else str(name))


def _in_terms(then: list[str], now: list[str]) -> Iterator[ModelDifference]:
    if then != now:
        # The same term may occur in several feature groups.
        old, new = Counter(then), Counter(now)
        n_then, n_now = (old - new).total(), (new - old).total()
        yield ModelDifference("vocabulary", f"{n_then:,} of its own", f"{n_now:,} of its own")


def _in_arrays(
    then: Mapping[str, npt.NDArray[Any]], now: Mapping[str, npt.NDArray[Any]]
) -> Iterator[ModelDifference]:
    for name in sorted(then.keys() | now.keys()):
        old, new = then.get(name), now.get(name)
        if old is None or new is None or old.shape != new.shape:
            shapes = (None if array is None else array.shape for array in (old, new))
            yield ModelDifference(f"shape of {name}", *shapes)
        elif old.tobytes() != new.tobytes():
            at = np.argmax(np.abs(old.astype(np.float64) - new))
            yield ModelDifference(name, float(old.flat[at]), float(new.flat[at]))
