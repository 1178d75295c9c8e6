"""`slugline audit`: labelled texts whose topic is probably wrong, and what else is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from slugline.auditing.audit import audit_corpus, group_copies
from slugline.auditing.findings import Findings, review_form, review_table
from slugline.auditing.repair import (
    Gain,
    Repair,
    apply_decisions,
    changed_excel,
    measure_gain,
    read_decisions,
    to_csv,
    to_excel,
    to_json_lines,
    whole_rows,
)
from slugline.base.arrays import Index
from slugline.base.files import write_result
from slugline.base.wording import counted, join_words, nearest, one_line, percent
from slugline.cli import options
from slugline.cli.options import command, option
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
from slugline.corpus.dialects import TableDialect
from slugline.corpus.layout import ReadOptions
from slugline.corpus.readers import read_dialect, read_rows
from slugline.corpus.topic_sets import join_topics
from slugline.errors import DataError, Message, OptionError
from slugline.model.file.content import load_model
from slugline.prediction.files import check_ending
from slugline.reports.audit import LEAST_SUSPICION, audit_page, headline, other_findings
from slugline.reports.page import shorten

#: Kinds of files that each option writes.
_SUFFIXES = {"--review": (".csv", ".xlsx"), "--output": (".html",)}
_REPAIRED = (".jsonl", ".csv", ".xlsx")
# Characters of a text in the table on screen.
_N_CHARACTERS = 48
# Characters of several topics there.
_N_TOPICS = 40
# Suspicion from which on a document is dropped where nobody has decided.
_DROPPED = 0.5


@command()
@options.data_argument
@options.reading_options
@option("--like MODEL", "Read DATA as MODEL's training data: columns, encoding, merged topics.")
@option("--test FILE", "Labelled texts to audit as well; copies of DATA are leaks.")
@option("--number -n N", "How many suspects to print.", type=click.IntRange(min=0), default=20)
@option(
    "--output -o FILE",
    "Write a page with the evidence (.html); with --decisions, the repaired documents "
    "(.jsonl, .csv or .xlsx).",
    type=Path,
)
@option(
    "--review CSV",
    "Write the suspects to a table to be reviewed (keep, relabel or drop).",
    type=Path,
)
@option("--decisions CSV", "Carry out the decisions in a reviewed table.", type=Path)
@option(
    "--gain",
    "Measure by cross-validation what the decisions are worth; without --decisions, the effect of "
    "dropping the suspects.",
)
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
    decisions: Path | None,
    gain: bool,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Find mislabelled texts, duplicates, leaks, outliers and near-identical topics.

    Each document is judged by classifiers that learned from others, by the
    documents nearest to it, and by its identical copies.

    For example:

      slugline audit tickets.csv --review review.csv -o audit.html
      slugline audit tickets.csv --decisions review.csv -o repaired.jsonl
    """
    files = {"--output": output, "--review": review}
    targets = {flag: path for flag, path in files.items() if path is not None}
    sources = [*data, like, test, reading.topic_map, decisions]
    _check_files(targets, sources, is_repair=decisions is not None)
    if like is not None:
        reading = reading._replace(layout=load_model(like)[0].layout)
    parts = options.read_parts(data, None, test, reading)
    train, others = parts["train"], _numbered_on(parts, test)
    settings: dict[str, Any] = {"seed": seed, "n_jobs": threads}
    with explain_interrupt(lambda: "interrupted"), show_progress() as progress:
        settings["progress"] = progress
        if decisions is not None:
            _repair(train, data, reading, decisions, output, gain, settings, as_json)
            return
        report = audit_corpus(train, others, **settings)
        gained = None
        if gain:
            dropped, corpus = set(report.suspects(_DROPPED).tolist()), report.corpus
            after = [None if row in dropped else topic for row, topic in enumerate(corpus.topics)]
            gained = _measured(corpus, after, report.copies.groups, settings)
    findings = Findings(report)
    if review is not None:
        is_excel = review.suffix.lower() == ".xlsx"
        delimiter = None if is_excel else _delimiter(data[0], reading)
        write_result(review, review_table(findings, findings.to_review(), delimiter), "table")
    if output is not None:
        write_result(output, audit_page(findings), "report")
    written = {"review": review, "page": output}
    names = {description: str(path) for description, path in written.items() if path is not None}
    if as_json:
        gain_entry = {"gain": gained.to_dict()} if gained else {}
        print_json(findings.to_dict(number) | gain_entry | names)
    else:
        _print(findings, number, gained)
        for description, name in names.items():
            show(f"{description:<8}{name}")


def _check_files(
    targets: Mapping[str, Path], sources: Sequence[str | Path | None], *, is_repair: bool
) -> None:
    """Check that every file can be written, is named after its kind, and replaces no other."""
    suffixes = _SUFFIXES | ({"--output": _REPAIRED} if is_repair else {})
    for number, (flag, path) in enumerate(targets.items()):
        if is_repair and flag != "--output":
            raise OptionError(f"{flag} cannot be combined with --decisions.")
        suffix = path.suffix.lower()
        if suffix not in suffixes[flag]:
            if flag == "--output" and suffix in _REPAIRED:
                raise OptionError(
                    f"--output {path}: repaired documents need --decisions; add it, or name a "
                    f"page: {path.stem}.html."
                )
            wanted = " or ".join(path.stem + ending for ending in suffixes[flag])
            raise OptionError(f"{flag} {path}: name it {wanted}.")
        if suffix == ".xlsx":
            check_ending(path)
        check_target(flag, path, [*sources, *list(targets.values())[:number]])


def _numbered_on(parts: dict[str, Corpus], test: str | None) -> Corpus | None:
    """Return the test documents; those of a known data set are numbered on after the others."""
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
    gain: bool,
    settings: dict[str, Any],
    as_json: bool,
) -> None:
    """Carry out decisions, write the documents that are left, and say what was done."""
    if output is None and not gain:
        raise OptionError(
            "--decisions need a file for the repaired documents, or --gain; add --output."
        )
    layout = corpus.layout
    decided = read_decisions(path, layout and layout.encoding, review_form(corpus))
    warn([f"{path}: {decided.note}"] if decided.note else [])
    if not decided.items:
        warn([f"{path}: no decision is filled in; was the table saved?"])
    repair = apply_decisions(corpus, decided)
    n_test = len(decided.for_part("test"))
    if n_test:
        warn([f"{path}: left out {n_test:,} about test documents; audit these as DATA"])
    known = set(corpus.all_topics())
    for new in repair.new_topics:
        near = nearest(new, known)
        question = f"; did you mean {near}?" if near else ""
        warn([f"{path}: no document had the topic {new!r} before{question}"])
    gained = None
    if gain:
        groups = group_copies(corpus.texts, seed=settings["seed"], n_jobs=settings["n_jobs"])
        gained = _measured(corpus, repair.topics, groups, settings)
    written = "" if output is None else _write_documents(output, corpus, repair, data, reading)
    said = {
        "relabelled": repair.n_relabelled,
        "dropped": repair.n_dropped,
        "kept": repair.n_kept,
        "documents": len(repair.corpus),
    }
    if as_json:
        files = {} if output is None else {"output": str(output)}
        print_json(said | ({"gain": gained.to_dict()} if gained else {}) | files)
        return
    counts = (f"{said[action]:,} {action}" for action in ("relabelled", "dropped", "kept"))
    show(", ".join(counts))
    if gained is not None:
        show(_gain_in_words(gained, "from repaired documents"))
    if output is not None:
        show(f"{len(repair.corpus):,} documents{written}: {output}")


def _write_documents(
    path: Path, corpus: Corpus, repair: Repair, data: Sequence[str], reading: ReadOptions
) -> str:
    """Write documents in the format of the name; return in words what else, or less, it holds."""
    whole = whole_rows(data, corpus, repair.topics, reading)
    pairs = zip(repair.corpus.texts, repair.corpus.topics, strict=True)
    pairs_alone = [{"text": text, "topic": topic} for text, topic in pairs]
    rows, dialect = (pairs_alone, TableDialect()) if whole is None else whole
    suffix = path.suffix.lower()
    if suffix == ".csv":
        content = to_csv(rows, dialect)
    elif suffix == ".xlsx":
        same = changed_excel(data[0], corpus, repair.topics, reading) if len(data) == 1 else None
        content = same or to_excel(rows)
    else:
        content = to_json_lines(rows)
    write_result(path, content, "documents")
    if whole is None:
        return ", with text and topic alone"
    n_unlabelled = corpus.n_unlabelled
    n_skipped = len(rows) - len(repair.corpus) - n_unlabelled
    n_lost = corpus.n_skipped - n_skipped
    others = [f"{counted(n_unlabelled, 'row')} not labelled yet"] * (n_unlabelled > 0)
    others += [counted(n_skipped, "skipped row")] * (n_skipped > 0)
    beside = f"{', ' if len(others) > 1 else ' and '}{join_words(others)}" if others else ""
    return beside + (f", without {counted(n_lost, 'row')} that can't be read" if n_lost else "")


def _measured(
    corpus: Corpus, after: list[Any], groups: Index, settings: dict[str, Any]
) -> Gain | None:
    """Return the gain; None, with a warning, if it can't be measured, as the rest still counts."""
    try:
        return measure_gain(corpus, after, groups, **settings)
    except DataError as error:
        warn([Message("the gain can't be measured: ", *error.parts)])
        return None


def _gain_in_words(gained: Gain, learned: str) -> str:
    low, high = gained.interval
    return (
        f"learned {learned}, {percent(gained.n_after / gained.n_tested)} are right instead of "
        f"{percent(gained.n_before / gained.n_tested)}: {gained.points:+z.1f} "
        f"points, 95 % interval {low:+z.1f} to {high:+z.1f}"
    )


def _delimiter(source: str, reading: ReadOptions) -> str:
    """Return the delimiter of a file of CSV; that of other sources is a comma."""
    if not Path(source).is_file():
        return ","
    rows = read_rows(
        source,
        format=reading.format,
        encoding=reading.encoding,
        separator=reading.separator,
        layout=reading.layout,
    )
    next(iter(rows), None)  # The file is closed with its iterator.
    return read_dialect(rows).delimiter


def _print(findings: Findings, n: int, gained: Gain | None) -> None:
    show(headline(findings.audit))
    rows = [findings[row] for row in findings.audit.suspects(LEAST_SUSPICION)[:n].tolist()]
    if rows:
        table = [[findings.audit.corpus.unit, "suspicion", "topic", "likely", "text"]]
        is_line_drawn = False
        for item in rows:
            if item.suspicion < _DROPPED and not is_line_drawn:
                table.append(["", "", "", "", "(less suspect: these labels are probably right)"])
                is_line_drawn = True
            at = f"test {item.at}" if item.part == "test" else str(item.at)
            excerpt = one_line(findings.audit.corpus.texts[item.row], _N_CHARACTERS)
            names = [shorten(join_topics(names), _N_TOPICS) for names in (item.topic, item.likely)]
            table.append([at, f"{item.suspicion:.2f}", *names, excerpt])
        print_table(table, left_aligned=(0, 2, 3, 4))
    for line in other_findings(findings.audit):
        show(line)
    if gained is not None:
        n = len(findings.audit.suspects(_DROPPED))
        show(_gain_in_words(gained, f"without the {counted(n, 'suspect')}"))
