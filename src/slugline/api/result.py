"""Parameter types and result base class of the public functions."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from slugline.base.chart import svg_file
from slugline.base.checks import option_error, short_repr
from slugline.base.files import PathLike, write_result
from slugline.base.lazy import to_frame
from slugline.base.names import check_is_no_output_address
from slugline.base.wording import TitledRows
from slugline.classifier import TopicClassifier, load, to_fitted
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import Topic
from slugline.corpus.layout import Layout, ReadOptions
from slugline.corpus.loading import Source, note_names, read_corpus
from slugline.corpus.table_writers import guard_cell
from slugline.corpus.tables import table_file
from slugline.corpus.topic_sets import check_documents
from slugline.errors import DataError, Message, OptionError, Parameter
from slugline.evaluation.evaluation import BaseEvaluation

#: Labelled texts: a corpus, what `load_corpus` reads, or a pair of texts and topics.
Data = Corpus | Source | Sequence[Source] | tuple[Iterable[str], Iterable[Topic]]
#: A fitted classifier, the path of a model file, or the name of an included model.
Model = TopicClassifier | str | os.PathLike[str]

Result = TypeVar("Result", bound="TableResult")
# Options that only `load_corpus` accepts.
_LOAD_OPTIONS = {"skip_bad_rows", "encoding"}


class TableResult(TitledRows):
    """Base class of results, which can be saved and displayed in notebooks."""

    _n_digits: int | None = None  # decimal places in the table; None keeps all

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        raise NotImplementedError

    def to_records(self) -> list[dict[str, Any]]:
        """Return the rows of the result's table."""
        raise NotImplementedError

    def to_frame(self) -> Any:
        """Return the result's table as a pandas data frame, or a polars one if pandas is missing.

        Raises OptionError if neither is installed.
        """
        return to_frame(self.to_records())

    def save(self, path: PathLike) -> Path:
        """Write the result to a file atomically and return its path.

        Parameters
        ----------
        path : path that ends in .html, .json, .csv, .xlsx or .svg
            The extension selects a page, all data as JSON, the table (.csv, .xlsx), or the charts.
            CSV begins with a byte-order mark for spreadsheets. Missing folders are created.

        Raises
        ------
        DataError : if .xlsx needs a package that is not installed.
        OptionError : if the path is a URL or has another extension, or the result has no chart
            for .svg.
        SluglineError : if the file can't be written; an existing file is left unchanged.
        """
        check_is_no_output_address(path)
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix == ".html":
            content: bytes | str = self._page()
        elif suffix == ".json":
            content = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, default=str)
        elif suffix in (".csv", ".xlsx"):
            content = self._table("," if suffix == ".csv" else None)
        elif suffix == ".svg":
            charts = self._charts()
            if not charts:
                raise OptionError(
                    f"{short_repr(str(path))}: this result has no chart; name a file that ends in "
                    ".html, .json, .csv or .xlsx."
                )
            content = _arrange(charts)
        else:
            raise OptionError(
                f"{short_repr(str(path))} has the ending {suffix!r}; name a file that ends "
                "in .html, .json, .csv, .xlsx or .svg."
            )
        write_result(target, content, "result")
        return target

    def _charts(self) -> list[str]:
        """Return the charts of the result as SVG elements."""
        return []

    def _repr_html_(self) -> str:
        table, charts = super()._repr_html_(), self._charts()
        return table + _arrange(charts) if charts else table

    def _page(self) -> str:
        from slugline.reports.render import table_page

        return table_page(*self._title_and_rows(), self.to_records())

    def _table(self, delimiter: str | None = ",") -> bytes:
        """Return the table as CSV, or as Excel if `delimiter` is None."""

        def to_cell(value: Any) -> Any:
            if isinstance(value, float):
                return value if self._n_digits is None else round(value, self._n_digits)
            return value if delimiter is None else guard_cell(value)

        records = self.to_records()
        columns = [*records[0]] if records else []
        return table_file([columns, *(map(to_cell, r.values()) for r in records)], delimiter)


def _arrange(charts: Sequence[str]) -> str:
    """Return an SVG file with charts in a landscape grid, like a slide."""
    return svg_file(charts, math.ceil(math.sqrt(len(charts))))


def to_result(kind: type[Result], value: Any) -> Result:
    """Convert `value` to `kind`, a subclass of its dataclass."""
    return kind(**{field.name: getattr(value, field.name) for field in fields(value)})


def to_corpus(
    data: Data,
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    layout: Layout | None = None,
    name: str = "data",
    columns: Sequence[str] = (),
) -> Corpus:
    """Return a corpus unchanged, build it from a pair, or read it from a source.

    Columns default to the layout's if the data contain them; otherwise they are guessed. `name` is
    the caller's parameter name, for messages. Raises OptionError for other types of data, or if
    columns are named for data without columns.
    """
    if are_sources(data):
        options = ReadOptions(text=text, topic=topic, columns=columns, layout=layout)
        try:
            corpus = read_corpus(data, options)
            return note_names(corpus) if layout is None else corpus
        except DataError as error:
            if {part.name for part in error.parts if isinstance(part, Parameter)} & _LOAD_OPTIONS:
                advice = "`load_corpus` has such options; pass the corpus that it returns."
                error.args = (Message(*error.parts, " ", advice),)
            raise
    if isinstance(data, tuple) and len(data) == 2:
        pair: Any = data
        texts, topics = check_documents(pair[0], pair[1], ("texts", "topics"))
        data = Corpus(
            texts, [tuple(map(str, t)) if isinstance(t, tuple) else str(t) for t in topics]
        )
    if not isinstance(data, Corpus):
        raise option_error(name, data, "a Corpus, a path, a DataFrame, or a pair (texts, topics)")
    if text is not None or topic is not None:
        raise OptionError(
            Parameter("text"),
            " and ",
            Parameter("topic"),
            f" name columns, but {data.name} has none; leave them out.",
        )
    names = (f"{name}.texts", f"{name}.topics")
    texts, topics = check_documents(data.texts, data.topics, names, allow_empty=True)
    return replace(data, texts=texts, topics=topics)


def to_test_corpus(
    test: Data | None,
    text: str | Sequence[str] | None,
    topic: str | None,
    columns: Sequence[str] = (),
) -> Corpus | None:
    """Return the corpus of `test`, if any, read with the columns of `data`."""
    if test is None:
        return None
    if not are_sources(test):
        text = topic = None
    return to_corpus(test, text, topic, name="test", columns=columns)


def are_sources(data: Any) -> TypeGuard[Source | Sequence[Source]]:
    """True if `load_corpus` reads data of this type."""
    sources = data if isinstance(data, list | tuple) else [data]
    return all(isinstance(source, Source) for source in sources)


def to_classifier(model: Model, name: str = "model") -> TopicClassifier:
    """Return a fitted classifier unchanged, or load one from a path.

    Raises NotFittedError if it is not fitted, and OptionError, naming the parameter, for other
    types.
    """
    check_model(model, name)
    classifier = model if isinstance(model, TopicClassifier) else load(model)
    to_fitted(classifier)
    return classifier


def check_model(model: Model, name: str = "model") -> None:
    """Raise OptionError unless a model is a classifier or a path."""
    if not isinstance(model, TopicClassifier | str | os.PathLike):
        raise option_error(name, model, "a TopicClassifier, or the path of a model file")


def check_settings(classifier: TopicClassifier | None) -> TopicClassifier:
    """Return the classifier to fit, by default a new one; raise OptionError for other types."""
    if classifier is None:
        return TopicClassifier()
    if not isinstance(classifier, TopicClassifier):
        raise option_error("classifier", classifier, "a TopicClassifier with the settings")
    return classifier


def topic_records(evaluation: BaseEvaluation) -> list[dict[str, Any]]:
    """Return precision, recall, F1 and number of documents per topic."""
    return [asdict(metrics) for metrics in evaluation.per_topic()]
