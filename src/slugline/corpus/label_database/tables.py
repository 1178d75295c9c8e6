"""Tables, column lists and setting names of label databases.

Rows are never changed: a change, undo or withdrawal is a new row that refers to an earlier one and
is applied on reading.
"""

from __future__ import annotations

from slugline.base.databases import DatabaseFormat

#: Maximum size in UTF-8 bytes of a text, and of a document's other columns as JSON.
MAX_TEXT_BYTES = 16 << 20
#: Tables; later rows have larger numbers.
FORMAT = DatabaseFormat(
    content="labels",
    tables=(
        "CREATE TABLE requests (key BLOB PRIMARY KEY, digest BLOB NOT NULL, row INTEGER NOT NULL)",
        "CREATE TABLE settings (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
        "name BLOB NOT NULL, value BLOB NOT NULL)",
        "CREATE TABLE coders (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
        "name BLOB NOT NULL UNIQUE, kind TEXT NOT NULL)",
        "CREATE TABLE codebook (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
        "coder INTEGER NOT NULL, kind TEXT NOT NULL, topic INTEGER NOT NULL, name BLOB, "
        "description BLOB, examples BLOB, target INTEGER)",
        # The text comes last so that queries of other columns can skip its pages.
        "CREATE TABLE documents (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
        "replaces INTEGER NOT NULL, key BLOB NOT NULL, digest BLOB NOT NULL, "
        "columns BLOB NOT NULL, text BLOB NOT NULL, UNIQUE (key, replaces))",
        "CREATE TABLE arrivals (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
        "last_assignment INTEGER NOT NULL, checksums BLOB NOT NULL)",
        "CREATE INDEX documents_by_text ON documents (digest)",
        "CREATE TABLE assignments (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
        "coder INTEGER NOT NULL, document INTEGER NOT NULL, reason TEXT NOT NULL, "
        "probability REAL, n_candidates INTEGER, guess BLOB, is_guess_shown INTEGER NOT NULL, "
        "original INTEGER)",
        "CREATE INDEX assignments_by_document ON assignments (document, coder)",
        "CREATE INDEX assignments_by_coder ON assignments (coder)",
        "CREATE INDEX assignments_by_original ON assignments (original)",
        "CREATE TABLE decisions (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
        "assignment INTEGER NOT NULL, supersedes INTEGER NOT NULL, kind TEXT NOT NULL, "
        "topics BLOB NOT NULL, reason TEXT, note BLOB, is_guess_shown INTEGER NOT NULL, "
        "UNIQUE (assignment, supersedes))",
        "CREATE TABLE withdrawals (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
        "coder INTEGER NOT NULL, person INTEGER NOT NULL, last_decision INTEGER NOT NULL, "
        "restores INTEGER NOT NULL)",
        "CREATE TABLE settlements (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
        "document INTEGER NOT NULL, supersedes INTEGER NOT NULL, person INTEGER NOT NULL, "
        "kind TEXT NOT NULL, topics BLOB NOT NULL, note BLOB, UNIQUE (document, supersedes))",
        # Corrections of a served model's answers; approval makes them labels.
        "CREATE TABLE corrections (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
        "document INTEGER NOT NULL, topics BLOB NOT NULL, guess BLOB NOT NULL, "
        "model BLOB NOT NULL, digest BLOB NOT NULL, who BLOB, is_named INTEGER NOT NULL)",
        "CREATE INDEX corrections_by_document ON corrections (document)",
        "CREATE TABLE approvals (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
        "correction INTEGER NOT NULL UNIQUE, assignment INTEGER NOT NULL, who BLOB)",
        "CREATE TABLE undone (correction INTEGER PRIMARY KEY, at TEXT NOT NULL, who BLOB)",
        "CREATE TABLE learned (correction INTEGER PRIMARY KEY, at TEXT NOT NULL, "
        "digest BLOB NOT NULL)",
    ),
    version=2,
    max_row_bytes=2 * MAX_TEXT_BYTES + (1 << 17),
    hint="the file that `slugline label -o` or `slugline serve --corrections` keeps",
)
#: Columns of an assignment in a query, without its coder's columns.
ASSIGNMENT_COLUMNS = (
    "assignments.id, assignments.at, assignments.coder, assignments.document, "
    "assignments.reason, probability, n_candidates, guess, assignments.is_guess_shown, original"
)
N_ASSIGNMENT_COLUMNS = 10
#: Columns of a decision, which follow its assignment's columns.
DECISION_COLUMNS = (
    "decisions.id, decisions.at, decisions.kind, topics, decisions.reason, note, "
    "decisions.is_guess_shown, supersedes"
)
SETTLEMENT_COLUMNS = "id, at, document, person, kind, topics, note, supersedes"
DOCUMENT_COLUMNS = "id, at, key, replaces, columns, text"
#: Setting: "yes" for multi-label data, else "no".
MULTILABEL = "multilabel"
#: Setting: the audited data, if coders review suspect documents.
REVIEWED = "reviewed data"
#: Settings: the user's text columns as a JSON list, and topic column.
TEXT_COLUMNS, TOPIC_COLUMN = "text columns", "topic column"
