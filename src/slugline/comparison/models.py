"""The models that can be compared: Slugline's, pipelines of scikit-learn, and the user's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import I64
from slugline.base.checks import option_error, short_repr
from slugline.base.words import all_of, counted, have, nearest
from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.errors import DataError, EncoderError, OptionError
from slugline.experiment.curve import baseline, one_vs_rest
from slugline.experiment.run import check_several_topics
from slugline.learning.encoder.encoder import get_encoder

#: Stands for all models that come with Slugline.
ALL = "all"

_REFERENCE = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")


class Model(NamedTuple):
    """A model by name, and what it is in a few words."""

    name: str
    about: str


class ModelChoice(NamedTuple):
    """The models to compare, and notes on those left out."""

    models: tuple[Model, ...]
    notes: tuple[str, ...]


def _majority() -> Any:
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="most_frequent")


def _naive_bayes() -> Any:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    return make_pipeline(CountVectorizer(), MultinomialNB())


def _words(seed: int, *, logistic: bool = False) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    classifier = LogisticRegression(C=10) if logistic else LinearSVC()
    return make_pipeline(TfidfVectorizer(), classifier.set_params(random_state=seed))


def _ours(**settings: Any) -> Callable[[int, int], Any]:
    return lambda seed, n_threads: TopicClassifier(random_state=seed, n_jobs=n_threads, **settings)


class _BuiltinModel(NamedTuple):
    about: str
    make: Callable[[int, int], Any]  # of a seed and a number of threads


#: The models that come with Slugline, the quickest first.
MODELS = {
    "majority": _BuiltinModel("always the most common topic", lambda *_: _majority()),
    "naive-bayes": _BuiltinModel("CountVectorizer, MultinomialNB", lambda *_: _naive_bayes()),
    "tfidf-svc": _BuiltinModel("TfidfVectorizer, LinearSVC", lambda seed, _: _words(seed)),
    "tfidf-logistic": _BuiltinModel(
        "TfidfVectorizer, LogisticRegression with C = 10",
        lambda seed, _: _words(seed, logistic=True),
    ),
    "default": _BuiltinModel("Slugline as it is", _ours()),
    "network": _BuiltinModel("Slugline with the lesson's net", _ours(learner="network")),
    "ngrams-svc": _BuiltinModel(
        "words, pairs and runs of 2 to 5 characters, sublinear TF-IDF, LinearSVC",
        lambda seed, _: baseline(seed),
    ),
    "encoder": _BuiltinModel("Slugline with a sentence encoder", _ours(encoder="use")),
    "tuned": _BuiltinModel(
        "Slugline, settings searched on the training documents", _ours(tune=True)
    ),
}


# Models that `ALL` doesn't stand for: of one topic a document, and of several. One that always
# gives the same topics would give none.
_NOT_IN_ALL = {False: "tfidf-logistic", True: "majority"}


def make_model(name: str, seed: int, n_threads: int, *, multilabel: bool = False) -> Any:
    """Return a new, unfitted model of `MODELS`; of several topics, pipelines are one-vs-rest."""
    model = MODELS[name].make(seed, n_threads)
    return one_vs_rest(model) if multilabel else model


def choose_models(names: Sequence[str] = (ALL,), *, multilabel: bool = False) -> ModelChoice:
    """Return the models of these names, each once, and notes on those left out.

    Parameters
    ----------
    names : sequence of str, default ("all",)
        Names of `MODELS`, "all" (with the encoder only if it is installed), or "module:name" for
        any classifier of texts with `fit` and `predict`.
    multilabel : bool, default False
        Whether documents have several topics.

    Raises
    ------
    OptionError : if there are none, or one is unknown.
    EncoderError : if the encoder is asked for by name and missing.
    """
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise option_error("models", names, 'names, or "module:name" of a pipeline in a file')
    wanted = dict.fromkeys(name.strip() for name in names if name.strip())
    if not wanted:
        raise OptionError(f"`models` names no model; name some of {', '.join((*MODELS, ALL))}.")
    notes = []
    chosen: dict[str, None] = {}
    for name in wanted:
        if name != ALL:
            _check_name(name)
            chosen[name] = None
            continue
        chosen |= dict.fromkeys(model for model in MODELS if model != _NOT_IN_ALL[multilabel])
        missing = _missing_encoder()
        if missing is not None and "encoder" not in wanted:
            del chosen["encoder"]
            notes.append(f"the model encoder is left out: {missing}")
    if "encoder" in chosen:
        get_encoder("use")
    is_named = multilabel and chosen.pop("majority", 0) is None
    if multilabel and (is_named or ALL in wanted):
        notes.append("the model majority is left out: it takes one topic for each text.")
    if not chosen:
        raise OptionError(
            "`models` names majority alone, which takes one topic for each text; name others."
        )
    models = [Model(name, MODELS[name].about if name in MODELS else "yours") for name in chosen]
    return ModelChoice(tuple(models), tuple(notes))


def _check_name(name: str) -> None:
    if name in MODELS or _REFERENCE.fullmatch(name):
        return
    if ":" in name:
        raise OptionError(
            f"`models` names {short_repr(name)}; for a model of yours give module:name, such as "
            "pipelines:mine for what pipelines.py calls mine."
        )
    near = nearest(name.lower(), (*MODELS, ALL))
    meant = f"did you mean {near}? Choose" if near else "choose"
    raise OptionError(
        f"`models` names {short_repr(name)}, which is none; {meant} from "
        f"{', '.join((*MODELS, ALL))}, or give module:name for one of yours."
    )


def _missing_encoder() -> str | None:
    """Return why the encoder can't be used; None if it can."""
    try:
        get_encoder("use")
    except EncoderError as error:
        return str(error)
    return None


# Checks of the documents --------------------------------------------------------------------------


def check_corpus(corpus: Corpus) -> None:
    """Check that topics can be distinguished; DataError if not."""
    check_several_topics(corpus)
    n = len(corpus)
    if len(set(corpus.texts)) == 1:
        raise DataError(
            f"{all_of(n, 'document')} of {corpus.name} {have(n)} the same text: no model can tell "
            "their topics apart. Check which column holds the texts."
        )
    if max(corpus.topic_counts().values()) < 2:
        raise DataError(
            f"{corpus.name} has no topic with two documents, one to learn from and one to test "
            "on; check which column holds the topics, or add documents."
        )


def check_folds(corpus: Corpus, folds: I64) -> None:
    """Check that each fold leaves two topics to learn; DataError if not.

    Of several topics a document, one is enough, as documents without it are its opposite.
    """
    if corpus.multilabel:
        return
    topics = np.array(corpus.topics, dtype=object)
    for fold in range(int(folds.max()) + 1):
        remaining = set(topics[folds != fold])
        if len(remaining) < 2:
            raise DataError(
                f"{corpus.name} has too few documents: while some are tested, "
                f"{short_repr(min(remaining))} is the only topic left to learn. Add documents of "
                "the other topics."
            )


def fold_notes(corpus: Corpus, n_folds: int) -> Iterator[str]:
    """Yield notes on topics with few documents."""
    counts = corpus.topic_counts()
    single = sorted(topic for topic, n in counts.items() if n == 1)
    few = sorted(topic for topic, n in counts.items() if 1 < n < n_folds)
    if single:
        verb, them = ("has", "it is") if len(single) == 1 else ("have", "they are")
        yield (
            f"{counted(len(single), 'topic')} of {len(counts)}, such as {short_repr(single[0])}, "
            f"{verb} one document: while {them} tested, no model can know the topic, and all "
            "answer wrong."
        )
    if few:
        yield (
            f"{counted(len(few), 'topic')} of {len(counts)}, such as {short_repr(few[0])}, "
            f"{have(len(few))} fewer documents than there are folds ({n_folds}): they are tested "
            "in some of the folds only."
        )
