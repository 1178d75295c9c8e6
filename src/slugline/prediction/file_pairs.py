"""Pairs of input files and answer files of a folder job."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import NamedTuple

from slugline.base.checks import short_repr
from slugline.base.names import PATTERN_CHARACTERS, expand_patterns, is_pattern
from slugline.corpus.readers import check_exists
from slugline.corpus.rows import translate_os_errors
from slugline.errors import DataError, OptionError, Parameter

#: Answer formats.
FORMATS = ("csv", "tsv", "jsonl", "parquet", "xlsx")
# Default answer format by extension or format of the input.
_ANSWER_FORMATS = {
    **{name: name for name in FORMATS},
    "ndjson": "ndjson",
    "json": "jsonl",
    "txt": "jsonl",
    "ft": "jsonl",
}


class FilePair(NamedTuple):
    """An input file and the name of its answer file.

    Attributes
    ----------
    source, name : str
        Path of the input, and path of the answers relative to their folder, with slashes.
    size, modification_time : int
        Size of the input in bytes, and modification time in nanoseconds.
    """

    source: str
    name: str
    size: int
    modification_time: int


def pair_files(
    sources: Iterable[str | Path],
    out: Path,
    source_format: str | None = None,
    answer_format: str | None = None,
) -> list[FilePair]:
    """Pair input files with answer files; files that match a pattern are sorted by name.

    An answer file is named after its input. For patterns with wildcards in folders, the name
    includes these folders: answers to `in/*/a.csv` are `1/a.csv`, `2/a.csv` and so on.

    Parameters
    ----------
    sources : iterable of paths and patterns
    out : Path
        Folder for the answers.
    source_format : str, optional
        Format of all inputs; by default, inferred from each name.
    answer_format : one of FORMATS, optional
        Format of all answers; by default, depends on the input.

    Raises
    ------
    DataError : if a file is missing or a pattern matches no file.
    OptionError : if a source is a folder or lies in `out`, or two files would get the same answer
        file.
    """
    if answer_format is not None and answer_format not in FORMATS:
        raise OptionError(
            Parameter("to"), f" is {short_repr(answer_format)}; choose one of {', '.join(FORMATS)}."
        )
    pairs: list[FilePair] = []
    by_name: dict[str, str] = {}
    for source, relative in _expand_sources(sources):
        name = _answer_name(relative, source_format, answer_format)
        if name not in by_name:
            by_name[name] = source
            if Path(os.path.realpath(source)).is_relative_to(os.path.realpath(out)):
                raise OptionError(
                    f"{source} is inside the output folder {out}; choose another output folder."
                )
            with translate_os_errors(source):
                stat = Path(source).stat()
            pairs.append(FilePair(source, name, stat.st_size, stat.st_mtime_ns))
        elif os.path.realpath(by_name[name]) != os.path.realpath(source):
            raise OptionError(
                f"answers to {by_name[name]} and {source} would both be {out / name}; rename "
                "these files, or pass one quoted pattern, such as 'in/*/*.csv'."
            )
    return pairs


def _expand_sources(sources: Iterable[str | Path]) -> Iterable[tuple[str, PurePath]]:
    """Yield each file and its path relative to the folders before the pattern's first wildcard."""
    for source in map(str, sources):
        if source == "-":
            raise OptionError(
                "standard input has no file name to use in an output folder; save it to a file, "
                "or choose an output file with ",
                Parameter("output"),
                ".",
            )
        if not is_pattern(source):
            check_exists(Path(source))
            if Path(source).is_dir():
                raise OptionError(
                    f"{source} is a folder; pass its files, such as '{Path(source) / '*.csv'}'."
                )
            yield source, PurePath(Path(source).name)
            continue
        parts = PurePath(source).parts
        n_fixed = next(n for n, part in enumerate(parts) if PATTERN_CHARACTERS & set(part))
        fixed = PurePath(*parts[:n_fixed])
        if ".." in PurePath(source).relative_to(fixed).parts:
            raise OptionError(
                f"{source} has .. after a wildcard, so answers could be written outside the "
                "output folder; remove it from the pattern."
            )
        files = [file for file in expand_patterns([source]) if not Path(file).is_dir()]
        if not files:
            raise DataError(f"no file matches {source}, only folders; check the pattern.")
        for file in files:
            yield file, PurePath(file).relative_to(fixed)


def _answer_name(name: PurePath, source_format: str | None, answer_format: str | None) -> str:
    is_compressed = name.suffix.lower() == ".gz"
    plain = name.with_suffix("") if is_compressed else name
    extension = plain.suffix.lower().removeprefix(".")
    default = _ANSWER_FORMATS.get(extension, "jsonl")
    ending = answer_format or _ANSWER_FORMATS.get(source_format or "", default)
    if extension != ending:
        plain = plain.with_suffix("") if extension in _ANSWER_FORMATS else plain
        plain = plain.with_name(f"{plain.name}.{ending}")
    if is_compressed and ending not in ("parquet", "xlsx"):
        plain = plain.with_name(f"{plain.name}.gz")
    return plain.as_posix()
