"""One safe file in, one safe file out: the `.slug` container.

A zip archive of exactly four entries: `model.json` (what the model is), `weights.safetensors`
(numbers), `vocabulary.txt` (a term per line) and `card.md` (for people). None of them can name
code. Every size is checked against what the archive could honestly hold before memory is taken.
"""

from __future__ import annotations

import io
import os
import textwrap
import zipfile
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from slugline.errors import ModelFileError
from slugline.files import write_whole
from slugline.saving.quantization import BYTES, Precision, dequantize, quantize
from slugline.saving.schema import FORMAT, FormatOnly, ModelFile, ModelInfo

__all__ = ["damaged", "pack", "read", "write"]

_JSON, _WEIGHTS, _VOCABULARY, _CARD = (
    "model.json",
    "weights.safetensors",
    "vocabulary.txt",
    "card.md",
)
# The most bytes that each entry may unpack to.
_LIMITS = {_JSON: 8 << 20, _WEIGHTS: 4 << 30, _VOCABULARY: 1 << 30, _CARD: 1 << 20}
# Honest entries shrink less than this; what would shrink more is stored as it is, and what claims
# to have shrunk more is a bomb.
_MAX_RATIO = 20
_SLACK = 1 << 16
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write(path: str | os.PathLike[str], model: ModelFile) -> None:
    """Write `model` beside `path`, flush it, and rename it into place.

    The same model gives the same bytes. If anything fails, an earlier file at `path` stays.

    Raises
    ------
    ModelFileError : if the file can't be written, such as on a full disk.
    """
    data = pack(model)
    try:
        write_whole(path, data)
    except OSError as error:
        raise ModelFileError(
            f"{path}: the model could not be saved ({error.strerror or error}); what was there "
            "before is unchanged. Free some space, or name another place."
        ) from error


def read(path: str | os.PathLike[str]) -> ModelFile:
    """Read a model file that may come from anywhere.

    Raises
    ------
    ModelFileError : if there is none, or it is damaged, of a later format, or something else.
    """
    try:
        with Path(path).open("rb") as file, zipfile.ZipFile(file) as archive:
            return _unpack(archive, os.fstat(file.fileno()).st_size)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: there is no such file; check the path.") from error
    except zipfile.BadZipFile as error:
        raise ModelFileError(
            f"{path}: not a Slugline model, or cut off; "
            "make one with `slugline train DATA -o model.slug`, or get a whole copy."
        ) from error
    except OSError as error:
        raise ModelFileError(
            f"{path}: can't be read ({error.strerror or error}); check the path and its rights."
        ) from error
    # Damage makes zipfile, zlib and the decoders raise half a dozen more types.
    except Exception as error:
        raise damaged(path, error) from error


def damaged(path: str | os.PathLike[str], error: Exception) -> ModelFileError:
    """Say in one line what is wrong with a file, however much of it `error` quotes."""
    reason = textwrap.shorten(str(error), 200)
    return ModelFileError(f"{path}: damaged ({reason}); get a whole copy of it.")


def pack(model: ModelFile) -> bytes:
    """Return the bytes of the file; the same model gives the same bytes."""
    from safetensors.numpy import save

    arrays = quantize(model.arrays, model.info.precision)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    entries = {
        _JSON: msgspec.json.format(
            msgspec.json.encode(model.info, enc_hook=np.generic.item), indent=1
        ),
        _WEIGHTS: save(arrays),
        _VOCABULARY: "".join(f"{term}\n" for term in model.terms).encode("utf-8", "surrogatepass"),
        _CARD: model.card.encode(),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, _best_method(data))
    return buffer.getvalue()


def _best_method(data: bytes) -> int:
    """Deflate what deflating shrinks, but never so much that reading would take it for a bomb."""
    deflated = len(zlib.compress(data))
    worth_it = deflated < 0.95 * len(data) and len(data) < _MAX_RATIO * deflated
    return zipfile.ZIP_DEFLATED if worth_it else zipfile.ZIP_STORED


def _unpack(archive: zipfile.ZipFile, file_size: int) -> ModelFile:
    entries = {entry.filename: entry for entry in archive.infolist()}
    if _JSON not in entries:
        raise ModelFileError(
            f"a zip archive without {_JSON}, so not a Slugline model; check the path, or export a "
            "spreadsheet as CSV."
        )
    data = _read_entry(archive, entries[_JSON], file_size)
    version = msgspec.json.decode(data, type=FormatOnly).format
    if version > FORMAT:
        raise ModelFileError(
            f"written in format {version} by a later Slugline, and this one reads up to format "
            f"{FORMAT}; upgrade with `pip install -U slugline`."
        )
    if len(archive.infolist()) != len(_LIMITS) or set(entries) != set(_LIMITS):
        raise ModelFileError(
            f"holds {len(archive.infolist())} entries where a model has just {', '.join(_LIMITS)}; "
            "get an untouched copy of it."
        )
    info = msgspec.json.decode(data, type=ModelInfo)
    _check_growth(entries[_WEIGHTS], info.precision)
    rest = {
        name: _read_entry(archive, entry, file_size)
        for name, entry in entries.items()
        if name != _JSON
    }
    terms = _split_terms(rest[_VOCABULARY], sum(block.n_terms for block in info.blocks))
    arrays = _load_arrays(rest[_WEIGHTS], info.precision)
    return ModelFile(info, arrays, terms, rest[_CARD].decode())


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file_size: int) -> bytes:
    if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ModelFileError(f"{entry.filename} is encrypted or packed in an unknown way.")
    honest = min(entry.compress_size, file_size) * _MAX_RATIO + _SLACK
    if entry.file_size > min(_LIMITS[entry.filename], honest):
        raise ModelFileError(
            f"{entry.filename} claims to unpack to {entry.file_size:,} bytes, "
            f"which no {file_size:,}-byte model does."
        )
    return archive.read(entry)


def _check_growth(entry: zipfile.ZipInfo, precision: Precision) -> None:
    """Hold weights to their limit by the size that they will have in memory, as float32."""
    n_bytes = entry.file_size * BYTES["float32"] // BYTES[precision]
    if n_bytes > _LIMITS[_WEIGHTS]:
        raise ModelFileError(
            f"{entry.filename} claims to hold {n_bytes:,} bytes of weights, more than a model has; "
            "get an untouched copy of it."
        )


def _split_terms(data: bytes, n_terms: int) -> list[str]:
    n_lines = data.count(b"\n")
    if n_lines != n_terms:
        raise ModelFileError(
            f"{_VOCABULARY} holds {n_lines} terms but {_JSON} says {n_terms}; "
            "both must come from one training run."
        )
    return data.decode("utf-8", "surrogatepass").split("\n")[:-1]


def _load_arrays(data: bytes, precision: Precision) -> dict[str, npt.NDArray[Any]]:
    from safetensors.numpy import load

    with np.errstate(over="ignore"):
        # What overflows is found below.
        arrays = dequantize(load(data), precision)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ModelFileError(f"array {name!r} holds NaN or infinity; train the model again.")
    return arrays
