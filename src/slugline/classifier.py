"""`TopicClassifier`, a scikit-learn estimator for topics of texts, and `load`."""

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
from slugline.corpus.documents import Topic, check_descriptions, check_texts, to_plain_topics
from slugline.corpus.layout import Layout
from slugline.corpus.rows import Frame
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
from slugline.model.file.content import load_questions as load_models
from slugline.model.file.schema import ModelFile, ModelInfo
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
from slugline.text.table_columns import check_column_names, describe_odd_cells, odd_cells_note

if TYPE_CHECKING:
    from distributed import Client

    from slugline.base.progress import Progress
    from slugline.explanation.explain import Documents
    from slugline.explanation.explanation import Explanation
    from slugline.model.parts.fit import StreamOptions


#: Texts, or rows or columns of a table; see `TopicClassifier`.
Texts: TypeAlias = Iterable[str] | Iterable[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | Frame


class TopicClassifier(TextEstimator):
    """Classifies texts by topic.

    Follows scikit-learn's estimator contract, with raw strings as input.

    Parameters
    ----------
    learner : {"linear", "network"} or Learner, default "linear"
        "linear" learns a weight for each term and topic. "network" is the neural network of the
        newswire lesson; it was less accurate on every data set measured. Both support multi-label
        texts. Pass a learner object to set its options: `NeuralLearner(hidden=(64, 64))`,
        `LinearLearner(passes=3)`, or a `Mixture` of several learners.
    encoder : str, an object with `encode`, or None, default "vectors"
        Pretrained word vectors or sentence encoder. Its scores are added to the linear learner's
        scores, with a weight chosen on held-out documents. "vectors" are word vectors included in
        Slugline. They are skipped without a warning where no encoder can be used (with other
        learners, in `fit_stream` and `partial_fit` of multi-label texts, and in fits of more than
        200,000 documents), if they don't help and, with more than 20,000 documents, unless they
        help on a sample. "use" and "e5" are sentence encoders; combine several with commas, in any
        order. "auto" chooses the best combination on held-out documents, possibly none; see
        `fitted_.encoder_choice`. To use your own encoder, pass an object whose
        `encode(list of str)` returns an array, shape (n_texts, n_columns). None uses only words.
        See `docs/reference/encoders.md`.
    descriptions : mapping of topic to str, optional
        One or two sentences about each topic, read by the encoder. Descriptions are combined with
        documents, with a weight chosen on held-out documents. A topic may have a description but
        no documents. `fit([], [])` trains on descriptions alone; scores are then cosines, and
        probabilities are not calibrated.
    feature_groups : sequence of FeatureGroup, optional
        Groups of terms; the default depends on the learner.
    class_weight : {None, "balanced"} or mapping of topic to float
        Weight of each topic's documents; "balanced" gives every topic the same total weight.
    tune : bool or float, default False
        Search for better feature groups, word weights and passes of the linear learner by
        cross-validation on the training texts. A number is the budget: the maximum number of
        multiplications per term of a document; see `slugline.learning.tuning`. Requires the
        defaults of `learner` and `feature_groups`.
    n_jobs : int, optional
        Number of threads, by default one per core. Does not change results.
    random_state : int, numpy.random.Generator, RandomState or None, default 0
        Seed for every random choice, or a generator that each fit draws its seed from. None draws a
        new seed. `fitted_.seed` is the seed that reproduces the model.
    min_precision : float, over 0 and under 1, optional
        Default precision of `decide`. If set, thresholds are chosen on held-out predictions of all
        documents: a fit takes up to three times as long, and `decide` is unsure of fewer texts.
    optimize : {"micro", "macro", "samples"}, default "micro"
        For multi-label texts, the average F1 that thresholds maximize: over all decisions, over
        topics, or over texts.
    text : str or sequence of str, optional
        Text column or columns if `X` is a table: a pandas or polars data frame, a list of
        mappings, or a mapping of names to columns. By default, guessed from the names.
    columns : sequence of str, optional
        Additional input columns, such as `["product"]`; `X` is then a table. Their types (words,
        numbers or dates) are inferred from the training data; see
        `docs/howto/beside-the-text.md`. Columns missing from a table to predict cause a warning.
    topic_path : str, optional
        Separator in topics that are paths, such as "/" in "sport/football". A text then also
        counts for all parents of its topics, no topic is more probable than its parent, and the
        deepest topics are returned; see `docs/howto/topic-trees.md`.
    thresholds : mapping of topic to float, optional
        For multi-label texts, the minimum probability for assigning each of these topics.
        Overrides the thresholds chosen by `optimize`.

    Attributes
    ----------
    classes_ : array, shape (n_topics,)
        Topics in the order of the columns of `predict_proba`: strings, 64-bit integers or booleans.
    fitted_ : Fitted
        The fitted model, with its features, learner, history and so on. Each fit replaces it
        atomically; a failed fit leaves it unchanged.

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
    #: Metadata and card of the model file; only in a loaded classifier.
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
        """Train on texts and their topics.

        Parameters
        ----------
        X : iterable of str, or a table if the classifier has `text` or `columns`
        y : iterable of str, int or bool, one for each text
            Whole floats become integers: 1.0 is 1. For multi-label texts, a list of topics for
            each text, possibly empty; or a 0/1 indicator matrix (array, sparse array or data
            frame), shape (n_documents, n_topics), with a column for each topic.
        sample_weight : float array, shape (n_documents,), optional
            Documents with weight 0 are excluded, and so are topics with no other documents. If all
            weights are whole numbers that sum to at most 500, a document with weight 2 counts as
            if it occurred twice. Other weights affect only the loss, not document frequencies of
            words.
        validation_data : (texts, topics), optional
            Documents for choosing the best epoch, instead of a part of `X`. Only for learners with
            epochs.
        X_unlabelled : as `X`, optional
            Unlabelled texts for self-training: each counts a little for its predicted topic.
            Requires an encoder and single-label texts. Empty texts, duplicates, and texts in `X`
            are ignored. At most 5,000 of the rest, evenly spaced, are used. If `X_unlabelled` is as
            long as `X`, scikit-learn's `cross_val_score(params=...)` splits it into folds too.
        progress : Progress, optional
            See `slugline.base.progress`.

        Raises
        ------
        DataError : if there are neither documents nor descriptions, the documents contain no
            words, or a document has no topic.
        EncoderError : if the encoder is missing or fails.
        OptionError : if a constructor argument is invalid.

        Warns
        -----
        EncoderWarning : if an encoder other than "vectors" is skipped because it doesn't help, or
            if none is chosen and `X_unlabelled` needs one.
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
        """Train on another batch of texts, such as a part of a stream.

        Continues from `fit` or from a loaded model. New terms are added, except to feature groups
        with a vocabulary, whose terms and idf stay the same. Batches of a thousand documents are
        fastest. Pass each document only once: repeated documents make probabilities too high. The
        weight of word vectors is estimated on the documents of the next batch, so small batches
        give poor estimates: for fewer than a few hundred documents, `fit` is more accurate.

        Parameters
        ----------
        X : iterable of str
        y : iterable of str or int, or multi-label as in `fit`
        classes : iterable of str or int, optional
            The topics in all batches. Required in the first call unless `fit` was called before or
            `y` is an indicator matrix.
        sample_weight : float array, shape (n_documents,), optional
            Documents with weight 0 are excluded. Other weights affect only the loss.

        Raises
        ------
        DataError : if there are no documents, topics have a different form than in earlier
            batches, or a topic is not in `classes`.
        OptionError : if the learner or a feature group doesn't support batches, or an option
            requires all documents at once.
        """
        if self.topic_path is not None:
            raise OptionError(Parameter("topic_path"), " requires all documents at once; call fit.")
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
        """Train on files or batches of any size; see `slugline.model.parts.fit.fit_stream`."""
        from slugline.model.parts.fit import fit_stream

        settings = self.to_settings()
        return self.replace_fitted(
            fit_stream(source, settings, options, client=client, progress=progress)
        )

    def predict_proba(self, X: Texts) -> F32:
        """Return topic probabilities, shape (n_documents, n_topics).

        Rows sum to 1, except for multi-label models.
        """
        return self._fitted().predict_proba(self._read(X))

    def predict_log_proba(self, X: Texts) -> F32:
        """Return log probabilities, shape (n_documents, n_topics); minus infinity for 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def decision_function(self, X: Texts) -> F64:
        """Return scores, shape (n_documents, n_topics); the predicted topic has the largest score.

        With two topics, the shape is (n_documents,) as in scikit-learn, and positive scores favour
        the second topic.
        """
        scores = self._scores(X)
        is_pair = scores.shape[1] == 2 and not self._fitted().multilabel
        # scikit-learn 1.6 calibrates scores only if they have the dtype of the weights, float64.
        return (scores[:, 1] - scores[:, 0] if is_pair else scores).astype(np.float64)

    def predict(self, X: Texts) -> npt.NDArray[Any]:
        """Return the most likely topic of each text, shape (n_documents,).

        The topic of a blank text is meaningless; `decide` returns a reason instead. A multi-label
        model returns a tuple of topics for each text, most likely first; or a 0/1 indicator
        matrix, shape (n_documents, n_topics), if trained on one.
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
        OptionError : if the model has no held-out predictions, or no threshold reaches
            `min_precision`. If no threshold reaches the constructor's `min_precision`, there is no
            error: the model is unsure of every text.
        """
        decider = Decider.from_fitted(self._fitted(), min_precision, per_topic=per_topic)
        return decider.decide(self._read(X))

    def transform(self, X: Texts) -> Any:
        """Return topic probabilities, for use in a `ColumnTransformer`.

        The result is an array, or a data frame if chosen by `set_output`.
        """
        names = self.get_feature_names_out().tolist()
        return self._to_output(self.predict_proba(X), names, X)

    def fit_transform(self, X: Texts, y: Any, **fit_params: Any) -> Any:
        """Call `fit`, and return the probabilities of the training texts.

        These are higher than for new texts, so a model trained on them relies on them too much.
        Use `cross_val_predict` for unbiased probabilities.
        """
        return self.fit(X, y, **fit_params).transform(X)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[Any]:  # noqa: ARG002
        """Return the column names of `transform`, which are the topics, shape (n_topics,)."""
        return np.array([str(name) for name in self._fitted().topics.names], dtype=object)

    def score(self, X: Texts, y: Any, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the accuracy or, for multi-label models, the subset accuracy.

        Subset accuracy is the fraction of texts whose set of topics is exactly right.

        Raises
        ------
        DataError : if there are no documents, a topic is missing, or topics have a different form
            than in training.
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
        """Write a model file for `slugline.load`. Model files can't contain code.

        Parameters
        ----------
        path : path of the file, usually ending in `.slug`
        metrics : mapping of str to float, optional
            Metrics to store in the file, such as the test accuracy.
        test_fraction : float, optional
            The argument of `corpus.split(test_fraction, random_state)` if `X` is its training part;
            `slugline check` uses it to split the corpus in the same way.
        quantize : {"float16", "int8"}, optional
            Store weights in fewer bits: a smaller file with slightly different predictions. See
            `slugline.experiment.quantization.save_quantized`.
        card_notes : str, default ""
            Markdown to add to the model card, such as the source of the documents.

        Raises
        ------
        ModelFileError : if the file can't be written; an existing file at `path` is unchanged.
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
        """Return a classifier with a fitted model, and with the settings that reproduce it."""
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
    def thresholds_(self) -> dict[Topic, float]:
        """Minimum probability for assigning each topic, in a multi-label model.

        Empty if each text has one topic or one path. See `set_thresholds`.
        """
        return self._fitted().thresholds

    def set_thresholds(self, thresholds: Mapping[Any, float]) -> TopicClassifier:
        """Set the thresholds of some topics of a multi-label model, and return the classifier.

        `thresholds_` contains the thresholds of all topics. `save` stores them, and the card lists
        those set by hand. Refitting with the same parameters sets them again.

        Parameters
        ----------
        thresholds : mapping of topic to float, over 0 and up to 1

        Raises
        ------
        OptionError : if the model is single-label or was fitted for a precision, a topic doesn't
            exist, or a threshold is not a probability or is below its parent's threshold.
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

    def _nested_estimator(self, name: str) -> Any:
        # A learner's parameters can be set whether it is given by name or as an object.
        if name == "learner" and self.learner in LEARNERS:
            return choose_learner(self.learner)
        return super()._nested_estimator(name)

    def _set_nested_params(self, name: str, values: dict[str, Any]) -> None:
        learner = self._nested_estimator(name) if name == "learner" else None
        if learner is not None and learner is not self.learner:
            before = learner.get_params()
            learner.set_params(**values)
            # Keep the name if nothing changes, because `tune` requires it.
            if learner.get_params() != before:
                self.learner = learner
            return
        super()._set_nested_params(name, values)

    def to_settings(self) -> FitSettings:
        """Return the settings of a fit; draw the seed if `random_state` isn't an integer.

        Raises
        ------
        OptionError : if a constructor argument is invalid.
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
            chosen = None  # don't open the table of word vectors
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
        """Return the training documents, with the layout of a table."""
        texts, columns = self._read_table(X)
        corpus = Corpus.from_documents(texts, y, allow_empty=True)
        if not columns:
            return corpus
        topic = str(getattr(y, "name", None) or "topic")
        return replace(corpus, layout=Layout(columns, topic, columns=tuple(self.columns or ())))

    def _read_validation(self, documents: tuple[Texts, Any]) -> Corpus:
        is_pair = isinstance(documents, Sequence) and not isinstance(documents, str)
        if not is_pair or len(documents) != 2:
            raise option_error("validation_data", documents, "a pair of texts and their topics")
        names = ("validation_data[0]", "validation_data[1]")
        texts = self._read_table(documents[0], names[0])[0]
        return Corpus.from_documents(texts, documents[1], names)

    def _read_table(self, X: Texts, name: str = "X") -> tuple[Any, tuple[str, ...]]:
        """Return the texts of documents and, for a table, the text columns."""
        if not self._reads_tables:
            return X, ()
        return read_table(X, self.text, tuple(self.columns or ()), name)

    def _read(self, X: Any) -> Any:
        """Return the texts of documents; warn about missing columns and unexpected cells."""
        if not self._reads_tables:
            return X
        texts = read_table(X, self.text, tuple(self.columns or ()))[0]
        if self.columns:
            texts = check_texts(texts)
            if note := odd_cells_note(describe_odd_cells(texts, self._fitted().columns).values()):
                warnings.warn(note, errors.ColumnWarning, stacklevel=3)
        return texts

    def replace_fitted(self, fitted: Fitted) -> TopicClassifier:
        """Set the fitted model, and return the classifier."""
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
    """Return the fitted model of a classifier; raise NotFittedError if it is not fitted."""
    return model if isinstance(model, Fitted) else model._fitted()


def load(path: PathLike, encoder: str | Encoder | None = None) -> TopicClassifier:
    """Load a classifier saved by `TopicClassifier.save`; files from untrusted sources are safe.

    Its `info_` attribute is the file's `ModelInfo`, and `card_` its card.

    Parameters
    ----------
    path : path of the file, or "reuters46", the included model
        For a file of that name, write "./reuters46".
    encoder : str or an object with `encode`, optional
        The encoder of a model trained with your own encoder; ignored by other models. Built-in
        encoders are found by name, and load their weights with the first text.

    Raises
    ------
    ModelFileError : if the file doesn't exist, is damaged, of another format, or not a model.
    EncoderError : if the model's encoder is not installed, or if `encoder` is missing or differs
        from the model's.

    Examples
    --------
    >>> import slugline
    >>> slugline.load("reuters46").predict(["Wheat exports rose"]).tolist()
    ['grain']
    """
    return _from_file(*load_model(path, encoder))


def _from_file(fitted: Fitted, file: ModelFile) -> TopicClassifier:
    classifier = TopicClassifier.from_fitted(fitted)
    classifier.info_, classifier.card_ = file.info, file.card
    return classifier


# Several questions --------------------------------------------------------------------------------


def save_questions(
    path: PathLike,
    classifiers: Mapping[str, TopicClassifier],
    *,
    quantize: Literal["float16", "int8"] | None = None,
) -> None:
    """Write one model file for several questions about each text.

    Parameters
    ----------
    path : path of the file, usually ending in `.slug`
    classifiers : mapping of str to TopicClassifier
        The fitted classifier of each question. They should use the same text columns.
    quantize : {"float16", "int8"}, optional
        See `TopicClassifier.save`.

    Raises
    ------
    ModelFileError : if the file can't be written; an existing file at `path` is unchanged.
    NotFittedError : if a classifier is not fitted.
    OptionError : if a name is not a non-empty string, or there are no or too many questions.

    Examples
    --------
    >>> import slugline, tempfile
    >>> texts = ["My invoice is wrong, urgent", "Where is my parcel?"] * 5
    >>> queue = TopicClassifier().fit(texts, ["billing", "delivery"] * 5)
    >>> urgency = TopicClassifier().fit(texts, ["high", "low"] * 5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     slugline.save_questions(f"{folder}/desk.slug", {"queue": queue, "urgency": urgency})
    ...     desk = slugline.load_questions(f"{folder}/desk.slug")
    >>> {name: classifier.predict(["urgent"]).tolist() for name, classifier in desk.items()}
    {'queue': ['billing'], 'urgency': ['high']}
    """
    contents = {
        name: to_model_file(classifier._fitted(), weight_type=quantize or "float32")
        for name, classifier in classifiers.items()
    }
    container.write_questions(path, contents)


def load_questions(
    path: PathLike, encoder: str | Encoder | None = None
) -> dict[str, TopicClassifier]:
    """Load the classifiers of all questions that a file answers, by question.

    A file for a single question has its classifier under "". See `load` for the parameters and
    errors.

    Examples
    --------
    >>> import slugline
    >>> list(slugline.load_questions("reuters46"))
    ['']
    """
    models = load_models(path, encoder)
    return {question: _from_file(*model) for question, model in models.items()}
