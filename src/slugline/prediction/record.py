"""The record of a folder of predictions: which files are done, by which model and settings.

A job appends a line to `_slugline.jsonl` at each step, so that a job that was killed can go on from
there. The name starts with an underscore as programs that read whole folders skip such files. A
lock on the file, which ends with its process, refuses a second job into the same folder. On a
shared file system, it works where that passes locks on, as NFS does.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import BinaryIO, Literal, NamedTuple

import msgspec

from slugline._version import __version__
from slugline.base.checks import short_repr
from slugline.base.files import lock
from slugline.base.names import PATTERN_CHARACTERS, RECORD, expand_patterns, is_pattern
from slugline.corpus.readers import check_exists
from slugline.corpus.rows import translate_os_errors
from slugline.errors import DataError, OptionError, OutputError, os_errors_as
from slugline.prediction.rows import PredictOptions
from slugline.prediction.task import ModelCopy

# Pairs of files -----------------------------------------------------------------------------------

#: Formats that answers may have.
FORMATS = ("csv", "tsv", "jsonl", "parquet", "xlsx")
# What answers to a file of each format are, unless the user says so.
_ANSWERS = {
    **{name: name for name in FORMATS},
    "ndjson": "ndjson",
    "json": "jsonl",
    "txt": "jsonl",
    "ft": "jsonl",
}


class FilePair(NamedTuple):
    """A file, and its answers.

    Attributes
    ----------
    source, name : str
        The path of the file, and that of its answers within their folder, with slashes.
    size, changed : int
        The file's bytes, and its modification time in nanoseconds.
    """

    source: str
    name: str
    size: int
    changed: int


def pair_files(
    sources: Iterable[str | Path], out: Path, form: str | None = None, to: str | None = None
) -> list[FilePair]:
    """Return the files, those of a pattern in order of their names, with their answers.

    Answers have the name of their file. Files that a pattern finds in several folders keep the
    part of their path that the pattern leaves open: answers to `in/*/a.csv` are in `1/a.csv`,
    `2/a.csv` and so on.

    Parameters
    ----------
    sources : iterable of paths and patterns
    out : Path
        The folder of the answers.
    form : str, optional
        The format of all files; by default it follows from each name.
    to : one of FORMATS, optional
        The format of all answers.

    Raises
    ------
    DataError : if there is no such file, or no file fits a pattern.
    OptionError : if a file is a folder or lies in `out`, or two files would share their answers.
    """
    if to is not None and to not in FORMATS:
        raise OptionError(f"`to` is {short_repr(to)}; choose one of {', '.join(FORMATS)}.")
    pairs: list[FilePair] = []
    by_name: dict[str, str] = {}
    for source, open_part in _expand_sources(sources):
        name = _answer_name(open_part, form, to)
        if name not in by_name:
            by_name[name] = source
            pairs.append(_make_pair(source, name, out))
        elif os.path.realpath(by_name[name]) != os.path.realpath(source):
            raise OptionError(
                f"answers to {by_name[name]} and {source} would both be {out / name}; give these "
                "files other names, or name them by one pattern, in quotes, such as 'in/*/*.csv'."
            )
    return pairs


def _expand_sources(sources: Iterable[str | Path]) -> Iterable[tuple[str, PurePath]]:
    """Yield files, and the part of each path that the pattern leaves open."""
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
        # The folder up to which the pattern has no wildcards.
        parts = PurePath(source).parts
        n_fixed = next(n for n, part in enumerate(parts) if PATTERN_CHARACTERS & set(part))
        fixed = PurePath(*parts[:n_fixed])
        if ".." in PurePath(source).relative_to(fixed).parts:
            raise OptionError(
                f"{source} has .. after a place that is open, so that answers would not stay in "
                "their folder; write the pattern without it."
            )
        files = [file for file in expand_patterns([source]) if not Path(file).is_dir()]
        if not files:
            raise DataError(f"no file matches {source}, only folders; check the pattern.")
        for file in files:
            yield file, PurePath(file).relative_to(fixed)


def _answer_name(name: PurePath, form: str | None, to: str | None) -> str:
    """Return the name of the answers to a file."""
    is_packed = name.suffix.lower() == ".gz"
    plain = name.with_suffix("") if is_packed else name
    extension = plain.suffix.lower().removeprefix(".")
    ending = to or (form and _ANSWERS.get(form)) or _ANSWERS.get(extension, "jsonl")
    if extension != ending:
        plain = plain.with_suffix("") if extension in _ANSWERS else plain
        plain = plain.with_name(f"{plain.name}.{ending}")
    if is_packed and ending not in ("parquet", "xlsx"):
        plain = plain.with_name(f"{plain.name}.gz")
    return plain.as_posix()


def _make_pair(source: str, name: str, out: Path) -> FilePair:
    if Path(os.path.realpath(source)).is_relative_to(os.path.realpath(out)):
        raise OptionError(
            f"{source} is in {out}, the folder of the answers; name another folder for these."
        )
    with translate_os_errors(source):
        stat = Path(source).stat()
    return FilePair(source, name, stat.st_size, stat.st_mtime_ns)


# The record ---------------------------------------------------------------------------------------

# The most bytes of one of its lines, and of all of it.
_MOST_LINE = 1 << 17
_MOST_BYTES = 1 << 30
# Of the settings, those that change no answer.
_WITHOUT_EFFECT = ("n_threads", "strict")
# Records that this process holds. Its forks must not: they may end later than it.
_open_records: set[BinaryIO] = set()


class RecordEntry(msgspec.Struct, omit_defaults=True):
    """One line of the record: an event, of a job (a digest of model and settings), about a file.

    The file's size and modification time are those at that moment; `size`, `rows` and `bad` are of
    the answers.
    """

    event: Literal["job", "begun", "done", "failed"]
    job: str
    name: str = ""
    source: str = ""
    source_size: int = 0
    source_changed: int = 0
    size: int = 0
    rows: int = 0
    bad: int = 0
    error: str = ""
    model: str = ""
    slugline: str = ""
    how: Mapping[str, str | int | float | bool | None] = {}


class JobPlan(NamedTuple):
    """The work of a job.

    Attributes
    ----------
    to_do : list of FilePair
    there : list of int
        For each file that has its answers: how many rows got an error.
    n_again : int
        Files to do whose answers are out of date.
    """

    to_do: list[FilePair]
    there: list[int]
    n_again: int


class JobRecord:
    """The record of a folder, locked by this process."""

    def __init__(
        self, folder: Path, file: BinaryIO, model: ModelCopy, options: PredictOptions
    ) -> None:
        self._folder = folder
        self._file = file
        self._strict = options.strict
        settings = {
            name: value for name, value in asdict(options).items() if name not in _WITHOUT_EFFECT
        }
        encoded = msgspec.json.encode([model.digest, settings], order="sorted")
        self._job = hashlib.sha256(encoded).hexdigest()[:16]
        self._job_entry = RecordEntry(
            "job", self._job, model=model.digest, slugline=__version__, how=settings
        )
        self._last, self._answered = dict[str, RecordEntry](), set[str]()
        for line in self._read_entries():
            if line.event != "job":
                self._last[line.name] = line
            if line.event == "done":
                self._answered.add(line.name)

    def plan(self, pairs: Iterable[FilePair], overwrite: bool = False) -> JobPlan:
        """Return which files to predict.

        Raises
        ------
        OptionError : if a file is there that no such job has written or, without `overwrite`,
            answers of another model, of other settings, or to a file elsewhere.
        """
        to_do, there, n_again = list[FilePair](), list[int](), 0
        for pair in pairs:
            is_there = (self._folder / pair.name).exists()
            line = self._last.get(pair.name)
            if line is not None and line.event == "failed" and pair.name not in self._answered:
                line = None  # nothing was written
            if is_there and line is None:
                raise OptionError(
                    f"{self._folder / pair.name} is there already, and is no answer that "
                    f"{RECORD} names; move it, or name another folder."
                )
            if is_there and line is not None:
                self._check_replaceable(pair, line, overwrite)
                if self._is_up_to_date(pair, line):
                    there.append(line.bad)
                    continue
                n_again += line.event == "done" and not self._is_too_lax(line)
            to_do.append(pair)
        # The largest first, so that workers end at about the same time.
        to_do.sort(key=lambda pair: -pair.size)
        return JobPlan(to_do, there, n_again)

    def add_begun(self, pairs: Iterable[FilePair]) -> None:
        """Record that files are about to be predicted."""
        self._append([self._job_entry, *(self._entry("begun", pair) for pair in pairs)])

    def add_done(self, pair: FilePair, size: int, n_rows: int, n_bad: int) -> None:
        """Record that a file has its answers."""
        line = self._entry("done", pair)
        line.size, line.rows, line.bad = size, n_rows, n_bad
        self._append([line])

    def add_failed(self, pair: FilePair, error: str) -> None:
        """Record why a file failed."""
        line = self._entry("failed", pair)
        line.error = error[:2000]
        self._append([line])

    def _check_replaceable(self, pair: FilePair, line: RecordEntry, overwrite: bool) -> None:
        if overwrite:
            return
        content = ""
        if line.source != _absolute(pair.source):
            content = f"answers to {line.source}"
        elif line.job != self._job:
            content = "answers of another model or of other settings"
        if content:
            raise OptionError(
                f"{self._folder / pair.name} has {content}; name another folder, or replace them "
                "with `overwrite`."
            )

    def _is_up_to_date(self, pair: FilePair, line: RecordEntry) -> bool:
        return (
            line.event == "done"
            and line.job == self._job
            and not self._is_too_lax(line)
            and (line.source_size, line.source_changed) == (pair.size, pair.changed)
            and line.source == _absolute(pair.source)
            and line.size == (self._folder / pair.name).stat().st_size
        )

    def _is_too_lax(self, line: RecordEntry) -> bool:
        """Whether `strict` forbids the errors among the answers."""
        return self._strict and line.bad > 0

    def _entry(self, event: Literal["begun", "done", "failed"], pair: FilePair) -> RecordEntry:
        source = _absolute(pair.source)
        return RecordEntry(event, self._job, pair.name, source, pair.size, pair.changed)

    def _append(self, lines: Iterable[RecordEntry]) -> None:
        failure = f"{self._folder / RECORD} can't be written"
        advice = "free space, and run it again: it goes on from there."
        with os_errors_as(OutputError, failure, advice):
            self._write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

    def _write(self, data: bytes) -> None:
        """Append without a buffer, which would be flushed again at the end after a full disk."""
        while data:
            data = data[os.write(self._file.fileno(), data) :]

    def _read_entries(self) -> Iterator[RecordEntry]:
        if os.fstat(self._file.fileno()).st_size > _MOST_BYTES:
            raise self._damaged("it has more than a gigabyte")
        decode = msgspec.json.Decoder(RecordEntry).decode
        self._file.seek(0)
        while raw := self._file.readline(_MOST_LINE):
            if not raw.endswith(b"\n"):
                if len(raw) == _MOST_LINE:
                    raise self._damaged("a line has no end")
                # A process was killed while it wrote this; what it says has to be done again.
                self._write(b"\n")
                return
            if raw.isspace():
                continue
            try:
                yield decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                # A cut off entry, after which a later process has ended the line.
                if raw.startswith(b'{"event":') and not raw.endswith(b"}\n"):
                    continue
                raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> DataError:
        return DataError(
            f"{self._folder / RECORD} is no record of answers ({why[:200]}); name another folder "
            "for the answers."
        )


@contextlib.contextmanager
def open_record(folder: Path, model: ModelCopy, options: PredictOptions) -> Iterator[JobRecord]:
    """Open and lock the record of a folder; create the folder if it is missing.

    Raises
    ------
    OptionError : if another job writes to the folder, or it can't be created.
    DataError : if the record is damaged.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / RECORD).open("a+b")
    except (FileExistsError, NotADirectoryError) as error:
        raise OptionError(
            f"`output` {folder}: there is a file of that name, or on the way there; name another "
            "folder."
        ) from error
    except OSError as error:
        raise OptionError(
            f"`output` {folder}: can't write files there ({error.strerror}); fix its permissions, "
            "or name another folder."
        ) from error
    with file:
        if not lock(file):
            raise OptionError(
                f"another job writes answers to {folder}; wait for its end, or name another folder."
            )
        _open_records.add(file)
        try:
            yield JobRecord(folder, file, model, options)
        finally:
            _open_records.discard(file)


def _close_in_child() -> None:
    while _open_records:
        _open_records.pop().close()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_close_in_child)


def _absolute(path: str) -> str:
    return str(Path(path).absolute())
