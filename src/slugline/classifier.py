"""TopicClassifier: texts and topics in, a classifier out."""

from __future__ import annotations

import importlib.metadata
import inspect
import math
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slugline import errors, model_file
from slugline.buckets import Buckets
from slugline.card import write_card
from slugline.errors import DataError, OptionError
from slugline.features import Block, Features
from slugline.labels import Topic, Topics
from slugline.learners import BatchLearner, FitContext, Learner
from slugline.model_file import BlockInfo, ModelFile, ModelInfo
from slugline.quantization import Precision, check_precision, dequantize
from slugline.quantization import quantize as stored
from slugline.recipe import default_blocks, hashed_blocks
from slugline.shipped import model_path
from slugline.term_columns import TermColumns
from slugline.text import as_texts
from slugline.vocabulary import Vocabulary
from slugline.weights import row_weights

if TYPE_CHECKING:
    import os

    import scipy.sparse as sp

    from slugline.training.history import History
    from slugline.training.progress import Progress
    from slugline.tuning import Tuning

__all__ = [
    "LEARNERS",
    "TopicClassifier",
    "choose_learner",
    "from_model_file",
    "library_versions",
    "load",
]

Floats = npt.NDArray[np.float32]

#: Learners that can be chosen by name.
LEARNERS = ("linear", "network")


class TopicClassifier:
    """Learns to tell the topic of a text from its words.

    Follows scikit-learn's estimator contract on raw strings.

    Parameters
    ----------
    learner : {"linear", "network"} or Learner, default "linear"
        "linear" weighs each term for each topic; "network" goes the way of the newswire lesson, and
        has been behind on every data set measured. An object sets its own options:
        `NeuralLearner(hidden=(64, 64))`, `LinearLearner(C=0.5)`, or a `Mixture` of several.
    blocks : sequence of Block, optional
        Which terms count, and how much; by default what suits the learner, and for the linear one
        the length of the documents.
    class_weight : {None, "balanced"} or mapping of topic to float
        What each topic's documents count; "balanced" gives every topic the same total.
    tune : bool or float, default False
        Look for better families of terms, regularisation and mixtures with nets than the default
        by cross-validation on the training texts. A number is the budget: the most multiplications
        to spend on each term of a document; see `slugline.tuning`. Chooses learner and blocks.
    n_jobs : int, default 1
        Threads for reading texts. Results are the same for any number.
    random_state : int, default 0
        Reaches every random choice.

    Attributes
    ----------
    classes_ : array, shape (n_topics,)
        Topics in the order of the columns of `predict_proba`.
    features_ : Features
    learner_ : Learner
    history_ : History or None
        Of the search for the best epoch; None for a learner without epochs, in a loaded model, or
        after `partial_fit`.
    tuning_ : Tuning or None
        What was tried; None without `tune`, in a loaded model, or after `partial_fit`.
    n_documents_, n_batches_ : int
        How many documents it learned from; and in how many calls of `partial_fit`, 0 after `fit`.
    """

    _estimator_type = "classifier"

    topics_: Topics
    classes_: npt.NDArray[Any]
    features_: Features
    learner_: Learner
    history_: History | None
    tuning_: Tuning | None
    n_documents_: int
    n_batches_: int
    data_digest_: str
    validation_digest_: str | None
    interrupted_: bool
    #: Only in a loaded classifier: what the file says of it.
    info_: ModelInfo
    card_: str

    def __init__(
        self,
        *,
        learner: str | Learner = "linear",
        blocks: Sequence[Block] | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        tune: bool | float = False,
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        self.learner = learner
        self.blocks = blocks
        self.class_weight = class_weight
        self.tune = tune
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self,
        X: Iterable[str],
        y: Iterable[Topic],
        sample_weight: npt.ArrayLike | None = None,
        *,
        validation_data: tuple[Iterable[str], Iterable[Topic]] | None = None,
        progress: Progress | None = None,
    ) -> TopicClassifier:
        """Learn from texts and their topics.

        Parameters
        ----------
        X : iterable of str
        y : iterable of str or int, one for each text
        sample_weight : float array, shape (n_documents,), optional
        validation_data : (texts, topics), optional
            Documents to find the best epoch on, instead of a part of `X`. Nothing else is learned
            from them. Only for learners that have epochs.
        progress : Progress, optional
            Whom to tell of steps and epochs; see `slugline.training.progress`.

        Raises
        ------
        DataError : if there are no documents, no words in them, or not one topic for each.
        """
        self._check_options()
        texts, topics = _check_documents(X, y)
        self.topics_ = Topics.fit(topics)
        self.classes_ = np.array(self.topics_.names)
        self.n_documents_ = len(texts)
        self.data_digest_ = _digest(texts, topics)
        labels = self.topics_.encode(topics)
        learner = choose_learner(self.learner)
        if validation_data is not None and not learner.has_epochs:
            raise OptionError(
                "validation_data is to find the best epoch on, and this learner has no epochs; "
                "leave it out."
            )
        context = FitContext(
            n_topics=len(self.topics_),
            sample_weight=row_weights(len(labels), sample_weight, self._topic_weights(labels)),
            weighted_topics=self.class_weight is not None,
            seed=self.random_state,
            progress=progress,
        )
        blocks = self._choose_blocks(learner, texts)
        self.tuning_ = None
        if self.tune:
            self.tuning_ = self._tune(texts, labels, blocks, context)
            blocks, learner = self.tuning_.best.way.blocks, self.tuning_.best.learner()
        self.features_ = Features(blocks, self.n_jobs)
        rows = self.features_.fit_transform(texts)
        self.validation_digest_ = None
        if validation_data is not None:
            context = replace(context, validation_data=self._validation(*validation_data))
        self.history_ = history = learner.fit(rows, labels, context)
        self.interrupted_ = history is not None and history.stopped_by == "interrupt"
        self.n_batches_ = 0
        self.learner_ = learner
        return self

    def partial_fit(
        self,
        X: Iterable[str],
        y: Iterable[Topic],
        classes: Iterable[Topic] | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> TopicClassifier:
        """Learn on from one more batch of texts, such as of a stream that doesn't fit into memory.

        After `fit`, or in a loaded classifier, what was learned is where it goes on from: a
        vocabulary and its idf stay, and new words are left out. Without `fit`, terms are counted in
        hash buckets, and the first texts choose the families. Nothing of a batch is kept but what
        was learned from it. Batches of a thousand documents take least time, and each document
        should come once: probabilities are too sure of what was learned from before.

        Parameters
        ----------
        X : iterable of str
        y : iterable of str or int, one for each text
        classes : iterable of str or int, optional
            All topics that there will be, needed in the first call of a classifier without `fit`.
        sample_weight : float array, shape (n_documents,), optional

        Raises
        ------
        DataError : if there are no documents, not one topic for each, or one that is not among
            `classes`.
        OptionError : if the learner, or blocks with a vocabulary, can't learn from batches, or
            options need all documents at once.
        """
        self._check_options()
        texts, topics = _check_documents(X, y)
        first = not hasattr(self, "learner_")
        if first:
            self._start_stream(classes)
        elif classes is not None and Topics.fit(_plain(classes)).names != self.topics_.names:
            raise DataError("classes differ from those of the first call; leave them out.")
        learner = _batch_learner(choose_learner(self.learner) if first else self.learner_)
        if first:
            self.features_ = Features(self._hashed_blocks(learner, texts), self.n_jobs)
        labels = self.topics_.encode(topics)
        context = self._batch_context(labels, sample_weight, first=first)
        rows = self.features_.partial_fit_transform(texts, self.n_documents_)
        learner.partial_fit(rows, labels, context)
        digest = _digest(texts, topics)
        self.data_digest_ = digest if first else _chained(self.data_digest_, digest)
        self.n_documents_ += len(texts)
        self.n_batches_ += 1
        self.history_ = self.tuning_ = None
        self.learner_ = learner
        return self

    def predict_proba(self, X: Iterable[str]) -> Floats:
        """Probability of each topic, shape (n_documents, n_topics); every row sums to 1."""
        return self._fitted().predict_proba(self.features_.transform(X))

    def decision_function(self, X: Iterable[str]) -> Floats:
        """Scores, shape (n_documents, n_topics): the largest marks the topic.

        Of two topics, as in scikit-learn: shape (n_documents,), over 0 for the second one.
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, X: Iterable[str]) -> npt.NDArray[Any]:
        """Give the likeliest topic of each text, shape (n_documents,)."""
        best = self._scores(X).argmax(axis=1)
        return self.classes_[best]

    def score(
        self,
        X: Iterable[str],
        y: Iterable[Topic],
        sample_weight: npt.ArrayLike | None = None,
    ) -> float:
        """Share of texts whose likeliest topic is the true one."""
        hits = self.predict(X) == np.asarray(y if hasattr(y, "__len__") else list(y))
        weights = None if sample_weight is None else np.asarray(sample_weight)
        return float(np.average(hits, weights=weights))

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        metrics: Mapping[str, float] | None = None,
        test_fraction: float | None = None,
        quantize: str | None = None,
        card_notes: str = "",
    ) -> None:
        """Write one file that `slugline.load` reads back, and that can hold no code.

        Parameters
        ----------
        path : path of the file, by custom ending in `.slug`
        metrics : mapping of str to float, optional
            Figures to keep in the file, such as the test accuracy.
        test_fraction : float, optional
            If `X` was left of a corpus by `corpus.split(test_fraction, random_state)`, so that
            `slugline train --check` can part the corpus in the same way.
        quantize : {"float16", "int8"}, optional
            Store the weights in fewer bits than float32's, for a smaller file whose answers differ
            a little; see `slugline.experiment.save_quantized` for how much.
        card_notes : str, default ""
            Markdown for the card: what only you know, such as where the documents come from.

        Raises
        ------
        ModelFileError : if it can't be written; an earlier file at `path` then stays.
        OptionError : if there is no such precision.
        """
        content = self.as_model_file(
            metrics=metrics,
            test_fraction=test_fraction,
            quantize=quantize,
            card_notes=card_notes,
        )
        model_file.write(path, content)

    def as_model_file(
        self,
        *,
        metrics: Mapping[str, float] | None = None,
        test_fraction: float | None = None,
        quantize: str | None = None,
        card_notes: str = "",
    ) -> ModelFile:
        """Give what `save` would write; `from_model_file` makes the same of it as of the file."""
        learner = self._fitted()
        precision: Precision = "float32" if quantize is None else check_precision(quantize)
        vocabularies = self.features_.vocabularies_
        info = ModelInfo(
            topics=self.topics_.names,
            blocks=[
                BlockInfo(**asdict(block), n_terms=len(vocabulary.terms))
                for block, vocabulary in zip(self.features_.blocks, vocabularies, strict=True)
            ],
            learner=learner.settings(),
            # The number of threads is no part of the model: any gives the same.
            seed=self.random_state,
            class_weight=_plain_weights(self.class_weight),
            versions=library_versions(),
            data_digest=self.data_digest_,
            n_documents=self.n_documents_,
            metrics=dict(metrics or {}),
            precision=precision,
            test_fraction=test_fraction,
            validation_digest=self.validation_digest_,
            interrupted=self.interrupted_,
            n_batches=self.n_batches_,
            card_notes=card_notes,
        )
        arrays = {f"learner.{name}": array for name, array in learner.arrays().items()}
        for number, idf in enumerate(self.features_.idf_):
            if idf is not None:
                arrays[f"idf.{number}"] = idf
        terms = [term for vocabulary in vocabularies for term in vocabulary.terms]
        # As a reader will have them.
        arrays = dequantize(stored(arrays, precision), precision)
        return ModelFile(info, arrays, terms, write_card(info))

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Give the constructor's arguments; `deep` is scikit-learn's and changes nothing here."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> TopicClassifier:
        """Change some of the constructor's arguments."""
        for name, value in params.items():
            if name not in self._parameter_names():
                raise OptionError(
                    f"TopicClassifier has no parameter {name!r}; "
                    f"choose of {', '.join(self._parameter_names())}."
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        changed = {n: v for n, v in self.get_params().items() if v != defaults[n]}
        return f"TopicClassifier({', '.join(f'{n}={v!r}' for n, v in changed.items())})"

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that this is a classifier of strings."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(one_d_array=True, two_d_array=False, string=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "learner_")

    def _check_options(self) -> None:
        for name, least in (("n_jobs", 1), ("random_state", 0)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise OptionError(f"{name} is {value!r}; give a whole number of at least {least}.")
        if not isinstance(self.tune, int | float) or not 0 <= self.tune < math.inf:
            raise OptionError(f"tune is {self.tune!r}; give True, False or a budget over 0.")

    def _choose_blocks(self, learner: Learner, texts: Sequence[str]) -> tuple[Block, ...]:
        if self.blocks is not None:
            return tuple(self.blocks)
        return default_blocks(texts, learner.wants)

    def _hashed_blocks(self, learner: Learner, texts: Sequence[str]) -> tuple[Block, ...]:
        if self.blocks is None:
            return hashed_blocks(texts, learner.wants)
        odd = next((block for block in self.blocks if block.n_buckets is None), None)
        if odd is not None:
            raise OptionError(
                f"the block of {odd.kind} has a vocabulary, which can't grow from batch to batch; "
                "give it n_buckets, or call fit first."
            )
        return tuple(self.blocks)

    def _start_stream(self, classes: Iterable[Topic] | None) -> None:
        if self.tune:
            raise OptionError("tune needs all documents at once; leave it out, or call fit first.")
        names = [] if classes is None else _plain(classes)
        if not names:
            raise OptionError(
                "the first call of partial_fit needs classes: all topics that there will be."
            )
        _check_names(names)
        self.topics_ = Topics.fit(names)
        self.classes_ = np.array(self.topics_.names)
        self.n_documents_ = self.n_batches_ = 0
        self.validation_digest_ = None
        self.interrupted_ = False

    def _batch_context(
        self, labels: npt.NDArray[np.int64], sample_weight: npt.ArrayLike | None, *, first: bool
    ) -> FitContext:
        if self.class_weight == "balanced":
            raise OptionError(
                "class_weight 'balanced' needs all documents at once; give a mapping of topic to "
                "weight."
            )
        return FitContext(
            n_topics=len(self.topics_),
            sample_weight=row_weights(len(labels), sample_weight, self._topic_weights(labels)),
            weighted_topics=self.class_weight is not None,
            seed=self.random_state,
            first=first,
        )

    def _tune(
        self,
        texts: Sequence[str],
        labels: npt.NDArray[np.int64],
        blocks: tuple[Block, ...],
        context: FitContext,
    ) -> Tuning:
        from slugline.tuning import BUDGET, tune

        if self.learner != "linear" or self.blocks is not None:
            raise OptionError(
                "tune chooses learner and blocks itself; leave them at their defaults."
            )
        budget = BUDGET if self.tune is True else self.tune
        return tune(texts, labels, blocks, context, budget=budget, n_jobs=self.n_jobs)

    def _validation(
        self, X: Iterable[str], y: Iterable[Topic]
    ) -> tuple[sp.csr_array, npt.NDArray[np.int64]]:
        texts, topics = _check_documents(X, y)
        self.validation_digest_ = _digest(texts, topics)
        return self.features_.transform(texts), self.topics_.encode(topics)

    def _topic_weights(self, labels: npt.NDArray[np.int64]) -> Floats | None:
        """Give the weight of each document's topic; None if all are 1."""
        if self.class_weight is None:
            return None
        if self.class_weight == "balanced":
            counts = np.bincount(labels, minlength=len(self.topics_))
            return (len(labels) / (len(counts) * counts)).astype(np.float32)[labels]
        if not isinstance(self.class_weight, Mapping):
            raise OptionError(
                f"class_weight is {self.class_weight!r}; give None, 'balanced' or a mapping of "
                "topic to weight."
            )
        weights = np.ones(len(self.topics_), dtype=np.float32)
        weights[self.topics_.encode(self.class_weight)] = list(self.class_weight.values())
        return weights[labels]

    def _scores(self, X: Iterable[str]) -> Floats:
        return self._fitted().decision_function(self.features_.transform(X))

    def _fitted(self) -> Learner:
        if not hasattr(self, "learner_"):
            raise errors.NotFittedError(
                "this TopicClassifier is not fitted yet; call fit first, or load a saved one."
            )
        return self.learner_


def load(path: str | os.PathLike[str]) -> TopicClassifier:
    """Read a classifier that `TopicClassifier.save` wrote, whatever its source.

    The classifier predicts; its `info_` attribute is the file's `ModelInfo`, and `card_` its card.

    Parameters
    ----------
    path : path of the file, or "reuters46", the model that comes with Slugline
        A file of that name is "./reuters46".

    Raises
    ------
    ModelFileError : if there is no such file, it is damaged, of a later format, or no model.
    """
    path = model_path(path)
    file = model_file.read(path)
    try:
        return from_model_file(file)
    except (ArithmeticError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise model_file.damaged(path, error) from error


def from_model_file(file: ModelFile) -> TopicClassifier:
    """Make a classifier of what a file holds.

    Raises
    ------
    DataError, ValueError, ... : whatever comes of parts that don't fit one another.
    """
    from slugline.learners.restoring import restore

    info = file.info
    class_weight = _weights_by_topic(info.class_weight, info.topics)
    classifier = TopicClassifier(class_weight=class_weight, random_state=info.seed)
    classifier.topics_ = Topics(info.topics)
    classifier.classes_ = np.array(info.topics)
    blocks, vocabularies, first = [], [], 0
    for block in info.blocks:
        terms = file.terms[first : first + block.n_terms]
        first += block.n_terms
        options = {name: getattr(block, name) for name in Block.__slots__}
        blocks.append(Block(**options))
        vocabularies.append(_restore_columns(block, terms))
    idf = [file.arrays.get(f"idf.{number}") for number in range(len(blocks))]
    classifier.features_ = Features.restore(blocks, vocabularies, idf)
    learned = {
        name.removeprefix("learner."): array
        for name, array in file.arrays.items()
        if name.startswith("learner.")
    }
    classifier.learner_ = restore(info.learner, learned)
    # So that a clone of it learns in the same way.
    classifier.learner, classifier.blocks = classifier.learner_, tuple(blocks)
    _check_fit(classifier, file)
    classifier.history_ = classifier.tuning_ = None
    classifier.n_documents_ = info.n_documents
    classifier.data_digest_ = info.data_digest
    classifier.validation_digest_ = info.validation_digest
    classifier.interrupted_ = info.interrupted
    classifier.n_batches_ = info.n_batches
    classifier.info_, classifier.card_ = info, file.card
    return classifier


def _restore_columns(block: BlockInfo, terms: list[str]) -> TermColumns:
    if block.n_buckets is None:
        return Vocabulary(terms, block.kind)
    if terms:
        raise DataError(f"the {block.kind} have hash buckets and {len(terms)} terms")
    return Buckets(block.n_buckets, block.kind)


def _check_fit(classifier: TopicClassifier, file: ModelFile) -> None:
    """Check that features, learner and topics of a file fit one another."""
    odd = next((n for n, a in file.arrays.items() if a.dtype != np.float32), None)
    if odd is not None:
        raise DataError(f"array {odd!r} is of type {file.arrays[odd].dtype}, not float32")
    if len({type(topic) for topic in file.info.topics}) > 1:
        raise DataError("topics are words and numbers")
    features = classifier.features_
    for block, vocabulary, idf in zip(
        features.blocks, features.vocabularies_, features.idf_, strict=True
    ):
        expected = (vocabulary.n_columns,) if block.has_idf else None
        if (None if idf is None else idf.shape) != expected:
            raise DataError(f"the {block.kind} have {vocabulary.n_columns} terms and other weights")
    n_idf = sum(idf is not None for idf in features.idf_)
    if len(file.arrays) != n_idf + len(classifier.learner_.arrays()):
        raise DataError(f"arrays {sorted(file.arrays)}, of which some belong to nothing")
    # The least text shows whether every shape fits the next one.
    with np.errstate(over="raise", invalid="raise"):
        scores = classifier.learner_.decision_function(features.transform([""]))
    if scores.shape != (1, len(classifier.topics_)):
        raise DataError(f"{scores.shape[1]} scores for {len(classifier.topics_)} topics")


def _digest(texts: list[str], topics: Iterable[Topic]) -> str:
    from slugline.corpus import Corpus

    return Corpus(texts, [str(topic) for topic in topics], "").digest()


def _chained(digest: str, another: str) -> str:
    import hashlib

    return hashlib.sha256(f"{digest}{another}".encode()).hexdigest()


def _batch_learner(learner: Learner) -> BatchLearner:
    """Give the learner itself, if it can learn from batches."""
    if not isinstance(learner, BatchLearner):
        raise OptionError(
            f"a {type(learner).__name__} can't learn from batches; use one of "
            "LinearLearner, NeuralLearner."
        )
    return learner


def choose_learner(learner: str | Learner) -> Learner:
    """Give a learner by name, or an unfitted copy of the one that is passed.

    Raises
    ------
    OptionError : if there is none of that name; the message lists them.
    """
    import copy

    from slugline.learners.linear import LinearLearner
    from slugline.learners.neural import NeuralLearner

    if learner == "linear":
        return LinearLearner()
    if learner == "network":
        return NeuralLearner()
    if isinstance(learner, str):
        raise OptionError(f"unknown learner {learner!r}; choose one of {', '.join(LEARNERS)}.")
    if isinstance(learner, type) or not hasattr(learner, "fit"):
        raise OptionError(
            f"learner is {learner!r}; give one of {', '.join(LEARNERS)}, or a learner object."
        )
    return copy.deepcopy(learner)


def _check_documents(X: Iterable[str], y: Iterable[Topic]) -> tuple[list[str], list[Any]]:
    texts = as_texts(X)
    topics = _plain(y)
    if len(texts) != len(topics):
        raise DataError(
            f"there are {len(texts)} texts and {len(topics)} topics; give one topic for each text."
        )
    if not texts:
        raise DataError("there are no documents to learn from; give at least two.")
    _check_names(topics)
    return texts, topics


def _plain(topics: Iterable[Any]) -> list[Any]:
    """Make plain Python items, which JSON can hold, of those of a NumPy array."""
    return [topic.item() if isinstance(topic, np.generic) else topic for topic in topics]


def _check_names(topics: Sequence[Any]) -> None:
    odd = [t for t in topics if isinstance(t, bool) or not isinstance(t, str | int)]
    if odd:
        raise DataError(
            f"topic {odd[0]!r} is of type {type(odd[0]).__name__}; topics are strings or integers."
        )
    blank = [topic for topic in set(topics) if not _is_name(topic)]
    if blank:
        raise DataError(
            f"topic {blank[0]!r} is blank, or holds a NUL or half a character; rename it."
        )


def _is_name(topic: Topic) -> bool:
    """Whether a topic can be shown, held by NumPy, and written as UTF-8."""
    text = str(topic)
    return bool(text.strip()) and "\0" not in text and not re.search("[\ud800-\udfff]", text)


def _plain_weights(
    class_weight: str | Mapping[Any, float] | None,
) -> str | dict[str, float] | None:
    if class_weight is None or isinstance(class_weight, str):
        return class_weight
    return {str(topic): float(weight) for topic, weight in class_weight.items()}


def _weights_by_topic(
    plain: str | dict[str, float] | None, topics: Sequence[Topic]
) -> str | dict[Topic, float] | None:
    """Undo `_plain_weights`: keys are strings in JSON, whatever topics are."""
    if plain is None or isinstance(plain, str):
        return plain
    names = {str(topic): topic for topic in topics}
    return {names[name]: weight for name, weight in plain.items()}


def library_versions() -> dict[str, str]:
    """Give the versions of what, beside the seed, may change a model."""
    # Asked of the installation, as importing scikit-learn takes longer than anything else here.
    names = ("slugline", "numpy", "scipy", "scikit-learn")
    versions = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version()} | versions
