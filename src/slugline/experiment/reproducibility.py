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
from slugline.corpus.topic_sets import as_sets
from slugline.corpus.topics import add_parents
from slugline.errors import DataError, ModelFileError, Parameter
from slugline.evaluation.evaluation import majority_baseline
from slugline.experiment.evaluate import decide_corpus, evaluate_fitted, stored_metrics
from slugline.model.file import container, content, shipped
from slugline.model.file.schema import ModelFile, ModelInfo, to_plain
from slugline.model.fit import fit
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings

# Number of digits of a digest to print.
_N_DIGITS = 12
# Relative differences of metrics up to this are rounding errors.
_ROUNDED = 1e-9
# Name of the difference between files with the same content.
_PACKING = "packing"


class ModelDifference(NamedTuple):
    """A single difference between two models."""

    # A path in `model.json` such as "versions.numpy", the name of an array, "vocabulary" or
    # "packing".
    what: str
    # Values in the file and in the new model: for arrays, the two that differ most; for
    # vocabularies, the number of terms missing in the other.
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
    test : Corpus, optional
        The test documents, as in training. Without them, the metrics in the file are trusted.
    n_jobs : int, optional
        Number of threads. Results don't depend on it.
    progress : Progress, optional

    Raises
    ------
    ModelFileError : if the file is missing, or its training can't be repeated: it was interrupted,
        or used batches, a stream, unlabelled texts, validation documents, or descriptions alone.
    DataError : if the documents are not the training documents.
    EncoderError : if the encoder is missing, or its table of word vectors has changed.
    """
    data = container.read_bytes(shipped.model_path(path))
    original, file = content.load_model(path, data=data)
    if shipped.split_question(path)[1] is not None:
        data = container.pack(file)  # as it would be stored alone
    info = file.info
    _check_can_repeat(path, info)
    train = add_parents(train, original.separator)
    if test is None and info.test_fraction is not None:
        train, test = train.split(info.test_fraction, info.seed)
    _check_documents(path, info, train)
    if original.encoder is not None:
        original.encoder.check_table()
    again = _train_again(original, train, n_jobs, progress)
    rule = again.multilabel_rule
    if rule is not None and original.multilabel_rule is not None:
        rule = replace(rule, as_indicator=original.multilabel_rule.as_indicator)
    now = content.to_model_file(
        replace(again, multilabel_rule=rule),
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
    again = "train it again with the same files and options, and compare the bytes of both files."
    reason = None
    if info.interrupted:
        reason = "its training was interrupted, which can't be repeated; train a new model."
    elif not info.n_documents:
        reason = (
            "it was made from topic descriptions alone, without training documents; test it with "
            "`slugline evaluate`."
        )
    elif info.stream is not None:
        reason = f"it was trained on a stream; {again}"
    elif info.head is not None and info.head.n_unlabelled:
        reason = f"it was also trained on unlabelled texts; {again}"
    elif info.n_batches:
        reason = "it was trained in batches, which the file doesn't record; it can't be checked."
    elif info.validation_digest is not None:
        reason = f"it was trained with separate validation documents; {again}"
    if reason is not None:
        raise ModelFileError(f"{path}: {reason}")


def _check_documents(path: PathLike, info: ModelInfo, train: Corpus) -> None:
    digest = train.digest()
    if digest != info.data_digest:
        raise DataError(
            f"{train.name}: the {len(train):,} training documents differ from the "
            f"{info.n_documents:,} of {path} (SHA-256 {digest[:_N_DIGITS]}..., not "
            f"{info.data_digest[:_N_DIGITS]}...); check the version of the data, the columns, and "
            "whether a separate ",
            Parameter("test"),
            " was used.",
        )


def _train_again(
    original: Fitted, train: Corpus, n_jobs: int | None, progress: Progress | None
) -> Fitted:
    # A corpus has topic names; the model may have been trained on integers.
    original_topics = {str(topic): topic for topic in original.topics.names}
    topics: list[Any] = [
        tuple(original_topics[topic] for topic in names) for names in as_sets(train.topics)
    ]
    if not train.multilabel:
        topics = [topic for (topic,) in topics]
    corpus = Corpus(train.texts, topics, layout=original.layout)
    return fit(corpus, FitSettings.from_fitted(original, n_jobs=n_jobs), progress=progress)


def _differences(data: bytes, then: ModelFile, now: ModelFile) -> tuple[ModelDifference, ...]:
    again = container.pack(now)
    if again == data:
        return ()
    differences = [*_in_settings(then.info, now.info)]
    if then.terms != now.terms:
        # The same term may occur in several feature groups.
        old, new = Counter(then.terms), Counter(now.terms)
        counts = (f"{terms.total():,} of its own" for terms in (old - new, new - old))
        differences.append(ModelDifference("vocabulary", *counts))
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
