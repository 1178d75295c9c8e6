"""A file of texts that was dropped on the page: kept while it is read, and understood."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from slugline.answers import Prediction
from slugline.corpus.columns import column_names, find_text_columns, peek
from slugline.corpus.encodings import guess_encoding
from slugline.corpus.readers import Rows, read_rows
from slugline.corpus.rows import BadRow
from slugline.errors import DataError, SluglineError
from slugline.prediction import predict_rows
from slugline.routing import Router
from slugline.server.bodies import take_body
from slugline.server.problems import Problem
from slugline.server.settings import Settings

__all__ = ["Upload", "receive", "understand"]

_LONGEST_NAME = 200
# What the end of a name says of the format; no other part of it gets into a path.
_ENDING = re.compile(r"(\.[a-z0-9]{1,10}){1,2}$")
# Bytes a second at which a file arrives at least, after the time that every request has.
_SLOWEST = 250_000
# Rows that are answered at a time: others have their turn in between.
_BATCH_ROWS = 256
# Rows that are answered: the page holds all of them, and a packed file may have no end of them.
_MOST_ROWS = 1_000_000


@dataclass(eq=False)
class Upload:
    """A file that was dropped on the page.

    Attributes
    ----------
    name : str
        What its owner calls it.
    columns : list of str
        Those of the first rows; empty if the format has no names for them.
    text : str or None
        The column, or columns with commas between them, that hold the text; None if nobody knows.
    encoding : str or None
        What its bytes were taken for, as they are not UTF-8; None if they are, as far as is known.
    has_names : bool
        Whether its columns have names.
    unit : str
        What rows are called: "line", "item" or "row".
    """

    name: str
    columns: list[str]
    text: str | None
    encoding: str | None
    has_names: bool
    unit: str
    _file: Any
    _rows: Rows | None = None

    def close(self) -> None:
        """Delete it."""
        self._file.close()

    def answers(self, router: Router) -> Iterator[list[Prediction | BadRow]]:
        """Yield the answers to some rows at a time.

        Raises
        ------
        DataError : if the file can't be read further, or has too many rows; it names the file as
            its owner does.
        """
        text = self.text if self.has_names else None
        n_rows = 0
        try:
            self._rows = read_rows(self._file.name, encoding=self.encoding)
            for batch in predict_rows(router, self._rows, text=text, batch_rows=_BATCH_ROWS):
                if n_rows >= _MOST_ROWS:
                    raise DataError(
                        f"{self.name} has more than {_MOST_ROWS:,} rows, and the others are not "
                        "answered here; use `slugline predict`."
                    )
                yield batch
                n_rows += len(batch)
        except SluglineError as error:
            raise DataError(f"{error}".replace(self._file.name, self.name)) from error

    def share_read(self) -> float | None:
        """Return how much of it has been read, from 0 to 1; None if unknown."""
        return None if self._rows is None else self._rows.share_read()


async def receive(request: Request, settings: Settings) -> Any:
    """Return the body as a temporary file, whose name ends as the owner's does.

    Raises
    ------
    Problem : those of `take_body`, and 503 if there is no room for it.
    """
    found = _ENDING.search(_name(request).lower())
    claimed = request.headers.get("content-length", "")
    n_bytes = int(claimed) if claimed.isascii() and claimed.isdecimal() else settings.max_file
    timeout = settings.timeout + min(n_bytes, settings.max_file) / _SLOWEST
    file = tempfile.NamedTemporaryFile(suffix=found[0] if found else "")  # noqa: SIM115 - lives on
    try:
        await take_body(request, settings.max_file, timeout, file.write)
        file.flush()
    except BaseException as error:
        file.close()
        if not isinstance(error, OSError):
            raise
        raise Problem(
            503,
            f"the file can't be kept while it is read ({error.strerror}); make room on the server.",
            headers={"Retry-After": "10"},
        ) from error
    return file


def understand(request: Request, file: Any) -> Upload:
    """Return what a file holds, by its first rows; the file is closed if that can't be told.

    Raises
    ------
    Problem : 422 if it can't be read.
    """
    name = _name(request)
    text = request.query_params.get("text") or None
    try:
        return _understood(name, text, file)
    except BaseException as error:
        file.close()
        if not isinstance(error, SluglineError):
            raise
        raise Problem(422, f"{error}".replace(file.name, name)) from error


def _understood(name: str, text: str | None, file: Any) -> Upload:
    encoding = None
    rows = read_rows(file.name)
    head = peek(rows)
    samples = [row.sample for row in head if isinstance(row, BadRow) and row.sample]
    if samples:  # tables that spreadsheets save are often not UTF-8
        encoding = guess_encoding(samples)
        head = peek(read_rows(file.name, encoding=encoding))
    if rows.has_names:
        # One that was named is looked for; of others, the first is taken.
        found = find_text_columns(name, head, text)
        text = text or (found[0] if found else None)
    return Upload(
        name=name,
        columns=column_names(head) if rows.has_names else [],
        text=text if rows.has_names else "",
        encoding=encoding,
        has_names=rows.has_names,
        unit=rows.unit,
        _file=file,
    )


def _name(request: Request) -> str:
    """Return what the file is called, without folders."""
    name = request.query_params.get("name", "").replace("\\", "/").rpartition("/")[2]
    if not name or len(name) > _LONGEST_NAME:
        raise Problem(
            422, f"give the file's `name`, of at most {_LONGEST_NAME} characters, in the address."
        )
    return name
