"""The tables of a label database, the columns that are read together, and the names of settings.

Rows are added and never changed: a change, an undo or a withdrawal is a row of its own that refers
to an earlier one, and is applied on reading.
"""

from __future__ import annotations

from slugline.base.databases import DatabaseFormat

#: The largest size of a text, and of the other columns of a document in JSON, in bytes of UTF-8.
MAX_TEXT_BYTES = 16 << 20
#: The tables; in each, rows with larger numbers are later.
FORMAT = DatabaseFormat(
    content="labels",
    tables=(
        (
            "CREATE TABLE requests (key BLOB PRIMARY KEY, digest BLOB NOT NULL, "
            "row INTEGER NOT NULL)",
            "CREATE TABLE settings (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "name BLOB NOT NULL, value BLOB NOT NULL)",
            "CREATE TABLE coders (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "name BLOB NOT NULL UNIQUE, kind TEXT NOT NULL)",
            "CREATE TABLE codebook (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "coder INTEGER NOT NULL, kind TEXT NOT NULL, topic INTEGER NOT NULL, name BLOB, "
            "description BLOB, examples BLOB, target INTEGER)",
            # The text comes last, so that a query of other columns can skip its pages.
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
        ),
    ),
    max_row_bytes=2 * MAX_TEXT_BYTES + (1 << 17),
    hint="the file of labels that `slugline label -o` makes",
)
#: The columns of an assignment in a query, without its coder's.
ASSIGNMENT_COLUMNS = (
    "assignments.id, assignments.at, assignments.coder, assignments.document, "
    "assignments.reason, probability, n_candidates, guess, assignments.is_guess_shown, original"
)
#: How many these are.
N_ASSIGNMENT_COLUMNS = 10
#: The columns of a decision, after those of its assignment.
DECISION_COLUMNS = (
    "decisions.id, decisions.at, decisions.kind, topics, decisions.reason, note, "
    "decisions.is_guess_shown, supersedes"
)
SETTLEMENT_COLUMNS = "id, at, document, person, kind, topics, note, supersedes"
DOCUMENT_COLUMNS = "id, at, key, replaces, columns, text"
#: The setting that says whether documents may have several topics: "yes" or "no".
MULTILABEL = "multilabel"
#: The setting that names the data whose suspects are reviewed, if that is what decisions are about.
REVIEWED = "reviewed data"
#: The settings that name the user's columns: those of the text, in a JSON list, and of the topic.
TEXT_COLUMNS, TOPIC_COLUMN = "text columns", "topic column"
