"""Keeps earlier files of a model beside it, and rolls back to them.

`model.slug.before.1` is the version before `model.slug`, `model.slug.before.2` the version before
that, and so on. At every moment, there is a complete model at the path itself.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from slugline.base.files import PathLike, lock, os_advice, whole_file
from slugline.errors import ModelFileError
from slugline.model.file import container
from slugline.model.file.shipped import is_shipped

#: The number of earlier files that are kept; the oldest is deleted when there are more.
MAX_EARLIER = 5


class Rollback(NamedTuple):
    """Result of a rollback.

    Attributes
    ----------
    source, replaced : Path
        The earlier path of the current file, and the present path of the file that it replaced.
    n_earlier : int
        Number of remaining earlier files.
    """

    source: Path
    replaced: Path
    n_earlier: int


def earlier_files(path: PathLike) -> list[Path]:
    """Return the paths of the earlier files, the latest first."""
    return [
        path_before
        for n in range(1, MAX_EARLIER + 1)
        if (path_before := _earlier_path(_target(path), n)).is_file()
    ]


def keep_current(path: PathLike) -> Path | None:
    """Copy the current file of a model to the earlier ones; return the path of the copy.

    Return None if there is no file. If the latest earlier file is the same, no second copy is made.

    Raises
    ------
    ModelFileError : if it can't be copied.
    """
    target = _target(path)
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
        _put_copy(target, first)
    except OSError as error:
        raise ModelFileError(
            f"{path}: the model could not be kept as {first.name} ({error.strerror or error}), and "
            f"is unchanged. {os_advice(error)}."
        ) from error
    return first


def roll_back(path: PathLike) -> Rollback:
    """Replace the model by the latest earlier file; a second call goes back one more version.

    The replaced file moves to `model.slug.rolled-back`.

    Raises
    ------
    ModelFileError : if the model comes with Slugline, there is no earlier file, that file is not a
        valid model, another process is rolling back, or the file can't be put in place;
        the model is then unchanged.
    """
    if is_shipped(path):
        raise ModelFileError(
            f"{path} comes with Slugline and never changes, so there is nothing to go back to; "
            "name the file of a model."
        )
    target = _target(path)
    with _locked_folder(target):
        return _roll_back(path, target, earlier_files(path))


@contextlib.contextmanager
def _locked_folder(target: Path) -> Iterator[None]:
    """Lock the folder of a model; raise ModelFileError if another process has the lock."""
    try:
        folder = os.open(target.parent, os.O_RDONLY)
    except OSError:  # on Windows; or the folder is missing, which the next step reports
        yield
        return
    try:
        if not lock(folder):
            raise ModelFileError(
                f"{target}: another process is going back to an earlier model in this "
                "folder; look at the result before you try again."
            )
        yield
    finally:
        os.close(folder)


def _roll_back(path: PathLike, target: Path, earlier: list[Path]) -> Rollback:
    while earlier and target.is_file() and filecmp.cmp(earlier[0], target, shallow=False):
        earlier.pop(0).unlink()  # kept for a new model that then could not be written
    if not earlier:
        missing = "" if target.is_file() else "there is no such file, and "
        raise ModelFileError(
            f"{path}: {missing}no earlier file is kept beside it, so there is nothing to go back "
            "to; `slugline train --corrections` keeps one."
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
        os.utime(earlier[0])  # so that programs that watch for a newer file see it
        earlier[0].replace(target)
    except OSError as error:
        raise ModelFileError(
            f"{path}: {earlier[0].name} could not be put in its place ({error.strerror or error}). "
            f"{os_advice(error)}."
        ) from error
    return Rollback(earlier[0], away, len(earlier) - 1)


def _target(path: PathLike) -> Path:
    """Return the path of the file itself if `path` is a link to it."""
    return Path(os.path.realpath(path))


def _earlier_path(target: Path, number: int) -> Path:
    return target.with_name(f"{target.name}.before.{number}")


def _put_copy(source: Path, place: Path) -> None:
    """Link or copy a file to a second path, completely or not at all."""
    linked = place.with_name(f".{place.name}.part")
    linked.unlink(missing_ok=True)  # may be left from a process that was killed
    try:
        os.link(
            source, linked
        )  # a hard link is enough, as a model file is replaced and never written into
    except OSError:  # some file systems have no links
        with source.open("rb") as file, whole_file(place) as copy:
            shutil.copyfileobj(file, copy)
        return
    linked.replace(place)
    linked.unlink(
        missing_ok=True
    )  # remains if both are links to one file, which `replace` leaves alone
