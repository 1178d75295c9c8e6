"""Check that the sources of a stream are consistent."""

from __future__ import annotations

from slugline.corpus.collect import skip_advice
from slugline.corpus.columns import format_list
from slugline.corpus.labelled import (
    MAX_BAD_ROWS,
    MAX_SKIPPED,
    SEVERAL_ADVICE,
    RowsReport,
    SourceSchema,
    check_same_kind,
)
from slugline.corpus.layout import TopicForm
from slugline.corpus.rows import BadRow, join_advice
from slugline.errors import DataError, Parameter


class SchemaCheck:
    """Checks a stream of rows for consistent columns and kinds of topics, and for bad rows.

    Unlike `load_corpus`, which reads a whole file before raising an error, this raises one at the
    first bad row or, with `skip_bad_rows`, at the end of a file with too many bad rows.

    Parameters
    ----------
    skip_bad_rows : bool

    Attributes
    ----------
    n_skipped, n_unlabelled : int
        Number of rows left out so far because they are empty or bad, and because they are
        unlabelled.
    """

    def __init__(self, skip_bad_rows: bool = False) -> None:
        self.n_skipped = self.n_unlabelled = 0
        self._skip = skip_bad_rows
        self._columns: tuple[str, SourceSchema] | None = None
        self._topic: tuple[str, str] | None = None
        self._form: tuple[str, TopicForm | None] | None = None
        self._begin_file()

    def _begin_file(self) -> None:
        self._n_rows = self._n_bad = self._n_lines = 0
        self._bad: list[BadRow] = []

    @property
    def schema(self) -> SourceSchema | None:
        """Schema of the first source that names its columns; None before it."""
        return None if self._columns is None else self._columns[1]

    def add(self, report: RowsReport) -> None:
        """Add the next rows, in the order of the source.

        Raises DataError if the columns or the kind of topics differ from those of earlier rows, if
        a row is bad and bad rows are not skipped, or if too many rows of the file are bad.
        """
        if report.schema is not None:
            self._check_schema(report, report.schema)
        self._n_rows += report.n_rows
        self._n_bad += report.n_bad
        self.n_unlabelled += report.n_unlabelled
        self.n_skipped += report.n_empty
        self._bad += [
            # Line numbers start at 1 in each part of a file.
            row._replace(at=row.at + self._n_lines if isinstance(row.at, int) else row.at)
            for row in report.bad
        ]
        del self._bad[MAX_BAD_ROWS:]
        if self._bad and not self._skip:
            raise DataError(
                f"{report.name}: {report.unit} {self._bad[0].at} can't be used: "
                f"{self._bad[0].problem}; ",
                join_advice(self._bad),
                ", or continue without such rows with ",
                Parameter("skip_bad_rows"),
                ".",
            )
        self._n_lines += report.n_lines
        if report.is_last:
            if self._n_bad > MAX_SKIPPED * self._n_rows:
                raise DataError(
                    f"{report.name}: {self._n_bad} of {self._n_rows} {report.unit}s can't be used: "
                    f"{self._bad[0].problem} at {report.unit} {self._bad[0].at}; ",
                    join_advice(self._bad),
                    skip_advice(are_few=False, skip_bad_rows=True),
                    ".",
                )
            self.n_skipped += self._n_bad
            self._begin_file()

    def _check_schema(self, report: RowsReport, schema: SourceSchema) -> None:
        layout = schema.layout
        self._form = self._form or (report.name, layout.topic_form)
        if (self._form[1] is None) != (layout.topic_form is None):
            single, multiple = report.name, self._form[0]
            if self._form[1] is None:
                single, multiple = multiple, single
            raise DataError(
                f"{single} has one topic for each of its first 100 documents, but {multiple} has "
                f"several; {SEVERAL_ADVICE}."
            )
        if report.has_names:
            self._columns = self._columns or (report.name, schema)
            first, expected = self._columns[0], self._columns[1].layout
            if (layout.text, layout.topic) != (expected.text, expected.topic):
                raise DataError(
                    f"{report.name} has its texts and topics in "
                    f"{format_list([*layout.text, layout.topic])}, but {first} has them in "
                    f"{format_list([*expected.text, expected.topic])}; give files with the same "
                    "columns, or name the columns with ",
                    Parameter("text"),
                    " and ",
                    Parameter("topic"),
                    ".",
                )
        if schema.example is not None:
            self._topic = self._topic or (report.name, schema.example)
            check_same_kind(self._topic, (report.name, schema.example))
