"""`slugline audit`: find probable label errors and other defects of labelled texts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slugline.auditing.audit import audit_corpus
from slugline.auditing.findings import Findings, review_form, review_table
from slugline.auditing.repair import apply_decisions, other_columns, read_decisions, repaired_file
from slugline.base.files import write_result
from slugline.base.wording import counted, nearest
from slugline.cli import options
from slugline.cli.documents import read_parts
from slugline.cli.label_page import (
    PageOptions,
    check_can_open,
    check_only_with_page,
    page_options,
    serve_page,
)
from slugline.cli.options import OUTPUT_FILE, command, option
from slugline.cli.output import (
    explain_interrupt,
    print_json,
    print_table,
    say,
    show,
    show_progress,
    warn,
)
from slugline.cli.output_paths import check_database, check_ending, check_target
from slugline.corpus.corpus import Corpus
from slugline.corpus.layout import ReadOptions
from slugline.corpus.readers import is_database, read_dialect, read_rows
from slugline.errors import Message, OptionError
from slugline.labels.audit_review import AuditReview, check_decisions, decided_rows, open_decisions
from slugline.labels.label_setup import add_topics
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments
from slugline.model.file.content import load_model
from slugline.reports.audit import (
    MIN_SUSPICION,
    audit_page,
    headline,
    other_findings,
    suspect_table,
)
from slugline.serving.serve_settings import ServeSettings

if TYPE_CHECKING:
    from slugline.serving.server.addresses import Address

# Default file of decisions.
_DEFAULT_OUTPUT = Path("reviewed.db")
# File extensions of repaired documents and of decisions.
_REPAIRED = (".jsonl", ".csv", ".xlsx")
_DATABASES = (".db", ".sqlite")
# Labels with a lower suspicion are probably right.
_PROBABLY_WRONG = 0.5


@command()
@options.data_argument
@options.reading_options
@option("--like MODEL", "Read DATA like MODEL's training data: columns, encoding, merged topics.")
@option("--test FILE", "Test texts to audit too; copies of training texts are reported as leaks.")
@option("--number -n N", "Number of suspects to print.", type=click.IntRange(min=0), default=20)
@option(
    "--output -o FILE",
    "Write a report (.html); with --decisions, the repaired data (.jsonl, .csv or .xlsx); with "
    "--page, the database of decisions, by default reviewed.db.",
    type=OUTPUT_FILE,
)
@option(
    "--review CSV",
    "Write a table of suspects for review: keep, relabel or drop each.",
    type=OUTPUT_FILE,
)
@option("--page open_page", "Review the suspects in the browser, alone or with others.")
@option(
    "--decisions FILE",
    "Apply the decisions of a reviewed table, or of the database from --page.",
    type=Path,
)
@page_options()
@options.seed()
@options.threads()
@options.output_options
def audit(
    data: Sequence[str],
    reading: ReadOptions,
    like: str | None,
    test: str | None,
    number: int,
    output: Path | None,
    review: Path | None,
    open_page: bool,
    decisions: Path | None,
    page: PageOptions,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Find label errors, duplicates, leaks, outliers and overlapping topics.

    Each label is checked by classifiers trained on other documents, by the
    nearest documents, and by identical copies of the text.

    For example:

      slugline audit tickets.csv --review review.csv -o audit.html
      slugline audit tickets.csv --decisions review.csv -o repaired.jsonl
      slugline audit tickets.csv --page -o reviewed.db
      slugline audit tickets.csv --decisions reviewed.db -o repaired.csv
    """
    sources = [*data, like, test, reading.topic_map, decisions]
    decided = output or _DEFAULT_OUTPUT
    if open_page:
        if decisions is not None or review is not None:
            other = "--review" if decisions is None else "--decisions"
            raise OptionError(f"{other} cannot be combined with --page; leave one out.")
        check_database("--output", decided, sources)
        check_decisions(decided)
        check_can_open()
        server_settings, address = page.settings(), page.address()
    else:
        check_only_with_page()
        _check_outputs(output, review, sources, is_repair=decisions is not None)
    if like is not None:
        reading = replace(reading, layout=load_model(like)[0].layout)
    parts = read_parts(data, test, reading)
    train, test_documents = parts["train"], _numbered_on(parts, test)
    if decisions is not None and output is not None:
        _repair(train, data, reading, decisions, output, as_json=as_json)
        return
    with explain_interrupt(lambda: "interrupted"), show_progress() as progress:
        report = audit_corpus(
            train, test_documents, random_state=seed, n_jobs=threads, progress=progress
        )
    findings = Findings(report)
    files = {}
    if review is not None:
        is_excel = review.suffix.lower() == ".xlsx"
        delimiter = None if is_excel else _delimiter(data[0], reading)
        write_result(review, review_table(findings, findings.to_review(), delimiter), "table")
        files["review"] = str(review)
    if output is not None and not open_page:
        write_result(output, audit_page(findings), "report")
        files["page"] = str(output)
    if as_json:
        print_json(findings.to_dict(number) | files)
    else:
        _print(findings, number)
        for description, name in files.items():
            show(f"{description:<8}{name}")
    if open_page:
        _review_suspects(findings, data, reading, decided, page, server_settings, address)


def _check_outputs(
    output: Path | None,
    review: Path | None,
    sources: Sequence[str | Path | None],
    *,
    is_repair: bool,
) -> None:
    """Check that each file is writable, has a valid extension, and overwrites no other."""
    if is_repair and review is not None:
        raise OptionError("--review cannot be combined with --decisions.")
    if is_repair and output is None:
        raise OptionError("--decisions requires --output FILE.")
    if output is not None:
        suffix = output.suffix.lower()
        if not is_repair and suffix in _REPAIRED:
            raise OptionError(
                f"--output {output}: repaired documents require --decisions; add it, or write "
                f"a page: {output.stem}.html."
            )
        if suffix in _DATABASES:
            raise OptionError(
                f"--output {output}: a database of decisions requires --page; add it."
            )
        check_ending("--output", output, _REPAIRED if is_repair else (".html",))
        check_target("--output", output, sources)
    if review is not None:
        check_ending("--review", review, (".csv", ".xlsx"))
        check_target("--review", review, sources, [] if output is None else [output])


def _numbered_on(parts: dict[str, Corpus], test: str | None) -> Corpus | None:
    """Return the test documents; built-in data sets number them after the training documents."""
    test_documents = parts.get("test")
    if test_documents is None or test is not None:
        return test_documents
    n_train = len(parts["train"])
    return replace(test_documents, places=range(n_train + 1, n_train + len(test_documents) + 1))


def _repair(
    corpus: Corpus,
    data: Sequence[str],
    reading: ReadOptions,
    path: Path,
    output: Path,
    *,
    as_json: bool,
) -> None:
    """Apply decisions, write the remaining documents, and print a summary."""
    layout = corpus.layout
    decisions = read_decisions(path, layout.encoding if layout else None, review_form(corpus))
    warn([Message(f"{path}: ", decisions.note)] if decisions.note else [])
    if not decisions.items:
        question = "" if is_database(path) else "; was the table saved?"
        warn([f"{path}: contains no decisions{question}"])
    repair = apply_decisions(corpus, decisions)
    n_test = len(decisions.for_part("test"))
    if n_test:
        warn([f"{path}: ignored {n_test:,} about test documents; pass these as DATA"])
    old_topics = set(corpus.all_topics())
    for new in repair.new_topics:
        near = nearest(new, old_topics)
        question = f"; did you mean {near}?" if near else ""
        warn([f"{path}: no document had the topic {new!r} before{question}"])
    content, others = repaired_file(output.suffix.lower(), corpus, repair, data, reading)
    write_result(output, content, "documents")
    counts = {"relabelled": repair.n_relabelled, "dropped": repair.n_dropped, "kept": repair.n_kept}
    n_documents = len(repair.corpus)
    if as_json:
        print_json({**counts, "documents": n_documents, "output": str(output)})
        return
    show(", ".join(f"{n:,} {action}" for action, n in counts.items()))
    show(f"{n_documents:,} documents{others}: {output}")


def _delimiter(source: str, reading: ReadOptions) -> str:
    """Return the delimiter of a CSV file, or a comma for other sources."""
    if not Path(source).is_file():
        return ","
    rows = read_rows(source, reading)
    next(iter(rows), None)  # reads the header; the file is closed with the iterator
    return read_dialect(rows).delimiter


def _print(findings: Findings, n_suspects: int) -> None:
    show(headline(findings.audit))
    table = suspect_table(findings, n_suspects, _PROBABLY_WRONG)
    if table:
        print_table(table, left_aligned=(0, 2, 3, 4))
    for line in other_findings(findings.audit):
        show(line)


# The page -----------------------------------------------------------------------------------------


def _review_suspects(
    findings: Findings,
    data: Sequence[str],
    reading: ReadOptions,
    output: Path,
    page: PageOptions,
    settings: ServeSettings,
    address: Address,
) -> None:
    """Serve a page for reviewing suspect training documents until Ctrl-C."""
    audit = findings.audit
    suspects = [
        row
        for row in findings.to_review()
        if not audit.is_test(row) and audit.suspicion[row] >= MIN_SUSPICION
    ]
    if not suspects:
        say(f"{audit.corpus.name}: no suspect topics, so there is nothing to review")
        return
    with open_decisions(output, shlex.join(data)) as store:
        rows = [*suspects, *decided_rows(findings, store)]
        columns = other_columns(data, audit.training_documents(), rows, reading)
        review = AuditReview(findings, rows, columns)
        assignments = RowAssignments.from_store(review.table, store)
        if assignments.n_missing:
            warn(
                [
                    f"{output} contains decisions about "
                    f"{counted(assignments.n_missing, 'document')} whose text or topic "
                    f"has changed in {audit.corpus.name}; undo them on the page, under "
                    '"Latest", so that the others can be applied'
                ]
            )
        coder = _prepare_store(store, findings, page)
        from slugline.serving.labelling.service import LabelService

        service = LabelService(
            store,
            review.table,
            assignments,
            review.make_selector(assignments),
            coder,
            content="suspects",
            reviewer=review,
        )
        serve_page(settings, service, address, f"{counted(len(suspects), 'suspect')} to review")
    name = shlex.join([*data, "--decisions", str(output)])
    options = ", with the same reading options" if reading.describes_source() else ""
    say(f"decisions are in {output}; to apply them{options}: slugline audit {name} -o repaired.csv")


def _prepare_store(store: LabelStore, findings: Findings, page: PageOptions) -> str:
    """Add the coder and the topics of the data, most common first; return the coder."""
    corpus = findings.audit.corpus
    coder = store.add_coder(page.coder_name()).name
    if corpus.multilabel and not store.is_multilabel:
        store.set_multilabel(True)
    add_topics(store, dict.fromkeys(map(str, corpus.topic_counts()), ""), coder)
    return coder
