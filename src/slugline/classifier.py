"""TopicClassifier: texts and topics in, a classifier out."""

from __future__ import annotations

import inspect
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slugline import errors, model_file
from slugline.errors import DataError, ModelFileError, OptionError
from slugline.features import Features
from slugline.labels import Topic, Topics
from slugline.learners.network import Dense, Network
from slugline.model_file import FeatureInfo, LayerInfo, ModelFile, ModelInfo
from slugline.splits import hold_out
from slugline.vocabulary import Vocabulary

if TYPE_CHECKING:
    import os

    from slugline.training.history import History
    from slugline.training.optimizers import Optimizer
    from slugline.training.progress import Progress

__all__ = ["TopicClassifier", "load"]


class TopicClassifier:
    """Learns to tell the topic of a text from its words.

    Follows scikit-learn's estimator contract on raw strings. Fitting goes the way of the newswire
    lesson: part of the documents is held out to find the epoch from which on the net overfits; then
    a fresh net learns from all documents for that many epochs.

    Parameters
    ----------
    hidden : sequence of int, optional
        Widths of the hidden layers; by default one of 64, or as wide as there are topics if that is
        more. A layer narrower than that loses information that no later one can bring back.
    weighting : {"multi-hot", "counts", "tf-idf"}, default "multi-hot"
        What a word in a document counts; see `slugline.features`.
    num_words : int or None, default 10_000
        Keep the most frequent words, at most so many; None keeps all.
    epochs : int, default 40
        The most epochs to try.
    batch_size : int, default 128
        Documents per step.
    patience : int, default 3
        Stop looking for the best epoch after so many without a lower validation loss.
    validation_fraction : float, default 0.1
        Share of the documents held out to find the best epoch.
    dropout, l2 : float, default 0.0
        Of the hidden layers; see `Dense`.
    optimizer : {"rmsprop", "adam", "sgd"}, default "rmsprop"
    learning_rate : float, optional
        The optimizer's own default if not given.
    class_weight : {None, "balanced"} or mapping of topic to float
        What each topic's documents count; "balanced" gives every topic the same total.
    n_jobs : int, default 1
        Threads for reading texts. Results are the same for any number.
    random_state : int, default 0
        Reaches every random choice.

    Attributes
    ----------
    classes_ : array, shape (n_topics,)
        Topics in the order of the columns of `predict_proba`.
    features_ : Features
    network_ : Network
    history_ : History
        Of the search for the best epoch; None in a loaded model.
    n_epochs_ : int
        For how many epochs the net was trained.
    """

    _estimator_type = "classifier"

    topics_: Topics
    classes_: npt.NDArray[Any]
    features_: Features
    network_: Network
    history_: History | None
    n_epochs_: int
    n_documents_: int
    data_digest_: str
    #: Only in a loaded classifier: what the file says of it.
    info_: ModelInfo
    card_: str

    def __init__(
        self,
        *,
        hidden: Sequence[int] | None = None,
        weighting: str = "multi-hot",
        num_words: int | None = 10_000,
        epochs: int = 40,
        batch_size: int = 128,
        patience: int = 3,
        validation_fraction: float = 0.1,
        dropout: float = 0.0,
        l2: float = 0.0,
        optimizer: str = "rmsprop",
        learning_rate: float | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        self.hidden = hidden
        self.weighting = weighting
        self.num_words = num_words
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.dropout = dropout
        self.l2 = l2
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.class_weight = class_weight
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
            from them.
        progress : Progress, optional
            Whom to tell of steps and epochs; see `slugline.training.progress`.

        Raises
        ------
        DataError : if there are no documents, no words in them, or not one topic for each.
        """
        from slugline.corpus import Corpus

        texts, topics = _check_documents(X, y)
        self.topics_ = Topics.fit(topics)
        self.classes_ = np.array(self.topics_.names)
        self.n_documents_ = len(texts)
        self.data_digest_ = Corpus(texts, [str(t) for t in topics], "training data").digest()
        labels = self.topics_.encode(topics)
        weight = self._weights(labels, sample_weight)
        if validation_data is None:
            self._fit_held_out(texts, labels, weight, progress)
        else:
            self._fit_validated(texts, labels, weight, validation_data, progress)
        return self

    def predict_proba(self, X: Iterable[str]) -> npt.NDArray[np.float32]:
        """Probability of each topic, shape (n_documents, n_topics); every row sums to 1."""
        return self._fitted().predict(self.features_.transform(_check_texts(X)))

    def decision_function(self, X: Iterable[str]) -> npt.NDArray[np.float32]:
        """Scores before softmax, shape (n_documents, n_topics)."""
        return self._fitted().decision_function(self.features_.transform(_check_texts(X)))

    def predict(self, X: Iterable[str]) -> npt.NDArray[Any]:
        """Give the likeliest topic of each text, shape (n_documents,)."""
        return self.classes_[self.decision_function(X).argmax(axis=1)]

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
        self, path: str | os.PathLike[str], *, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Write one file that `slugline.load` reads back, and that can hold no code.

        Parameters
        ----------
        path : path of the file, by custom ending in `.slug`
        metrics : mapping of str to float, optional
            Figures to keep in the file, such as the test accuracy.

        Raises
        ------
        ModelFileError : if it can't be written; an earlier file at `path` then stays.
        """
        network = self._fitted()
        info = ModelInfo(
            topics=self.topics_.names,
            features=FeatureInfo(self.weighting, len(self._vocabulary())),
            layers=[LayerInfo(layer.units, layer.activation) for layer in network.layers],
            # The number of threads is no part of the model: any gives the same.
            parameters={n: v for n, v in self.get_params().items() if n != "n_jobs"},
            versions=_versions(),
            data_digest=self.data_digest_,
            n_documents=self.n_documents_,
            n_epochs=self.n_epochs_,
            metrics=dict(metrics or {}),
        )
        arrays = {f"network.{number}": array for number, array in enumerate(network.weights)}
        if self.features_.idf_ is not None:
            arrays["features.idf"] = self.features_.idf_
        words = self._vocabulary().words
        model_file.write(path, ModelFile(info, arrays, words, _card(info)))

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Give the constructor's arguments; `deep` is scikit-learn's and changes nothing here."""
        return {name: getattr(self, name) for name in _parameter_names()}

    def set_params(self, **params: Any) -> TopicClassifier:
        """Change some of the constructor's arguments."""
        for name, value in params.items():
            if name not in _parameter_names():
                raise OptionError(
                    f"TopicClassifier has no parameter {name!r}; "
                    f"choose of {', '.join(_parameter_names())}."
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
        return hasattr(self, "network_")

    def _fit_held_out(
        self,
        texts: list[str],
        labels: npt.NDArray[np.int64],
        weight: npt.NDArray[np.float32] | None,
        progress: Progress | None,
    ) -> None:
        """Find the best epoch on a part held out, then train anew on all for as many epochs."""
        held = hold_out(labels.tolist(), self.validation_fraction, self.random_state)
        self.features_ = self._features().fit(texts)
        X = self.features_.transform(texts)
        self.history_ = self._search(
            X[~held],
            labels[~held],
            None if weight is None else weight[~held],
            (X[held], labels[held]),
            progress,
        )
        self.n_epochs_ = self.history_.best_epoch
        self.network_ = self.network_.fresh()
        self.network_.fit(
            X,
            labels,
            epochs=self.n_epochs_,
            batch_size=self.batch_size,
            sample_weight=weight,
            progress=progress,
        )

    def _fit_validated(
        self,
        texts: list[str],
        labels: npt.NDArray[np.int64],
        weight: npt.NDArray[np.float32] | None,
        validation_data: tuple[Iterable[str], Iterable[Topic]],
        progress: Progress | None,
    ) -> None:
        """Train on all texts, and keep the weights that do best on the validation documents."""
        validation_texts, validation_topics = _check_documents(*validation_data)
        self.features_ = self._features().fit(texts)
        validation = (
            self.features_.transform(validation_texts),
            self.topics_.encode(validation_topics),
        )
        X = self.features_.transform(texts)
        self.history_ = self._search(X, labels, weight, validation, progress)
        self.n_epochs_ = self.history_.best_epoch

    def _search(
        self,
        X: Any,
        labels: npt.NDArray[np.int64],
        weight: npt.NDArray[np.float32] | None,
        validation: tuple[Any, npt.NDArray[np.int64]],
        progress: Progress | None,
    ) -> History:
        from slugline.training.stopping import EarlyStopping

        self.network_ = self._network()
        return self.network_.fit(
            X,
            labels,
            epochs=self.epochs,
            batch_size=self.batch_size,
            validation_data=validation,
            sample_weight=weight,
            early_stopping=EarlyStopping(patience=self.patience),
            progress=progress,
        )

    def _features(self) -> Features:
        return Features(self.weighting, self.num_words, self.n_jobs)

    def _network(self) -> Network:
        widths = (max(64, len(self.topics_)),) if self.hidden is None else self.hidden
        hidden = [Dense(units, "relu", self.l2, self.dropout) for units in widths]
        output = Dense(len(self.topics_), "softmax")
        return Network([*hidden, output], optimizer=self._optimizer(), seed=self.random_state)

    def _optimizer(self) -> Optimizer:
        from slugline.training.optimizers import get_optimizer

        optimizer = get_optimizer(self.optimizer)
        if self.learning_rate is not None:
            optimizer.learning_rate = self.learning_rate
        return optimizer

    def _weights(
        self, labels: npt.NDArray[np.int64], sample_weight: npt.ArrayLike | None
    ) -> npt.NDArray[np.float32] | None:
        """Multiply sample and class weights into one per document; None if all are 1."""
        if sample_weight is None and self.class_weight is None:
            return None
        weight = np.ones(len(labels), dtype=np.float32)
        if sample_weight is not None:
            given = np.asarray(sample_weight, dtype=np.float32)
            if given.shape != weight.shape:
                raise DataError(
                    f"sample_weight has shape {given.shape}; give one weight for each of the "
                    f"{len(labels)} documents."
                )
            weight *= given
        if self.class_weight is not None:
            weight *= self._topic_weights(labels)[labels]
        return weight

    def _topic_weights(self, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        if self.class_weight == "balanced":
            counts = np.bincount(labels, minlength=len(self.topics_))
            return (len(labels) / (len(counts) * counts)).astype(np.float32)
        if not isinstance(self.class_weight, Mapping):
            raise OptionError(
                f"class_weight is {self.class_weight!r}; give None, 'balanced' or a mapping of "
                "topic to weight."
            )
        weights = np.ones(len(self.topics_), dtype=np.float32)
        weights[self.topics_.encode(self.class_weight)] = list(self.class_weight.values())
        return weights

    def _fitted(self) -> Network:
        if not hasattr(self, "network_"):
            raise errors.NotFittedError(
                "this TopicClassifier is not fitted yet; call fit first, or load a saved one."
            )
        return self.network_

    def _vocabulary(self) -> Vocabulary:
        vocabulary = self.features_.vocabulary_
        assert vocabulary is not None  # noqa: S101 (a fitted classifier has one)
        return vocabulary


def load(path: str | os.PathLike[str]) -> TopicClassifier:
    """Read a classifier that `TopicClassifier.save` wrote, whatever its source.

    The classifier predicts; its `info_` attribute is the file's `ModelInfo`, and `card_` its card.

    Raises
    ------
    ModelFileError : if there is no such file, it is damaged, of a later format, or no model.
    """
    file = model_file.read(path)
    try:
        return _restore(file)
    except (DataError, OptionError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: damaged ({error}); get a whole copy of it.") from error


def _restore(file: ModelFile) -> TopicClassifier:
    info = file.info
    classifier = TopicClassifier().set_params(**info.parameters)
    classifier.topics_ = Topics(info.topics)
    classifier.classes_ = np.array(info.topics)
    n_words = len(file.words)
    network = Network([Dense(layer.units, layer.activation) for layer in info.layers])
    shapes: list[tuple[int, ...]] = []
    n_inputs = n_words
    for layer in network.layers:
        shapes += [(n_inputs, layer.units), (layer.units,)]
        n_inputs = layer.units
    names = [f"network.{number}" for number in range(len(shapes))]
    expected = dict(zip(names, shapes, strict=True))
    if info.features.weighting == "tf-idf":
        expected["features.idf"] = (n_words,)
    _check_arrays(file.arrays, expected)
    if network.n_topics != len(info.topics):
        raise DataError(
            f"the last layer has {network.n_topics} units for {len(info.topics)} topics"
        )
    network.weights = [file.arrays[name] for name in names]
    classifier.network_ = network
    classifier.features_ = Features.restore(
        info.features.weighting, Vocabulary(file.words), file.arrays.get("features.idf")
    )
    classifier.history_ = None
    classifier.n_epochs_ = info.n_epochs
    classifier.n_documents_ = info.n_documents
    classifier.data_digest_ = info.data_digest
    classifier.info_, classifier.card_ = info, file.card
    return classifier


def _check_arrays(
    arrays: Mapping[str, npt.NDArray[Any]], expected: Mapping[str, tuple[int, ...]]
) -> None:
    found = {name: array.shape for name, array in arrays.items()}
    if found != dict(expected):
        raise DataError(f"arrays of shape {found} where the model wants {dict(expected)}")
    odd = [name for name, array in arrays.items() if array.dtype != np.float32]
    if odd:
        raise DataError(f"array {odd[0]!r} is of type {arrays[odd[0]].dtype}, not float32")


def _check_texts(X: Iterable[str]) -> Iterable[str]:
    if isinstance(X, str | bytes):
        raise DataError(
            "X is a single string, not a sequence of texts; put brackets around it: [text]."
        )
    return X


def _check_documents(X: Iterable[str], y: Iterable[Topic]) -> tuple[list[str], list[Any]]:
    texts = list(_check_texts(X))
    # Items of a NumPy array become plain Python ones, which JSON can hold.
    topics = [topic.item() if isinstance(topic, np.generic) else topic for topic in y]
    if len(texts) != len(topics):
        raise DataError(
            f"there are {len(texts)} texts and {len(topics)} topics; give one topic for each text."
        )
    if not texts:
        raise DataError("there are no documents to learn from; give at least two.")
    odd = next((topic for topic in topics if not isinstance(topic, str | int)), None)
    if odd is not None:
        raise DataError(
            f"topic {odd!r} is of type {type(odd).__name__}; topics are strings or integers."
        )
    return texts, topics


def _parameter_names() -> list[str]:
    return list(inspect.signature(TopicClassifier).parameters)


def _versions() -> dict[str, str]:
    import scipy

    from slugline import __version__

    return {
        "slugline": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def _card(info: ModelInfo) -> str:
    """Write the model card, in Markdown."""
    layers = " - ".join(str(layer.units) for layer in info.layers)
    topics = ", ".join(str(topic) for topic in info.topics)
    figures = [f"- {name.replace('_', ' ')}: {value:.4g}" for name, value in info.metrics.items()]
    return "\n".join(
        [
            "# Topic classifier",
            "",
            f"Made by Slugline {info.versions['slugline']} from {info.n_documents:,} documents "
            f"(sha256 of the data: {info.data_digest}).",
            "",
            f"It gives each text one of {len(info.topics)} topics: {topics}.",
            "",
            f"A net of layers {layers} on {info.features.n_words:,} words "
            f"({info.features.weighting}), trained for {info.n_epochs} epochs.",
            "",
            "## Figures",
            "",
            *(figures or ["None were measured when it was saved."]),
            "",
            "## Limits",
            "",
            "It knows the words and topics of its training data only, and always names one of "
            "them, however foreign the text.",
            "",
        ]
    )
