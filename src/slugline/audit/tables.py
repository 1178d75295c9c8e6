"""An audit as files: every document in JSON Lines, and a table of the suspects to review."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator

from slugline.audit.findings import Finding, Findings

__all__ = ["DECISIONS", "REVIEW_COLUMNS", "ranking_lines", "review_table", "text_digest"]

#: What a reviewer can decide.
DECISIONS = ("keep", "relabel", "drop")
#: The columns of a table to review. The first two are for the reviewer.
REVIEW_COLUMNS = (
    "decision", "new_topic", "topic", "suspicion", "reasons", "text", "part", "at", "digest",
)  # fmt: skip
# Hexadecimal digits: enough to see that a text is no longer the same. A spreadsheet takes some such
# digits for a number, as 1234e567, unless a letter comes first.
_DIGITS, _LETTER = 16, "d"
# A spreadsheet's cell holds 32,767 characters, and the text is there to be read alone.
_MOST_CHARACTERS = 32_000


def text_digest(text: str, topic: str) -> str:
    """Return a letter and the beginning of the SHA-256 of a text and its topic, in hexadecimal."""
    data = f"{len(topic)}:{topic}{text}".encode("utf-8", "surrogatepass")
    return _LETTER + hashlib.sha256(data).hexdigest()[:_DIGITS]


def ranking_lines(findings: Findings) -> Iterator[str]:
    """Yield every document as a line of JSON, the most suspect first."""
    has_test = findings.audit.n_train < len(findings.audit)
    for row in findings.audit.order.tolist():
        found = findings.of(row)
        line = {"at": found.at, **({"part": found.part} if has_test else {}), **plain(found)}
        # Half characters, which UTF-8 lacks, stay escaped.
        yield json.dumps(line, ensure_ascii=not _is_unicode(line)) + "\n"


def plain(found: Finding) -> dict[str, object]:
    """Return what is said of a document, without its place."""
    return {
        "suspicion": round(found.suspicion, 4),
        "topic": found.topic,
        "likely": found.likely,
        "reasons": found.reasons,
    }


def _is_unicode(line: dict[str, object]) -> bool:
    try:
        str(line).encode()
    except UnicodeEncodeError:
        return False
    return True


def review_table(findings: Findings, found: Iterable[Finding]) -> bytes:
    """Return documents as CSV, for a person to write decisions into the first column.

    The second holds the likely topic, which `relabel` gives the document unless it is changed. The
    table is UTF-8 with a mark, without which a spreadsheet would take it for something else.
    """
    table = io.StringIO()
    writer = csv.DictWriter(table, REVIEW_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for each in found:
        text = findings.audit.corpus.texts[each.row]
        writer.writerow(
            {
                "decision": "",
                "new_topic": each.likely,
                "topic": each.topic,
                "suspicion": f"{each.suspicion:.4f}",
                "reasons": "; ".join(each.reasons),
                "text": text[:_MOST_CHARACTERS],
                "part": each.part,
                "at": each.at,
                "digest": text_digest(text, each.topic),
            }
        )
    return table.getvalue().encode("utf-8-sig", "backslashreplace")
