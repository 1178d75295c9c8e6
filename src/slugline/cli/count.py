"""`slugline count`: how many texts have each topic, with intervals."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from pathlib import Path

from slugline.base.files import file_sha256
from slugline.base.lazy import import_extra
from slugline.base.wording import counted, join_words
from slugline.cli import options
from slugline.cli.options import COUNT, OUTPUT_FILE, command, option
from slugline.cli.output import print_json, print_table, say, show, show_progress, warn
from slugline.cli.output_paths import check_target
from slugline.corpus.readers import read_rows
from slugline.counting.count import CountOptions, check_countable, count_rows
from slugline.counting.dates import DATE_ORDERS, PERIODS, DateOrder, Period
from slugline.counting.results import ALL, Counts, TopicCount, check_topics, describe_left_out
from slugline.errors import DataError, Message, OptionError
from slugline.model.file.container import DIGEST_LENGTH
from slugline.model.file.content import load_model
from slugline.model.file.shipped import model_path
from slugline.serving.watch.counts import count_days
from slugline.serving.watch.store import is_watch_file

# Seconds after which a progress bar is shown.
_DELAY = 1.0
# Delimiters of the texts' file that its counts have as well.
_DELIMITERS = (",", ";", "\t", "|")
_ENDINGS = (".csv", ".xlsx", ".html", ".json", ".svg")


@command()
@options.model_argument
@options.argument(
    "file",
    "Texts to count: one per line, or CSV, TSV, JSONL, JSON, Parquet or Excel (also .gz); - for "
    "standard input. Or the file of `slugline serve --watch`, for the texts that were answered.",
)
@options.text_option
@option(
    "--by COLUMN",
    f"Count each value of a column, or each {', '.join(PERIODS[:-1])} or {PERIODS[-1]} of dates.",
)
@option("--topic topics NAME", "Topic to show; repeatable.", multiple=True, show_default="all")
@option("--since DAY", "Count the texts that a server answered since a day, such as 2026-03-01.")
@option("--date COLUMN", "Column of dates.", show_default="the one that holds dates")
@option(
    "--date-order ORDER",
    "Order of dates such as 03/04/2026: day-first or month-first.",
    show_default="found in the first rows",
    values=DATE_ORDERS,
)
@option(
    "--labelled FILE",
    "Labels of some of the texts, drawn at random, or a label database of `slugline label`.",
)
@option(
    "--plan MARGIN",
    "Say how many texts to label, so that 95 % intervals end within MARGIN of the share, such as "
    "0.02 for 2 points either way.",
    type=float,
)
@options.format_option
@options.encoding_option
@options.separator_option
@option(
    "--output -o FILE",
    "Write the table to a .csv, .xlsx, .html or .json file, or the chart to .svg.",
    type=OUTPUT_FILE,
)
@options.seed()
@option(
    "--threads N",
    "Number of threads; does not change results.",
    type=COUNT,
    default=1,
    parameters=("n_jobs", "n_threads"),
)
@options.output_options
def count(
    model: str,
    file: str,
    text: str | None,
    by: str | None,
    topics: tuple[str, ...],
    since: str | None,
    date: str | None,
    date_order: DateOrder | None,
    labelled: str | None,
    plan: float | None,
    format: str | None,  # noqa: A002 (the user's word)
    encoding: str | None,
    separator: str | None,
    output: Path | None,
    seed: int,
    threads: int,
    as_json: bool,
) -> None:
    """Count how many texts have each topic, with 95 % intervals.

    Counts of a model's answers are wrong even if most answers are right. These
    counts are corrected by what the model got wrong on training texts that it had
    not learned from, and the intervals say how far off they may still be.

    For example:

      slugline count tickets.slug new.csv
      slugline count tickets.slug new.csv --by month -o counts.html
      slugline count tickets.slug watch.db --since 2026-03-01
    """
    options.check_model_first("count", model, file)
    if output is not None:
        _check_ending(output)
        check_target("--output", output, [model, file, labelled])
    fitted, _ = load_model(model)
    if labelled is None:  # labels may have other topics
        check_topics(topics, [str(name) for name in fitted.topics.names])
    if since is not None or is_watch_file(file):
        for name, value in (
            ("--text", text),
            ("--date", date),
            ("--date-order", date_order),
            ("--labelled", labelled),
            ("--plan", plan),
            ("--format", format),
            ("--encoding", encoding),
            ("--separator", separator),
        ):
            if value is not None:
                raise OptionError(f"{name} needs texts, and daily sums have none; leave it out.")
        counts = count_days(
            file,
            fitted,
            file_sha256(Path(model_path(model)))[:DIGEST_LENGTH],
            since=None if since is None else _read_day(since),
            by=None if by is None else _read_period(by),
            seed=seed,
        )
        _show_counts(counts.restrict(topics), output, as_json=as_json)
        return
    sample = None
    if labelled is not None:
        from slugline.counting.labelled_file import read_labelled_sample

        sample = read_labelled_sample(Path(labelled), fitted)
    check_countable(fitted, sample)  # before the file is opened
    settings = CountOptions(
        text=text,
        by=by,
        date=date,
        date_order=date_order,
        labelled=sample,
        plan=plan,
        n_threads=threads,
        seed=seed,
    )
    rows = read_rows(
        file,
        format=format,
        fallback="txt",
        encoding=encoding,
        separator=separator,
        layout=fitted.layout,
    )
    if rows.note:
        say(Message(f"{rows.name}: ", rows.note))
    start = time.monotonic()
    with show_progress(delay=_DELAY) as progress:

        def show_rows(n_rows: int) -> None:
            speed = n_rows / max(time.monotonic() - start, 1e-3)
            detail = f"{n_rows:,} {rows.unit}s  {speed:,.0f} a second"
            progress.update("counting", rows.fraction_read(), detail)

        counts = count_rows(
            fitted,
            rows,
            settings,
            announce=lambda note: say(Message(f"{rows.name}: ", note)),
            on_progress=show_rows,
            on_interval=lambda fraction: progress.update("computing intervals", fraction),
        )
    delimiter = rows.separator if rows.separator in _DELIMITERS else ","
    _show_counts(counts.restrict(topics), output, as_json=as_json, delimiter=delimiter)


def _read_day(since: str) -> datetime.date:
    """Return a day in ISO 8601: of 03/04/2026, nobody knows which is the month."""
    try:
        return datetime.date.fromisoformat(since)
    except ValueError:
        raise OptionError(f"--since {since!r} is not a day; give one such as 2026-03-01.") from None


def _read_period(by: str) -> Period:
    """Return the period by which daily sums are counted."""
    period = next((each for each in PERIODS if each == by), None)
    if period is None:
        raise OptionError(
            f"--by {by!r} is no period, and daily sums have no columns; give "
            f"{join_words(PERIODS, last='or')}."
        )
    return period


def _show_counts(
    counts: Counts, output: Path | None, *, as_json: bool, delimiter: str = ","
) -> None:
    """Write and print counts, and what speaks against them."""
    if output is not None:
        from slugline.api.counting import CountResult

        CountResult(counts, delimiter=delimiter).save(output)
    if as_json:
        print_json(counts.to_dict())
    else:
        _print_counts(counts)
    left_out = describe_left_out(counts)
    warn([*([f"{counts.name}: {left_out}"] if left_out else []), *counts.concerns])


def _check_ending(output: Path) -> None:
    """Raise OptionError, before the work, unless counts can be written to a file."""
    if output.suffix not in _ENDINGS:
        raise OptionError(f"--output {output}: end the name in {join_words(_ENDINGS, last='or')}.")
    if output.suffix == ".xlsx":
        import_extra("openpyxl", "Excel files", "excel", DataError)


def _print_counts(counts: Counts) -> None:
    total = counts.total._replace(name=ALL) if counts.groups else counts.total
    groups = (*counts.groups, total)
    head = ["share", "95 % interval", "number", "", "answers"]
    if counts.n_labelled:
        head.append("by")
    if counts.groups and len(total.topics) == 1:
        show(f"{total.topics[0].topic}:")
        _print_table(
            [counts.column or "group", "texts", *head],
            [
                (topic, [group.name, f"{group.n_texts:,}"])
                for group in groups
                for topic in group.topics
            ],
        )
    else:
        for group in groups:
            if group.name:
                show(f"{group.name}: {counted(group.n_texts, 'text')}")
            _print_table(["topic", *head], [(topic, [topic.topic]) for topic in group.by_share()])
    for change in counts.significant_changes:
        show(f"{change.describe()}.")
    if counts.changes and not counts.significant_changes:
        show("No change is more than chance.")
    if counts.plan is not None:
        show(counts.plan.describe())


def _print_table(head: list[str], topics: Sequence[tuple[TopicCount, list[str]]]) -> None:
    """Print a row for each topic, which begins with some cells, and an empty line."""
    rows: list[Sequence[str]] = [head]
    for topic, first in topics:
        low, high = topic.interval
        cells = [
            *first,
            f"{100 * topic.share:.1f} %",
            f"{100 * low:.1f} to {100 * high:.1f} %",
            f"{topic.n:,.0f}",
            f"{topic.n_low:,} to {topic.n_high:,}",
            "" if topic.n_answers is None else f"{topic.n_answers:,}",
            topic.method,
        ]
        rows.append(cells[: len(head)])
    print_table(rows)
    show()
