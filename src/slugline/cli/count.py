"""`slugline count`: count the texts of each topic, with intervals."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

from slugline.api.counting import count_data
from slugline.base.wording import counted, one_line
from slugline.cli import options
from slugline.cli.options import COUNT, OUTPUT_FILE, command, option, read_day
from slugline.cli.output import print_json, print_table, show, show_progress, warn
from slugline.cli.output_paths import check_ending, check_target
from slugline.corpus.layout import ReadOptions
from slugline.counting.dates import DATE_ORDERS, PERIODS, DateOrder
from slugline.counting.results import (
    ALL,
    Counts,
    TopicCount,
    describe_left_out,
    describe_method,
    describe_tests,
)
from slugline.counting.tally import CountOptions
from slugline.errors import OptionError

# Maximum number of changes to print.
_MAX_CHANGES = 20
# Maximum length of topic names in column headings.
_NAME_LENGTH = 20
# Placeholder for a missing estimate.
_DASH = "–"
_ENDINGS = (".csv", ".xlsx", ".html", ".json", ".svg")


def _check_one(_: object, __: object, values: tuple[str, ...]) -> str | None:
    """Return the only value of --by, or None; raise OptionError for several."""
    if len(values) > 1:
        raise OptionError(f"--by is given {len(values)} times; group by one period or column.")
    return values[0] if values else None


@command()
@options.model_argument
@options.argument(
    "file",
    "Texts: one per line, or CSV, TSV, JSONL, JSON, Parquet or Excel (also .gz); - for standard "
    "input. Or the database of `slugline serve --watch`, to count the texts it answered.",
)
@options.file_options
@option(
    "--by COLUMN",
    f"Group by a column, or by {', '.join(PERIODS[:-1])} or {PERIODS[-1]}.",
    multiple=True,
    callback=_check_one,
)
@option("--topic topics NAME", "Topic to show. Repeatable.", multiple=True, show_default="all")
@option("--since DAY", "Count only texts answered on or after this day, such as 2026-03-01.")
@option("--date COLUMN", "Date column.", show_default="the only one with dates")
@option(
    "--date-order ORDER",
    "Order of dates such as 03/04/2026: day-first or month-first.",
    show_default="detected",
    values=DATE_ORDERS,
)
@option(
    "--labelled FILE",
    "Labels of a random sample of the texts, or a database of `slugline label`. They should not "
    "be training data of MODEL.",
)
@option(
    "--output -o FILE",
    "Write counts to a .csv, .xlsx, .html or .json file, or charts to an .svg file.",
    type=OUTPUT_FILE,
)
@options.seed()
@option(
    "--threads N",
    "Number of threads; doesn't affect results.",
    type=COUNT,
    default=1,
    parameters=("n_jobs", "n_threads"),
)
@options.output_options
def count(
    model: str,
    file: str,
    by: str | None,
    topics: tuple[str, ...],
    since: str | None,
    date: str | None,
    date_order: DateOrder | None,
    labelled: str | None,
    reading: ReadOptions,
    output: Path | None,
    seed: int,
    threads: int,
    as_json: bool,
) -> None:
    """Count how many texts have each topic, with 95 % intervals.

    Counting a model's answers is biased even if most answers are right. These
    counts are corrected for the model's errors on held-out training texts; the
    intervals show the remaining uncertainty.

    For example:

      slugline count tickets.slug new.csv
      slugline count tickets.slug new.csv --by month --topic complaint -o new.html
      slugline count tickets.slug watch.db --since 2026-03-01
    """
    options.check_model_first("count", model, file)
    if output is not None:
        check_ending("--output", output, _ENDINGS)
        check_target("--output", output, [model, file, labelled])
    with show_progress(is_late=True) as progress:
        result = count_data(
            model,
            file,
            reading,
            CountOptions(
                by=by, date=date, date_order=date_order, topics=topics, n_threads=threads, seed=seed
            ),
            since=None if since is None else read_day(since),
            labelled=labelled,
            progress=progress,
        )
    counts = result.counts
    if output is not None:
        result.save(output)
    if as_json:
        print_json(counts.to_dict())
    else:
        _print_counts(counts)
    left_out = describe_left_out(counts)
    warn([*([f"{counts.name}: {left_out}"] if left_out else []), *counts.concerns])


# Tables ------------------------------------------------------------------------------------------


def _print_counts(counts: Counts) -> None:
    if len(counts.groups) < 2:
        [group] = counts.groups or [counts.total]
        if counts.groups:
            show(f"{group.name}: {counted(group.n_texts, 'text')}")
        _print_topics(counts, [(topic.topic, topic) for topic in group.by_share()], "topic")
    elif len(counts.total.topics) == 1:
        _print_groups_of_topic(counts)
    else:
        _print_groups(counts)
    changes = counts.significant_changes
    for change in changes[:_MAX_CHANGES]:
        show(f"{change.describe()}.")
    if len(changes) > _MAX_CHANGES:
        show(f"{len(changes) - _MAX_CHANGES:,} more significant {counts.change_noun}s.")
    tests = describe_tests(counts)
    if tests:
        show(tests)
    if counts.plan is not None:
        show(counts.plan.describe())


def _print_groups_of_topic(counts: Counts) -> None:
    """Print a row per group and one for all texts."""
    [total] = counts.total.topics
    show(f"{total.topic}:")
    rows = [(group.name, group.find(total.topic)) for group in counts.groups]
    _print_topics(counts, [*rows, (ALL, total)], counts.column or "group", has_texts=True)


def _print_topics(
    counts: Counts, topics: Sequence[tuple[str, TopicCount]], label: str, *, has_texts: bool = False
) -> None:
    """Print a table with a row per (name, topic) pair."""
    head = [label, "texts", "share", "95 % interval", "number", "", "answers", "by"]
    rows: list[Sequence[str]] = [head]
    for name, topic in topics:
        low, high = topic.interval
        estimate = [_DASH] * 4
        if topic.is_estimated:
            estimate = [
                f"{100 * topic.share:.1f} %",
                f"{100 * low:.1f} to {100 * high:.1f} %",
                f"{topic.n:,.0f}",
                f"{topic.n_low:,} to {topic.n_high:,}",
            ]
        answers = "" if topic.n_answers is None else f"{topic.n_answers:,}"
        rows.append([name, f"{topic.n_texts:,}", *estimate, answers, describe_method(topic)])
    # Without labels, all counts are model-based.
    left_out = {*([] if has_texts else [1]), *([] if counts.n_labelled else [7])}
    print_table([[cell for i, cell in enumerate(row) if i not in left_out] for row in rows])
    show()


def _print_groups(counts: Counts) -> None:
    """Print a row per group with the number of each topic, wrapped to the line width."""
    names = [topic.topic for topic in counts.total.by_share()]
    groups = (*counts.groups, counts.total._replace(name=ALL))
    first = [[counts.column or "group", *(group.name for group in groups)]]
    first.append(["texts", *(f"{group.n_texts:,}" for group in groups)])
    last = [["by", *(describe_method(group) for group in groups)]] if counts.n_labelled else []
    columns = [
        [one_line(name, _NAME_LENGTH), *(_format_number(group.find(name)) for group in groups)]
        for name in names
    ]
    show("Number of texts of each topic, with 95 % intervals:")
    width = shutil.get_terminal_size().columns - _width([*first, *last])
    while columns:
        n_columns = max(
            1, sum(total <= width for total in accumulate(_width([column]) for column in columns))
        )
        print_table([*zip(*first, *columns[:n_columns], *last, strict=True)])
        show()
        columns = columns[n_columns:]
    show("For shares and the model's answers, choose a topic with --topic.")
    show()


def _width(columns: Iterable[Sequence[str]]) -> int:
    """Return the total width of columns in characters, each followed by two spaces."""
    return sum(max(map(len, column)) + 2 for column in columns)


def _format_number(topic: TopicCount) -> str:
    if not topic.is_estimated:
        return _DASH
    return f"{topic.n:,.0f} ({topic.n_low:,}–{topic.n_high:,})"
