"""The tables of `slugline labels agreement`."""

from __future__ import annotations

from pathlib import Path

from slugline.base.wording import counted, join_words
from slugline.cli.output import print_json, print_table, show
from slugline.labels.agreement import (
    Agreement,
    GroupAgreement,
    ImportedAgreement,
    TopicConfusion,
    measure_agreement,
    number_cells,
    percent_cells,
)
from slugline.labels.store import LabelStore

# Maximum number of listed confusions, and of coder pairs per confusion.
_MAX_LISTED = 10


def print_agreement(path: Path, *, as_json: bool) -> None:
    """Print the agreement between the coders of a label database."""
    with LabelStore(path, create=False, is_read_only=True) as store:
        agreement = measure_agreement(store)
    if as_json:
        print_json(agreement.to_dict())
        return
    _print_people(agreement)
    _print_coders(agreement)
    for imported in agreement.imported:
        _print_imported(imported)


def _print_people(agreement: Agreement) -> None:
    people = agreement.people
    if not people.n_documents:
        show(
            "No text has been labelled by two people yet. Start the page with --double 0.1 to have "
            "one text in ten labelled twice."
        )
        return
    show(
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
        show("Alpha is undefined because every label has the same topic; label more texts.")
    show()
    rows = [("topic", "texts", "other agrees", "95 % interval", "alpha", "95 % interval")]
    for each in group.topics:
        n = f"{each.agreement.n_documents:,}"
        cells = percent_cells(each.agreement) + number_cells(each.alpha)
        rows.append((each.topic, n, *cells))
    print_table(rows)
    if group.confusions:
        show()
        confusions = [_confusion_row(each) for each in group.confusions[:_MAX_LISTED]]
        header = ("confused", "with", "texts", "coders (first / second)")
        print_table([header, *confusions], (0, 1, 3))


def _confusion_row(confusion: TopicConfusion) -> tuple[str, ...]:
    first, second = confusion.topics
    coders = [f"{coder} / {other} {n:,}" for (coder, other), n in confusion.by_coders.items()]
    listed = join_words(coders, _MAX_LISTED, last=None)
    return first, second or "(not given)", f"{confusion.n_documents:,}", listed


def _print_coders(agreement: Agreement) -> None:
    if not agreement.coders:
        return
    show()
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
    show("", f"{imported.coder} compared with people: {counted(group.n_documents, 'text')}")
    if group.n_documents:
        _print_group(group)
