"""Markers: small files that record how each file of answers was made.

The marker of `out/a.csv` is `out/_slugline/a.csv.json`. Before a file is predicted, its old answers
are removed and its marker is written, so answers always come from the model and settings in their
marker, even if a process is killed. A file is finished if its answers exist and its marker matches.
The folder name starts with an underscore because programs that read whole folders skip such names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from slugline.base.files import lock, write_errors, write_whole
from slugline.base.names import MARKERS
from slugline.errors import OptionError, Parameter
from slugline.prediction.file_pairs import FilePair
from slugline.prediction.rows import PredictOptions

# Settings that don't change answers; `strict` only rejects files.
_WITHOUT_EFFECT = ("n_threads", "strict")


class Marker(msgspec.Struct, frozen=True):
    """The model, the settings and the source of a file of answers.

    Attributes
    ----------
    model : str
        Digest of the model file.
    settings : dict
        `PredictOptions`, except those that don't change answers.
    strict : bool
        True if answers with bad rows were rejected.
    source : str
    source_size, source_modified : int
        Size in bytes and modification time in nanoseconds.
    """

    model: str
    settings: dict[str, Any]
    strict: bool
    source: str
    source_size: int
    source_modified: int


class MarkedFile(NamedTuple):
    """A file of answers with its existing or future marker."""

    path: Path
    marker_path: Path
    marker: Marker

    def is_outdated(self, *, overwrite: bool) -> bool:
        """Return False if existing answers are finished, True if they must be replaced.

        Raises
        ------
        OptionError : if the answers have no marker or, without `overwrite`, if they come from
            another model, other settings or another source.
        """
        found = self._read_marker()
        if found is None:
            raise OptionError(
                f"{self.path} already exists and is not listed as an answer file in "
                f"{self.marker_path}; move it, or choose another folder."
            )
        if self.marker in (found, msgspec.structs.replace(found, strict=False)):
            return False
        content = ""
        if found.source != self.marker.source:
            content = f"answers to {found.source}"
        elif (found.model, found.settings) != (self.marker.model, self.marker.settings):
            content = "answers of another model or other settings"
        if content and not overwrite:
            raise OptionError(
                f"{self.path} contains {content}; choose another folder, or replace them with ",
                Parameter("overwrite"),
                ".",
            )
        return True

    @contextlib.contextmanager
    def replacing(self) -> Iterator[None]:
        """Remove old answers and write the marker; remove the marker if the block fails."""
        with write_errors(self.path):
            for path in (self.path, self.marker_path):
                path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            write_whole(self.marker_path, msgspec.json.encode(self.marker))
        try:
            yield
        except BaseException:
            self.marker_path.unlink(missing_ok=True)
            raise

    def _read_marker(self) -> Marker | None:
        try:
            return msgspec.json.decode(self.marker_path.read_bytes(), type=Marker)
        except (OSError, UnicodeDecodeError, msgspec.DecodeError):
            return None


def marked_file(folder: Path, pair: FilePair, model: str, options: PredictOptions) -> MarkedFile:
    """Return the answers to a file, with the marker of a job.

    Parameters
    ----------
    folder : Path
        The folder of the answers.
    pair : FilePair
    model : str
        Digest of the model file.
    options : PredictOptions
    """
    settings = {
        name: value for name, value in asdict(options).items() if name not in _WITHOUT_EFFECT
    }
    marker = Marker(
        model,
        # As read from a file, where tuples are lists.
        msgspec.json.decode(msgspec.json.encode(settings)),
        options.strict,
        str(Path(pair.source).absolute()),
        pair.size,
        pair.modification_time,
    )
    return MarkedFile(folder / pair.name, folder / MARKERS / f"{pair.name}.json", marker)


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Create a folder of answers if it is missing, and lock out other jobs.

    Shared file systems must support locks, as NFS does.

    Raises
    ------
    OptionError : if another job writes to the folder, or it can't be created.
    """
    try:
        (folder / MARKERS).mkdir(parents=True, exist_ok=True)
        file = (folder / MARKERS / "lock").open("ab")
    except (FileExistsError, NotADirectoryError) as error:
        raise OptionError(
            Parameter("output"),
            f" {folder}: this or one of its parents is a file; choose another folder.",
        ) from error
    except OSError as error:
        raise OptionError(
            Parameter("output"),
            f" {folder}: can't write files there ({error.strerror}); fix its permissions, "
            "or choose another folder.",
        ) from error
    with file:
        if not lock(file):
            raise OptionError(
                f"another job writes answers to {folder}; wait for it to finish, or choose another "
                "folder."
            )
        yield
