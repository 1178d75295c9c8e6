"""`slugline corrections`: list, approve or withdraw pending corrections."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slugline.base.checks import replace_surrogates
from slugline.base.databases import MAX_ID
from slugline.base.wording import counted
from slugline.cli.options import argument, command, json_option, option
from slugline.cli.output import print_json, show, warn
from slugline.corpus.topic_sets import join_topics
from slugline.corrections.summary import describe_pending, find_reasons
from slugline.errors import DataError, OptionError
from slugline.labels.storage.corrections import Correction
from slugline.labels.store import LabelStore

# Maximum length of a displayed text, and number of corrections listed without --json.
_MAX_CHARACTERS, _MAX_LISTED = 200, 100
_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")
_PENDING = "pending"


@command()
@argument("file", "The database written by `slugline serve --corrections`.", type=Path)
@option(
    "--approve NUMBERS",
    "Approve corrections: numbers (3), ranges (3-12), or `pending` for all. Repeatable.",
    multiple=True,
)
@option(
    "--withdraw NUMBERS",
    "Withdraw corrections, in the same notation. They stay in the file but are excluded from "
    "training. Repeatable.",
    multiple=True,
)
@option("--who NAME", "Your name, stored with the approval or withdrawal.")
@option("--all show_all", "List all corrections, not only pending ones.")
@json_option
def corrections(
    file: Path,
    approve: Sequence[str],
    withdraw: Sequence[str],
    who: str | None,
    show_all: bool,
    as_json: bool,
) -> None:
    """List pending corrections, and approve or withdraw them.

    Models are trained only on approved corrections. Corrections by approvers
    need no approval.

    For example:

      slugline corrections corrections.db
      slugline corrections corrections.db --approve 3-12 --withdraw 13
    """
    with LabelStore(file, create=False) as store:
        pending = store.pending_corrections()
        approved = _parse_numbers(approve, pending)
        withdrawn = _parse_numbers(withdraw, pending)
        if named_twice := sorted({*approved} & {*withdrawn}):
            raise OptionError(
                f"correction {named_twice[0]} would be both approved and withdrawn; choose one."
            )
        _check_exist(store, file, [*approved, *withdrawn])
        changes = {
            "approved": [number for number in approved if store.approve_correction(number, who)],
            "withdrawn": [number for number in withdrawn if store.undo_correction(number, who)],
        }
        pending = store.pending_corrections()
        undone = [each._asdict() for each in store.undone_corrections()]
        rows = [*store.corrections()] if show_all else store.get_corrections(pending)
        reasons = find_reasons(store, [row for row in rows if row.is_pending])
    if as_json:
        listed = [_to_dict(row, reasons.get(row.id, ())) for row in rows]
        print_json({"corrections": listed, "n_pending": len(pending), "undone": undone, **changes})
        return
    if approve:
        show(f"approved   {counted(len(changes['approved']), 'correction')}")
    if withdraw:
        show(f"withdrawn  {counted(len(changes['withdrawn']), 'correction')}")
    _print_list(rows, reasons, len(pending))


def _print_list(
    rows: Sequence[Correction], reasons: Mapping[int, Sequence[str]], n_pending: int
) -> None:
    show(describe_pending(n_pending))
    for row in rows[:_MAX_LISTED]:
        text = " ".join(row.text.split())
        if len(text) > _MAX_CHARACTERS:
            text = f"{text[:_MAX_CHARACTERS].rstrip()} …"
        person = row.who or "an unknown person"
        if row.who is not None and not row.is_named:
            person += ", as typed"
        show(
            "",
            f"{row.id}  {_format_time(row.at)}, by {person}, of model {row.model}",
            f"  {text}",
            f"  predicted {join_topics(row.answer)}, corrected to {join_topics(row.topic)}",
            *(f"  look closely: {reason}" for reason in reasons.get(row.id, ())),
        )
        if row.approved is not None:
            approver = f" by {row.approver}" if row.approver else ""
            show(f"  approved {_format_time(row.approved)}{approver}")
        if row.learned is not None:
            show(f"  first used in model version {row.learned_by}, {_format_time(row.learned)}")
    if len(rows) > _MAX_LISTED:
        show("", f"and {len(rows) - _MAX_LISTED:,} more; use --json to see all")


def _format_time(time: str) -> str:
    return f"{time[:10]} {time[11:16]} UTC"


def _parse_numbers(values: Sequence[str], pending: Sequence[int]) -> list[int]:
    """Return the correction numbers in an option's values, without duplicates.

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
            f"corrections {file} --all` lists all of them."
        )


def _to_dict(row: Correction, reasons: Sequence[str]) -> dict[str, Any]:
    fields = row._asdict() | {"is_pending": row.is_pending, "reasons": [*reasons]}
    for name in ("topic", "answer"):
        if isinstance(fields[name], tuple):
            fields[name] = list(fields[name])
    plain: dict[str, Any] = replace_surrogates(fields)
    return plain
