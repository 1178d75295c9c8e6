"""Where the files of the newswires come from."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from slugline.errors import DataError
from slugline.reuters.downloads import RemoteFile

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FILES", "not_the_original", "read_bounded", "reason_of"]

_KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_UCI_URL = "https://archive.ics.uci.edu/"
_KDD_URL = "https://kdd.ics.uci.edu/databases/reuters21578/"
FILES = {
    "sequences": RemoteFile(
        name="reuters/reuters.npz",
        urls=(_KERAS_URL + "reuters.npz",),
        sha256="d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916",
        max_bytes=4_000_000,
    ),
    "word index": RemoteFile(
        name="reuters/reuters_word_index.json",
        urls=(_KERAS_URL + "reuters_word_index.json",),
        sha256="9b56000edc4b34a32e89fd5a23b2605594682c74efcf7d8f4e2a5514b771e633",
        max_bytes=1_000_000,
    ),
    # The archive has been packed in several ways, so only its contents are checked (SGML_SHA256).
    "archive": RemoteFile(
        name="reuters/reuters21578.tar.gz",
        urls=(
            _UCI_URL + "static/public/137/reuters+21578+text+categorization+collection.zip",
            _KDD_URL + "reuters21578.tar.gz",
            _UCI_URL + "ml/machine-learning-databases/reuters21578-mld/reuters21578.tar.gz",
        ),
        sha256=None,
        max_bytes=16_000_000,
    ),
}


def read_bounded(path: Path, remote: RemoteFile) -> bytes:
    """Return the bytes of a file; DataError if it is larger than `remote` can be."""
    with path.open("rb") as file:
        content = file.read(remote.max_bytes + 1)
    if len(content) > remote.max_bytes:
        raise DataError(f"it has more than {remote.max_bytes:,} bytes")
    return content


def not_the_original(path: Path, remote: RemoteFile, error: Exception) -> DataError:
    """Return the error for a file that is not what the publisher serves."""
    return DataError(
        f"{path} is damaged or not the original ({reason_of(error)}); "
        f"replace it with {PurePosixPath(remote.name).name} from {remote.urls[0]}."
    )


def reason_of(error: Exception) -> str:
    """Return the message of an error, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
