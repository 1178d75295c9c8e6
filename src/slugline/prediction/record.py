"""The record of a folder of predictions: which files are done, with which model and settings.

A job appends a line to `_slugline.jsonl` at each step, so that a job that was killed can be
resumed. The name starts with an underscore, since programs that read whole folders skip such files.
A lock on the file, held as long as the process lives, keeps a second job out of the folder; on a
shared file system, this works if the file system passes on locks, as NFS does.
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
from slugline.errors import DataError, OptionError, OutputError, Parameter, os_errors_as
from slugline.prediction.model_copy import ModelCopy
from slugline.prediction.rows import PredictOptions

# Pairs of files -----------------------------------------------------------------------------------

#: Formats that answers may have.
FORMATS = ("csv", "tsv", "jsonl", "parquet", "xlsx")
# The default format of answers to a file, by its ending or format.
_ANSWER_FORMATS = {
    **{name: name for name in FORMATS},
    "ndjson": "ndjson",
    "json": "jsonl",
    "txt": "jsonl",
    "ft": "jsonl",
}


class FilePair(NamedTuple):
    """A file and its answers.

    Attributes
    ----------
    source, name : str
        The path of the file, and the path of its answers in their folder, with slashes.
    size, modification_time : int
        The size of the file in bytes, and the time in nanoseconds.
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
    """Return the files with their answers; files of a pattern are sorted by name.

    Answers have the name of the file. If a pattern matches files in several folders, they also keep
    the part of the path that matches its wildcards: answers to `in/*/a.csv` are `1/a.csv`,
    `2/a.csv` and so on.

    Parameters
    ----------
    sources : iterable of paths and patterns
    out : Path
        The folder of the answers.
    source_format : str, optional
        The format of all files; by default, each name shows it.
    answer_format : one of FORMATS, optional
        The format of all answers.

    Raises
    ------
    DataError : if there is no such file, or no file matches a pattern.
    OptionError : if a file is a folder or lies in `out`, or two files would share their answers.
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
            pairs.append(_make_pair(source, name, out))
        elif os.path.realpath(by_name[name]) != os.path.realpath(source):
            raise OptionError(
                f"answers to {by_name[name]} and {source} would both be {out / name}; give these "
                "files other names, or name them by one pattern, in quotes, such as 'in/*/*.csv'."
            )
    return pairs


def _expand_sources(sources: Iterable[str | Path]) -> Iterable[tuple[str, PurePath]]:
    """Yield files, each with the part of its path from the first wildcard of the pattern on."""
    for source in map(str, sources):
        if source == "-":
            raise OptionError(
                "answers in a folder are named after their files, and standard input has no name; "
                "save it to a file, or name a file with ",
                Parameter("output"),
                ".",
            )
        if not is_pattern(source):
            check_exists(Path(source))
            if Path(source).is_dir():
                raise OptionError(
                    f"{source} is a folder; name its files, such as '{Path(source) / '*.csv'}'."
                )
            yield source, PurePath(Path(source).name)
            continue
        # The folders before the first wildcard.
        parts = PurePath(source).parts
        n_fixed = next(n for n, part in enumerate(parts) if PATTERN_CHARACTERS & set(part))
        fixed = PurePath(*parts[:n_fixed])
        if ".." in PurePath(source).relative_to(fixed).parts:
            raise OptionError(
                f"{source} has .. after a wildcard, so answers could end up outside of their "
                "folder; write the pattern without it."
            )
        files = [file for file in expand_patterns([source]) if not Path(file).is_dir()]
        if not files:
            raise DataError(f"no file matches {source}, only folders; check the pattern.")
        for file in files:
            yield file, PurePath(file).relative_to(fixed)


def _answer_name(name: PurePath, source_format: str | None, answer_format: str | None) -> str:
    """Return the name of the answers to a file."""
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


def _make_pair(source: str, name: str, out: Path) -> FilePair:
    if Path(os.path.realpath(source)).is_relative_to(os.path.realpath(out)):
        raise OptionError(
            f"{source} is in {out}, the folder of the answers; name another folder for the answers."
        )
    with translate_os_errors(source):
        stat = Path(source).stat()
    return FilePair(source, name, stat.st_size, stat.st_mtime_ns)


# The record ---------------------------------------------------------------------------------------

# Larger lines and files were not written by a job, and are not read.
_MAX_LINE_BYTES = 1 << 17
_MAX_BYTES = 1 << 30
# Settings that don't change answers.
_WITHOUT_EFFECT = ("n_threads", "strict")
# Records that this process has locked. Its forks, which may outlive it, close them.
_open_records: set[BinaryIO] = set()


class RecordEntry(msgspec.Struct, omit_defaults=True):
    """One line of the record: an event of a job about a file.

    `job` is a digest of model and settings. The source's size and modification time are those at
    the event; `size`, `rows` and `bad` are those of the answers. `model`, `slugline` and `how`, the
    settings, are only in entries about the job itself.
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
    n_bad_up_to_date : list of int
        For each file with up-to-date answers, the number of its rows that got an error.
    n_outdated : int
        Number of files in `to_do` that have outdated answers.
    """

    to_do: list[FilePair]
    n_bad_up_to_date: list[int]
    n_outdated: int


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
        self._last_entries: dict[str, RecordEntry] = {}
        self._answered: set[str] = set()
        for entry in self._read_entries():
            if entry.event != "job":
                self._last_entries[entry.name] = entry
            if entry.event == "done":
                self._answered.add(entry.name)

    def plan(self, pairs: Iterable[FilePair], *, overwrite: bool = False) -> JobPlan:
        """Return the plan, which says which files to predict.

        Raises
        ------
        OptionError : if there is a file that no such job has written or, without `overwrite`,
            answers of another model, of other settings, or to another source.
        """
        plan = JobPlan([], [], 0)
        for pair in pairs:
            has_file = (self._folder / pair.name).exists()
            entry = self._last_entries.get(pair.name)
            if entry is not None and entry.event == "failed" and pair.name not in self._answered:
                entry = None  # nothing was written
            if has_file and entry is None:
                raise OptionError(
                    f"{self._folder / pair.name} exists already, and {RECORD} doesn't list it as "
                    "answers; move it, or name another folder."
                )
            if has_file and entry is not None:
                self._check_replaceable(pair, entry, overwrite=overwrite)
                if self._is_up_to_date(pair, entry):
                    plan.n_bad_up_to_date.append(entry.bad)
                    continue
                is_outdated = entry.event == "done" and not self._violates_strict(entry)
                plan = plan._replace(n_outdated=plan.n_outdated + is_outdated)
            plan.to_do.append(pair)
        # The largest files first, so that workers finish at about the same time.
        plan.to_do.sort(key=lambda pair: -pair.size)
        return plan

    def add_begun(self, pairs: Iterable[FilePair]) -> None:
        """Record that files are about to be predicted."""
        self._append([self._job_entry, *(self._entry("begun", pair) for pair in pairs)])

    def add_done(self, pair: FilePair, size: int, n_rows: int, n_bad: int) -> None:
        """Record that a file has its answers."""
        entry = self._entry("done", pair)
        entry.size, entry.rows, entry.bad = size, n_rows, n_bad
        self._append([entry])

    def add_failed(self, pair: FilePair, error: str) -> None:
        """Record why a file failed."""
        entry = self._entry("failed", pair)
        entry.error = error[:2000]
        self._append([entry])

    def _check_replaceable(self, pair: FilePair, entry: RecordEntry, *, overwrite: bool) -> None:
        if overwrite:
            return
        content = ""
        if entry.source != _absolute(pair.source):
            content = f"answers to {entry.source}"
        elif entry.job != self._job:
            content = "answers of another model or of other settings"
        if content:
            raise OptionError(
                f"{self._folder / pair.name} has {content}; name another folder, or replace them "
                "with ",
                Parameter("overwrite"),
                ".",
            )

    def _is_up_to_date(self, pair: FilePair, entry: RecordEntry) -> bool:
        return (
            entry.event == "done"
            and entry.job == self._job
            and not self._violates_strict(entry)
            and (entry.source_size, entry.source_changed) == (pair.size, pair.modification_time)
            and entry.source == _absolute(pair.source)
            and entry.size == (self._folder / pair.name).stat().st_size
        )

    def _violates_strict(self, entry: RecordEntry) -> bool:
        """Whether `strict` forbids the errors among the answers."""
        return self._strict and entry.bad > 0

    def _entry(self, event: Literal["begun", "done", "failed"], pair: FilePair) -> RecordEntry:
        return RecordEntry(
            event,
            self._job,
            name=pair.name,
            source=_absolute(pair.source),
            source_size=pair.size,
            source_changed=pair.modification_time,
        )

    def _append(self, entries: Iterable[RecordEntry]) -> None:
        failure = f"{self._folder / RECORD} can't be written"
        advice = "free some space, and run this again: it predicts the remaining files."
        with os_errors_as(OutputError, failure, advice):
            self._write(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))

    def _write(self, data: bytes) -> None:
        """Append without a buffer, which closing would write again after the disk was full."""
        while data:
            data = data[os.write(self._file.fileno(), data) :]

    def _read_entries(self) -> Iterator[RecordEntry]:
        if os.fstat(self._file.fileno()).st_size > _MAX_BYTES:
            raise self._damaged("it has more than a gigabyte")
        decode = msgspec.json.Decoder(RecordEntry).decode
        self._file.seek(0)
        while raw := self._file.readline(_MAX_LINE_BYTES):
            if not raw.endswith(b"\n"):
                if len(raw) == _MAX_LINE_BYTES:
                    raise self._damaged("a line has no end")
                # A process was killed while it wrote this entry, which is ignored.
                self._write(b"\n")
                return
            if raw.isspace():
                continue
            try:
                yield decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                # A truncated entry, whose line a later process has ended.
                if raw.startswith(b'{"event":') and not raw.endswith(b"}\n"):
                    continue
                raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> DataError:
        return DataError(
            f"{self._folder / RECORD} is not a record of answers ({why[:200]}); name another "
            "folder for the answers."
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
            Parameter("output"),
            f" {folder}: this or one of its parents is a file; name another folder.",
        ) from error
    except OSError as error:
        raise OptionError(
            Parameter("output"),
            f" {folder}: can't write files there ({error.strerror}); fix its permissions, "
            "or name another folder.",
        ) from error
    with file:
        if not lock(file):
            raise OptionError(
                f"another job writes answers to {folder}; wait for it to finish, or name another "
                "folder."
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
