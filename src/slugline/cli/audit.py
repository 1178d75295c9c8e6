"""`slugline audit`: find probable label errors and other defects of labelled texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from slugline.auditing.audit import Audit, audit_corpus, group_copies
from slugline.auditing.findings import Findings, review_form, review_table
from slugline.auditing.repair import (
    Gain,
    apply_decisions,
    measure_gain,
    read_decisions,
    repaired_file,
)
from slugline.base.arrays import Index
from slugline.base.files import write_result
from slugline.base.progress import Progress
from slugline.base.wording import counted, nearest
from slugline.cli import options
from slugline.cli.audit_page import DEFAULT_OUTPUT, check_page, review_suspects
from slugline.cli.documents import read_parts
from slugline.cli.label_page import PAGE_PANEL, PageOptions, check_only_with_page, page_options
from slugline.cli.options import OUTPUT_FILE, command, option
from slugline.cli.output import (
    explain_interrupt,
    print_json,
    print_table,
    show,
    show_progress,
    warn,
)
from slugline.cli.output_paths import check_target
from slugline.corpus.corpus import Corpus
from slugline.corpus.layout import ReadOptions
from slugline.corpus.readers import is_database, read_dialect, read_rows
from slugline.errors import DataError, Message, OptionError
from slugline.model.file.content import load_model
from slugline.reports.audit import (
    audit_page,
    describe_gain,
    headline,
    other_findings,
    suspect_table,
)

# File extensions for each option.
_SUFFIXES = {"--review": (".csv", ".xlsx"), "--output": (".html",)}
_REPAIRED = (".jsonl", ".csv", ".xlsx")
_DATABASES = (".db", ".sqlite")
# Without decisions, measure the gain of dropping documents with at least this suspicion.
_MIN_DROPPED = 0.5


@command()
@options.data_argument
@options.reading_options
@option("--like MODEL", "Read DATA as MODEL's training data: columns, encoding, merged topics.")
@option("--test FILE", "Labelled texts to audit as well; copies of DATA are leaks.")
@option("--number -n N", "Number of suspects to print.", type=click.IntRange(min=0), default=20)
@option(
    "--output -o FILE",
    "Write a page with the evidence (.html); with --decisions, the repaired documents "
    "(.jsonl, .csv or .xlsx); with --page, where to keep the decisions, by default reviewed.db.",
    type=OUTPUT_FILE,
)
@option(
    "--review CSV",
    "Write the suspects to a table to be reviewed (keep, relabel or drop).",
    type=OUTPUT_FILE,
)
@option("--page open_page", "Review the suspects on a page in the browser, alone or with others.")
@option(
    "--decisions FILE",
    "Carry out the decisions in a reviewed table, or in the file that --page made.",
    type=Path,
)
@option(
    "--gain",
    "Measure by cross-validation how much accuracy the decisions gain; without --decisions, the "
    "gain from dropping the suspects.",
)
@page_options(panel=PAGE_PANEL)
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
    gain: bool,
    page: PageOptions,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Find wrong labels, duplicates, leaks, outliers and topics that are nearly the same.

    Each topic is checked by classifiers that learned from other documents, by
    the nearest documents, and by identical copies of the text.

    For example:

      slugline audit tickets.csv --review review.csv -o audit.html
      slugline audit tickets.csv --decisions review.csv -o repaired.jsonl
      slugline audit tickets.csv --page -o reviewed.db
      slugline audit tickets.csv --decisions reviewed.db -o repaired.csv
    """
    sources = [*data, like, test, reading.topic_map, decisions]
    outputs = _Outputs(output, review, is_page=open_page, is_repair=decisions is not None)
    outputs.check(sources)
    if open_page:
        server_settings, address = page.settings(), page.address()
    if like is not None:
        reading = replace(reading, layout=load_model(like)[0].layout)
    parts = read_parts(data, test, reading)
    train, test_documents = parts["train"], _numbered_on(parts, test)
    with explain_interrupt(lambda: "interrupted"), show_progress() as progress:
        settings = _Settings(seed, threads, progress)
        if decisions is not None:
            _repair(train, data, reading, decisions, output, settings, gain=gain, as_json=as_json)
            return
        report = audit_corpus(
            train, test_documents, random_state=seed, n_jobs=threads, progress=progress
        )
        measured = _gain_of_dropping(report, settings) if gain else None
    findings = Findings(report)
    names = outputs.write(findings, lambda: _delimiter(data[0], reading))
    if as_json:
        gain_entry = {"gain": measured.to_dict()} if measured else {}
        print_json(findings.to_dict(number) | gain_entry | names)
    else:
        _print(findings, number, measured)
        for description, name in names.items():
            show(f"{description:<8}{name}")
    if open_page:
        decided = output or DEFAULT_OUTPUT
        review_suspects(findings, data, reading, decided, page, server_settings, address)


@dataclass(frozen=True)
class _Settings:
    """Training settings of the classifiers."""

    seed: int
    n_jobs: int | None
    progress: Progress

    def measure_gain(self, corpus: Corpus, topics: list[Any], groups: Index) -> Gain | None:
        """Return the gain, or warn and return None if it can't be measured."""
        try:
            return measure_gain(
                corpus, topics, groups, seed=self.seed, n_jobs=self.n_jobs, progress=self.progress
            )
        except DataError as error:
            warn([Message("the gain can't be measured: ", *error.parts)])
            return None


def _gain_of_dropping(report: Audit, settings: _Settings) -> Gain | None:
    """Return the gain from dropping the suspects."""
    dropped, corpus = set(report.suspects(_MIN_DROPPED).tolist()), report.corpus
    topics = [None if row in dropped else topic for row, topic in enumerate(corpus.topics)]
    return settings.measure_gain(corpus, topics, report.copies.groups)


@dataclass(frozen=True)
class _Outputs:
    """The files of --output and --review, and the kind of --output."""

    output: Path | None
    review: Path | None
    is_page: bool
    is_repair: bool

    def check(self, sources: Sequence[str | Path | None]) -> None:
        """Check that each file is writable, has a valid extension, and overwrites no other."""
        if self.is_page:
            if self.is_repair or self.review is not None:
                other = "--decisions" if self.is_repair else "--review"
                raise OptionError(f"{other} cannot be combined with --page; leave one out.")
            check_page(self.output or DEFAULT_OUTPUT, sources)
            return
        check_only_with_page()
        files = {"--output": self.output, "--review": self.review}
        targets = {flag: path for flag, path in files.items() if path is not None}
        suffixes = _SUFFIXES | ({"--output": _REPAIRED} if self.is_repair else {})
        for number, (flag, path) in enumerate(targets.items()):
            if self.is_repair and flag != "--output":
                raise OptionError(f"{flag} cannot be combined with --decisions.")
            _check_ending(flag, path, suffixes[flag])
            check_target(flag, path, sources, list(targets.values())[:number])

    def write(self, findings: Findings, find_delimiter: Callable[[], str]) -> dict[str, str]:
        """Write the table and the report; return the file names by kind."""
        names: dict[str, str] = {}
        if self.review is not None:
            is_excel = self.review.suffix.lower() == ".xlsx"
            delimiter = None if is_excel else find_delimiter()
            table = review_table(findings, findings.to_review(), delimiter)
            write_result(self.review, table, "table")
            names["review"] = str(self.review)
        if self.output is not None and not self.is_page:
            write_result(self.output, audit_page(findings), "report")
            names["page"] = str(self.output)
        return names


def _check_ending(flag: str, path: Path, suffixes: Sequence[str]) -> None:
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        if flag == "--output" and suffix in _REPAIRED:
            raise OptionError(
                f"--output {path}: repaired documents need --decisions; add it, or name a "
                f"page: {path.stem}.html."
            )
        if flag == "--output" and suffix in _DATABASES:
            raise OptionError(f"--output {path}: a database of decisions needs --page; add it.")
        names = " or ".join(path.stem + ending for ending in suffixes)
        raise OptionError(f"{flag} {path}: name it {names}.")


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
    output: Path | None,
    settings: _Settings,
    *,
    gain: bool,
    as_json: bool,
) -> None:
    """Apply decisions, write the remaining documents, and print a summary."""
    if output is None and not gain:
        raise OptionError("--decisions requires --output FILE or --gain.")
    layout = corpus.layout
    decisions = read_decisions(path, layout.encoding if layout else None, review_form(corpus))
    warn([Message(f"{path}: ", decisions.note)] if decisions.note else [])
    if not decisions.items:
        question = "" if is_database(path) else "; was the table saved?"
        warn([f"{path}: no decision is filled in{question}"])
    repair = apply_decisions(corpus, decisions)
    n_test = len(decisions.for_part("test"))
    if n_test:
        warn([f"{path}: ignored {n_test:,} about test documents; audit these as DATA"])
    old_topics = set(corpus.all_topics())
    for new in repair.new_topics:
        near = nearest(new, old_topics)
        question = f"; did you mean {near}?" if near else ""
        warn([f"{path}: no document had the topic {new!r} before{question}"])
    measured = None
    if gain:
        groups = group_copies(corpus.texts, seed=settings.seed, n_jobs=settings.n_jobs)
        measured = settings.measure_gain(corpus, repair.topics, groups)
    others = ""
    if output is not None:
        content, others = repaired_file(output.suffix.lower(), corpus, repair, data, reading)
        write_result(output, content, "documents")
    counts = {
        "relabelled": repair.n_relabelled,
        "dropped": repair.n_dropped,
        "kept": repair.n_kept,
        "documents": len(repair.corpus),
    }
    if as_json:
        files = {} if output is None else {"output": str(output)}
        print_json(counts | ({"gain": measured.to_dict()} if measured else {}) | files)
        return
    show(", ".join(f"{counts[action]:,} {action}" for action in ("relabelled", "dropped", "kept")))
    if measured is not None:
        show(describe_gain(measured, "from repaired documents"))
    if output is not None:
        show(f"{len(repair.corpus):,} documents{others}: {output}")


def _delimiter(source: str, reading: ReadOptions) -> str:
    """Return the delimiter of a CSV file, or a comma for other sources."""
    if not Path(source).is_file():
        return ","
    rows = read_rows(source, reading)
    next(iter(rows), None)  # reads the header; the file is closed with the iterator
    return read_dialect(rows).delimiter


def _print(findings: Findings, n_suspects: int, gain: Gain | None) -> None:
    audit = findings.audit
    show(headline(audit))
    table = suspect_table(findings, n_suspects, _MIN_DROPPED)
    if table:
        print_table(table, left_aligned=(0, 2, 3, 4))
    for line in other_findings(audit):
        show(line)
    if gain is not None:
        n_dropped = len(audit.suspects(_MIN_DROPPED))
        show(describe_gain(gain, f"without the {counted(n_dropped, 'suspect')}"))
