"""`slugline suggest`: suggest documents to label next, as a table to fill in."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from slugline.base.wording import counted
from slugline.cli import options
from slugline.cli.documents import read_unlabelled
from slugline.cli.label_page import (
    PageOptions,
    check_can_open,
    check_only_with_page,
    page_options,
    serve_page,
)
from slugline.cli.options import COUNT, OUTPUT_FILE, argument, command, option
from slugline.cli.output import print_json, say, show_progress, write_table
from slugline.cli.output_paths import check_database, check_ending, check_target
from slugline.corpus.columns import column_names
from slugline.corpus.label_database.records import ModelGuess, Selection
from slugline.corpus.layout import Layout, ReadOptions
from slugline.corpus.loading import UnlabelledTexts
from slugline.corpus.readers import RowReader, read_dialect
from slugline.errors import DataError, OptionError
from slugline.experiment import suggest as suggesting
from slugline.experiment.suggest import Suggestion
from slugline.experiment.suggestion_table import (
    RandomTexts,
    draw_texts,
    open_texts,
    rows_table,
    suggestion_table,
    take_texts,
)
from slugline.labels.draws import OrderedSelector
from slugline.labels.label_setup import add_topics
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments, SourceColumns, TextTable, missing_note
from slugline.model.file.content import load_model
from slugline.model.fitted import Fitted


@command()
@options.models_argument(
    "model",
    "A model file (.slug), or the included model reuters46; omit it with --random.",
    required=False,
)
@argument(
    "file",
    "Unlabelled texts: one per line, or CSV, TSV, JSONL, JSON, Parquet or Excel (also .gz); - for "
    "standard input.",
    metavar="UNLABELLED",
    required=False,
)
@option("--random", "Choose texts at random, for testing models.")
@option(
    "--rest CSV",
    "With --random, write the other texts, without copies of the chosen ones.",
    type=OUTPUT_FILE,
)
@option("--number -n N", "Number of texts to choose.", type=COUNT, default=50)
@options.file_options
@option("--topic COLUMN", "Topic column to fill in; added if missing.", show_default="MODEL's")
@option(
    "--output -o FILE",
    "Table to write (.csv); with --page, the database of labels.",
    type=OUTPUT_FILE,
    show_default="standard output",
)
@option("--page open_page", "Label the texts in the browser instead of writing a table.")
@page_options()
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
    """Choose the unlabelled texts whose labels would improve a model most.

    Writes a table: an empty topic column, named as in MODEL's training data, the
    columns of UNLABELLED, a guess and its probability. Fill in any number of
    topics, and pass the table to `slugline train` together with the previous
    training data. Rows that already have a topic are skipped.

    With --random, chooses random texts instead, which are needed to measure a
    model. Set them aside before the first training, and don't train on them.

    With --page, labels the texts on the page of `slugline label`, which shows the
    guesses, and stores labels in a SQLite database for `slugline train`.

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
        rows, unlabelled = read_unlabelled(file, reading)
        drawn, note = draw_texts(rows, unlabelled, number, seed=seed, topic=topic)
        _say_note(rows, note)
        _write_drawn(rows, drawn, output, rest, as_json)
        return
    if rest is not None:
        raise OptionError("--rest requires --random; add it, or remove --rest.")
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
    is_open, note = open_texts(rows, unlabelled, layout)
    _say_note(rows, note)
    if open_page and output is not None:
        choose = functools.partial(_choose_texts, fitted, rows, number=number, seed=seed)
        _label_suggestions(fitted, file, unlabelled, is_open, layout, choose, output, page)
        return
    unlabelled = take_texts(unlabelled, is_open)
    suggestions = _choose_texts(fitted, rows, unlabelled.texts, number, seed)
    if as_json:
        print_json([{rows.unit: unlabelled.rows[s.row].at, **_plain(s)} for s in suggestions])
        return
    dialect = read_dialect(rows).with_characters(fitted.topics.names)
    table = suggestion_table(suggestions, rows, unlabelled, layout, dialect)
    n_texts = counted(len(unlabelled.texts), "text")
    content = f"{len(suggestions):,} of {n_texts} to label"
    write_table(output, table, content, dialect.encoding)


def _choose_texts(
    fitted: Fitted, rows: RowReader, texts: Sequence[str], number: int, seed: int
) -> list[Suggestion]:
    """Return the most useful texts to label; report if there are fewer than requested."""
    with show_progress() as progress:
        suggestions = suggesting.suggest(
            fitted, texts, number, random_state=seed, progress=progress
        )
    n_suggestions = len(suggestions)
    if n_suggestions < min(number, len(texts)):
        differ = "differs" if n_suggestions == 1 else "differ"
        say(f"{rows.name}: only {counted(n_suggestions, 'text')} {differ} enough to be suggested")
    return suggestions


def _only_file(first: str | None, second: str | None) -> str:
    """Return the only argument allowed with --random, a file."""
    if first is None:
        raise OptionError("Missing argument 'UNLABELLED'.")
    if second is not None:
        raise OptionError("--random takes no MODEL; give only UNLABELLED.")
    return first


def _check_outputs(file: str, output: Path | None, rest: Path | None, as_json: bool) -> None:
    if output is not None:
        _check_output("--output", output, [file], as_json)
    if rest is not None:
        _check_output("--rest", rest, [file], as_json)
        check_target("--rest", rest, outputs=[] if output is None else [output])


def _say_note(rows: RowReader, note: str | None) -> None:
    if note is not None:
        say(f"{rows.name}: {note}")


def _write_drawn(
    rows: RowReader, drawn: RandomTexts, output: Path | None, rest: Path | None, as_json: bool
) -> None:
    """Write random texts as a table and the others to `rest`, or print JSON."""
    if as_json:
        pairs = zip(drawn.rows, drawn.texts, strict=True)
        print_json([{rows.unit: row.at, "text": text} for row, text in pairs])
        return
    dialect = read_dialect(rows)
    table = rows_table(drawn.rows, dialect, to_fill_in=drawn.topic)
    content = f"{len(drawn.rows):,} of {counted(drawn.n_open, 'text')} to label"
    write_table(output, table, content, dialect.encoding)
    if rest is not None:
        content = counted(len(drawn.other_rows), "other text")
        write_table(rest, rows_table(drawn.other_rows, dialect), content)


def _check_output(flag: str, path: Path, sources: Sequence[str], as_json: bool) -> None:
    if as_json:
        raise OptionError(
            f"{flag} applies to CSV output and can't be combined with --json; leave one out."
        )
    check_ending(flag, path, [".csv"])
    check_target(flag, path, sources)


def _check_page_options(*, open_page: bool, random: bool) -> None:
    if not open_page:
        check_only_with_page()
    elif random:
        raise OptionError(
            "--random can't be combined with --page; write a table, and open it with "
            "`slugline label`."
        )


def _check_page(output: Path | None, sources: Sequence[str], as_json: bool) -> Path:
    """Return the page's label database; OptionError if the options conflict."""
    if as_json:
        raise OptionError("--page opens a page and can't be combined with --json; leave one out.")
    if output is None:
        raise OptionError("--page requires a label database; add -o labels.db.")
    check_database("--output", output, sources)
    check_can_open()
    return output


def _plain(suggestion: Suggestion) -> dict[str, object]:
    return {
        "text": suggestion.text,
        "guess": suggestion.topic,
        "probability": round(suggestion.probability, 4),
    }


# The page -----------------------------------------------------------------------------------------


def _label_suggestions(
    fitted: Fitted,
    file: str,
    unlabelled: UnlabelledTexts,
    is_open: Sequence[bool],
    layout: Layout | None,
    choose: Callable[[Sequence[str]], list[Suggestion]],
    output: Path,
    page: PageOptions,
) -> None:
    """Serve a page for labelling the texts that `choose` picks.

    Picks from texts that have neither a topic in the file (`is_open`) nor a label in `output`.
    """
    settings = page.settings()
    with contextlib.ExitStack() as stack:
        address = page.address()
        names = column_names(unlabelled.rows)
        topic = layout.topic if layout is not None and layout.topic in names else None
        table = TextTable.from_texts(file, unlabelled, SourceColumns.from_file(output), topic)
        store = stack.enter_context(LabelStore(output))
        assignments = RowAssignments.from_store(table, store)
        note = missing_note(assignments, table)
        if note is not None:
            say(note)
        free = [row for row in assignments.free_rows("").tolist() if is_open[row]]
        if not free:
            raise DataError(f"every text of {file} has a topic, or a label in {output}.")
        suggestions = choose([table.texts[row] for row in free])
        coder = store.add_coder(page.coder_name()).name
        table.remember_source(store)
        if fitted.multilabel_rule is not None and not store.is_multilabel:
            store.set_multilabel(True)
        add_topics(store, dict.fromkeys(map(str, fitted.topics.names), ""), coder)
        selections = {free[each.row]: _selection(each) for each in suggestions}
        from slugline.serving.labelling.service import LabelService

        service = LabelService(
            store,
            table,
            assignments,
            OrderedSelector(assignments, selections),
            coder,
            content="suggestions",
            shows_guesses=True,
        )
        content = f"{len(selections):,} of {counted(len(free), 'text')} to label"
        serve_page(settings, service, address, content)
        say(f"labels are in {output}; train on them and the model's training data")


def _selection(suggestion: Suggestion) -> Selection:
    topic = suggestion.topic
    topics = tuple(map(str, topic)) if isinstance(topic, tuple) else (str(topic),)
    guess = ModelGuess(topics, suggestion.probability)
    return Selection("suggested", guess=guess, is_guess_shown=True)
