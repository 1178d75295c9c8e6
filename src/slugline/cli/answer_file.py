"""Answers as a file that a command writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from slugline.answer_file import DELIMITERS, AnswerFile
from slugline.cli.targets import check_not_read, check_target
from slugline.errors import OptionError, SluglineError
from slugline.files import whole_file

__all__ = ["check_answer_file", "open_answer_file"]


def check_answer_file(path: Path, sources: Iterable[str]) -> None:
    """Check, before the work, that answers can be written to `path`; OptionError if not."""
    if path.suffix.lower() not in DELIMITERS:
        raise OptionError(
            f"`output` is {path}; use a name that ends in one of {', '.join(DELIMITERS)}."
        )
    check_target("--output", path)
    check_not_read("--output", path, sources)


@contextmanager
def open_answer_file(
    path: Path, unit: str, names: Sequence[str], has_names: bool = True
) -> Iterator[AnswerFile]:
    """Open a file for answers, which is complete when the block ends, or does not appear at all.

    Parameters
    ----------
    path : Path
        Its ending decides the format; see `DELIMITERS`.
    unit, has_names : of the given rows
        See `slugline.corpus.readers.Rows`.
    names : sequence of str
        Those of the answers, besides "error": some of `topic_names`, "reason", "guess" and "set".

    Raises
    ------
    SluglineError : if it can't be written.
    """
    try:
        with whole_file(path) as part:
            file = AnswerFile(part, DELIMITERS[path.suffix.lower()], unit, names, has_names)
            yield file
            file.finish()
    except OSError as error:
        raise SluglineError(
            f"{path} can't be written ({error.strerror or error}); free space, or name another "
            "place."
        ) from error
