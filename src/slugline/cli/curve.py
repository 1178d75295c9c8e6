"""`slugline curve`: accuracy by number of labels, and the expected gain from more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from slugline.base.chart import svg_file
from slugline.base.checks import check_fraction
from slugline.base.files import write_result
from slugline.base.wording import counted
from slugline.classifier import TopicClassifier
from slugline.cli import options
from slugline.cli.documents import read_parts
from slugline.cli.options import COUNT, OUTPUT_FILE, command, option
from slugline.cli.output import (
    exit_if_interrupted,
    print_json,
    print_table,
    say,
    show,
    show_progress,
    warn,
)
from slugline.cli.output_paths import check_ending, check_target
from slugline.cli.train_options import TEST_FRACTION, encoder_option, parse_encoder
from slugline.corpus.layout import ReadOptions
from slugline.corpus.topics import add_parents
from slugline.errors import Message
from slugline.experiment.curve import LearningCurves, classifiers_to_compare, learning_curves
from slugline.reports.pictures import accuracy_by_labels
from slugline.reports.training_text import curve_rows, describe_forecast, describe_intervals


@command()
@options.data_argument
@options.reading_options
@options.column_option
@options.topic_path_option
@options.test_option
@option(
    "--test-fraction FRACTION",
    "Fraction of DATA to test on without --test.",
    type=float,
    default=TEST_FRACTION,
)
@encoder_option
@option(
    "--draws N",
    "Number of random draws to average.",
    type=COUNT,
    default=5,
    parameters=("n_draws",),
)
@option("--chart SVG", "Chart to write.", type=OUTPUT_FILE)
@options.seed()
@options.threads()
@options.output_options
def curve(
    data: Sequence[str],
    reading: ReadOptions,
    columns: Sequence[str],
    topic_path: str | None,
    test: str | None,
    test_fraction: float,
    encoder: str,
    draws: int,
    chart: Path | None,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Show how accuracy grows with the number of labels.

    Trains on 5, 10, 20 and more labels per topic (1, 2 and 5 if there are few),
    and estimates the gain from twice as many labels. With a non-default encoder,
    also shows the curve of the default one. Ctrl-C shows the points so far.

    For example:

      slugline curve tickets.csv --chart curve.svg
      slugline curve tickets.csv --encoder use
    """
    checked_encoder = parse_encoder(encoder)
    check_fraction("test_fraction", test_fraction)
    if chart is not None:
        check_ending("--chart", chart, [".svg"])
        check_target("--chart", chart, [*data, test, reading.topic_map])
    reading = replace(reading, columns=columns, topic_path=topic_path)
    parts = read_parts(data, test, reading)
    parts = {part: add_parents(corpus, topic_path) for part, corpus in parts.items()}
    settings = TopicClassifier(
        encoder=checked_encoder,
        n_jobs=threads,
        random_state=seed,
        columns=columns or None,
        topic_path=topic_path,
    ).to_settings()
    with show_progress() as progress:
        curves = learning_curves(
            parts["train"],
            parts.get("test"),
            classifiers_to_compare(settings),
            test_fraction=test_fraction,
            n_draws=draws,
            random_state=seed,
            progress=progress,
        )
    for note in curves.notes:
        say(Message(f"{curves.name}: ", note))
    if curves.interrupted:
        warn(["interrupted; showing the points so far, some from fewer draws"])
    if chart is not None:
        write_result(chart, svg_file([accuracy_by_labels(curves)]), "chart")
    if as_json:
        print_json(curves.to_dict() | ({"chart": str(chart)} if chart else {}))
    else:
        _print(curves)
        if chart is not None:
            show(f"chart   {chart}")
    exit_if_interrupted(curves)


def _print(curves: LearningCurves) -> None:
    show(
        f"{curves.name}: {counted(curves.n_topics, 'topic')}, "
        f"{counted(curves.n_train, 'document')} to learn from, {counted(curves.n_test, 'other')} "
        "to test on" + ("; percentages are micro-F1" if curves.multilabel else "")
    )
    print_table(curve_rows(curves), left_aligned=())
    show(describe_intervals(curves))
    for learning_curve in curves.curves:
        show(describe_forecast(learning_curve))
