"""Read entries of an untrusted zip archive, in no more memory than they claim."""

from __future__ import annotations

import io
import shutil
import zipfile

from slugline.errors import ModelFileError

__all__ = ["MAX_RATIO", "PiecewiseFile", "read_entry"]

#: Honest entries shrink less than this; one that claims to have shrunk more is a zip bomb.
MAX_RATIO = 20
_SLACK = 1 << 16
_PIECE = 1 << 16
# zipfile reads the archive's comment at once, and it may have 64 KiB.
_MAX_READ = 1 << 17


class PiecewiseFile(io.BufferedReader):
    """A file that refuses to be read in large pieces.

    zipfile reads the list of entries at once, however long the archive says it is, and its objects
    take many times as much memory.
    """

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes; ModelFileError if that is more than a short list needs."""
        unbounded = size is None or size < 0
        data = super().read(_MAX_READ + 1 if unbounded else min(size or 0, _MAX_READ + 1))
        if len(data) > _MAX_READ:
            raise ModelFileError(
                "a zip archive with too many entries for a Slugline model; check the path."
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
        Size of the archive in bytes.

    Raises
    ------
    ModelFileError : if the entry claims more than `most` bytes or than the archive could hold,
        unpacks to another size than it claims, or is packed in an unknown way.
    """
    if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ModelFileError(f"{entry.filename} is encrypted or packed in an unknown way.")
    honest = min(entry.compress_size, file_size) * MAX_RATIO + _SLACK
    if entry.file_size > min(most, honest):
        raise ModelFileError(
            f"{entry.filename} claims to unpack to {entry.file_size:,} bytes, "
            f"which no {file_size:,}-byte model does."
        )
    # In pieces: otherwise zipfile unpacks everything before it cuts that to the claimed size.
    content = io.BytesIO()
    with archive.open(entry) as stream:
        shutil.copyfileobj(stream, content, _PIECE)
    if content.tell() != entry.file_size:
        raise ModelFileError(
            f"{entry.filename} claims {entry.file_size:,} bytes but has {content.tell():,}; "
            "get an intact copy."
        )
    return content.getvalue()
