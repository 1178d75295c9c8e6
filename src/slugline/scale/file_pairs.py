"""Which files are answered, and where their answers go."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import NamedTuple

from slugline.corpus.readers import check_exists
from slugline.corpus.rows import os_errors_named
from slugline.errors import DataError, OptionError
from slugline.scale.file_names import MARKS, files_of, is_pattern

__all__ = ["FORMATS", "FilePair", "pair_files"]

#: Formats that answers may have.
FORMATS = ("csv", "tsv", "jsonl", "parquet")
# What answers to a file of each format are, unless the user says so.
_ANSWERS = {
    **{name: name for name in FORMATS},
    "ndjson": "ndjson",
    "json": "jsonl",
    "txt": "jsonl",
    "ft": "jsonl",
    "xlsx": "csv",
}


class FilePair(NamedTuple):
    """A file, and its answers.

    Attributes
    ----------
    source : str
        The path of the file.
    name : str
        The path of its answers in their folder, with slashes.
    size, changed : int
        The file's bytes, and when it was changed, in nanoseconds.
    """

    source: str
    name: str
    size: int
    changed: int


def pair_files(
    sources: Iterable[str | Path], out: Path, form: str | None = None, to: str | None = None
) -> list[FilePair]:
    """Return the files that are named, those of a pattern in order of their names.

    Answers have the name of their file. Files that a pattern finds in several folders keep the
    part of their path that the pattern leaves open: answers to `in/*/a.csv` are in `1/a.csv`,
    `2/a.csv` and so on.

    Parameters
    ----------
    sources : iterable of paths and patterns
    out : Path
        The folder of the answers.
    form : str, optional
        The format of all files; by default each one's name tells.
    to : one of FORMATS, optional
        The format of all answers.

    Raises
    ------
    DataError : if there is no such file, or a pattern fits none.
    OptionError : if a file is a folder or lies in `out`, or answers to two would have one name.
    """
    if to is not None and to not in FORMATS:
        raise OptionError(f"`to` is {to!r}; choose one of {', '.join(FORMATS)}.")
    pairs: list[FilePair] = []
    known: dict[str, str] = {}
    for source, own in _named(sources):
        name = _answer_name(own, form, to)
        if name not in known:
            known[name] = source
            pairs.append(_pair(source, name, out))
        elif os.path.realpath(known[name]) != os.path.realpath(source):
            raise OptionError(
                f"answers to {known[name]} and {source} would both be {out / name}; give these "
                "files other names, or name them by one pattern, in quotes, such as 'in/*/*.csv'."
            )
    return pairs


def _named(sources: Iterable[str | Path]) -> Iterable[tuple[str, PurePath]]:
    """Yield files, and the part of the path of each that their pattern leaves open."""
    for source in map(str, sources):
        if source == "-":
            raise OptionError(
                "standard input has no name that answers in a folder could have; save it, or name "
                "a file with `output`."
            )
        if not is_pattern(source):
            check_exists(Path(source))
            if Path(source).is_dir():
                raise OptionError(
                    f"{source} is a folder; name its files, such as '{Path(source) / '*.csv'}'."
                )
            yield source, PurePath(Path(source).name)
            continue
        fixed = _fixed(source)
        if ".." in PurePath(source).relative_to(fixed).parts:
            raise OptionError(
                f"{source} has .. after a place that is open, so that answers would not stay in "
                "their folder; write the pattern without it."
            )
        files = [file for file in files_of([source]) if not Path(file).is_dir()]
        if not files:
            raise DataError(f"no file is named like {source}, only folders; check the pattern.")
        for file in files:
            yield file, PurePath(file).relative_to(fixed)


def _fixed(pattern: str) -> PurePath:
    """Return the folder at which a pattern begins to leave something open."""
    parts = PurePath(pattern).parts
    n_fixed = next(n for n, part in enumerate(parts) if MARKS & set(part))
    return PurePath(*parts[:n_fixed])


def _answer_name(name: PurePath, form: str | None, to: str | None) -> str:
    """Return the name of the answers to a file."""
    is_packed = name.suffix.lower() == ".gz"
    plain = name.with_suffix("") if is_packed else name
    own = plain.suffix.lower().removeprefix(".")
    ending = to or (form and _ANSWERS.get(form)) or _ANSWERS.get(own, "jsonl")
    if own != ending:
        plain = plain.with_suffix("") if own in _ANSWERS else plain
        plain = plain.with_name(f"{plain.name}.{ending}")
    if is_packed and ending != "parquet":
        plain = plain.with_name(f"{plain.name}.gz")
    return plain.as_posix()


def _pair(source: str, name: str, out: Path) -> FilePair:
    if Path(os.path.realpath(source)).is_relative_to(os.path.realpath(out)):
        raise OptionError(
            f"{source} is in {out}, the folder of the answers; name another folder for these."
        )
    with os_errors_named(source):
        found = Path(source).stat()
    return FilePair(source, name, found.st_size, found.st_mtime_ns)
