"""Conversion between a `Fitted` and the content of a model file."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, I64
from slugline.base.checks import check_number, has_surrogates, is_number, option_error, short_repr
from slugline.base.files import PathLike
from slugline.corpus.documents import Topic, Topics, check_descriptions, check_topic_names
from slugline.corpus.layout import Layout, check_delimiter
from slugline.corpus.readers import check_format
from slugline.errors import DataError, EncoderError, Parameter
from slugline.learning.learner import is_linear, restore
from slugline.model import heldout
from slugline.model.decider import Decider
from slugline.model.file import container, schema
from slugline.model.file.shipped import model_path
from slugline.model.fitted import Fitted
from slugline.model.heldout import HeldOutPredictions
from slugline.text.columns import Buckets, HashedColumns, TermColumns, Vocabulary
from slugline.text.feature_groups import FeatureGroup, check_idf
from slugline.text.features import Features
from slugline.text.sparse import has_kernel
from slugline.text.terms import split_terms

if TYPE_CHECKING:
    from slugline.learning.encoder.encoder import CheckedEncoder
    from slugline.learning.encoder.head import DenseHead
    from slugline.learning.encoder.head_state import HeadState
    from slugline.learning.encoder.registry import Encoder
    from slugline.model.promise import PromiseCheck
    from slugline.model.text_profile import TextProfile

# The encoder of a model ---------------------------------------------------------------------------


def find_encoder(
    path: PathLike, file: schema.ModelFile, chosen: str | Encoder | None
) -> CheckedEncoder | None:
    """Return the encoder of a model, or None if it has none.

    `chosen` is the encoder passed by the user; by default, a registered encoder is used, without
    loading its weights yet. `path` is for messages.

    Raises
    ------
    EncoderError : if the encoder is missing, must be passed, or is the wrong one.
    """
    needed = file.info.encoder
    if needed is None:
        return None
    from slugline.learning.encoder.encoder import get_encoder, make_encoder
    from slugline.learning.encoder.registry import split_names

    names = split_names(needed.name)
    if chosen is None and names is None:
        raise EncoderError(
            f"{path} was made with the encoder {needed.name}, which is not part of Slugline; in "
            "Python, pass it: slugline.load(path, encoder=...)."
        )
    try:
        # The order in the file determines the columns.
        encoder = make_encoder(names or ()) if chosen is None else get_encoder(chosen)
    except EncoderError as error:
        raise EncoderError(f"{path}: {error}") from error
    if encoder.version != needed.version:
        raise EncoderError(
            f"{path} was made with version {needed.version or 'unknown'} of the encoder "
            f"{needed.name}, but this Slugline has version {encoder.version or 'unknown'}; install "
            "the Slugline release that saved it, or train the model again."
        )
    if encoder.digest != needed.digest:
        raise EncoderError(
            f"{path} was made with the encoder {needed.name}, but {encoder.name} is another one or "
            f"has other weights (digest {encoder.digest[:12]}..., not {needed.digest[:12]}...); "
            "use the original encoder, or train the model again."
        )
    encoder.check_width(needed.width)
    return encoder


# Content ------------------------------------------------------------------------------------------

_Value = TypeVar("_Value")
# Maximum number of hash buckets of all feature groups with terms; each takes 4 bytes of memory.
_MAX_BUCKETS = 1 << 26
# Prefixes of the names of arrays.
_LEARNER, _IDF, _HELDOUT = "learner.", "idf.", "heldout."
_DENSE, _FAST_HEAD, _SUMS = "dense.", "fast_head.", "encoder_sums."
_PROFILE = "text_profile."
_TEST_ANSWERS = "test_answers"


def to_model_file(
    fitted: Fitted,
    *,
    metrics: Mapping[str, float] | None = None,
    test_fraction: float | None = None,
    weight_type: str = "float32",
    card_notes: str = "",
) -> schema.ModelFile:
    """Return the content of a model's file; see `TopicClassifier.save` for the parameters.

    Raises
    ------
    OptionError : if an option is invalid.
    DataError : if feature groups have too many hash buckets for a file.
    """
    _check_extras(metrics, test_fraction, card_notes)
    stored_type: schema.WeightType = "float32"
    if weight_type != "float32":
        stored_type = container.check_weight_type(weight_type)
    dense, fast_head, head_state = fitted.dense, fitted.fast_stage.dense, fitted.head_state
    vocabularies, predictions = fitted.features.vocabularies_, fitted.heldout_predictions
    info = schema.ModelInfo(
        topics=fitted.topics.names,
        topic_counts=tuple(fitted.topic_counts.tolist()),
        feature_groups=[*fitted.features.feature_groups],
        n_terms=tuple(vocabulary.n_terms for vocabulary in vocabularies),
        learner=fitted.learner.settings(),
        seed=fitted.seed,
        class_weight=_plain_weights(fitted.class_weight),
        versions=library_versions(),
        data_digest=fitted.data_digest,
        n_documents=fitted.n_documents,
        n_unlearned=fitted.n_unlearned,
        metrics={},
        weight_type=stored_type,
        test_fraction=test_fraction,
        validation_digest=fitted.validation_digest,
        interrupted=fitted.interrupted,
        n_batches=fitted.n_batches,
        card_notes=card_notes,
        encoder=None if dense is None else dense.encoder.identity(len(dense.weights)),
        head=None if dense is None else dense.settings(),
        fast_head=None if fast_head is None else fast_head.settings(),
        n_summed=None if dense is None or head_state is None else head_state.sums.n_rows,
        descriptions={str(name): text for name, text in fitted.descriptions.items()},
        min_precision=None if predictions is None else predictions.precision,
        unknown_words=None if predictions is None else predictions.words,
        stream=fitted.stream,
        multilabel_rule=fitted.multilabel_rule,
        layout=_stored_layout(fitted),
        text_profile=None if fitted.text_profile is None else fitted.text_profile.table_digest,
    )
    _check_buckets(info)
    arrays = _arrays(fitted)
    if stored_type != "float32":
        # Round as in the file, so that the content equals the content read back.
        arrays = container.dequantize(container.quantize(arrays, stored_type), stored_type)
    lines = b"".join(vocabulary.lines() for vocabulary in vocabularies)
    return with_metrics(schema.ModelFile(info, arrays, lines, ""), fitted, metrics or {})


def _arrays(fitted: Fitted) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a model by name."""
    idf = {str(n): array for n, array in enumerate(fitted.features.idf_) if array is not None}
    parts: dict[str, Mapping[str, npt.NDArray[Any]]] = {
        _LEARNER: fitted.learner.arrays(),
        _IDF: idf,
    }
    for prefix, head in ((_DENSE, fitted.dense), (_FAST_HEAD, fitted.fast_stage.dense)):
        if head is not None:
            parts[prefix] = head.arrays()
    if fitted.dense is not None and fitted.head_state is not None:
        parts[_SUMS] = fitted.head_state.sums.arrays()
    if fitted.heldout_predictions is not None:
        parts[_HELDOUT] = heldout.to_arrays(fitted.heldout_predictions)
    if fitted.text_profile is not None:
        parts[_PROFILE] = fitted.text_profile.to_arrays()
    return {
        prefix + name: array for prefix, arrays in parts.items() for name, array in arrays.items()
    }


def with_metrics(
    file: schema.ModelFile, fitted: Fitted, metrics: Mapping[str, float]
) -> schema.ModelFile:
    """Return a model file with other metrics, and a card that shows them."""
    info = msgspec.structs.replace(file.info, metrics=dict(metrics))
    from slugline.model.file.card import write_card

    return replace(file, info=info, card=write_card(info, _check_promise(fitted, metrics)))


def _check_promise(fitted: Fitted, metrics: Mapping[str, float]) -> PromiseCheck | None:
    """Check a model's required precision, using the metrics of a test if available."""
    if fitted.heldout_predictions is None or fitted.heldout_predictions.precision is None:
        return None
    from slugline.model.promise import AnswerCounts

    names = ("test_documents", _TEST_ANSWERS, "test_right_answers")
    tested = None
    if all(name in metrics for name in (*names, "test_coverage")):
        n_documents, n_answers, n_right = (int(metrics[name]) for name in names)
        tested = AnswerCounts(n_documents, n_answers, n_right, metrics["test_coverage"])
    return Decider.from_fitted(fitted).check_promise(tested)


def _restore_head(file: schema.ModelFile, encoder: CheckedEncoder, cache_rows: bool) -> DenseHead:
    from slugline.learning.encoder.head import DenseHead

    settings, fast = file.info.head, file.info.fast_head
    if settings is None:
        raise DataError("an encoder without a head")
    head = DenseHead.restore(settings, _arrays_of(file, _DENSE), encoder)
    fast_head = None
    if fast is not None:
        if encoder.fast_part is None or settings.cascade is None:
            raise DataError(f"a fast stage of word vectors with the encoder {encoder.name}")
        fast_head = DenseHead.restore(fast, _arrays_of(file, _FAST_HEAD), encoder.fast_part)
    return replace(head, fast_head=fast_head, cache_rows=cache_rows)


def _restore_head_state(file: schema.ModelFile, head: DenseHead | None) -> HeadState | None:
    info = file.info
    if head is None or info.n_summed is None:
        return None
    from slugline.learning.encoder.class_sums import ClassSums
    from slugline.learning.encoder.head_state import HeadState

    if head.encoder.summing_encoder is None or head.calibration.multilabel:
        raise DataError("sums for training a head, but no head")
    shape = len(info.topics), len(head.weights)
    sums = ClassSums.restore(info.n_summed, _arrays_of(file, _SUMS), shape)
    return HeadState.after_fit(head, sums)


def _restore_heldout(file: schema.ModelFile) -> HeldOutPredictions | None:
    info, arrays = file.info, _arrays_of(file, _HELDOUT)
    if not arrays:
        if info.min_precision is not None or info.unknown_words is not None:
            raise DataError("a precision or unknown words without held-out predictions")
        return None
    return heldout.from_arrays(
        arrays,
        n_documents=info.n_documents,
        n_topics=len(info.topics),
        multilabel=info.multilabel_rule is not None,
        words=info.unknown_words,
        precision=info.min_precision,
    )


def _restore_text_profile(file: schema.ModelFile) -> TextProfile | None:
    info = file.info
    if info.text_profile is None:
        return None
    from slugline.model.text_profile import TextProfile

    return TextProfile.from_arrays(
        _arrays_of(file, _PROFILE),
        n_topics=len(info.topics),
        multilabel=info.multilabel_rule is not None,
        table_digest=info.text_profile,
    )


def _arrays_of(file: schema.ModelFile, prefix: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays with a name prefix, without the prefix."""
    return {
        name.removeprefix(prefix): array
        for name, array in file.arrays.items()
        if name.startswith(prefix)
    }


def _check_extras(metrics: Any, test_fraction: Any, card_notes: Any) -> None:
    is_mapping = metrics is None or isinstance(metrics, Mapping)
    if not is_mapping or not all(isinstance(name, str) for name in metrics or ()):
        raise option_error("metrics", metrics, "None, or a mapping of names to numbers")
    for name, value in (metrics or {}).items():
        if not is_number(value):
            raise option_error(
                f"metrics[{short_repr(name)}]", value, "a finite number, or leave it out"
            )
    if test_fraction is not None:
        check_number("test_fraction", test_fraction, over=0, under=1)
    if not isinstance(card_notes, str) or has_surrogates(card_notes):
        raise option_error("card_notes", card_notes, "a string without unpaired surrogates")


def load_model(
    path: PathLike, encoder: str | Encoder | None = None, *, data: bytes | None = None
) -> tuple[Fitted, schema.ModelFile]:
    """Load a model from a file, which may be untrusted, or by name, such as "reuters46".

    If `data`, the bytes of the file, is given, `path` is only used in messages.

    Returns
    -------
    The model, and the content of its file.

    Raises
    ------
    ModelFileError : if the file is missing, damaged, of another format, or not a model.
    EncoderError : if the model's encoder is missing, must be passed, or is the wrong one.
    OptionError : if `encoder` is invalid.
    """
    path = model_path(path)
    file = container.read(path) if data is None else container.unpack(data, path)
    checked = find_encoder(path, file, encoder)
    try:
        return from_model_file(file, checked, cache_rows=False), file
    # Inconsistent parts can make NumPy and SciPy raise any type of error.
    except Exception as error:
        raise container.damaged_error(path, error) from error


def load_questions(
    path: PathLike, encoder: str | Encoder | None = None, *, data: bytes | None = None
) -> dict[str, tuple[Fitted, schema.ModelFile]]:
    """Load the models of all questions that a file answers, by question; see `load_model`.

    If `path` names a question, or the file answers a single one, its name is "".
    """
    path = model_path(path)
    # All questions come from the same version, even if the file is replaced meanwhile.
    data = container.read_bytes(path) if data is None else data
    return {
        question: load_model(reference, encoder, data=data)
        for question, reference in container.question_paths(data, path).items()
    }


def from_model_file(
    file: schema.ModelFile, encoder: CheckedEncoder | None = None, *, cache_rows: bool = True
) -> Fitted:
    """Build a model from the content of its file and its encoder.

    `cache_rows` caches the encoder's rows of predicted texts. Inconsistent parts raise errors of
    any type.
    """
    info, class_weight = file.info, file.info.class_weight
    check_topic_names(info.topics)
    _check_buckets(info)
    if info.multilabel_rule is not None:
        info.multilabel_rule.check(info.topics)
    if info.layout is not None:
        _check_layout(info.layout, info.feature_groups)
    idf = [file.arrays.get(f"{_IDF}{number}") for number in range(len(info.feature_groups))]
    groups = zip(info.feature_groups, file.group_names(), idf, strict=True)
    vocabularies = [_restore_columns(*group) for group in groups]
    learner = restore(info.learner, _arrays_of(file, _LEARNER))
    dense = None if encoder is None else _restore_head(file, encoder, cache_rows)
    fitted = Fitted(
        topics=Topics(info.topics),
        topic_counts=np.array(info.topic_counts, dtype=np.int64),
        features=Features.restore(info.feature_groups, vocabularies, idf),
        learner=learner,
        seed=info.seed,
        class_weight=_restore_keys(class_weight, info.topics)
        if isinstance(class_weight, dict)
        else class_weight,
        data_digest=info.data_digest,
        n_documents=info.n_documents,
        n_unlearned=info.n_unlearned,
        validation_digest=info.validation_digest,
        interrupted=info.interrupted,
        n_batches=info.n_batches,
        dense=dense,
        head_state=_restore_head_state(file, dense),
        descriptions=check_descriptions(_restore_keys(info.descriptions, info.topics)),
        heldout_predictions=_restore_heldout(file),
        stream=info.stream,
        multilabel_rule=info.multilabel_rule,
        layout=info.layout,
        text_profile=_restore_text_profile(file),
    )
    _check_fit(fitted, file)
    return fitted


def _stored_layout(fitted: Fitted) -> Layout | None:
    """Return the layout to store, or None if its names are too long or not valid Unicode."""
    if fitted.layout is None:
        return None
    layout = replace(fitted.layout, columns=_extra_columns(fitted.features.feature_groups))
    try:
        return msgspec.json.decode(msgspec.json.encode(layout), type=Layout)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None


def _extra_columns(feature_groups: Sequence[FeatureGroup]) -> tuple[str, ...]:
    return tuple(column.name for group in feature_groups for column in group.columns)


def _check_layout(layout: Layout, feature_groups: Sequence[FeatureGroup]) -> None:
    """Raise DataError or OptionError unless the layout in a file is valid."""
    columns, form = [*layout.text, layout.topic], layout.topic_form
    if form is not None:
        needs_separator, needs_columns = form.kind == "separator", form.kind == "columns"
        if bool(form.separator) != needs_separator or bool(form.columns) != needs_columns:
            raise DataError("separator or topic columns don't match the topic format")
        columns = [*layout.text, *(form.columns or [layout.topic])]
    if len({*columns}) < len(columns):
        raise DataError("duplicate data column")
    if layout.columns != _extra_columns(feature_groups):
        raise DataError("the layout and the model have different extra columns")
    check_format(layout.format, layout.encoding)
    check_delimiter(layout.separator)


def _check_buckets(info: schema.ModelInfo) -> None:
    groups = zip(info.feature_groups, info.n_terms, strict=True)
    n_buckets = sum(group.n_buckets or 0 for group, n_terms in groups if n_terms)
    if n_buckets > _MAX_BUCKETS:
        raise DataError(
            f"the feature groups have {n_buckets:,} hash buckets, and in a model file they may "
            f"have {_MAX_BUCKETS:,}; give them fewer ",
            Parameter("n_buckets"),
            ".",
        )


def _restore_columns(
    group: FeatureGroup, names: tuple[bytes, I64], rarity: F32 | None
) -> TermColumns:
    if group.n_buckets is None:
        return Vocabulary(split_terms(*names), group.kind)
    # Training documents of one word each have no bigrams.
    if len(names[1]) or group.is_unused or (rarity is not None and not len(rarity)):
        return HashedColumns.from_names(names, group.n_buckets, group.kind)
    return Buckets(group.n_buckets, group.kind)


def _check_types(file: schema.ModelFile) -> None:
    for name, array in file.arrays.items():
        # The code that reads these checks their types.
        is_checked = name.startswith((_HELDOUT, _PROFILE)) or name.endswith((".topics", ".counts"))
        if array.dtype != np.float32 and not is_checked:
            raise DataError(f"array {short_repr(name)} is of type {array.dtype}, not float32")


def _check_fit(fitted: Fitted, file: schema.ModelFile) -> None:
    """Raise DataError unless features, learner and topics of a file are consistent."""
    _check_types(file)
    if len({type(topic) for topic in file.info.topics}) > 1:
        raise DataError("topics mix strings and numbers")
    if len(fitted.topic_counts) != len(fitted.topics):
        raise DataError("document counts are missing for some topics")
    _check_idf(fitted)
    if fitted.learner.multilabel != fitted.multilabel:
        raise DataError(
            "the learner and the decision rule disagree on whether a document may have several "
            "topics"
        )
    if file.info.encoder is not None:
        _check_dense(fitted, file.info.encoder.width)
    elif file.info.head is not None or file.info.fast_head is not None:
        raise DataError("a head without an encoder")
    elif fitted.descriptions:
        raise DataError("descriptions of topics without an encoder")
    for name in sorted(file.arrays.keys() ^ _arrays(fitted).keys()):
        is_there = "unknown" if name in file.arrays else "missing"
        raise DataError(f"array {short_repr(name)} is {is_there}")
    n_columns, n_topics = _weights_shape(fitted)
    if n_columns != fitted.features.n_columns:
        raise DataError(f"weights of {n_columns} columns for {fitted.features.n_columns} terms")
    if n_topics != len(fitted.topics):
        raise DataError(f"{n_topics} scores for {len(fitted.topics)} topics")


def _weights_shape(fitted: Fitted) -> tuple[int, int]:
    """Return a learner's numbers of feature columns and of topics."""
    learner, n_columns = fitted.learner, fitted.features.n_columns
    if is_linear(learner):  # avoids building its table of weights, which is slow
        return len(learner.unused_columns()), len(learner.biases)
    # Predicting the shortest text fails if shapes are inconsistent.
    with np.errstate(over="raise", invalid="raise"):
        scores = learner.decision_function(next(fitted.features.read_parts([""])).rows.csr())
    return n_columns, scores.shape[1]


def _check_idf(fitted: Fitted) -> None:
    features = fitted.features
    if any(group.columns for group in features.feature_groups[:-1]):
        raise DataError("table columns come before the terms of the text")
    groups = zip(features.feature_groups, features.vocabularies_, features.idf_, strict=True)
    for group, vocabulary, idf in groups:
        expected = (vocabulary.n_columns,) if group.has_idf else None
        if (None if idf is None else idf.shape) != expected:
            n_needed, n_weights = sum(expected or ()), 0 if idf is None else idf.size
            raise DataError(f"the {group.kind} need {n_needed} idf weights but have {n_weights}")
        if idf is not None:
            check_idf(idf, fitted.n_documents)


def _check_dense(fitted: Fitted, width: int) -> None:
    """Raise DataError unless the encoder's head is consistent with the rest of the model."""
    dense = fitted.dense
    if dense is None or not is_linear(fitted.learner):
        raise DataError("an encoder with a learner that is not linear")
    dense.check(width, len(fitted.topics))
    fast_head = fitted.fast_stage.dense
    if fast_head is not None and (encoder := fast_head.encoder.summing_encoder) is not None:
        fast_head.check(encoder.table.header.n_columns, len(fitted.topics))
        if fast_head.calibration.multilabel:
            raise DataError("calibration curves of topics in the fast stage of a cascade")
    if dense.calibration.multilabel != fitted.multilabel:
        raise DataError(
            "the encoder's head and the decision rule disagree on whether a document may have "
            "several topics"
        )
    if dense.cascade is not None and fitted.multilabel:
        raise DataError("a cascade in a multilabel model")


def _plain_weights(
    class_weight: Literal["balanced"] | Mapping[Any, float] | None,
) -> Literal["balanced"] | dict[str, float] | None:
    if class_weight is None or isinstance(class_weight, str):
        return class_weight
    return {str(topic): float(weight) for topic, weight in class_weight.items()}


def _restore_keys(plain: dict[str, _Value], topics: Sequence[Topic]) -> dict[Topic, _Value]:
    """Return values by topic; JSON keys are always strings."""
    names = {str(topic): topic for topic in topics}
    return {names[name]: value for name, value in plain.items()}


def library_versions() -> dict[str, str]:
    """Return the versions of libraries that may affect a model; "kernels" only if missing."""
    import importlib.metadata

    # From installation metadata, because importing scikit-learn is slow.
    names = ("slugline", "numpy", "scipy", "scikit-learn")
    versions = {name: importlib.metadata.version(name) for name in names}
    kernels = {} if has_kernel() else {"kernels": "none"}
    return {"python": platform.python_version()} | versions | kernels
