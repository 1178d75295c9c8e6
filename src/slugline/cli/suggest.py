"""`slugline suggest`: the documents to label next, as a table to fill in."""

from __future__ import annotations

import functools
import io
import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from slugline.base.files import write_result
from slugline.base.wording import counted, printable
from slugline.cli import options
from slugline.cli.documents import read_unlabelled
from slugline.cli.label_page import (
    PAGE_PANEL,
    PageOptions,
    check_can_open,
    check_only_with_page,
    page_options,
)
from slugline.cli.options import COUNT, OUTPUT_FILE, argument, command, option
from slugline.cli.output import print_json, say, show, show_progress
from slugline.cli.output_paths import check_target
from slugline.cli.suggest_page import label_suggestions
from slugline.corpus.columns import column_names, in_columns, known_topic_column
from slugline.corpus.dialects import TableDialect, decimal_cell, table_cell, table_writer
from slugline.corpus.labelled import has_topic
from slugline.corpus.layout import Layout, ReadOptions
from slugline.corpus.loading import UnlabelledTexts
from slugline.corpus.readers import RowReader, read_dialect
from slugline.corpus.rows import SourceRow
from slugline.corpus.topic_cells import NOT_LABELLED
from slugline.errors import OptionError
from slugline.experiment import suggest as suggesting
from slugline.experiment.suggest import Suggestion, normal_form, sample_texts
from slugline.model.file.content import load_model
from slugline.model.fitted import Fitted
from slugline.prediction.files import answer_names, guard_cell


@command()
@options.models_argument(
    "model",
    "A saved model (.slug), or reuters46, which comes with Slugline; none with --random.",
    required=False,
)
@argument(
    "file",
    "Texts without topics: one per line, or CSV, TSV, JSONL, JSON, Parquet or Excel (also "
    ".gz); `-` reads standard input.",
    metavar="UNLABELLED",
    required=False,
)
@option("--random", "Choose texts at random, to measure models with later.")
@option(
    "--rest CSV",
    "With --random: write the other texts there, without copies of the chosen ones.",
    type=OUTPUT_FILE,
)
@option("--number -n N", "How many to suggest.", type=COUNT, default=50)
@options.file_options
@option(
    "--topic COLUMN",
    "Column of topics to fill in, or the name of a new one.",
    show_default="as in the data of MODEL; with --random, one with a usual name, or topic",
)
@option(
    "--output -o FILE",
    "Where to write the table (.csv); with --page, where to keep the labels.",
    type=OUTPUT_FILE,
    show_default="standard output",
)
@option(
    "--page open_page", "Label the suggested texts on a page in the browser instead of in a table."
)
@page_options(panel=PAGE_PANEL)
@options.seed()
@options.output_options
def suggest(
    model: str | None,
    file: str | None,
    random: bool,
    rest: Path | None,
    number: int,
    topic: str | None,
    reading: ReadOptions,
    output: Path | None,
    open_page: bool,
    page: PageOptions,
    seed: int,
    as_json: bool,
) -> None:
    """Pick the unlabelled texts whose labels would improve MODEL most.

    Writes CSV: a column of topics to fill in, named as in the data of MODEL, the columns of
    UNLABELLED, guess and probability. Fill in some or all of the topics, and pass the file to
    `slugline train` together with the documents that MODEL learned from. Rows of UNLABELLED that
    already have a topic in that column are skipped; with --random, it is the column with a usual
    name for topics.

    To measure a model, use texts that were chosen at random and that it doesn't learn from. Set
    some aside first, with --random, and fill in their topics, too.

    With --page, the texts come up on the page of `slugline label`, with what MODEL would answer;
    the labels are kept in a SQLite database, which `slugline train` reads.

    For example:

      slugline suggest --random unlabelled.csv -n 100 -o test.csv --rest rest.csv
      slugline suggest tickets.slug unlabelled.csv -n 50 -o to-label.csv
      slugline train tickets.csv to-label.csv -o tickets.slug
      slugline suggest tickets.slug unlabelled.csv --page -o labels.db
    """
    _check_page_options(open_page=open_page, random=random)
    if random:
        file = _only_file(model, file)
        _check_outputs(file, output, rest, as_json)
        _draw_texts(
            *read_unlabelled(file, reading),
            number,
            seed=seed,
            topic=topic,
            output=output,
            rest=rest,
            as_json=as_json,
        )
        return
    if rest is not None:
        raise OptionError("--rest is for the texts that --random doesn't choose; give both.")
    if model is None or file is None:
        raise OptionError(f"Missing argument '{'UNLABELLED' if model else 'MODEL'}'.")
    options.check_model_first("suggest", model, file)
    if open_page:
        output = _check_page(output, [model, file], as_json)
    elif output is not None:
        _check_output("--output", output, [model, file], as_json)
    fitted, _ = load_model(model)
    rows, unlabelled = read_unlabelled(file, replace(reading, layout=fitted.layout))
    layout = fitted.layout
    if topic is not None:
        layout = replace(layout or Layout((), topic), topic=topic, topic_form=None)
    is_open = _find_open(rows, unlabelled, layout)
    if open_page and output is not None:
        choose = functools.partial(_choose_texts, fitted, rows, number=number, seed=seed)
        label_suggestions(fitted, file, unlabelled, is_open, layout, choose, output, page)
        return
    unlabelled = _take(unlabelled, is_open)
    suggestions = _choose_texts(fitted, rows, unlabelled.texts, number, seed)
    if as_json:
        print_json([{rows.unit: unlabelled.rows[s.row].at, **_plain(s)} for s in suggestions])
        return
    dialect = read_dialect(rows).with_characters(fitted.topics.names)
    table = _table(suggestions, _input_cells(suggestions, rows, unlabelled), layout, dialect)
    n_texts = counted(len(unlabelled.texts), "text")
    _write(output, table, dialect, f"{len(suggestions):,} of {n_texts} to label")


def _choose_texts(
    fitted: Fitted, rows: RowReader, texts: Sequence[str], number: int, seed: int
) -> list[Suggestion]:
    """Return the texts whose labels would help most, and say if there are fewer than asked for."""
    with show_progress() as progress:
        suggestions = suggesting.suggest(
            fitted, texts, number, random_state=seed, progress=progress
        )
    n_suggestions = len(suggestions)
    if n_suggestions < min(number, len(texts)):
        differ = "differs" if n_suggestions == 1 else "differ"
        say(f"{rows.name}: only {counted(n_suggestions, 'text')} {differ} enough to be suggested")
    return suggestions


def _input_cells(
    suggestions: Sequence[Suggestion], rows: RowReader, unlabelled: UnlabelledTexts
) -> list[Mapping[str, Any]]:
    """Return the cells of the suggested rows, by column."""
    cells = [unlabelled.rows[s.row].values for s in suggestions]
    if rows.has_names:
        return [*cells]
    # Lines of text, most of which have no labels.
    return [{name: cell for name, cell in row.items() if cell is not None} for row in cells]


def _write(output: Path | None, table: bytes, dialect: TableDialect, content: str) -> None:
    if output is None:
        # A file gets the texts as they are, and a terminal nothing that it would obey.
        is_seen = sys.stdout.isatty()
        click.echo(printable(table.decode(dialect.encoding)) if is_seen else table, nl=False)
    else:
        write_result(output, table, "table")
        show(f"{content}: {output}")


def _only_file(first: str | None, second: str | None) -> str:
    """Return the only argument, which is a file with --random."""
    if first is None:
        raise OptionError("Missing argument 'UNLABELLED'.")
    if second is not None:
        raise OptionError("--random needs no MODEL; give the texts alone.")
    return first


def _check_outputs(file: str, output: Path | None, rest: Path | None, as_json: bool) -> None:
    if output is not None:
        _check_output("--output", output, [file], as_json)
    if rest is not None:
        _check_output("--rest", rest, [file], as_json)
        if output is not None and output.resolve() == rest.resolve():
            raise OptionError(f"--output and --rest are both {rest}; name two files.")


def _draw_texts(
    rows: RowReader,
    unlabelled: UnlabelledTexts,
    number: int,
    *,
    seed: int,
    topic: str | None,
    output: Path | None,
    rest: Path | None,
    as_json: bool,
) -> None:
    """Write texts drawn at random as a table to fill in, and the others to `rest`; or print JSON.

    Rows that have a topic are among the others.
    """
    all_texts = unlabelled
    if topic is None and rows.has_names:
        topic = known_topic_column(column_names(unlabelled.rows), unlabelled.columns)
    topic = topic or "topic"
    is_open = _find_open(rows, unlabelled, Layout(unlabelled.columns, topic))
    unlabelled = _take(unlabelled, is_open)
    texts, items = unlabelled.texts, unlabelled.rows
    drawn = sample_texts(texts, number, seed)
    if as_json:
        print_json([{rows.unit: items[row].at, "text": texts[row]} for row in drawn])
        return
    dialect = read_dialect(rows)
    names = column_names(all_texts.rows)
    columns = [name for name in names if name != topic]
    to_fill_in = (["", *_cells(items[row], columns)] for row in drawn)
    table = _csv([topic, *columns], to_fill_in, dialect)
    _write(output, table, dialect, f"{len(drawn):,} of {counted(len(texts), 'text')} to label")
    if rest is not None:
        drawn_forms = {normal_form(texts[row]) for row in drawn}
        if len(all_texts.rows) > len(items):
            columns = names
        is_other = [normal_form(text) not in drawn_forms for text in all_texts.texts]
        others = (_cells(row, columns) for row in itertools.compress(all_texts.rows, is_other))
        write_result(rest, _csv(columns, others, dialect), "table")
        show(f"{counted(sum(is_other), 'other text')}: {rest}")


def _cells(row: SourceRow, columns: Sequence[str]) -> list[Any]:
    return [row.values.get(name) for name in columns]


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]], dialect: TableDialect) -> bytes:
    file = io.BytesIO()
    writer = table_writer(file, dialect)
    writer.writerow(header)
    writer.writerows([*map(table_cell, cells)] for cells in rows)
    return file.getvalue()


def _find_open(rows: RowReader, unlabelled: UnlabelledTexts, layout: Layout | None) -> list[bool]:
    """Return which texts have no topic yet, and say how many have one.

    If all of them have one, these may be answers: the topics are ignored.
    """
    if layout is None or not rows.has_names:
        return [True] * len(unlabelled.rows)
    is_open = [not has_topic(row, layout) for row in unlabelled.rows]
    n_labelled = is_open.count(False)
    if n_labelled == len(is_open):
        say(
            f"{rows.name}: every text already has a topic{_where(layout)}; these topics are ignored"
        )
        return [True] * len(is_open)
    if n_labelled:
        say(
            f"{rows.name}: {counted(n_labelled, 'text')} with a topic already{_where(layout)} "
            f"{'is' if n_labelled == 1 else 'are'} not suggested"
        )
    return is_open


def _take(unlabelled: UnlabelledTexts, is_taken: Sequence[bool]) -> UnlabelledTexts:
    return replace(
        unlabelled,
        texts=list(itertools.compress(unlabelled.texts, is_taken)),
        rows=list(itertools.compress(unlabelled.rows, is_taken)),
    )


def _where(layout: Layout) -> str:
    """Name the columns of a layout's topics, for a message."""
    form = layout.topic_form
    return in_columns(form.columns if form is not None and form.columns else [layout.topic])


def _check_output(flag: str, path: Path, sources: Sequence[str], as_json: bool) -> None:
    if as_json:
        raise OptionError(
            f"{flag} applies to CSV output and can't be combined with --json; leave one out."
        )
    if path.suffix.lower() != ".csv":
        raise OptionError(f"{flag} {path}: it is a CSV file; name it {path.stem}.csv.")
    check_target(flag, path, sources)


def _check_page_options(*, open_page: bool, random: bool) -> None:
    if not open_page:
        check_only_with_page()
    elif random:
        raise OptionError(
            "--random sets texts aside in a table; to label them on a page, give the table to "
            "`slugline label`."
        )


def _check_page(output: Path | None, sources: Sequence[str], as_json: bool) -> Path:
    """Return the file of labels of the page; OptionError if the options don't go together."""
    if as_json:
        raise OptionError("--page opens a page and can't be combined with --json; leave one out.")
    if output is None:
        raise OptionError("--page needs a file in which labels are kept; add -o labels.db.")
    if output.suffix.lower() == ".csv":
        raise OptionError(
            f"--output {output}: with --page, it is a database; name it {output.stem}.db."
        )
    check_target("--output", output, sources)
    check_can_open()
    return output


def _plain(suggestion: Suggestion) -> dict[str, object]:
    return {
        "text": suggestion.text,
        "guess": suggestion.topic,
        "probability": round(suggestion.probability, 4),
    }


def _table(
    suggestions: Sequence[Suggestion],
    inputs: Sequence[Mapping[str, Any]],
    layout: Layout | None,
    dialect: TableDialect,
) -> bytes:
    """Return a table of suggestions, with all columns of their rows."""
    columns = list(dict.fromkeys(name for row in inputs for name in row))
    is_alike = layout is not None and {*layout.text} <= {*columns}
    topics = [layout.topic if layout is not None and is_alike else "topic"]
    form = None if layout is None else layout.topic_form
    if form is not None and form.kind == "columns":
        topics = [*form.columns]
    columns = [name for name in columns if name not in topics]
    # With a separator, an empty cell would be a text of no topic.
    to_fill_in = NOT_LABELLED if form is not None and form.kind == "separator" else ""
    names = answer_names([*topics, *columns], ["guess", "probability"])
    file = io.BytesIO()
    writer = table_writer(file, dialect)
    writer.writerow([*topics, *columns, names["guess"], names["probability"]])
    for chosen, row in zip(suggestions, inputs, strict=True):
        cells = (table_cell(row.get(name)) for name in columns)
        probability = decimal_cell(f"{chosen.probability:.4f}", dialect.delimiter)
        guess = chosen.topic
        if isinstance(guess, tuple):
            guess = ((form and form.separator) or ";").join(map(str, guess))
        writer.writerow([*[to_fill_in] * len(topics), *cells, guard_cell(guess), probability])
    return file.getvalue()
