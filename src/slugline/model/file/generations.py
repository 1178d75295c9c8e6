"""Earlier files of a model, kept beside it, and the way back.

`model.slug.before.1` is the last one before `model.slug`, `model.slug.before.2` the one before
that, and so on. At every moment there is a whole model at the path itself.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from slugline.base.files import whole_file
from slugline.errors import ModelFileError
from slugline.model.file import container
from slugline.model.file.content import is_shipped

__all__ = [
    "MOST_KEPT",
    "RolledBack",
    "keep_before",
    "kept_before",
    "roll_back",
]

#: Earlier files that are kept; the oldest is dropped for a newer one.
MOST_KEPT = 5


class RolledBack(NamedTuple):
    """What going back has done.

    Attributes
    ----------
    source : Path
        Where the file was that is the model again.
    taken_away : Path
        Where the file is now that was the model.
    n_left : int
        How often one can go back further.
    """

    source: Path
    taken_away: Path
    n_left: int


def kept_before(path: str | os.PathLike[str]) -> list[Path]:
    """Return the earlier files that are kept, the last one first."""
    return [kept for n in range(1, MOST_KEPT + 1) if (kept := _place(_target(path), n)).is_file()]


def keep_before(path: str | os.PathLike[str]) -> Path | None:
    """Keep the file of a model that is about to be replaced; return where.

    It also stays where it is. A file that is kept already is not kept twice.

    Returns
    -------
    Path of the kept file; None if there is none to keep.

    Raises
    ------
    ModelFileError : if it can't be kept.
    """
    target = _target(path)
    first = _place(target, 1)
    if not target.is_file():
        return None
    try:
        if first.is_file() and filecmp.cmp(first, target, shallow=False):
            return first
        free = next(n for n in range(1, MOST_KEPT + 1) if n == MOST_KEPT or not _is_kept(target, n))
        for n in range(free - 1, 0, -1):
            _place(target, n).replace(_place(target, n + 1))
        _put_copy(target, first)
    except OSError as error:
        raise ModelFileError(
            f"{path}: the model could not be kept as {first.name} ({error.strerror or error}), and "
            "is unchanged. Free some space, or fix the folder's permissions."
        ) from error
    return first


def roll_back(path: str | os.PathLike[str]) -> RolledBack:
    """Put the last file before the model in its place; the next time, the one before that.

    The file that was there is moved to `model.slug.rolled-back`, in the place of an earlier one.

    Raises
    ------
    ModelFileError : if the model comes with Slugline, there is nothing to go back to, the file to
        go back to is no whole model, or it can't be put in place; the model then is unchanged.
    """
    if is_shipped(path):
        raise ModelFileError(
            f"{path} comes with Slugline and never changes, so there is nothing to go back to; "
            "name the file of a model."
        )
    target, kept = _target(path), kept_before(path)
    while kept and target.is_file() and filecmp.cmp(kept[0], target, shallow=False):
        kept.pop(0).unlink()  # it was kept for a model that then could not be written
    if not kept:
        missing = "" if target.is_file() else "there is no such file, and "
        raise ModelFileError(
            f"{path}: {missing}no earlier file is kept beside it, so there is nothing to go back "
            "to; `slugline train --corrections` keeps one."
        )
    try:
        container.read(kept[0])
    except ModelFileError as error:
        further = f", to go back to {kept[1].name}" if len(kept) > 1 else ""
        raise ModelFileError(
            f"{error} The model is unchanged; delete that file{further}."
        ) from None
    away = target.with_name(f"{target.name}.rolled-back")
    try:
        if target.is_file():
            _put_copy(target, away)
        os.utime(kept[0])  # whoever looks out for a newer file sees it
        kept[0].replace(target)
    except OSError as error:
        raise ModelFileError(
            f"{path}: {kept[0].name} could not be put in its place ({error.strerror or error}); "
            "fix the folder's permissions, or free some space."
        ) from error
    return RolledBack(kept[0], away, len(kept) - 1)


def _target(path: str | os.PathLike[str]) -> Path:
    """Return the file itself where the path is a link to it."""
    return Path(os.path.realpath(path))


def _place(target: Path, number: int) -> Path:
    return target.with_name(f"{target.name}.before.{number}")


def _is_kept(target: Path, number: int) -> bool:
    return _place(target, number).exists()


def _put_copy(source: Path, place: Path) -> None:
    """Let a file be found at a second place as well, whole or not at all."""
    linked = place.with_name(f".{place.name}.part")
    linked.unlink(missing_ok=True)  # a process that was killed may have left it
    try:
        os.link(source, linked)  # a model is replaced, never written into, so one file does for two
    except OSError:  # some disks have no links
        with source.open("rb") as file, whole_file(place) as copy:
            shutil.copyfileobj(file, copy)
        return
    linked.replace(place)
    linked.unlink(missing_ok=True)  # renaming a link to another link of the same file leaves both
