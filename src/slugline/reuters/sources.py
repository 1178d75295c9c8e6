"""Where the files of the newswires come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slugline.errors import DataError
from slugline.reuters.downloads import RemoteFile

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FILES", "not_the_original", "read_bounded"]

_KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_UCI_URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/reuters21578-mld/"
FILES = {
    "sequences": RemoteFile(
        name="reuters/reuters.npz",
        url=_KERAS_URL + "reuters.npz",
        sha256="d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916",
        max_bytes=4_000_000,
    ),
    "word index": RemoteFile(
        name="reuters/reuters_word_index.json",
        url=_KERAS_URL + "reuters_word_index.json",
        sha256="9b56000edc4b34a32e89fd5a23b2605594682c74efcf7d8f4e2a5514b771e633",
        max_bytes=1_000_000,
    ),
    # The archive has been packed in several ways; what counts is what is in it (SGML_SHA256).
    "archive": RemoteFile(
        name="reuters/reuters21578.tar.gz",
        url=_UCI_URL + "reuters21578.tar.gz",
        sha256=None,
        max_bytes=16_000_000,
    ),
}


def read_bounded(path: Path, remote: RemoteFile) -> bytes:
    """Bytes of a file, unless it is larger than `remote` can be."""
    with path.open("rb") as file:
        content = file.read(remote.max_bytes + 1)
    if len(content) > remote.max_bytes:
        raise DataError(f"it has more than {remote.max_bytes:,} bytes")
    return content


def not_the_original(path: Path, remote: RemoteFile, error: Exception) -> DataError:
    """Return the error for a file that is not what the publisher serves."""
    found = " ".join(str(error).split()) or type(error).__name__
    return DataError(
        f"{path} is damaged or something else ({found}); put the original from {remote.url} there."
    )
