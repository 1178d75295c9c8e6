"""Where answers go: a file of any kind that is written whole or not at all."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slugline.answer_file import AnswerFile, topic_names
from slugline.errors import OptionError, OutputError
from slugline.files import fresh_part, whole_file

if TYPE_CHECKING:
    from slugline.corpus.readers import Rows
    from slugline.routing import Router

__all__ = ["ENDINGS", "answer_columns", "check_ending", "open_answer_file"]

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".jsonl": None, ".ndjson": None}
#: What the name of a file of answers may end in; all but .parquet also with .gz.
ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")
# Answers are packed while others wait: the quickest level.
_PACKING = 1


def check_ending(path: Path) -> None:
    """Raise OptionError if the name of a file doesn't say in which format answers are wanted."""
    if not _is_known(path):
        raise OptionError(
            f"`output` is {path}; use a name that ends in one of {_listed()}, or in / for a folder."
        )


def answer_columns(router: Router, top: int) -> list[str]:
    """Return the names of the columns of answers, besides "error"."""
    names = topic_names(min(top, len(router.fitted.topics)))
    if router.precision is not None:
        names += ["reason", "guess"]
    if router.coverage is not None:
        names.append("set")
    return names


@contextmanager
def open_answer_file(path: Path, rows: Rows, router: Router, top: int) -> Iterator[AnswerFile]:
    """Open a file for answers, which is complete when the block ends, or does not appear at all.

    Parameters
    ----------
    path : Path
        Its ending decides the format; see `ENDINGS`.
    rows : Rows
        What is answered. Answers to a Parquet file, in Parquet, stand beside all of its columns as
        they are, whatever their type.
    router : Router
        What answers.
    top : int
        How many topics each row gets.

    Raises
    ------
    OptionError : if the name ends in something else.
    OutputError : if it can't be written.
    """
    check_ending(path)
    names = answer_columns(router, top)
    try:
        with ExitStack() as stack:
            part = stack.enter_context(whole_file(path))
            if _ending(path) == ".parquet":
                from slugline.answer_parquet import ParquetAnswers

                lines = stack.enter_context(fresh_part(path))
                file: AnswerFile = ParquetAnswers(lines, Path(part.name), rows, names, router)
            else:
                if path.suffix.lower() == ".gz":
                    # Without name and time: the same answers give the same bytes.
                    packed = gzip.GzipFile("", "wb", _PACKING, part, mtime=0)
                    part = stack.enter_context(packed)  # type: ignore[assignment]
                delimiter = _DELIMITERS[_ending(path)]
                file = AnswerFile(part, delimiter, rows.unit, names, rows.has_names)
            yield file
            file.finish()
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{path} can't be written ({error.strerror or error}); free space, or name another "
            "place."
        ) from error


def _ending(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _is_known(path: Path) -> bool:
    if path.suffix.lower() == ".parquet":
        return True
    return _ending(path) in _DELIMITERS


def _listed() -> str:
    return ", ".join(ENDINGS)
