"""The review page of `slugline audit`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slugline.auditing.findings import Findings
from slugline.auditing.repair import other_columns
from slugline.base.wording import counted
from slugline.cli.label_page import PageOptions, check_can_open, serve_page
from slugline.cli.output import say, warn
from slugline.cli.output_paths import check_target
from slugline.corpus.layout import ReadOptions
from slugline.errors import OptionError
from slugline.labels.audit_review import AuditReview, check_decisions, decided_rows, open_decisions
from slugline.labels.label_setup import add_topics
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments
from slugline.reports.audit import MIN_SUSPICION
from slugline.serving.serve_settings import ServeSettings

if TYPE_CHECKING:
    from slugline.serving.server.addresses import Address

#: Default file of decisions.
DEFAULT_OUTPUT = Path("reviewed.db")


def check_page(output: Path, sources: Sequence[str | Path | None]) -> None:
    """Check, before the audit, that decisions can be stored and a page opened.

    Raises
    ------
    OptionError : if the file can't be written, is an input, or has the extension of a table.
    DataError : if it exists and contains other kinds of labels.
    """
    if output.suffix.lower() in (".html", ".csv", ".xlsx", ".jsonl"):
        raise OptionError(
            f"--output {output}: with --page, it is a database; name it {output.stem}.db."
        )
    check_target("--output", output, sources)
    check_decisions(output)
    check_can_open()


def review_suspects(
    findings: Findings,
    data: Sequence[str],
    reading: ReadOptions,
    output: Path,
    page: PageOptions,
    settings: ServeSettings,
    address: Address,
) -> None:
    """Serve a page for reviewing the suspect training documents, until Ctrl-C."""
    audit = findings.audit
    suspects = [
        row
        for row in findings.to_review()
        if not audit.is_test(row) and audit.suspicion[row] >= MIN_SUSPICION
    ]
    if not suspects:
        say(f"{audit.corpus.name}: no topic is suspect, so there is nothing to review")
        return
    with open_decisions(output, shlex.join(data)) as store:
        rows = [*suspects, *decided_rows(findings, store)]
        columns = other_columns(data, audit.training_documents(), rows, reading)
        review = AuditReview(findings, rows, columns)
        assignments = RowAssignments.from_store(review.table, store)
        if assignments.n_missing:
            warn(
                [
                    f"{output} has decisions about {counted(assignments.n_missing, 'document')} "
                    f"that {audit.corpus.name} had with another text or topic; take them back on "
                    'the page, under "Latest", so that the others can be carried out'
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
    options = ", with the same options for reading" if reading.describes_source() else ""
    say(
        f"decisions are in {output}; to carry them out{options}: slugline audit {name} "
        "-o repaired.csv"
    )


def _prepare_store(store: LabelStore, findings: Findings, page: PageOptions) -> str:
    """Add the coder and the topics of the data, most common first; return the coder."""
    corpus = findings.audit.corpus
    coder = store.add_coder(page.coder_name()).name
    if corpus.multilabel and not store.is_multilabel:
        store.set_multilabel(True)
    add_topics(store, dict.fromkeys(map(str, corpus.topic_counts()), ""), coder)
    return coder
