"""Train classifiers and plan further labelling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slugline.api.result import (
    Data,
    Model,
    TableResult,
    are_sources,
    check_settings,
    to_classifier,
    to_corpus,
    to_result,
    to_test_corpus,
    topic_records,
)
from slugline.base.files import PathLike
from slugline.base.progress import Progress
from slugline.base.wording import counted
from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import check_texts
from slugline.corpus.layout import ReadOptions
from slugline.corpus.loading import Source, read_texts
from slugline.corpus.readers import read_frame, read_rows
from slugline.corpus.topics import add_parents
from slugline.experiment import suggest as suggesting
from slugline.experiment.curve import LearningCurves, classifiers_to_compare, learning_curves
from slugline.experiment.experiment import Experiment, run_experiment
from slugline.experiment.suggest import Suggestion

if TYPE_CHECKING:
    from distributed import Client

    from slugline.model.parts.fit import StreamOptions

# Training -----------------------------------------------------------------------------------------


class TrainingResult(Experiment, TableResult):
    """A trained classifier and its metrics on held-out documents.

    `to_records` returns a row per topic.
    """

    @property
    def classifier(self) -> TopicClassifier:
        """The trained classifier."""
        return TopicClassifier.from_fitted(self.fitted)

    def to_records(self) -> list[dict[str, Any]]:
        """Return precision, recall, F1 and number of test documents per topic."""
        return topic_records(self.tested.evaluation)

    def save_model(
        self, path: PathLike, *, quantize: Literal["float16", "int8"] | None = None
    ) -> None:
        """Write the model with its test metrics; see `TopicClassifier.save`."""
        self.classifier.save(
            path, metrics=self.metrics, test_fraction=self.test_fraction, quantize=quantize
        )

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        title, rows = super()._title_and_rows()
        if self.decisions is not None:
            rows.append(("sure enough", self.decisions.summary()))
        return title, rows

    def _page(self) -> str:
        from slugline.experiment.evidence import gather_evidence
        from slugline.reports.training import training_page

        return training_page(self, evidence=gather_evidence(self))


def train(
    data: Data,
    *,
    classifier: TopicClassifier | None = None,
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    test: Data | None = None,
    test_fraction: float | None = 0.2,
    unlabelled: Iterable[str] | Corpus | Source | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a classifier and test it, as `slugline train` does.

    Parameters
    ----------
    data : Corpus, path, data frame, or pair of texts and topics
        Labelled texts, such as a pair `(texts, topics)` of lists or columns. Files and data frames
        are read by `load_corpus`; to use its other options, such as `skip_bad_rows`, pass the
        corpus it returns.
    classifier : TopicClassifier, optional
        The classifier to fit, in place; by default a new `TopicClassifier()`.
    text : str or sequence of str, optional
        The columns to read; guessed by default.
    topic : str, optional
        The column to read; guessed by default.
    test : as `data`, optional
        The documents to test on; by default a stratified part of `data`.
    test_fraction : float or None, default 0.2
        The fraction of documents to test on. With None and no `test`, the classifier is trained on
        all documents and not tested.
    unlabelled : iterable of str, path, data frame, or Corpus, optional
        Unlabelled texts for fitting the encoder; see `TopicClassifier.fit`. Files and data frames
        need the text columns of `data`, or "text"; topics are ignored.
    progress : Progress, optional
        See `slugline.base.progress`.

    Raises
    ------
    DataError : if the data can't be read, or there are too few documents to train or test.
    OptionError : if an option is invalid.

    Examples
    --------
    >>> import slugline
    >>> result = slugline.train("tickets-de")
    >>> result.n_train, result.n_test
    (72, 18)
    >>> result.classifier.predict(["Mein Passwort geht nicht"]).tolist()
    ['Konto']
    """
    classifier = check_settings(classifier)
    corpus, test = _read_both(data, test, classifier, text, topic)
    from slugline.labels.model_accuracy import measure_on_labels

    settings = classifier.to_settings()
    sources = data if isinstance(data, list | tuple) else [data]
    experiment = run_experiment(
        settings,
        corpus,
        test=test,
        test_fraction=test_fraction,
        unlabelled=_to_texts(unlabelled, corpus),
        on_labels=measure_on_labels(sources, corpus, settings, test=test),
        progress=progress,
    )
    classifier.replace_fitted(experiment.fitted)
    return to_result(TrainingResult, experiment)


def _to_texts(
    unlabelled: Iterable[str] | Corpus | Source | None, data: Corpus
) -> Iterable[str] | None:
    """Return the texts of a corpus, file or data frame; return anything else unchanged."""
    if isinstance(unlabelled, Corpus):
        return unlabelled.texts
    if not isinstance(unlabelled, Source):
        return unlabelled
    if isinstance(unlabelled, str | Path):
        rows = read_rows(unlabelled, ReadOptions(layout=data.layout), fallback="txt")
    else:
        rows = replace(read_frame(unlabelled), layout=data.layout)
    return read_texts(rows, data=data).texts


def _read_both(
    data: Data,
    test: Data | None,
    classifier: TopicClassifier,
    text: str | Sequence[str] | None,
    topic: str | None,
) -> tuple[Corpus, Corpus | None]:
    """Return the training and test documents, with the classifier's columns."""
    text = text or (classifier.text if are_sources(data) else None)
    columns = tuple(classifier.columns or ())
    corpus = to_corpus(data, text, topic, columns=columns)
    test = to_test_corpus(test, text, topic, columns)
    path = classifier.topic_path
    return add_parents(corpus, path), None if test is None else add_parents(test, path)


def fit_stream(
    source: Any,
    options: StreamOptions | None = None,
    *,
    classifier: TopicClassifier | None = None,
    client: Client | str | None = None,
    progress: Progress | None = None,
) -> TopicClassifier:
    """Fit a classifier to files or batches of any size, on this machine or on a Dask cluster.

    Parameters
    ----------
    source : path, pattern, list of these, or batches
        See `slugline.model.parts.fit.fit_stream`.
    options : StreamOptions, optional
        Columns to read, and the block size.
    classifier : TopicClassifier, optional
        The classifier to fit, in place; by default a new `TopicClassifier()`.
    client : distributed.Client or str, optional
        A Dask cluster, or the address of its scheduler.
    progress : Progress, optional

    Returns
    -------
    TopicClassifier

    Examples
    --------
    >>> import slugline
    >>> batches = [(["wheat exports", "net profit"], ["grain", "earn"])]
    >>> slugline.fit_stream(batches).classes_.tolist()
    ['earn', 'grain']
    """
    classifier = check_settings(classifier)
    return classifier.fit_stream(source, options, client=client, progress=progress)


# More labels --------------------------------------------------------------------------------------


class CurveResult(LearningCurves, TableResult):
    """Accuracy by number of labels; `to_records` returns a row per point of each curve.

    Notebooks display it with a chart.
    """

    def _charts(self) -> list[str]:
        from slugline.reports.pictures import accuracy_by_labels

        return [accuracy_by_labels(self)]

    def to_records(self) -> list[dict[str, Any]]:
        """Return the points of all curves, with their 95 % intervals."""
        return [
            {
                "classifier": curve.name,
                "labels_per_topic": point.n_labels,
                "n_documents": point.n_documents,
                "micro_f1" if self.multilabel else "accuracy": point.accuracy,
                "low": None if point.interval is None else point.interval.low,
                "high": None if point.interval is None else point.interval.high,
            }
            for curve in self.curves
            for point in curve.points
        ]

    def _page(self) -> str:
        from slugline.reports.pictures import accuracy_by_labels
        from slugline.reports.render import table_page
        from slugline.reports.training_text import describe_forecast, describe_intervals

        title, _ = self._title_and_rows()
        rows = [("", describe_intervals(self))]
        rows += [("", describe_forecast(curve)) for curve in self.curves]
        return table_page(title, rows, self.to_records(), accuracy_by_labels(self))


def curve(
    data: Data,
    *,
    classifier: TopicClassifier | None = None,
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    test: Data | None = None,
    n_draws: int = 5,
    progress: Progress | None = None,
) -> CurveResult:
    """Measure accuracy for increasing numbers of labels per topic.

    Parameters
    ----------
    data, classifier, text, topic, test, progress
        As in `train`.
    n_draws : int, default 5
        Number of random draws of labels to average over.

    Raises
    ------
    DataError : if the data can't be read, have only one topic, or no topic with two documents.

    Examples
    --------
    >>> import slugline
    >>> curves = slugline.curve("tickets-de", n_draws=2)
    >>> [record["labels_per_topic"] for record in curves.to_records()]
    [5, 10, 20, None]
    """
    classifier = check_settings(classifier)
    corpus, test = _read_both(data, test, classifier, text, topic)
    settings = classifier.to_settings()
    curves = learning_curves(
        corpus,
        test,
        classifiers_to_compare(settings),
        n_draws=n_draws,
        random_state=settings.random_state,
        progress=progress,
    )
    return to_result(CurveResult, curves)


class SuggestionResult(TableResult, Sequence[Suggestion]):
    """Texts to label, the most useful ones first.

    `save("to-label.csv")` writes a table with an empty topic column to fill in and pass to
    `train`.
    """

    def __init__(self, suggestions: Sequence[Suggestion], n_texts: int) -> None:
        self.suggestions = tuple(suggestions)
        self.n_texts = n_texts

    def __len__(self) -> int:
        return len(self.suggestions)

    def __getitem__(self, number: Any) -> Any:
        return self.suggestions[number]

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        title = f"{len(self):,} of {counted(self.n_texts, 'text')} to label"
        return title, [(str(suggestion.topic), suggestion.text) for suggestion in self]

    def to_dict(self) -> dict[str, Any]:
        """Return the suggestions as plain data for JSON."""
        return {"n_texts": self.n_texts, "suggestions": self.to_records()}

    def to_records(self) -> list[dict[str, Any]]:
        """Return each text with an empty topic, the best guess, its probability, and the row."""
        return [
            {
                "topic": "",
                "text": suggestion.text,
                "guess": suggestion.topic,
                "probability": round(suggestion.probability, 4),
                "row": suggestion.row,
            }
            for suggestion in self
        ]

    def _page(self) -> str:
        from slugline.reports.render import table_page

        return table_page(self._title_and_rows()[0], [], self.to_records())


def suggest(
    model: Model,
    texts: Iterable[str] | Corpus,
    n: int = 50,
    *,
    random_state: int = 0,
    progress: Progress | None = None,
) -> SuggestionResult:
    """Choose the texts whose labels would improve a model most.

    Parameters
    ----------
    model : TopicClassifier, or path of a model file
    texts : iterable of str, or Corpus
        Unlabelled texts; the topics of a corpus are ignored.
    n : int, default 50
        The number of texts to choose, limited by the number of distinct texts.
    random_state : int, default 0
    progress : Progress, optional

    Raises
    ------
    DataError : if `texts` is not an iterable of strings, or no text contains a word.

    Examples
    --------
    >>> import slugline
    >>> texts = ["Oil prices rose", "Cocoa exports fell", "Oil prices rose again"]
    >>> [suggestion.row for suggestion in slugline.suggest("reuters46", texts, 1)]
    [2]
    """
    documents = texts.texts if isinstance(texts, Corpus) else check_texts(texts)
    suggestions = suggesting.suggest(
        to_classifier(model), documents, n, random_state=random_state, progress=progress
    )
    return SuggestionResult(suggestions, len(documents))
