"""TopicClassifier, the scikit-learn estimator of topics; and `load`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from slugline import errors
from slugline.base.arrays import F32, F64
from slugline.base.checks import option_error
from slugline.base.estimator import TextEstimator
from slugline.base.files import PathLike
from slugline.base.wording import format_html_table
from slugline.corpus.columns import read_table
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import (
    Topic,
    Topics,
    check_descriptions,
    check_texts,
    to_plain_topics,
)
from slugline.corpus.frames import Frame
from slugline.corpus.layout import Layout
from slugline.corpus.sample_weights import row_weights
from slugline.corpus.topic_sets import (
    are_topic_sets,
    check_documents,
    check_form,
    indicator_topics,
    is_indicator,
    sets_with_parents,
)
from slugline.errors import DataError, OptionError, Parameter
from slugline.learning.encoder.encoder import CheckedEncoder, get_fit_encoder
from slugline.learning.encoder.registry import (
    AUTO,
    BUILT_IN,
    DEFAULT_ENCODER,
    Encoder,
    combinations,
)
from slugline.learning.learner import LEARNERS, Learner, LearnerName, choose_learner, is_linear
from slugline.model.decider import Decider
from slugline.model.decision import Decision
from slugline.model.dense import encoder_warnings
from slugline.model.file import container
from slugline.model.file.content import load_model, to_model_file
from slugline.model.file.schema import ModelInfo
from slugline.model.fit import fit
from slugline.model.fit_batch import fit_batch
from slugline.model.fitted import Fitted
from slugline.model.multilabel_rule import (
    Average,
    check_own_thresholds,
    check_thresholds,
    with_own_thresholds,
)
from slugline.model.settings import FitSettings, draw_seed
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features
from slugline.text.table_columns import check_column_names, describe_odd_cells, odd_cells_note

if TYPE_CHECKING:
    from distributed import Client

    from slugline.base.progress import Progress
    from slugline.explanation.explain import Documents
    from slugline.explanation.explanation import Explanation
    from slugline.learning.net.training import History
    from slugline.learning.tuning import Tuning
    from slugline.model.parts.fit import StreamOptions


#: Texts, or rows or columns of a table; see `TopicClassifier`.
Texts: TypeAlias = Iterable[str] | Iterable[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | Frame


class TopicClassifier(TextEstimator):
    """Classifies the topic of a text by its words.

    Follows scikit-learn's estimator contract on raw strings.

    Parameters
    ----------
    learner : {"linear", "network"} or Learner, default "linear"
        "linear" weighs each term for each topic; "network" is that of the newswire lesson, and was
        less accurate on every data set measured. Both learn several topics for a text. A learner
        object has options of its own: `NeuralLearner(hidden=(64, 64))`, `LinearLearner(passes=3)`,
        or a `Mixture` of several learners.
    encoder : str, an object with `encode`, or None, default "vectors"
        What knows words that no document has, and whose scores are added to those of the linear
        learner, with as much weight as helps on held-out documents. "vectors" are those of words
        that come with Slugline. They are left out, without a warning, where no encoder can be used
        (with other learners, in `fit_stream` and `partial_fit` of texts with several topics, and in
        fits of more than 200,000 documents), where they don't help, and, with more than 20,000
        documents, unless they help on a sample. Other names of
        `slugline.learning.encoder.registry` are those of sentence encoders ("use", "e5"), several
        with commas between them in any order, or "auto": the combination of these, or none, that
        does best on held-out documents; see `fitted_.encoder_choice`. An object's
        `encode(list of str)` returns an array, shape (n_texts, n_columns). None is for words alone.
        See `docs/reference/encoders.md`.
    descriptions : mapping of topic to str, optional
        What topics are about, in a sentence or two, for the encoder to read. Documents add to them
        with as much weight as helps on held-out ones, and a topic need not have any. `fit([], [])`
        learns from descriptions alone: scores are then cosines, and probabilities are not
        calibrated.
    feature_groups : sequence of FeatureGroup, optional
        The groups of terms; the default depends on the learner.
    class_weight : {None, "balanced"} or mapping of topic to float
        Weight of each topic's documents; "balanced" gives every topic the same total.
    tune : bool or float, default False
        Search for better feature groups, weights of words and passes of the linear learner, by
        cross-validation on the training texts. A number is the budget: the most multiplications for
        each term of a document; see `slugline.learning.tuning`. `tune` chooses learner and
        feature_groups.
    n_jobs : int, optional
        Threads, by default one for each core. Results are the same for any number.
    random_state : int, numpy.random.Generator, RandomState or None, default 0
        Seed for every random choice, or the generator from which a fit draws it; None draws a fresh
        one. The seed is `fitted_.seed`, with which the same model can be made again.
    min_precision : float, over 0 and under 1, optional
        How often the predictions that `decide` gives must be right, unless its own argument says
        otherwise. Held-out predictions, from which thresholds are chosen, are then made with more
        care: a fit takes up to three times as long, and `decide` gives more predictions.
    optimize : {"micro", "macro", "samples"}, default "micro"
        If texts have several topics, the average F1 that thresholds maximize: over all decisions,
        over topics, or over texts.
    text : str or sequence of str, optional
        The column of the text, or several, if `X` is a table: a data frame of pandas or polars, a
        list of mappings, or a mapping of names to columns. By default, it is guessed from the
        names.
    columns : sequence of str, optional
        Columns beside the text to learn from, such as `["product"]`; `X` is then a table. The
        training data show which columns hold words, numbers or dates; see
        `docs/howto/beside-the-text.md`. For predictions, a table may lack some of them, with a
        warning.
    topic_path : str, optional
        The separator in topics that are paths, such as "/" in "sport/football". A text then
        counts for all parents of its topics as well, no topic is more probable than its parent, and
        answers are the deepest topics; see `docs/howto/topic-trees.md`.
    thresholds : mapping of topic to float, optional
        If texts have several topics, the lowest probability at which each of these topics is given,
        in place of the threshold that `optimize` would choose.

    Attributes
    ----------
    classes_ : array, shape (n_topics,)
        Topics in the order of the columns of `predict_proba`: words, 64-bit integers, or booleans.
    features_ : Features
    learner_ : Learner
    topics_ : Topics
    history_ : History or None
        The search for the best epoch; None for a learner without epochs, in a loaded model, or
        after `partial_fit`.
    tuning_ : Tuning or None
        None without `tune`, in a loaded model, or after `partial_fit`.
    n_documents_, n_batches_ : int
        Number of documents it learned from, and of calls of `partial_fit` (0 after `fit`).
    fitted_ : Fitted
        The fitted model as one value, which a fit replaces in one step, or not at all if it fails.

    Examples
    --------
    >>> from slugline import TopicClassifier
    >>> texts = ["wheat and corn prices rose", "quarterly net profit rose"] * 10
    >>> classifier = TopicClassifier().fit(texts, ["grain", "earn"] * 10)
    >>> classifier.predict(["corn exports"]).tolist()
    ['grain']
    >>> classifier.predict_proba(["corn exports"]).shape
    (1, 2)
    """

    fitted_: Fitted
    #: What the file says of itself, only in a loaded classifier.
    info_: ModelInfo
    card_: str

    def __init__(
        self,
        *,
        learner: LearnerName | Learner = "linear",
        encoder: str | Encoder | None = DEFAULT_ENCODER,
        descriptions: Mapping[Any, str] | None = None,
        feature_groups: Sequence[FeatureGroup] | None = None,
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
        tune: bool | float = False,
        n_jobs: int | None = None,
        random_state: int | np.random.Generator | np.random.RandomState | None = 0,
        min_precision: float | None = None,
        optimize: Average = "micro",
        text: str | Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        topic_path: str | None = None,
        thresholds: Mapping[Any, float] | None = None,
    ) -> None:
        self.learner = learner
        self.encoder = encoder
        self.descriptions = descriptions
        self.feature_groups = feature_groups
        self.class_weight = class_weight
        self.tune = tune
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.min_precision = min_precision
        self.optimize = optimize
        self.text = text
        self.columns = columns
        self.topic_path = topic_path
        self.thresholds = thresholds

    def fit(
        self,
        X: Texts,
        y: Any,
        sample_weight: npt.ArrayLike | None = None,
        *,
        validation_data: tuple[Texts, Any] | None = None,
        X_unlabelled: Texts | None = None,
        progress: Progress | None = None,
    ) -> TopicClassifier:
        """Learn from texts and their topics.

        Parameters
        ----------
        X : iterable of str, or a table if the classifier has `text` or `columns`
        y : iterable of str, int or bool, one for each text
            Whole floats become integers: 1.0 is 1. If texts have several topics, or none, a list of
            topics for each; or an indicator of 0 and 1 (array, sparse array or data frame), shape
            (n_documents, n_topics), whose columns are the topics.
        sample_weight : float array, shape (n_documents,), optional
            A document of weight 0 is left out, and its topic if it has no other document. If all
            weights are whole numbers with a sum of at most 500, a document of weight 2 counts as if
            it occurred twice. Other weights affect only the loss, not the document frequency of
            words.
        validation_data : (texts, topics), optional
            Documents to find the best epoch on, instead of a part of `X`. Nothing else is learned
            from them. Only for learners that have epochs.
        X_unlabelled : as `X`, optional
            Unlabelled texts for self-training: each counts a little for the topic predicted for it.
            This needs an encoder, and one topic for each text. Empty texts, copies, and texts that
            are in `X` are left out. At most 5,000 of them, evenly spaced, are used. If there are as
            many as in `X`, scikit-learn's `cross_val_score(params=...)` splits them into folds like
            `X`.
        progress : Progress, optional
            See `slugline.base.progress`.

        Raises
        ------
        DataError : if there are no documents (and no descriptions), no words in them, or not one
            topic for each.
        EncoderError : if the encoder is missing, or fails.
        OptionError : if one of the constructor's arguments is out of its range.

        Warns
        -----
        EncoderWarning : if the encoder is left out, as it improves nothing, unless it is "vectors";
            or if none is chosen and `X_unlabelled` needs one.
        """
        settings = self.to_settings()
        unlabelled = None
        if X_unlabelled is not None:
            unlabelled, _ = self._read_table(X_unlabelled, "X_unlabelled")
        fitted = fit(
            self._read_training(X, y),
            settings,
            validation=None if validation_data is None else self._read_validation(validation_data),
            unlabelled=unlabelled,
            sample_weight=sample_weight,
            progress=progress,
        )
        has_unlabelled = unlabelled is not None
        for message in encoder_warnings(fitted, settings, has_unlabelled=has_unlabelled):
            warnings.warn(message, errors.EncoderWarning, stacklevel=2)
        return self.replace_fitted(fitted)

    def partial_fit(
        self,
        X: Texts,
        y: Any,
        classes: Iterable[Topic] | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> TopicClassifier:
        """Learn from one more batch of texts, such as part of a stream.

        After `fit`, or in a loaded classifier, it continues from there. It learns new terms, except
        in feature groups that have a vocabulary, which stays, as its idf does. Batches of a
        thousand documents are fastest. Pass each document only once: probabilities are too high for
        documents that were learned from before. With the encoder "vectors", their weight depends on
        how much they help with documents that come next, which batches of a few documents show
        badly: if there are fewer than some hundred in all, `fit` to all of them at once answers
        better.

        Parameters
        ----------
        X : iterable of str
        y : iterable of str or int, one for each text, or several as in `fit`
        classes : iterable of str or int, optional
            All topics of all batches, needed in the first call of a classifier without `fit`,
            unless `y` is an indicator, which has a column for each.
        sample_weight : float array, shape (n_documents,), optional
            A document of weight 0 is left out. Other weights affect only the loss.

        Raises
        ------
        DataError : if there are no documents, not one topic for each (or several, where batches
            before had them), or one that is not among `classes`.
        OptionError : if the learner, or feature groups with a vocabulary, can't learn from batches,
            or options need all documents at once.
        """
        if self.topic_path is not None:
            raise OptionError(Parameter("topic_path"), " needs all documents at once; call fit.")
        before = getattr(self, "fitted_", None)
        settings = self._settings(before.learner if before else choose_learner(self.learner))
        if before is not None and not isinstance(self.random_state, int | np.integer):
            settings = replace(settings, random_state=before.seed)  # drawn once
        batch = self._read_training(X, y)
        return self.replace_fitted(
            fit_batch(batch, settings, before, classes=classes, sample_weight=sample_weight)
        )

    def fit_stream(
        self,
        source: Any,
        options: StreamOptions | None = None,
        *,
        client: Client | str | None = None,
        progress: Progress | None = None,
    ) -> TopicClassifier:
        """Learn from files or batches of any size; see `slugline.model.parts.fit.fit_stream`."""
        from slugline.model.parts.fit import fit_stream

        settings = self.to_settings()
        return self.replace_fitted(
            fit_stream(source, settings, options, client=client, progress=progress)
        )

    def predict_proba(self, X: Texts) -> F32:
        """Return the topics' probabilities, shape (n_documents, n_topics).

        Every row sums to 1, unless texts have several topics.
        """
        return self._fitted().predict_proba(self._read(X))

    def predict_log_proba(self, X: Texts) -> F32:
        """Return the logarithms of the topics' probabilities, shape (n_documents, n_topics).

        They are minus infinity where a probability is rounded to 0.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def decision_function(self, X: Texts) -> F64:
        """Return scores, shape (n_documents, n_topics); the topic has the largest.

        With two topics, the shape is (n_documents,) as in scikit-learn, and scores over 0 are for
        the second topic.
        """
        scores = self._scores(X)
        is_pair = scores.shape[1] == 2 and not self._fitted().multilabel
        # scikit-learn 1.6 calibrates scores only if they are of the type of weights, float64.
        return (scores[:, 1] - scores[:, 0] if is_pair else scores).astype(np.float64)

    def predict(self, X: Texts) -> npt.NDArray[Any]:
        """Return the most likely topic of each text, shape (n_documents,).

        A blank text gets one as well, which says nothing; `decide` gives a reason in its place. If
        texts have several topics, a tuple of the topics given to each, the most likely first; or
        an indicator of 0 and 1, shape (n_documents, n_topics), if it learned from one.
        """
        fitted = self._fitted()
        if fitted.multilabel:
            return fitted.predict(self._read(X))
        best = self._scores(X).argmax(axis=1)
        return self.classes_[best]

    def decide(
        self, X: Texts, min_precision: float | None = None, *, per_topic: bool = False
    ) -> list[Decision]:
        """Return a prediction for each text, or the reason why the model is unsure of it.

        Parameters
        ----------
        X : iterable of str
        min_precision, per_topic
            See `slugline.model.decider.Decider.from_fitted`.

        Returns
        -------
        list of `slugline.model.decision.Decision`

        Raises
        ------
        OptionError : if it has no held-out predictions, or no threshold reaches `min_precision`.
            If the precision set in the constructor can't be reached, all predictions are unsure.
        """
        decider = Decider.from_fitted(self._fitted(), min_precision, per_topic=per_topic)
        return decider.decide(self._read(X))

    def transform(self, X: Texts) -> Any:
        """Return the topics' probabilities, as columns beside others in a `ColumnTransformer`.

        They are an array, or the data frame that `set_output` chooses.
        """
        names = self.get_feature_names_out().tolist()
        return self._to_output(self.predict_proba(X), names, X)

    def fit_transform(
        self,
        X: Texts,
        y: Any,
        sample_weight: npt.ArrayLike | None = None,
        *,
        validation_data: tuple[Texts, Any] | None = None,
        X_unlabelled: Texts | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """Fit to texts and their topics as `fit` does, and return the probabilities of these texts.

        They are higher than for new texts, as the classifier has learned from these: a model that
        is trained on them trusts them too much. `cross_val_predict` gives probabilities without
        this bias.
        """
        options: dict[str, Any] = {
            "sample_weight": sample_weight,
            "validation_data": validation_data,
            "X_unlabelled": X_unlabelled,
            "progress": progress,
        }
        # A subclass may lack some.
        given = {name: value for name, value in options.items() if value is not None}
        return self.fit(X, y, **given).transform(X)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[Any]:  # noqa: ARG002
        """Return the names of the columns of `transform`, shape (n_topics,): the topics."""
        return np.array([str(name) for name in self.topics_.names], dtype=object)

    def score(self, X: Texts, y: Any, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the accuracy; if texts have several topics, the subset accuracy.

        That is the fraction of texts that are given exactly their topics.

        Raises
        ------
        DataError : if there are no documents, or not one topic for each, or topics in another form
            than those that were learned.
        """
        fitted = self._fitted()
        if fitted.multilabel or is_indicator(y) or are_topic_sets(y):
            texts, sets = check_documents(self._read(X), y, allow_empty=True)
            check_form(
                fitted.topics,
                sets,
                "training documents",
                multilabel=fitted.multilabel,
                columns=indicator_topics(y) if is_indicator(y) else None,
                separator=fitted.separator,
            )
            is_word = isinstance(fitted.topics.names[0], str)
            odd = [t for topics in sets for t in topics if isinstance(t, str) != is_word]
            if odd:
                raise DataError(
                    Parameter("y"),
                    f" has the topic {odd[0]!r}, but topics of training documents are "
                    f"{'words' if is_word else 'numbers'}; give topics of that kind.",
                )
            topics = sets_with_parents(sets, fitted.separator)
            predicted = sets_with_parents(fitted.predict_sets(texts), fitted.separator)
            topics, predicted = list(map(set, topics)), list(map(set, predicted))
        else:
            topics, predicted = list(to_plain_topics(y)), self.predict(X).tolist()
        if len(topics) != len(predicted) or not topics:
            raise DataError(
                Parameter("y"),
                f" has {len(topics)} topics for {len(predicted)} texts; give one topic for each "
                "text, and at least one text.",
            )
        hits = [answer == topic for answer, topic in zip(predicted, topics, strict=True)]
        return float(np.average(hits, weights=row_weights(len(topics), sample_weight, None)))

    def explain(
        self,
        text: str | Mapping[str, Any],
        topic: Topic | None = None,
        *,
        against: Topic | None = None,
        max_reasons: int = 1000,
        corpus: Documents | None = None,
    ) -> Explanation:
        """Return the words for and against a topic; see `slugline.explanation.explain`."""
        from slugline.explanation.explain import explain

        row: str = self._read([text])[0] if isinstance(text, Mapping) else text
        return explain(
            self._fitted(), row, topic, against=against, max_reasons=max_reasons, corpus=corpus
        )

    def save(
        self,
        path: PathLike,
        *,
        metrics: Mapping[str, float] | None = None,
        test_fraction: float | None = None,
        quantize: Literal["float16", "int8"] | None = None,
        card_notes: str = "",
    ) -> None:
        """Write a model file, which `slugline.load` reads, and which can't contain code.

        Parameters
        ----------
        path : path of the file, by custom ending in `.slug`
        metrics : mapping of str to float, optional
            Metrics to keep in the file, such as the test accuracy.
        test_fraction : float, optional
            The argument of `corpus.split(test_fraction, random_state)` if `X` is the training part
            of its result, so that `slugline check` can split the corpus in the same way.
        quantize : {"float16", "int8"}, optional
            Store the weights in fewer bits than float32 has, for a smaller file whose predictions
            differ a little; see `slugline.experiment.quantization.save_quantized`.
        card_notes : str, default ""
            Markdown for the card: what only you know, such as the source of the documents.

        Raises
        ------
        ModelFileError : if it can't be written; an earlier file at `path` then stays.
        OptionError : if an option is invalid.
        """
        content = to_model_file(
            self._fitted(),
            metrics=metrics,
            test_fraction=test_fraction,
            weight_type=quantize or "float32",
            card_notes=card_notes,
        )
        container.write(path, content)

    @classmethod
    def from_settings(
        cls, settings: FitSettings, *, text: str | Sequence[str] | None = None
    ) -> TopicClassifier:
        """Return an unfitted classifier with these settings; see `to_settings`."""
        encoder: str | CheckedEncoder | None
        if isinstance(settings.encoder, tuple):
            encoder = AUTO
        elif settings.encoder is not None and settings.encoder.is_built_in:
            encoder = BUILT_IN
        else:
            encoder = settings.encoder
        return cls(
            learner="linear" if settings.tune else settings.learner,
            encoder=encoder,
            descriptions=settings.descriptions or None,
            feature_groups=settings.feature_groups,
            class_weight=settings.class_weight,
            tune=settings.tune,
            n_jobs=settings.n_jobs,
            random_state=settings.random_state,
            min_precision=settings.min_precision,
            optimize=settings.optimize,
            text=text,
            columns=list(settings.columns) or None,
            topic_path=settings.topic_path,
            thresholds=settings.thresholds or None,
        )

    @classmethod
    def from_fitted(cls, fitted: Fitted, *, n_jobs: int | None = None) -> TopicClassifier:
        """Return a classifier that predicts like `fitted`, and whose clones learn like it."""
        settings = FitSettings.from_fitted(fitted, n_jobs=n_jobs)
        text = fitted.layout.text if settings.columns and fitted.layout else None
        classifier = cls.from_settings(settings, text=text)
        return classifier.replace_fitted(fitted)

    def _repr_html_(self) -> str:
        is_fitted = self.__sklearn_is_fitted__()
        return format_html_table(
            repr(self), self.fitted_.summary() if is_fitted else [("", "not fitted")]
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fitted_")

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """Topics in the order of the columns of `predict_proba`, shape (n_topics,)."""
        return self._fitted().classes

    @property
    def topics_(self) -> Topics:
        """Topics and their numbers."""
        return self._fitted().topics

    @property
    def thresholds_(self) -> dict[Topic, float]:
        """The lowest probability at which each topic is given, if texts have several.

        Empty if each text has one topic or one path. See `set_thresholds`.
        """
        return self._fitted().thresholds

    def set_thresholds(self, thresholds: Mapping[Any, float]) -> TopicClassifier:
        """Set the lowest probability at which some topics are given, and return the classifier.

        Only for texts with several topics. `thresholds_` has the thresholds of all topics; `save`
        keeps them, and the card says which were set by hand. A fit with the same parameters sets
        them again.

        Parameters
        ----------
        thresholds : mapping of topic to float, over 0 and up to 1

        Raises
        ------
        OptionError : if texts have one topic each, the classifier was fitted for a precision, there
            is no such topic, or a threshold is no probability, or under that of the topic's parent.
        """
        fitted = self._fitted()
        heldout = fitted.heldout_predictions
        if heldout is not None and heldout.precision is not None:
            raise OptionError(
                Parameter("thresholds"),
                " of this classifier follow from its ",
                Parameter("min_precision"),
                f" of {heldout.precision:g}; to set them, fit a classifier without it.",
            )
        check_thresholds(thresholds)
        check_own_thresholds(fitted.topics, thresholds, multilabel=fitted.multilabel)
        if fitted.multilabel_rule is not None:
            rule = with_own_thresholds(fitted.multilabel_rule, fitted.topics, thresholds)
            self.replace_fitted(replace(fitted, multilabel_rule=rule))
        self.thresholds = self.fitted_.own_thresholds
        return self

    @property
    def features_(self) -> Features:
        """Turns texts into rows."""
        return self._fitted().features

    @property
    def learner_(self) -> Learner:
        """Turns rows into scores."""
        return self._fitted().learner

    @property
    def history_(self) -> History | None:
        """The search for the best epoch."""
        return self._fitted().history

    @property
    def tuning_(self) -> Tuning | None:
        """The search of `tune`."""
        return self._fitted().tuning

    @property
    def n_documents_(self) -> int:
        """Number of documents it learned from."""
        return self._fitted().n_learned

    @property
    def n_batches_(self) -> int:
        """Number of calls of `partial_fit`; 0 after `fit`."""
        return self._fitted().n_batches

    def _nested_estimator(self, name: str) -> Any:
        # The parameters of a learner can be searched whether it is named or passed.
        if name == "learner" and self.learner in LEARNERS:
            return choose_learner(self.learner)
        return super()._nested_estimator(name)

    def _set_nested_params(self, name: str, values: dict[str, Any]) -> None:
        learner = self._nested_estimator(name) if name == "learner" else None
        if learner is not None and learner is not self.learner:
            before = learner.get_params()
            learner.set_params(**values)
            # The name of a learner stays if nothing changes: `tune` needs it.
            if learner.get_params() != before:
                self.learner = learner
            return
        super()._set_nested_params(name, values)

    def to_settings(self) -> FitSettings:
        """Return the checked settings of a fit; a seed is drawn if `random_state` is none.

        Raises
        ------
        OptionError : if one of the constructor's arguments is out of its range.
        """
        settings = self._settings(choose_learner(self.learner))
        if self.tune and (self.learner != "linear" or self.feature_groups is not None):
            raise OptionError(
                Parameter("tune"),
                " chooses ",
                Parameter("learner"),
                " and ",
                Parameter("feature_groups"),
                " itself; leave them at their defaults.",
            )
        return settings

    def _settings(self, learner: Learner) -> FitSettings:
        chosen = self.encoder
        if chosen == BUILT_IN and not self.descriptions and not is_linear(learner):
            chosen = None  # so that a table which can't be used isn't opened
        encoder: CheckedEncoder | tuple[str, ...] | None = None
        if chosen == AUTO:
            encoder = combinations()
        elif chosen is not None:
            encoder = get_fit_encoder(chosen)
        return FitSettings(
            learner=learner,
            feature_groups=self.feature_groups,
            class_weight=self.class_weight,
            tune=self.tune,
            n_jobs=self.n_jobs,
            random_state=draw_seed(self.random_state),
            encoder=encoder,
            descriptions=check_descriptions(self.descriptions or {}),
            min_precision=self.min_precision,
            optimize=self.optimize,
            columns=check_column_names(self.columns or ()),
            topic_path=self.topic_path,
            thresholds={} if self.thresholds is None else self.thresholds,
        )

    def _scores(self, X: Texts) -> F32:
        return self._fitted().decision_function(self._read(X))

    @property
    def _reads_tables(self) -> bool:
        return self.text is not None or self.columns is not None

    def _read_training(self, X: Texts, y: Any) -> Corpus:
        """Return the documents to learn from, with the layout of a table."""
        texts, columns = self._read_table(X)
        corpus = Corpus.from_documents(texts, y, allow_empty=True)
        if not columns:
            return corpus
        topic = str(getattr(y, "name", None) or "topic")
        return replace(corpus, layout=Layout(columns, topic, columns=tuple(self.columns or ())))

    def _read_validation(self, documents: tuple[Texts, Any]) -> Corpus:
        """Return the documents to find the best epoch on."""
        is_pair = isinstance(documents, Sequence) and not isinstance(documents, str)
        if not is_pair or len(documents) != 2:
            raise option_error("validation_data", documents, "a pair of texts and their topics")
        names = ("validation_data[0]", "validation_data[1]")
        texts = self._read_table(documents[0], names[0])[0]
        return Corpus.from_documents(texts, documents[1], names)

    def _read_table(self, X: Texts, name: str = "X") -> tuple[Any, tuple[str, ...]]:
        """Return the texts of documents and, for a table, the columns that hold them."""
        if not self._reads_tables:
            return X, ()
        return read_table(X, self.text, tuple(self.columns or ()), name)

    def _read(self, X: Any) -> Any:
        """Return the texts of documents; warn of columns that are missing or of another kind."""
        if not self._reads_tables:
            return X
        texts = read_table(X, self.text, tuple(self.columns or ()))[0]
        if self.columns:
            texts = check_texts(texts)
            if note := odd_cells_note(describe_odd_cells(texts, self._fitted().columns).values()):
                warnings.warn(note, errors.ColumnWarning, stacklevel=3)
        return texts

    def replace_fitted(self, fitted: Fitted) -> TopicClassifier:
        """Replace the fitted value in one step, and return the classifier."""
        self.fitted_ = fitted
        for name in ("info_", "card_"):
            self.__dict__.pop(name, None)
        return self

    def _fitted(self) -> Fitted:
        if not hasattr(self, "fitted_"):
            raise errors.NotFittedError(
                "this TopicClassifier is not fitted yet; call fit first, or load a saved one."
            )
        return self.fitted_


def to_fitted(model: TopicClassifier | Fitted) -> Fitted:
    """Return the fitted value of a classifier; NotFittedError if there is none yet."""
    return model if isinstance(model, Fitted) else model._fitted()


def load(path: PathLike, encoder: str | Encoder | None = None) -> TopicClassifier:
    """Return a classifier from a file that `TopicClassifier.save` wrote; any source is safe.

    Its `info_` attribute is the file's `ModelInfo`, and `card_` its card.

    Parameters
    ----------
    path : path of the file, or "reuters46", the model that comes with Slugline
        For a file of that name, write "./reuters46".
    encoder : str or an object with `encode`, optional
        The encoder of a model that was trained with an encoder of your own. A built-in encoder is
        found by its name, and loads its weights with the first text. Other models ignore it.

    Raises
    ------
    ModelFileError : if there is no such file, it is damaged, of another format, or no model.
    EncoderError : if the model's encoder is not installed, must be passed, or is another one.

    Examples
    --------
    >>> import slugline
    >>> slugline.load("reuters46").predict(["Wheat exports rose"]).tolist()
    ['grain']
    """
    fitted, file = load_model(path, encoder)
    classifier = TopicClassifier.from_fitted(fitted)
    classifier.info_, classifier.card_ = file.info, file.card
    return classifier
