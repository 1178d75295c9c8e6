"""Entries of a zip archive that may come from anywhere, in no more memory than they claim."""

from __future__ import annotations

import io
import shutil
import zipfile

from slugline.errors import ModelFileError

__all__ = ["MAX_RATIO", "PiecewiseFile", "read_entry"]

#: Honest entries shrink less than this; what claims to have shrunk more is a bomb.
MAX_RATIO = 20
_SLACK = 1 << 16
_PIECE = 1 << 16
# zipfile reads the archive's comment at one go, and that may have 64 KiB.
_MAX_READ = 1 << 17


class PiecewiseFile(io.BufferedReader):
    """A file that refuses to be read in large pieces.

    zipfile reads the list of entries at one go, however long the archive says it is, and makes
    objects of it that take many times as much memory.
    """

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, or ModelFileError if they are more than a list of a few."""
        unbounded = size is None or size < 0
        data = super().read(_MAX_READ + 1 if unbounded else min(size or 0, _MAX_READ + 1))
        if len(data) > _MAX_READ:
            raise ModelFileError(
                "a zip archive of too many entries to be a Slugline model; check the path."
            )
        return data


def read_entry(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, *, most: int, file_size: int
) -> bytes:
    """Return the content of an entry.

    Parameters
    ----------
    archive : ZipFile, of a `PiecewiseFile`
    entry : ZipInfo
    most : int
        The most bytes that it may unpack to.
    file_size : int
        How many bytes the archive has.

    Raises
    ------
    ModelFileError : if the entry claims more than `most` bytes or than the archive could hold, has
        other than it claims, or is packed in an unknown way.
    """
    if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ModelFileError(f"{entry.filename} is encrypted or packed in an unknown way.")
    honest = min(entry.compress_size, file_size) * MAX_RATIO + _SLACK
    if entry.file_size > min(most, honest):
        raise ModelFileError(
            f"{entry.filename} claims to unpack to {entry.file_size:,} bytes, "
            f"which no {file_size:,}-byte model does."
        )
    # In pieces: at one go, zipfile unpacks all there is before it cuts that to the claimed size.
    content = io.BytesIO()
    with archive.open(entry) as stream:
        shutil.copyfileobj(stream, content, _PIECE)
    if content.tell() != entry.file_size:
        raise ModelFileError(
            f"{entry.filename} claims {entry.file_size:,} bytes and has {content.tell():,}; "
            "get a whole copy of it."
        )
    return content.getvalue()
