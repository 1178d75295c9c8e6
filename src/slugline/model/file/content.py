"""Converts a `Fitted` to the content of a model file, and back."""

from __future__ import annotations

import itertools
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
import numpy as np

from slugline.base.arrays import F32
from slugline.base.checks import check_number, has_surrogates, is_number, option_error, short_repr
from slugline.base.files import PathLike
from slugline.base.wording import nearest
from slugline.corpus.documents import Topic, Topics, check_descriptions, check_topic_names
from slugline.corpus.layout import DataLayout, TopicForm, check_delimiter
from slugline.corpus.line_stream import check_encoding
from slugline.errors import DataError, EncoderError, ModelFileError
from slugline.learning.calibration import Calibration, TopicCalibration
from slugline.learning.learner import is_linear, restore
from slugline.model.decider import Decider
from slugline.model.file import container, schema
from slugline.model.fitted import Fitted, StreamRecord
from slugline.model.multilabel_rule import MultilabelRule, find_parents
from slugline.model.promise import AnswerCounts, PromiseCheck
from slugline.model.thresholds import ARRAYS, HeldOutPredictions
from slugline.text.columns import Buckets, HashedColumns, TermColumns
from slugline.text.feature_groups import FeatureGroup, check_idf
from slugline.text.features import Features, UnknownWordRate
from slugline.text.table_columns import TableColumn
from slugline.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from slugline.learning.encoder.encoder import CheckedEncoder, Encoder
    from slugline.learning.encoder.head import DenseHead

# The encoder of a model ---------------------------------------------------------------------------


def find_encoder(
    path: PathLike, needed: schema.EncoderInfo | msgspec.UnsetType, chosen: str | Encoder | None
) -> CheckedEncoder | None:
    """Return the encoder that a model needs, or None if it needs none.

    `chosen` is the user's; None stands for one that is known by name. The built-in one does not
    load its weights here. `path` is for messages.

    Raises
    ------
    EncoderError : if it is missing, must be passed, or is not the model's.
    """
    if needed is msgspec.UNSET:
        return None
    from slugline.learning.encoder.encoder import NAMES, get_encoder

    if chosen is None and needed.name not in NAMES:
        raise EncoderError(
            f"{path} was made with the encoder {needed.name}, which Slugline doesn't have; in "
            "Python, pass it: slugline.load(path, encoder=...)."
        )
    encoder = get_encoder(needed.name if chosen is None else chosen)
    if encoder.digest != needed.digest:
        raise EncoderError(
            f"{path} was made with the encoder {needed.name}, and {encoder.name} is another one or "
            f"has other weights (digest {encoder.digest[:12]}..., not {needed.digest[:12]}...); "
            "use the one that it was made with, or train it again."
        )
    encoder.check_width(needed.width)
    return encoder


# Models in the package ----------------------------------------------------------------------------

#: The topics that each of them distinguishes.
SHIPPED = {"reuters46": "46 newswire topics of 1987"}
#: The one that answers if none is named.
DEFAULT = "reuters46"
_FOLDER = Path(__file__).parents[1]


def model_path(model: PathLike) -> PathLike:
    """Return the path of a model, which may be given by name.

    Only a plain string is a name: "./reuters46" and Path("reuters46") are files. Raises
    ModelFileError if it is nearly a name, and there is no such file.
    """
    if isinstance(model, str) and not os.path.lexists(model) and Path(model).name == model:
        near = nearest(model, SHIPPED, 0.8)
        if near not in (None, model):
            raise ModelFileError(f"{model}: there is no such file; did you mean {near}?")
    return _FOLDER / f"{model}.slug" if model in SHIPPED else model


def is_shipped(model: PathLike) -> bool:
    """Whether this is the name of a model inside the package, or the path of its file."""
    places = {os.path.realpath(_FOLDER / f"{name}.slug") for name in SHIPPED}
    return model in SHIPPED or os.path.realpath(model) in places


# Content ------------------------------------------------------------------------------------------

_Value = TypeVar("_Value")
# Hash buckets of all feature groups that have terms: each takes 4 bytes of memory.
_MOST_BUCKETS = 1 << 26
# What names of arrays of answers to documents left out, and of an encoder's head, begin with.
_LEFT_OUT, _DENSE = "left_out.", "dense."
_THRESHOLDS = "decision.thresholds"
_TEST_ANSWERS = "test_answers"


def to_model_file(
    fitted: Fitted,
    *,
    metrics: Mapping[str, float] | None = None,
    test_fraction: float | None = None,
    precision: str = "float32",
    card_notes: str = "",
) -> schema.ModelFile:
    """Return the content of the model file; see `TopicClassifier.save` for the parameters.

    Raises
    ------
    OptionError : if an option is invalid.
    DataError : if feature groups have more hash buckets than a file may have.
    """
    _check_extras(metrics, test_fraction, card_notes)
    content = _content(
        fitted,
        test_fraction=test_fraction,
        precision="float32" if precision == "float32" else container.check_precision(precision),
        card_notes=card_notes,
    )
    return with_metrics(content, fitted, metrics or {})


def _content(
    fitted: Fitted, *, test_fraction: float | None, precision: schema.Precision, card_notes: str
) -> schema.ModelFile:
    """Return the content of a file without metrics."""
    features, vocabularies = fitted.features, fitted.features.vocabularies_
    info = schema.ModelInfo(
        topics=fitted.topics.names,
        feature_groups=[
            _group_info(group, len(vocabulary.terms))
            for group, vocabulary in zip(features.feature_groups, vocabularies, strict=True)
        ],
        learner=fitted.learner.settings(),
        seed=fitted.seed,
        class_weight=_plain_weights(fitted.class_weight),
        versions=library_versions(),
        data_digest=fitted.data_digest,
        n_documents=fitted.n_documents,
        n_heldout=fitted.n_heldout or msgspec.UNSET,
        metrics={},
        precision=precision,
        test_fraction=test_fraction,
        validation_digest=fitted.validation_digest,
        interrupted=fitted.interrupted,
        n_batches=fitted.n_batches,
        card_notes=card_notes,
        encoder=_encoder_info(fitted.dense),
        descriptions={str(name): text for name, text in fitted.descriptions.items()}
        or msgspec.UNSET,
        routing=_routing_info(fitted.heldout_predictions),
        stream=schema.StreamInfo(*fitted.stream) if fitted.stream else msgspec.UNSET,
        decision=msgspec.UNSET
        if fitted.multilabel_rule is None
        else msgspec.convert(fitted.multilabel_rule, schema.DecisionInfo, from_attributes=True),
        layout=_layout_info(fitted.layout),
    )
    _check_buckets(info.feature_groups)
    arrays = {f"learner.{name}": array for name, array in fitted.learner.arrays().items()}
    for number, idf in enumerate(features.idf_):
        if idf is not None:
            arrays[f"idf.{number}"] = idf
    if fitted.dense is not None:
        arrays |= {_DENSE + name: array for name, array in fitted.dense.arrays().items()}
    if fitted.multilabel_rule is not None:
        arrays[_THRESHOLDS] = fitted.multilabel_rule.thresholds
    if fitted.heldout_predictions is not None:
        heldout = fitted.heldout_predictions.arrays()
        arrays |= {_LEFT_OUT + name: array for name, array in heldout.items()}
    terms = [term for vocabulary in vocabularies for term in vocabulary.terms]
    # As a reader of the file gets them.
    arrays = container.dequantize(container.quantize(arrays, precision), precision)
    card = schema.write_card(info, arrays.get(_THRESHOLDS), _check_promise(fitted, {}))
    return schema.ModelFile(info, arrays, terms, card)


def _group_info(group: FeatureGroup, n_terms: int) -> schema.FeatureGroupInfo:
    columns = tuple(schema.ColumnInfo(**asdict(column)) for column in group.columns)
    options = asdict(group) | {"columns": columns or msgspec.UNSET}
    return schema.FeatureGroupInfo(**options, n_terms=n_terms)


def _restore_group(info: schema.FeatureGroupInfo) -> FeatureGroup:
    options = {name: getattr(info, name) for name in FeatureGroup.__slots__}
    columns = [TableColumn(*msgspec.structs.astuple(column)) for column in info.columns or ()]
    return FeatureGroup(**options | {"columns": tuple(columns)})


def with_metrics(
    file: schema.ModelFile, fitted: Fitted, metrics: Mapping[str, float]
) -> schema.ModelFile:
    """Return the content of the file of a model with other metrics."""
    info = msgspec.structs.replace(file.info, metrics=dict(metrics))
    promise = _check_promise(fitted, metrics)
    card = schema.write_card(info, file.arrays.get(_THRESHOLDS), promise)
    return replace(file, info=info, card=card)


def _check_promise(fitted: Fitted, metrics: Mapping[str, float]) -> PromiseCheck | None:
    """Return whether a model keeps its precision, by the metrics of a test if there was one."""
    if fitted.heldout_predictions is None or fitted.heldout_predictions.precision is None:
        return None
    names = ("test_documents", _TEST_ANSWERS, "test_right_answers")
    tested = None
    if all(name in metrics for name in (*names, "test_coverage")):
        n_documents, n_answers, n_right = (int(metrics[name]) for name in names)
        tested = AnswerCounts(n_documents, n_answers, n_right, metrics["test_coverage"])
    return Decider.from_fitted(fitted).check_promise(tested)


def _encoder_info(dense: DenseHead | None) -> schema.EncoderInfo | msgspec.UnsetType:
    if dense is None:
        return msgspec.UNSET
    calibration = dense.calibration.settings()
    return schema.EncoderInfo(
        name=dense.encoder.name,
        digest=dense.encoder.digest,
        width=len(dense.weights),
        sparse_factor=dense.sparse_factor,
        doubt=calibration["doubt"],
        ambiguity=calibration["ambiguity"],
        share=dense.share,
        cascade=msgspec.UNSET if dense.cascade is None else (*dense.cascade,),
        n_unlabelled=dense.n_unlabelled or msgspec.UNSET,
    )


def _routing_info(heldout: HeldOutPredictions | None) -> schema.RoutingInfo | msgspec.UnsetType:
    if heldout is None:
        return msgspec.UNSET
    unknown, most = heldout.words or (None, None)
    alternative = heldout.alternative or msgspec.UNSET
    return schema.RoutingInfo(heldout.precision, unknown, most, alternative)


def _restore_decision(file: schema.ModelFile) -> MultilabelRule | None:
    info = file.info.decision
    if info is msgspec.UNSET:
        return None
    decision = MultilabelRule(
        file.arrays[_THRESHOLDS],
        **msgspec.structs.asdict(info),
        parents=find_parents(file.info.topics, info.separator),
    )
    decision.check(len(file.info.topics))
    return decision


def _arrays_of(file: schema.ModelFile, prefix: str) -> dict[str, Any]:
    """Return the arrays whose names begin with the prefix, by the remainder of their names."""
    names = [name for name in file.arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): file.arrays[name] for name in names}


def _restore_head(file: schema.ModelFile, encoder: CheckedEncoder, keep: bool) -> DenseHead | None:
    from slugline.learning.encoder.head import Cascade, DenseHead

    info = file.info.encoder
    if info is msgspec.UNSET:
        return None
    arrays = _arrays_of(file, _DENSE)
    weights, biases = (arrays.pop(name) for name in ("weights", "biases"))
    calibration: Any = Calibration(1.0, info.doubt, info.ambiguity)
    if arrays:
        calibration = TopicCalibration.restore(arrays, biases)
    cascade = None if info.cascade is msgspec.UNSET else Cascade(*info.cascade)
    return DenseHead(
        *(encoder, weights, biases, info.sparse_factor, calibration, info.share, cascade),
        n_unlabelled=info.n_unlabelled or 0,
        keep=keep,
    )


def _restore_heldout(file: schema.ModelFile) -> HeldOutPredictions | None:
    info = file.info.routing
    if info is msgspec.UNSET:
        return None
    arrays = {name: file.arrays[_LEFT_OUT + name] for name in ARRAYS}
    words = None
    if info.unknown_words is not None and info.most_unknown is not None:
        words = UnknownWordRate(info.unknown_words, info.most_unknown)
    return HeldOutPredictions.restore(arrays, len(file.info.topics), words, info.min_precision)


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
        raise option_error("card_notes", card_notes, "text, of whole characters")


def load_model(
    path: PathLike, encoder: str | Encoder | None = None, *, data: bytes | None = None
) -> tuple[Fitted, schema.ModelFile]:
    """Read a model file from any source, or "reuters46", the model that comes with Slugline.

    With `data`, the bytes of the file, `path` is for messages.

    Returns
    -------
    The fitted value, and the content of the file.

    Raises
    ------
    ModelFileError : if there is no such file, it is damaged, of another format, or no model.
    EncoderError : if the model's encoder is missing, must be passed, or is another one.
    OptionError : if `encoder` is invalid.
    """
    path = model_path(path)
    file = container.read(path) if data is None else container.unpack(data, path)
    checked = find_encoder(path, file.info.encoder, encoder)
    try:
        return from_model_file(file, checked, keep=False), file
    # Parts that don't fit together can make NumPy and SciPy raise any type of error.
    except Exception as error:
        raise container.damaged_error(path, error) from error


def from_model_file(
    file: schema.ModelFile, encoder: CheckedEncoder | None = None, *, keep: bool = True
) -> Fitted:
    """Return the fitted value from the content of a file, with the encoder that the file names.

    `keep` is whether the cache keeps rows of predicted texts. Parts that don't fit together raise
    errors of any kind.
    """
    info, class_weight = file.info, file.info.class_weight
    check_topic_names(info.topics)
    _check_buckets(info.feature_groups)
    feature_groups: list[FeatureGroup] = []
    vocabularies, first = [], 0
    idf = [file.arrays.get(f"idf.{number}") for number in range(len(info.feature_groups))]
    for group, rarity in zip(info.feature_groups, idf, strict=True):
        terms = file.terms[first : first + group.n_terms]
        first += group.n_terms
        feature_groups.append(_restore_group(group))
        vocabularies.append(_restore_columns(feature_groups[-1], terms, rarity))
    learned = _arrays_of(file, "learner.")
    fitted = Fitted(
        topics=Topics(info.topics),
        features=Features.restore(feature_groups, vocabularies, idf),
        learner=restore(info.learner, learned),
        seed=info.seed,
        class_weight=_restore_keys(class_weight, info.topics)
        if isinstance(class_weight, dict)
        else class_weight,
        data_digest=info.data_digest,
        n_documents=info.n_documents,
        n_heldout=info.n_heldout or 0,
        validation_digest=info.validation_digest,
        interrupted=info.interrupted,
        n_batches=info.n_batches,
        dense=None if encoder is None else _restore_head(file, encoder, keep),
        descriptions=check_descriptions(_restore_keys(info.descriptions or {}, info.topics)),
        heldout_predictions=_restore_heldout(file),
        stream=_stream_record(info),
        multilabel_rule=_restore_decision(file),
        layout=_data_layout(info, feature_groups),
    )
    _check_fit(fitted, file)
    return fitted


def _stream_record(info: schema.ModelInfo) -> StreamRecord | None:
    if info.stream is msgspec.UNSET:
        return None
    record = StreamRecord(*msgspec.structs.astuple(info.stream))
    if len(record.topic_counts) != len(info.topics) or record.n_right > record.n_judged:
        raise DataError("what it says of its stream doesn't fit its topics, or itself.")
    return record


def _layout_info(layout: DataLayout | None) -> schema.LayoutInfo | msgspec.UnsetType:
    """Return the layout for a file, unless its names are longer than anybody's, or no text."""
    form = None if layout is None else layout.topic_form
    separator = "" if form is None else form.separator
    if layout is None:
        return msgspec.UNSET
    renamed = itertools.chain.from_iterable(layout.topic_map)
    if has_surrogates("".join([*layout.text, layout.topic, separator, *renamed])):
        return msgspec.UNSET
    values = layout._asdict() | {"topic_form": None if form is None else form._asdict()}
    try:
        return msgspec.convert(values, schema.LayoutInfo)
    except msgspec.ValidationError:
        return msgspec.UNSET


def _data_layout(
    info: schema.ModelInfo, feature_groups: Sequence[FeatureGroup]
) -> DataLayout | None:
    if info.layout is msgspec.UNSET:
        return None
    layout = DataLayout(**msgspec.structs.asdict(info.layout))
    columns = [*layout.text, layout.topic]
    if info.layout.topic_form is not None:
        form = TopicForm(*msgspec.structs.astuple(info.layout.topic_form))
        if (bool(form.separator), bool(form.columns)) != (
            form.kind == "separator",
            form.kind == "columns",
        ):
            raise DataError("it has a separator of topics or columns that don't fit their form.")
        columns = [*layout.text, *(form.columns or [layout.topic])]
        layout = layout._replace(topic_form=form)
    if len({*columns}) < len(columns):
        raise DataError("it names a column of its data twice.")
    return layout._replace(
        encoding=check_encoding(layout.encoding) if layout.encoding else None,
        separator=check_delimiter(layout.separator),
        columns=tuple(column.name for group in feature_groups for column in group.columns),
    )


def _check_buckets(feature_groups: Sequence[schema.FeatureGroupInfo]) -> None:
    n_buckets = sum(group.n_buckets or 0 for group in feature_groups if group.n_terms)
    if n_buckets > _MOST_BUCKETS:
        raise DataError(
            f"the feature groups have {n_buckets:,} hash buckets, and in a model file they may "
            f"have {_MOST_BUCKETS:,}; give them fewer `n_buckets`."
        )


def _restore_columns(group: FeatureGroup, terms: list[str], rarity: F32 | None) -> TermColumns:
    if group.n_buckets is None:
        return Vocabulary(terms, group.kind)
    # Documents of one word each have no pairs.
    if terms or group.is_unused or (rarity is not None and not len(rarity)):
        return HashedColumns.from_terms(terms, group.n_buckets, group.kind)
    return Buckets(group.n_buckets, group.kind)


def _check_types(file: schema.ModelFile) -> None:
    for name, array in file.arrays.items():
        # Learners check those that are numbers of topics or of weights.
        if array.dtype != np.float32 and not name.endswith((".topics", ".counts")):
            raise DataError(f"array {short_repr(name)} is of type {array.dtype}, not float32")


def _check_fit(fitted: Fitted, file: schema.ModelFile) -> None:
    """Check that features, learner and topics of a file fit together."""
    _check_types(file)
    if len({type(topic) for topic in file.info.topics}) > 1:
        raise DataError("topics are words and numbers")
    features = fitted.features
    if any(group.columns for group in features.feature_groups[:-1]):
        raise DataError("columns beside the text before its terms")
    groups = zip(features.feature_groups, features.vocabularies_, features.idf_, strict=True)
    for group, vocabulary, idf in groups:
        expected = (vocabulary.n_columns,) if group.has_idf else None
        if (None if idf is None else idf.shape) != expected:
            n_needed, n_weights = sum(expected or ()), 0 if idf is None else idf.size
            raise DataError(f"the {group.kind} need {n_needed} idf weights, and have {n_weights}")
        if idf is not None:
            check_idf(idf, fitted.n_documents)
    n_idf = sum(idf is not None for idf in features.idf_)
    n_dense = 0
    if file.info.encoder is not msgspec.UNSET:
        n_dense = _check_dense(fitted, file.info.encoder)
    elif fitted.descriptions:
        raise DataError("descriptions of topics, and no encoder")
    n_left_out = 0 if fitted.heldout_predictions is None else len(ARRAYS)
    n_others = n_idf + n_dense + n_left_out + _check_decision(fitted)
    if len(file.arrays) != n_others + len(fitted.learner.arrays()):
        raise DataError(f"some arrays are unknown, of {sorted(file.arrays)}")
    # The shortest text shows whether every shape fits the next one.
    with np.errstate(over="raise", invalid="raise"):
        scores = fitted.learner.decision_function(next(features.read_parts([""])).rows)
    if scores.shape != (1, len(fitted.topics)):
        raise DataError(f"{scores.shape[1]} scores for {len(fitted.topics)} topics")


def _check_decision(fitted: Fitted) -> int:
    """Check that a learner of several topics has thresholds; return how many arrays of them."""
    if fitted.learner.multilabel != fitted.multilabel:
        raise DataError("several topics by a learner of one, or the reverse")
    return int(fitted.multilabel)


def _check_dense(fitted: Fitted, info: schema.EncoderInfo) -> int:
    """Check that the encoder's head fits the rest; return how many arrays it has."""
    dense = fitted.dense
    if dense is None or not is_linear(fitted.learner):
        raise DataError("an encoder beside a learner that is not linear")
    shapes = {"weights": (info.width, len(fitted.topics)), "biases": (len(fitted.topics),)}
    for name, shape in shapes.items():
        actual = getattr(dense, name).shape
        if actual != shape:
            raise DataError(f"{name} of an encoder of shape {actual}, not {shape}")
    if dense.calibration.multilabel != fitted.multilabel:
        raise DataError("several topics by an encoder of one, or the reverse")
    if dense.cascade is not None and fitted.multilabel:
        raise DataError("a cascade that gives several topics")
    return len(dense.arrays())


def _plain_weights(
    class_weight: Literal["balanced"] | Mapping[Any, float] | None,
) -> Literal["balanced"] | dict[str, float] | None:
    if class_weight is None or isinstance(class_weight, str):
        return class_weight
    return {str(topic): float(weight) for topic, weight in class_weight.items()}


def _restore_keys(plain: dict[str, _Value], topics: Sequence[Topic]) -> dict[Topic, _Value]:
    """Return values by topic: keys are strings in JSON, whatever topics are."""
    names = {str(topic): topic for topic in topics}
    return {names[name]: value for name, value in plain.items()}


def library_versions() -> dict[str, str]:
    """Return the versions of all that may change a model besides the seed."""
    import importlib.metadata

    # From the installation's metadata: importing scikit-learn takes longer than all else here.
    names = ("slugline", "numpy", "scipy", "scikit-learn")
    versions = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version()} | versions
