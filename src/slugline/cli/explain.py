"""`slugline explain`: show the words for and against a topic."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from slugline.base.files import write_result
from slugline.base.wording import counted, printable
from slugline.cli import options
from slugline.cli.documents import load_parts
from slugline.cli.options import COUNT, OUTPUT_FILE, argument, command, option
from slugline.cli.output import print_json, print_table, say, show
from slugline.cli.output_paths import check_target
from slugline.corpus.documents import RowText
from slugline.corpus.layout import ReadOptions
from slugline.errors import DataError, OptionError
from slugline.explanation import explain as explaining
from slugline.explanation.explanation import Explanation, format_word, merge_spans
from slugline.model.decider import Decider
from slugline.model.decision import describe_unsure
from slugline.model.file.content import load_model
from slugline.model.fitted import Fitted
from slugline.text.table_columns import describe_odd_cells, odd_cells_note, unused_note

# Default number of words to show; maximum length of a text shown in colour.
_N_WORDS, _N_CHARACTERS = 15, 4000
# Bar length of the strongest word; maximum length of a displayed document.
_N_SIGNS, _N_EXAMPLE = 10, 70
# Maximum length of a text that could be a file path.
_MAX_PATH = 1000
# Maximum size of standard input in bytes: about a hundred books.
_MAX_BYTES = 1 << 26


@command()
@options.model_argument
@argument("text", "The text, or - for standard input.")
@option(
    "--column columns NAME=VALUE",
    "Value of an additional input column, such as product=Card. Repeatable.",
    multiple=True,
    show_default="missing",
)
@option("--topic NAME", "Topic to explain.", show_default="the predicted one")
@option("--not against NAME", "Explain why the topic is not NAME.")
@option("--number -n N", "Number of words to show.", type=COUNT, show_default=f"at most {_N_WORDS}")
@option(
    "--examples data DATA",
    "Show the most similar documents of MODEL's training data. Repeatable.",
    multiple=True,
)
@option("--html FILE", "Write a page with the words highlighted in the text.", type=OUTPUT_FILE)
@options.output_options
def explain(
    model: str,
    text: str,
    columns: Sequence[str],
    topic: str | None,
    against: str | None,
    number: int | None,
    data: Sequence[str],
    html: Path | None,
    as_json: bool,
) -> None:
    """Show which words count for or against a topic, and by how much.

    The attributions of all words and the score of an empty text add up to the
    model's score. With --json, words include their positions in the text.
    Multi-label models explain each predicted topic.

    For example:

      slugline explain reuters46 "Wheat exports rose"
      slugline explain tickets.slug --not refund - < ticket.txt
    """
    options.check_model_first("explain", model, text)
    if html is not None:
        check_target("--html", html, [model, *data])
    fitted, _ = load_model(model)
    text = _read_cells(fitted, _read(text), columns)
    corpus = None
    if data:
        reading = ReadOptions(skip_bad_rows=True, layout=fitted.layout)
        corpus = load_parts(data, reading)["train"]
        n_skipped = corpus.n_skipped + corpus.n_unlabelled
        if n_skipped:
            skipped = counted(n_skipped, "row")
            say(f"{corpus.name}: skipped {skipped} without a usable text or topic")
    explanation = explaining.explain(fitted, text, topic, against=against, corpus=corpus)
    if not explanation.reasons:
        say("no word is in the model's vocabulary; this is its answer to an empty text")
    if explanation.n_unlisted:
        say(
            f"the text has {counted(explanation.n_words, 'word')}: listing the "
            f"{len(explanation.spans()):,} strongest positions and the sum of the other "
            f"{explanation.n_unlisted:,}"
        )
    if data and not explanation.examples:
        say(f"{' '.join(data)}: no document of {explanation.topic} is similar to the text")
    unsure = _describe_unsure(fitted, text) if topic is None and against is None else ""
    if html is not None:
        from slugline.reports.explanation import explanation_page

        write_result(html, explanation_page(explanation, unsure), "report")
    if as_json:
        print_json(explanation.to_dict() | ({"unsure": unsure} if unsure else {}))
    else:
        if unsure:
            show(f"{unsure[0].upper()}{unsure[1:]}")
        _print(explanation, number)


def _read_cells(fitted: Fitted, text: str, values: Sequence[str]) -> str:
    """Return the text combined with values of extra columns, such as product=Card."""
    cells: dict[str, str] = {}
    names = [column.name for column in fitted.features.table_columns]
    for value in values:
        name = next((n for n in names if value.startswith(f"{n}=")), None)
        if name is None:
            listed = f"its columns are {', '.join(names)}" if names else "it has no columns"
            raise OptionError(
                f"--column {value!r} is not a column of the model; {listed}; pass a name and a "
                "value, such as product=Card."
            )
        cells[name] = value.removeprefix(f"{name}=")
    row = RowText(text, cells) if names else text
    remarks = describe_odd_cells([row], fitted.columns).values()
    for note in (odd_cells_note(remarks), unused_note(cells, fitted.features.table_columns)):
        if note:
            say(note)
    return row


def _read(text: str) -> str:
    """Return the text, from standard input if it is a dash; DataError if it is too long."""
    if text != "-":
        # Unlike pathlib, os.path accepts any string.
        if len(text) < _MAX_PATH and os.path.isfile(text):  # noqa: PTH113
            say(
                f"explaining the words {text!r}, not the file of that name; to explain the file, "
                f"pass it on standard input: - < {text}"
            )
        return text
    if sys.stdin.isatty():
        say("type a text; Ctrl-D ends it")
    data = sys.stdin.buffer.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise DataError(
            f"standard input exceeds {_MAX_BYTES >> 20} MB; explain one text at a time."
        )
    return data.decode("utf-8", "surrogateescape")


def _describe_unsure(fitted: Fitted, text: str) -> str:
    """Return why the model is unsure of a text, or an empty string."""
    [decision] = Decider.from_fitted(fitted).decide([text])
    return "" if decision.reason is None else describe_unsure(decision)


def _print(explanation: Explanation, n_words: int | None) -> None:
    in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    versus = "" if explanation.against is None else f" rather than {explanation.against}"
    verdict = explanation.verdict and f", {explanation.verdict}"
    show(f"{explanation.topic}{versus}, probability {explanation.probability:.2f}{verdict}", "")
    if in_colour:
        _print_in_colour(explanation)
    print_table(_rows(explanation, n_words), left_aligned=(1, 2))
    show(
        "", f"attributions are {'approximately ' * explanation.is_approximate}{explanation.method}"
    )
    if explanation.examples:
        show("", f"documents of {explanation.topic} most similar to the text in these words")
        rows = [
            (f"{example.similarity:.3f}", example.place, " ".join(example.text[:400].split()))
            for example in explanation.examples
        ]
        print_table([(*row[:2], row[2][:_N_EXAMPLE]) for row in rows], left_aligned=(1, 2))
    for other in explanation.others:
        show("")
        _print(other, n_words)


def _rows(explanation: Explanation, n_words: int | None) -> list[tuple[str, str, str]]:
    """Return rows for the strongest words, all other words, and the sum."""
    if n_words is None:
        words, totals = explanation.totals(_N_WORDS)
    else:
        words, totals = explanation.totals(n_words, 0)
    largest = max((abs(word.attribution) for word in words), default=0)
    rows = [
        (word.attribution, _signs(word.attribution, largest), format_word(word)) for word in words
    ]
    rows += [(attribution, "", name) for name, attribution in totals]
    return [(f"{attribution:+z.3f}", signs, name) for attribution, signs, name in rows]


def _signs(attribution: float, largest: float) -> str:
    sign = "+" if attribution > 0 else "-"
    return sign * max(1, round(_N_SIGNS * abs(attribution) / largest)) if attribution else ""


def _print_in_colour(explanation: Explanation) -> None:
    """Print the text with its strongest words in colour; words against are also underlined."""
    from rich.console import Console
    from rich.text import Text

    marked = merge_spans(explanation.text, explanation.spans())
    largest = max((abs(attribution) for *_, attribution in marked), default=0)
    text, last = Text(), 0
    for start, end, attribution in marked:
        if abs(attribution) < largest / _N_SIGNS or end > _N_CHARACTERS:
            continue
        text.append(printable(explanation.text[last:start]))
        style = "bold green" if attribution > 0 else "red underline"
        text.append(printable(explanation.text[start:end]), style)
        last = end
    text.append(printable(explanation.text[last : max(last, _N_CHARACTERS)]))
    if len(explanation.text) > _N_CHARACTERS:
        text.append("…")
    Console(soft_wrap=True, highlight=False).print(text, end="\n\n")
