"""`slugline labels`: show, exchange, compare and approve what people say about topics."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from slugline.base.checks import replace_surrogates, short_repr
from slugline.base.databases import MAX_ID
from slugline.base.wording import counted, join_words
from slugline.cli.labels_exchange import export, import_labels
from slugline.cli.options import Group, argument, command, json_option, option
from slugline.cli.output import print_json, print_table, say, warn
from slugline.cli.output import show as show_text
from slugline.corpus.topic_sets import join_topics
from slugline.corrections.summary import describe_pending, find_reasons
from slugline.errors import DataError, OptionError
from slugline.labels.agreement import (
    Agreement,
    GroupAgreement,
    ImportedAgreement,
    TopicConfusion,
    measure_agreement,
    number_cells,
    percent_cells,
)
from slugline.labels.label_counts import LabelCounts
from slugline.labels.label_setup import login_name
from slugline.labels.store import Correction, LabelStore

# Maximum length of a displayed text, and number of corrections listed without --json.
_MAX_CHARACTERS, _MAX_LISTED = 200, 100
_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")
_PENDING = "pending"

_file_argument = argument(
    "file", "Label database of `slugline label` or `slugline serve --corrections`.", type=Path
)
_who_option = option("--who NAME", "Your name, stored with the change.")


@click.group(cls=Group, no_args_is_help=False)
def labels() -> None:
    """Show, exchange, compare and approve labels and corrections.

    For example:

      slugline labels show labels.db
      slugline labels approve labels.db 3-12
      slugline labels export labels.db labelled.csv
    """


@command()
@_file_argument
@option("--all show_all", "List all corrections, not only pending ones.")
@json_option
def show(file: Path, show_all: bool, as_json: bool) -> None:
    """Count the labels, and list pending corrections."""
    with LabelStore(file, create=False, is_read_only=True) as store:
        counts = store.counts()
        pending = store.pending_corrections()
        undone = [each._asdict() for each in store.undone_corrections()]
        rows = [*store.corrections()] if show_all else store.get_corrections(pending)
        reasons = find_reasons(store, [row for row in rows if row.is_pending])
    if as_json:
        listed = [_to_dict(row, reasons.get(row.id, ())) for row in rows]
        plain = {"counts": counts._asdict(), "corrections": listed, "n_pending": len(pending)}
        print_json(plain | {"undone": undone})
        return
    _print_counts(counts)
    _print_list(rows, reasons, len(pending))


@command()
@_file_argument
@json_option
def agreement(file: Path, as_json: bool) -> None:
    """Measure the agreement between coders, and with compared labels."""
    with LabelStore(file, create=False, is_read_only=True) as store:
        agreement = measure_agreement(store)
    if as_json:
        print_json(agreement.to_dict())
        return
    _print_people(agreement)
    _print_coders(agreement)
    for imported in agreement.imported:
        _print_imported(imported)


@command()
@_file_argument
@argument("numbers", "Corrections: numbers (3), ranges (3-12), or `pending` for all.", nargs=-1)
@_who_option
def approve(file: Path, numbers: Sequence[str], who: str | None) -> None:
    """Approve corrections, so that models train on them.

    Corrections by approvers need no approval.
    """
    _require_numbers(numbers)
    with LabelStore(file, create=False) as store:
        chosen = _choose(store, file, numbers)
        n_approved = sum(store.approve_correction(number, who) for number in chosen)
        n_pending = len(store.pending_corrections())
    say(f"approved {counted(n_approved, 'correction')}; {describe_pending(n_pending)}")


@command()
@_file_argument
@argument("numbers", "Corrections: numbers (3), ranges (3-12), or `pending` for all.", nargs=-1)
@option("--coder NAME", "Withdraw all labels of coder NAME instead.")
@_who_option
def withdraw(file: Path, numbers: Sequence[str], coder: str | None, who: str | None) -> None:
    """Withdraw corrections, or all labels of a coder.

    They stay in the file but no longer count. `slugline labels restore` restores labels.
    """
    if coder is not None and numbers:
        raise OptionError("NUMBERS and --coder exclude each other; choose one.")
    with LabelStore(file, create=False) as store:
        if coder is not None:
            _check_coder(store, coder)
            person = store.add_coder(who or login_name()).name
            n_labels = store.counts().by_coder.get(coder, 0)
            store.withdraw(coder, person)
            say(
                f"withdrew {counted(n_labels, 'label')} of {coder}; undo with: slugline labels "
                f"restore {file} --coder {coder}"
            )
            return
        _require_numbers(numbers)
        chosen = _choose(store, file, numbers)
        n_withdrawn = sum(store.undo_correction(number, who) for number in chosen)
        n_pending = len(store.pending_corrections())
    say(f"withdrew {counted(n_withdrawn, 'correction')}; {describe_pending(n_pending)}")


@command()
@_file_argument
@option("--coder NAME", "Coder whose withdrawn labels to restore.", required=True)
@_who_option
def restore(file: Path, coder: str, who: str | None) -> None:
    """Restore the withdrawn labels of a coder."""
    with LabelStore(file, create=False) as store:
        _check_coder(store, coder)
        withdrawals = [each for each in store.withdrawals() if each.coder.name == coder]
        if not withdrawals:
            raise DataError(f"no labels of {short_repr(coder)} are withdrawn.")
        person = store.add_coder(who or login_name()).name
        for each in withdrawals:
            store.restore(each.id, person)
        n_labels = store.counts().by_coder.get(coder, 0)
    say(f"{coder} has {counted(n_labels, 'label')} again")


for _subcommand in (show, import_labels, export, agreement, approve, withdraw, restore):
    labels.add_command(_subcommand)


def _check_coder(store: LabelStore, name: str) -> None:
    names = [coder.name for coder in store.coders()]
    if name not in names:
        advice = f"choose from {join_words(names)}" if names else "it has none"
        raise DataError(f"{store.path} has no coder {short_repr(name)}; {advice}.")


def _print_counts(counts: LabelCounts) -> None:
    n_answers = counts.by_status.get("settled", 0) + counts.by_status.get("agreed", 0)
    parts = [f"{counted(n_answers, 'text')} with an answer"]
    if n_open := counts.by_status.get("open", 0):
        parts.append(f"{n_open:,} on which coders disagree")
    if n_skipped := counts.by_status.get("skipped", 0):
        parts.append(f"{n_skipped:,} skipped")
    show_text("; ".join(parts))
    by_topic = {topic: n for topic, n in counts.by_topic.items() if n}
    for title, numbers in (("topic", by_topic), ("coder", counts.by_coder)):
        if numbers:
            rows = [(name, f"{n:,}") for name, n in numbers.items()]
            show_text()
            print_table([(title, "texts"), *rows])
    show_text()


def _print_list(
    rows: Sequence[Correction], reasons: Mapping[int, Sequence[str]], n_pending: int
) -> None:
    show_text(describe_pending(n_pending))
    for row in rows[:_MAX_LISTED]:
        text = " ".join(row.text.split())
        if len(text) > _MAX_CHARACTERS:
            text = f"{text[:_MAX_CHARACTERS].rstrip()} …"
        person = row.who or "an unknown person"
        if row.who is not None and not row.is_named:
            person += ", as typed"
        show_text(
            "",
            f"{row.id}  {_format_time(row.at)}, by {person}, of model {row.model}",
            f"  {text}",
            f"  predicted {join_topics(row.answer)}, corrected to {join_topics(row.topic)}",
            *(f"  look closely: {reason}" for reason in reasons.get(row.id, ())),
        )
        if row.approved is not None:
            approver = f" by {row.approver}" if row.approver else ""
            show_text(f"  approved {_format_time(row.approved)}{approver}")
        if row.learned is not None:
            show_text(
                f"  first used in model version {row.learned_by}, {_format_time(row.learned)}"
            )
    if len(rows) > _MAX_LISTED:
        show_text("", f"and {len(rows) - _MAX_LISTED:,} more; use --json to see all")


def _format_time(time: str) -> str:
    return f"{time[:10]} {time[11:16]} UTC"


def _require_numbers(numbers: Sequence[str]) -> None:
    if not numbers:
        raise OptionError("no corrections given; pass numbers, or `pending` for all pending ones.")


def _choose(store: LabelStore, file: Path, values: Sequence[str]) -> list[int]:
    """Return the numbers of the chosen corrections, all of which exist."""
    numbers = _parse_numbers(values, store.pending_corrections())
    _check_exist(store, file, numbers)
    return numbers


def _parse_numbers(values: Sequence[str], pending: Sequence[int]) -> list[int]:
    """Return the correction numbers in the values of an argument, without duplicates.

    Warns about ranges without pending corrections. Raises OptionError if a value is neither a
    number nor a range.
    """
    numbers: dict[int, None] = {}
    for word in (part.strip() for value in values for part in value.split(",")):
        match = _RANGE.fullmatch(word)
        if word == _PENDING:
            numbers.update(dict.fromkeys(pending))
        elif match is None:
            raise OptionError(
                f"{word[:100]!r} is not a correction number; give a number such as 3, a range such "
                "as 3-12, or pending."
            )
        elif match[2] is None:
            numbers[int(match[1])] = None
        else:
            first, last = int(match[1]), int(match[2])
            if first > last:
                raise OptionError(f"the range {word} ends before it begins; write {last}-{first}.")
            # Only pending ones, since most corrections in a long range may already be approved.
            in_range = [number for number in pending if first <= number <= last]
            numbers.update(dict.fromkeys(in_range))
            if not in_range:
                warn([f"no corrections from {first} to {last} are pending"])
    return list(numbers)


def _check_exist(store: LabelStore, file: Path, numbers: Sequence[int]) -> None:
    existing = {row.id for row in store.get_corrections(numbers)}
    missing = next((number for number in numbers if number not in existing), None)
    if missing is not None:
        # Clip numbers to SQLite's limit.
        raise DataError(
            f"{file} has no correction {min(missing, MAX_ID)}, or it was withdrawn; `slugline "
            f"labels show {file} --all` lists all of them."
        )


def _to_dict(row: Correction, reasons: Sequence[str]) -> dict[str, Any]:
    fields = row._asdict() | {"is_pending": row.is_pending, "reasons": [*reasons]}
    for name in ("topic", "answer"):
        if isinstance(fields[name], tuple):
            fields[name] = list(fields[name])
    plain: dict[str, Any] = replace_surrogates(fields)
    return plain


# Agreement ----------------------------------------------------------------------------------------

# Maximum number of listed confusions, and of coder pairs per confusion.
_MAX_CONFUSIONS = 10


def _print_people(agreement: Agreement) -> None:
    people = agreement.people
    if not people.n_documents:
        show_text(
            "No text has been labelled by two people yet. Start the page with --double 0.1 to have "
            "one text in ten labelled twice."
        )
        return
    show_text(
        f"{counted(people.n_documents, 'text')} labelled by two or more people, "
        f"{agreement.n_random:,} of them random draws"
    )
    _print_group(people)


def _print_group(group: GroupAgreement) -> None:
    """Print alpha, agreement by topic, and confusions."""
    print_table(
        [
            ("", "value", "95 % interval"),
            ("same topics", *percent_cells(group.exact)),
            ("Krippendorff's alpha", *number_cells(group.alpha)),
        ]
    )
    if not group.alpha.is_defined:
        show_text("Alpha is undefined because every label has the same topic; label more texts.")
    show_text()
    rows = [("topic", "texts", "other agrees", "95 % interval", "alpha", "95 % interval")]
    for each in group.topics:
        n = f"{each.agreement.n_documents:,}"
        cells = percent_cells(each.agreement) + number_cells(each.alpha)
        rows.append((each.topic, n, *cells))
    print_table(rows)
    if group.confusions:
        show_text()
        confusions = [_confusion_row(each) for each in group.confusions[:_MAX_CONFUSIONS]]
        header = ("confused", "with", "texts", "coders (first / second)")
        print_table([header, *confusions], (0, 1, 3))


def _confusion_row(confusion: TopicConfusion) -> tuple[str, ...]:
    first, second = confusion.topics
    coders = [f"{coder} / {other} {n:,}" for (coder, other), n in confusion.by_coders.items()]
    listed = join_words(coders, _MAX_CONFUSIONS, last=None)
    return first, second or "(not given)", f"{confusion.n_documents:,}", listed


def _print_coders(agreement: Agreement) -> None:
    if not agreement.coders:
        return
    show_text()
    has_repeated = any(each.repeated.is_defined for each in agreement.coders)
    rows = [["coder", "labels", "skipped", "others agree", "95 % interval", "texts"]]
    if has_repeated:
        rows[0] += ["same again", "95 % interval", "texts"]
    for each in agreement.coders:
        name = each.coder if each.kind == "person" else f"{each.coder} (imported)"
        row = [name, f"{each.n_labels:,}", f"{each.n_skipped:,}"]
        for coefficient in [each.others, *([each.repeated] if has_repeated else [])]:
            row += [*percent_cells(coefficient), f"{coefficient.n_documents:,}"]
        rows.append(row)
    print_table(rows)


def _print_imported(imported: ImportedAgreement) -> None:
    group = imported.agreement
    show_text("", f"{imported.coder} compared with people: {counted(group.n_documents, 'text')}")
    if group.n_documents:
        _print_group(group)
