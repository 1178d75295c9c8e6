"""Backups of earlier versions of a model and its report, and rollback.

`model.slug.before.1` is the version before `model.slug`, `model.slug.before.2` the one before that,
and so on; `model.html.before.1` is the report on `model.slug.before.1`, if there was one. The path
itself always contains a complete model.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from slugline.base.files import PathLike, os_advice, whole_file
from slugline.errors import ModelFileError
from slugline.model.file import container
from slugline.model.file.shipped import is_shipped

#: Maximum number of earlier files; the oldest is deleted first.
MAX_EARLIER = 5
#: Content of the "generator" tag that identifies a report on a model.
REPORT_GENERATOR = "Slugline training report"
# Number of leading bytes of a web page to search for the tag.
_HEAD_BYTES = 4096


class Rollback(NamedTuple):
    """Result of a rollback.

    Attributes
    ----------
    source, replaced : Path
        Former path of the current file, and new path of the file it replaced.
    n_earlier : int
        Number of remaining earlier files.
    report : Path or None
        Report on the now current model; None if none was kept.
    replaced_report : Path or None
        New path of the report on the replaced file; None if there was none.
    """

    source: Path
    replaced: Path
    n_earlier: int
    report: Path | None = None
    replaced_report: Path | None = None


def report_path(path: PathLike) -> Path:
    """Return the default path of the report on a model.

    >>> print(report_path("tickets.slug"), report_path("v1.2"))
    tickets.html v1.2.html
    """
    return Path(path).with_name(Path(path).name.removesuffix(".slug") + ".html")


def earlier_files(path: PathLike) -> list[Path]:
    """Return the paths of the earlier files, the latest first."""
    return [
        path_before
        for n in range(1, MAX_EARLIER + 1)
        if (path_before := _earlier_path(_target(path), n)).is_file()
    ]


def keep_current(path: PathLike) -> Path | None:
    """Back up a model and its report; return the path of the model's copy.

    Returns None if there is no model. Copies nothing if the latest copy is identical.

    Raises
    ------
    ModelFileError : if the model can't be copied.
    """
    target, report = _target(path), _target(report_path(path))
    first = _earlier_path(target, 1)
    if not target.is_file():
        return None
    try:
        if first.is_file() and filecmp.cmp(first, target, shallow=False):
            return first
        numbers = range(1, MAX_EARLIER)
        free = next((n for n in numbers if not _earlier_path(target, n).exists()), MAX_EARLIER)
        for n in range(free - 1, 0, -1):
            _earlier_path(target, n).replace(_earlier_path(target, n + 1))
            _move_if_exists(_earlier_path(report, n), _earlier_path(report, n + 1))
        _put_copy(target, first)
        _earlier_path(report, 1).unlink(missing_ok=True)
        if _is_report(report):
            _put_copy(report, _earlier_path(report, 1))
    except OSError as error:
        raise ModelFileError(
            f"{path}: the model could not be kept as {first.name} ({error.strerror or error}), and "
            f"is unchanged. {os_advice(error)}."
        ) from error
    return first


def roll_back(path: PathLike) -> Rollback:
    """Restore the previous version of a model; each further call goes back one more version.

    The replaced model moves to `model.slug.rolled-back`, and its report, `model.html`, to
    `model.html.rolled-back`. The report on the restored model is restored if it was kept.

    Raises
    ------
    ModelFileError : if the model is built in, there is no earlier file, or it is not a
        valid model or can't be moved. The model is then unchanged, unless only its report can't be
        moved.
    """
    if is_shipped(path):
        raise ModelFileError(
            f"{path} is built in and has no earlier version; pass your own model file."
        )
    target, report, earlier = _target(path), _target(report_path(path)), earlier_files(path)
    while earlier and target.is_file() and filecmp.cmp(earlier[0], target, shallow=False):
        # A copy made before a new model that could not be written.
        _kept_report(report, earlier[0]).unlink(missing_ok=True)
        earlier.pop(0).unlink()
    if not earlier:
        missing = "" if target.is_file() else "there is no such file, and "
        raise ModelFileError(
            f"{path}: {missing}there is no earlier file next to it to restore; `slugline train "
            "--corrections` keeps one."
        )
    try:
        container.read(earlier[0])
    except ModelFileError as error:
        further = f", to go back to {earlier[1].name}" if len(earlier) > 1 else ""
        raise ModelFileError(
            f"{error} The model is unchanged; delete that file{further}."
        ) from None
    away = target.with_name(f"{target.name}.rolled-back")
    try:
        if target.is_file():
            _put_copy(target, away)
        os.utime(earlier[0])  # notifies programs that watch for a newer file
        earlier[0].replace(target)
    except OSError as error:
        raise ModelFileError(
            f"{path}: {earlier[0].name} could not be put in its place ({error.strerror or error}). "
            f"{os_advice(error)}."
        ) from error
    try:
        restored, replaced = _roll_back_report(report, _kept_report(report, earlier[0]))
    except OSError as error:
        raise ModelFileError(
            f"{path} is restored, but not its report {report.name} ({error.strerror or error}). "
            f"{os_advice(error)}."
        ) from error
    return Rollback(earlier[0], away, len(earlier) - 1, restored, replaced)


def _roll_back_report(report: Path, kept: Path) -> tuple[Path | None, Path | None]:
    """Restore the kept report; return its path and the new path of the replaced report."""
    if report.exists() and not _is_report(report):
        return None, None  # a page of another program
    away = report.with_name(f"{report.name}.rolled-back")
    has_report, has_kept = report.exists(), kept.exists()
    _move_if_exists(report, away)
    _move_if_exists(kept, report)
    return report if has_kept else None, away if has_report else None


def _target(path: PathLike) -> Path:
    return Path(os.path.realpath(path))


def _earlier_path(target: Path, number: int) -> Path:
    return target.with_name(f"{target.name}.before.{number}")


def _kept_report(report: Path, earlier: Path) -> Path:
    """Return the path of the report on an earlier file."""
    return _earlier_path(report, int(earlier.suffix.removeprefix(".")))


def _is_report(path: Path) -> bool:
    """Return True if a file is a report written by Slugline."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return f'content="{REPORT_GENERATOR}"'.encode() in file.read(_HEAD_BYTES)


def _move_if_exists(source: Path, place: Path) -> None:
    """Move a file to a path; if the file is missing, remove any file at the path."""
    if source.exists():
        source.replace(place)
    else:
        place.unlink(missing_ok=True)


def _put_copy(source: Path, place: Path) -> None:
    """Copy a file to a second path atomically."""
    with source.open("rb") as file, whole_file(place) as copy:
        shutil.copyfileobj(file, copy)
