"""Models to compare: Slugline's, scikit-learn pipelines, and user-defined models."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from slugline.base.arrays import I64
from slugline.base.checks import option_error, short_repr
from slugline.base.wording import all_of, counted, have, nearest
from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.errors import DataError, EncoderError, OptionError, Parameter
from slugline.experiment.curve import make_multilabel
from slugline.experiment.evaluate import check_several_topics
from slugline.learning.encoder.encoder import get_encoder
from slugline.learning.encoder.registry import RECOMMENDED

#: Model names, text classifiers, or a mapping of names to either.
Models: TypeAlias = str | Sequence[Any] | Mapping[str, Any]
#: Stands for all built-in models.
ALL = "all"

# "module:name", such as "pipelines:mine".
_IMPORT_PATH = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")


class Model(NamedTuple):
    """A model: its name, a short description, and the given estimator, if any."""

    name: str
    about: str
    estimator: Any = None


class ModelChoice(NamedTuple):
    """The models to compare, notes on omitted models, and the name of the baseline, if any."""

    models: tuple[Model, ...]
    notes: tuple[str, ...]
    baseline: str | None = None


# Excluded for multi-label data, where it would never predict a topic.
_MAJORITY = "majority"


def _make_pipeline(name: str, seed: int) -> Any:
    """Return a scikit-learn model."""
    from sklearn.dummy import DummyClassifier
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    if name == _MAJORITY:
        return DummyClassifier(strategy="most_frequent")
    if name == "naive-bayes":
        return make_pipeline(CountVectorizer(), MultinomialNB())
    if name == "tfidf-logistic":
        return make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, random_state=seed))
    vectorizer = TfidfVectorizer()
    if name == "ngrams-svc":
        vectorizer = make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        )
    return make_pipeline(vectorizer, LinearSVC(random_state=seed))


class _BuiltinModel(NamedTuple):
    about: str
    # Parameters of Slugline's classifier; None for a scikit-learn model.
    settings: Mapping[str, Any] | None = None


#: Built-in models, fastest first.
MODELS = {
    "majority": _BuiltinModel("always the most common topic"),
    "naive-bayes": _BuiltinModel("CountVectorizer, MultinomialNB"),
    "tfidf-svc": _BuiltinModel("TfidfVectorizer, LinearSVC"),
    "tfidf-logistic": _BuiltinModel("TfidfVectorizer, LogisticRegression with C = 10"),
    "default": _BuiltinModel("Slugline with default settings", {}),
    "network": _BuiltinModel("Slugline with the lesson's net", {"learner": "network"}),
    "ngrams-svc": _BuiltinModel(
        "words, pairs and n-grams of 2 to 5 characters, sublinear TF-IDF, LinearSVC"
    ),
    "words": _BuiltinModel("Slugline with words alone", {"encoder": None}),
    "encoder": _BuiltinModel("Slugline with a sentence encoder", {"encoder": RECOMMENDED}),
    "tuned": _BuiltinModel("Slugline, settings tuned on the training documents", {"tune": True}),
}


# Models selected by `ALL`, for single-label and multi-label data.
_ALL_SINGLE_LABEL = [name for name in MODELS if name != "tfidf-logistic"]
_ALL_MULTILABEL = [name for name in MODELS if name != _MAJORITY]


def make_model(name: str, seed: int, n_threads: int, *, multilabel: bool = False) -> Any:
    """Return an unfitted model of `MODELS`; for multi-label data, pipelines are one-vs-rest."""
    settings = MODELS[name].settings
    if settings is None:
        model = _make_pipeline(name, seed)
    else:
        model = TopicClassifier(random_state=seed, n_jobs=n_threads, **settings)
    return make_multilabel(model) if multilabel else model


def choose_models(
    models: Models = (ALL,), *, baseline: Any = None, multilabel: bool = False
) -> ModelChoice:
    """Resolve names and estimators to the distinct models to compare.

    Parameters
    ----------
    models : sequence of str or estimator, or mapping of str to estimator, default ("all",)
        Names of `MODELS`, "all" (which omits an encoder that is not installed), "module:name" for
        any text classifier with `fit` and `predict`, or such a classifier, named after its class or
        the class of a pipeline's last step. Keys of a mapping are names.
    baseline : str or estimator, optional
        The model to compare the others with: one of them, or an additional one.
    multilabel : bool, default False
        Exclude models that support only single-label data.

    Raises
    ------
    OptionError : if there are no models, or one is unknown.
    EncoderError : if the encoder is requested by name but not installed.
    """
    estimators = _by_name(models)
    if not estimators:
        raise OptionError(
            Parameter("models"), f" is empty; choose one or more of {', '.join((*MODELS, ALL))}."
        )
    baseline_name = None
    if baseline is not None:
        baseline_name, estimator = _find_baseline(estimators, baseline, multilabel)
        estimators.setdefault(baseline_name, estimator)
    for name, estimator in estimators.items():
        if estimator is None and name != ALL:
            _check_name(name)
    names, notes = _expand_all(estimators, multilabel)
    if "encoder" in names:
        get_encoder(RECOMMENDED)
    if multilabel and (_MAJORITY in names or ALL in estimators):
        names = [name for name in names if name != _MAJORITY]
        notes.append("the model majority is left out: it assigns one topic to each text.")
    if not names:
        raise OptionError(
            Parameter("models"),
            " contains only majority, which assigns one topic to each text; choose other models.",
        )
    chosen = [
        Model(name, _about(name, estimators.get(name)), estimators.get(name)) for name in names
    ]
    return ModelChoice(tuple(chosen), tuple(notes), baseline_name)


def _expand_all(estimators: Mapping[str, Any], multilabel: bool) -> tuple[list[str], list[str]]:
    """Return distinct names, with `ALL` expanded, and notes."""
    notes = []
    all_names = _ALL_MULTILABEL if multilabel else _ALL_SINGLE_LABEL
    if ALL in estimators and "encoder" not in estimators and (missing := _missing_encoder()):
        all_names = [name for name in all_names if name != "encoder"]
        notes.append(f"the model encoder is left out: {missing}")
    names = [each for name in estimators for each in (all_names if name == ALL else [name])]
    return list(dict.fromkeys(names)), notes


def _by_name(models: Any) -> dict[str, Any]:
    """Return the estimators by name; None for models given by name only."""
    if isinstance(models, str) or _is_estimator(models):
        models = [models]
    if isinstance(models, Mapping):
        for name, model in models.items():
            if not isinstance(name, str) or not name.strip() or not _is_estimator(model):
                raise option_error("models", models, "a text classifier for each name")
            if name in (*MODELS, ALL):
                raise OptionError(
                    Parameter("models"),
                    f" calls an estimator {name!r}, the name of a built-in model; choose "
                    "another name.",
                )
        return dict(models)
    is_list = isinstance(models, Sequence)
    if not is_list or not all(isinstance(one, str) or _is_estimator(one) for one in models):
        raise option_error(
            "models", models, 'names, "module:name" of a pipeline in a file, or text classifiers'
        )
    found: dict[str, Any] = {}
    for model in models:
        if not isinstance(model, str):
            found[_free_name(estimator_name(model), found)] = model
        elif model.strip():
            found.setdefault(model.strip(), None)
    return found


def _find_baseline(
    estimators: Mapping[str, Any], baseline: Any, multilabel: bool
) -> tuple[str, Any]:
    """Return the name of the baseline and its estimator, if any."""
    if isinstance(baseline, str):
        if multilabel and baseline == _MAJORITY:
            raise OptionError(
                Parameter("baseline"), " is majority, which assigns one topic to each text."
            )
        if baseline not in estimators and not (ALL in estimators and baseline in MODELS):
            _check_name(baseline, "baseline", [name for name in estimators if name not in MODELS])
        return baseline, None
    if not _is_estimator(baseline):
        raise option_error("baseline", baseline, "the name of a model, or a text classifier")
    for name, model in estimators.items():
        if model is baseline:
            return name, baseline
    return _free_name(estimator_name(baseline), estimators), baseline


def _is_estimator(model: Any) -> bool:
    methods = (getattr(model, name, None) for name in ("fit", "predict"))
    return not isinstance(model, type | str) and all(map(callable, methods))


def estimator_name(model: Any) -> str:
    """Return the name of an estimator's class, or of the class of a pipeline's last step.

    >>> from slugline import TopicClassifier
    >>> estimator_name(TopicClassifier())
    'topicclassifier'
    """
    return _step_names(model)[-1].lower()


def _step_names(model: Any) -> list[str]:
    steps = [step for _, step in getattr(model, "steps", [])] or [model]
    return [type(step).__name__ for step in steps]


def _about(name: str, estimator: Any) -> str:
    if estimator is not None:
        return ", ".join(_step_names(estimator))
    return MODELS[name].about if name in MODELS else "yours"


def _free_name(name: str, taken: Collection[str]) -> str:
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(one for one in names if one not in taken)


def _check_name(name: str, parameter: str = "models", others: Sequence[str] = ()) -> None:
    if name in MODELS or _IMPORT_PATH.fullmatch(name):
        return
    if ":" in name:
        raise OptionError(
            Parameter(parameter),
            f" contains {short_repr(name)}; for your own model, pass module:name, such "
            "as pipelines:mine for `mine` in pipelines.py.",
        )
    known = [*others, *MODELS, *([ALL] if parameter == "models" else [])]
    near = nearest(name.lower(), known)
    meant = f"did you mean {near}? Choose" if near else "choose"
    raise OptionError(
        Parameter(parameter),
        f" contains the unknown model {short_repr(name)}; {meant} from "
        f"{', '.join(known)}, or pass module:name for your own model.",
    )


def _missing_encoder() -> str | None:
    """Return the reason why the encoder can't be used, or None."""
    try:
        get_encoder(RECOMMENDED)
    except EncoderError as error:
        return str(error)
    return None


# Checks of the documents --------------------------------------------------------------------------


def check_corpus(corpus: Corpus) -> None:
    """Raise DataError unless there are topics to tell apart."""
    check_several_topics(corpus)
    n = len(corpus)
    if len(set(corpus.texts)) == 1:
        raise DataError(
            f"{all_of(n, 'document')} of {corpus.name} {have(n)} the same text: no model can tell "
            "their topics apart. Check which column contains the texts."
        )
    if max(corpus.topic_counts().values()) < 2:
        raise DataError(
            f"{corpus.name} has no topic with two documents, one for training and one for "
            "testing; check which column contains the topics, or add documents."
        )


def check_folds(corpus: Corpus, folds: I64) -> None:
    """Raise DataError unless each fold leaves two topics to train on.

    For multi-label data, one topic is enough; documents without it are the other class.
    """
    if corpus.multilabel:
        return
    topics = np.array(corpus.topics, dtype=object)
    for fold in range(int(folds.max()) + 1):
        remaining = set(topics[folds != fold])
        if len(remaining) < 2:
            raise DataError(
                f"{corpus.name} has too few documents: for one of the folds, "
                f"{short_repr(min(remaining))} is the only topic left to train on. Add documents "
                "of the other topics."
            )


def fold_notes(corpus: Corpus, n_folds: int) -> Iterator[str]:
    """Yield notes on topics with few documents."""
    counts = corpus.topic_counts()
    single = sorted(topic for topic, n in counts.items() if n == 1)
    few = sorted(topic for topic, n in counts.items() if 1 < n < n_folds)
    if single:
        they_are = "it is" if len(single) == 1 else "they are"
        yield (
            f"{counted(len(single), 'topic')} of {len(counts)}, such as {short_repr(single[0])}, "
            f"{have(len(single))} one document: when {they_are} tested, no model has seen the "
            "topic, so every answer is wrong."
        )
    if few:
        yield (
            f"{counted(len(few), 'topic')} of {len(counts)}, such as {short_repr(few[0])}, "
            f"{have(len(few))} fewer documents than folds ({n_folds}) and "
            f"{'is' if len(few) == 1 else 'are'} tested only in some folds."
        )
