"""The container of a `.slug` file.

A zip archive of exactly four entries: `model.json` (metadata), `weights.safetensors` (arrays),
`vocabulary.txt` (one term per line) and `card.md` (for people). None of them can contain code. A
model that answers several questions has `questions.json`, the list of their names, and these four
entries for each question, in the folders 1, 2 and so on.

Reading checks claimed sizes against the size of the archive before allocating memory; writing
refuses files that reading would reject. Weights can be quantized to float16, or to int8 with a
scale for each topic or unit.
"""

from __future__ import annotations

import io
import os
import reprlib
import shutil
import textwrap
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, Integers
from slugline.base.checks import has_surrogates, option_error, short_repr
from slugline.base.files import PathLike, open_regular, os_advice, whole_file
from slugline.base.names import describe_address
from slugline.base.wording import counted, join_words, nearest
from slugline.corpus.readers import names_documents, similar_path
from slugline.errors import DataError, ModelFileError, OptionError
from slugline.learning.learner import check_settings
from slugline.model.file.schema import (
    FORMAT,
    FormatOnly,
    ModelFile,
    WeightType,
    decode_info,
    encode_info,
)
from slugline.model.file.shipped import split_question

# Entries of an untrusted archive ------------------------------------------------------------------

#: Upper bound of the compression ratio of a model's entries; a higher ratio means a zip bomb.
MAX_RATIO = 20
_SLACK = 1 << 16
_PIECE = 1 << 16
# zipfile reads the archive's comment, of up to 64 KiB, in one piece.
_MAX_READ = 1 << 17


class PiecewiseFile(io.BufferedReader):
    """File that refuses large reads.

    zipfile reads the list of entries in one piece, regardless of its claimed length, and parsed
    entries take many times more memory.
    """

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes; raise ModelFileError if `size` exceeds any valid list."""
        limit = _MAX_READ + 1
        data = super().read(limit if size is None or size < 0 else min(size, limit))
        if len(data) > _MAX_READ:
            raise ModelFileError(
                "a zip archive with too many entries for a Slugline model; check the path."
            )
        return data


def read_entry(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, *, max_bytes: int, file_size: int
) -> bytes:
    """Unpack an entry of a `PiecewiseFile`, an archive of `file_size` bytes.

    Raises
    ------
    ModelFileError : if the claimed size exceeds `max_bytes` or is implausible for the archive, the
        unpacked size differs from it, or the compression is not supported.
    """
    if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ModelFileError(f"{entry.filename} is encrypted or compressed in an unknown way.")
    plausible_size = min(entry.compress_size, file_size) * MAX_RATIO + _SLACK
    if entry.file_size > min(max_bytes, plausible_size):
        raise ModelFileError(
            f"{entry.filename} claims to unpack to {entry.file_size:,} bytes, "
            f"which no {file_size:,}-byte model does."
        )
    # Otherwise zipfile would unpack everything before truncating it to the claimed size.
    content = io.BytesIO()
    with archive.open(entry) as stream:
        shutil.copyfileobj(stream, content, _PIECE)
    if content.tell() != entry.file_size:
        raise ModelFileError(
            f"{entry.filename} claims {entry.file_size:,} bytes but has {content.tell():,}; "
            "get an intact copy."
        )
    return content.getvalue()


# The container ------------------------------------------------------------------------------------

_JSON, _CARD, _QUESTIONS = "model.json", "card.md", "questions.json"
_WEIGHTS, _VOCABULARY = "weights.safetensors", "vocabulary.txt"
# Maximum size in bytes of each unpacked entry.
_LIMITS = {_JSON: 8 << 20, _WEIGHTS: 4 << 30, _VOCABULARY: 1 << 30, _CARD: 8 << 20}
# Maximum size in bytes of the header of the weights, which has about 50 bytes per array.
_MAX_HEADER = 4 << 20
# With weights up to this, no text's scores overflow. A row has under 1e12 terms, the output of a
# hidden unit is at most 1e18 (`slugline.learning.net.network`), and a column has fewer than 2**30
# weights, so sums stay below 1e36; the float32 maximum is 3e38. Trained weights are below 1,000.
_MAX_WEIGHT = 1e9
#: Length of the SHA-256 prefix shown as the version of a model.
DIGEST_LENGTH = 12
#: Maximum number of questions that a model file answers.
MAX_QUESTIONS = 32
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write(path: PathLike, model: ModelFile) -> None:
    """Write a model file atomically; on failure, an existing file is unchanged.

    The output is deterministic.

    Raises
    ------
    ModelFileError : if the file can't be written, for example because the disk is full.
    OptionError : if `path` is not a path.
    """
    _write_entries(path, _pack_entries(model))


def write_questions(path: PathLike, models: Mapping[str, ModelFile]) -> None:
    """Write the models of several questions, by question, to one file; see `write`.

    Raises
    ------
    OptionError : if a name is not a non-empty string, or there are no or too many questions.
    """
    if not 0 < len(models) <= MAX_QUESTIONS:
        raise OptionError(
            f"a model answers 1 to {MAX_QUESTIONS} questions, and these are {len(models):,}; "
            "add or remove some."
        )
    for name in models:
        if not isinstance(name, str) or not name or has_surrogates(name):
            raise option_error("questions", name, "non-empty names")
    entries = {_QUESTIONS: msgspec.json.encode([*models])}
    for number, model in enumerate(models.values(), 1):
        entries |= {f"{number}/{name}": data for name, data in _pack_entries(model).items()}
    _write_entries(path, entries)


def _write_entries(path: PathLike, entries: Mapping[str, bytes]) -> None:
    _check_path(path)
    try:
        with whole_file(path) as file:
            _write_archive(file, entries)
    except OSError as error:
        raise ModelFileError(
            f"{path}: the model could not be saved ({error.strerror or error}); an earlier "
            f"file there is unchanged. {os_advice(error)}, or save it elsewhere."
        ) from error


def read(path: PathLike) -> ModelFile:
    """Read a model file, which may be untrusted.

    If the file answers several questions, `path` must name one; see `split_question`.

    Raises
    ------
    ModelFileError : if the file is missing, damaged, of another format, or not a model, or if it
        doesn't answer the question, or several and `path` names none.
    OptionError : if `path` is not a path.
    """
    _check_path(path)
    with translate_os_errors(split_question(path)[0]):
        opened = io.FileIO(os.fspath(split_question(path)[0]), opener=open_regular)
        with opened, PiecewiseFile(opened) as file:
            return _read_archive(file, path)


def question_paths(data: bytes, path: PathLike) -> dict[str, PathLike]:
    """Return the path of each question of a model file, such as desk.slug:queue, by question.

    If `path` names a question, or the file answers a single one, the result is {"": path}.

    Parameters
    ----------
    data : bytes
        The file, which may be untrusted.
    path : str or Path

    Raises
    ------
    ModelFileError : if the file is damaged or not a model.
    """
    if split_question(path)[1] is not None:
        return {"": path}
    file = PiecewiseFile(io.BytesIO(data))
    with _archive_errors(path), zipfile.ZipFile(file) as archive:
        questions = _questions(archive, file.seek(0, os.SEEK_END))
    return {name: f"{path}:{name}" for name in questions} or {"": path}


def read_bytes(path: PathLike) -> bytes:
    """Return the bytes of a model file; raise ModelFileError if it is unreadable or too large."""
    path, _ = split_question(path)
    with translate_os_errors(path), open(path, "rb", opener=open_regular) as file:
        if os.fstat(file.fileno()).st_size > sum(_LIMITS.values()):
            raise ModelFileError(f"{path}: larger than any model; check the path.")
        return file.read()


def unpack(data: bytes, path: PathLike) -> ModelFile:
    """Read a model from the bytes of its file; `path` is for messages. See `read`."""
    return _read_archive(PiecewiseFile(io.BytesIO(data)), path)


def _read_archive(file: PiecewiseFile, path: PathLike) -> ModelFile:
    path, question = split_question(path)
    with _archive_errors(path), zipfile.ZipFile(file) as archive:
        file_size = file.seek(0, os.SEEK_END)
        questions = _questions(archive, file_size)
        _check_entries(archive, len(questions), file_size)
        number = _find_question(questions, question, path)
        return _unpack(archive, "" if number is None else f"{number}/", file_size)


@contextmanager
def _archive_errors(path: PathLike) -> Iterator[None]:
    """Convert errors of a damaged archive to a ModelFileError that names the file."""
    try:
        yield
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except zipfile.BadZipFile as error:
        is_data = names_documents(str(path))
        kind = "documents, not a model" if is_data else "not a Slugline model, or truncated"
        raise ModelFileError(
            f"{path}: {kind}; make one with `slugline train DATA -o model.slug`, or get an "
            "intact copy."
        ) from error
    except OSError:
        raise
    # Damaged files make zipfile, zlib and the decoders raise half a dozen other exception types.
    except Exception as error:
        raise damaged_error(path, error) from error


def _check_path(path: Any) -> None:
    if not isinstance(path, str | os.PathLike) or path == "" or "\0" in str(path):
        raise option_error("path", path, "the path of a file, as a str or a pathlib.Path")


@contextmanager
def translate_os_errors(path: PathLike) -> Iterator[None]:
    """Convert an OSError about a model file to a ModelFileError that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        missing = f"{path}: there is no such file; {similar_path(Path(path))}"
        raise ModelFileError(describe_address(str(path)) or missing) from error
    except OSError as error:
        raise ModelFileError(
            f"{path}: can't be read ({error.strerror or error}); "
            "check the path and its permissions."
        ) from error


def damaged_error(path: PathLike, error: Exception) -> ModelFileError:
    """Return an error with a one-line message, shortened if necessary."""
    if isinstance(error, MemoryError):
        return ModelFileError(f"{path}: there is not enough memory to read it; free some.")
    is_deep = isinstance(error, RecursionError)
    reason = "nested too deeply" if is_deep else textwrap.shorten(str(error)[:2000], 200)
    return ModelFileError(f"{path}: damaged ({reason}); get an intact copy.")


def pack(model: ModelFile) -> bytes:
    """Serialize a model deterministically.

    Raises
    ------
    ModelFileError : if the file would exceed the read limits.
    """
    buffer = io.BytesIO()
    _write_archive(buffer, _pack_entries(model))
    return buffer.getvalue()


def _pack_entries(model: ModelFile) -> dict[str, bytes]:
    """Return the entries of the archive by name."""
    from safetensors.numpy import save

    _check_weights(model.arrays)
    arrays = quantize(model.arrays, model.info.weight_type)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    entries = {
        _JSON: encode_info(model.info),
        _WEIGHTS: save(arrays),
        _VOCABULARY: model.vocabulary,
        _CARD: model.card.encode(),
    }
    _check_readable(entries, model.info.weight_type)
    return entries


def _write_archive(file: IO[bytes], entries: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in entries.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            n_lines = data.count(b"\n") if name.endswith(_VOCABULARY) else 0
            # Deflate entries that shrink, unless they would look like a zip bomb.
            n_deflated = len(zlib.compress(data))
            shrinks = max(n_lines, len(data) / MAX_RATIO) < n_deflated < 0.95 * len(data)
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED if shrinks else zipfile.ZIP_STORED)


def _check_readable(entries: dict[str, bytes], weight_type: WeightType) -> None:
    """Raise ModelFileError if the written file could not be read again."""
    for name, data in entries.items():
        if len(data) > _LIMITS[name]:
            raise ModelFileError(
                f"{name} would have {len(data):,} bytes, but may have at most "
                f"{_LIMITS[name]:,}; make the model smaller."
            )
    _check_growth(len(entries[_WEIGHTS]), weight_type)
    _check_header(entries[_WEIGHTS])
    try:
        check_settings(decode_info(entries[_JSON]).learner)
    except (DataError, msgspec.ValidationError) as error:
        raise ModelFileError(f"a model file can't hold this model: {error}.") from error


def _questions(archive: zipfile.ZipFile, file_size: int) -> list[str]:
    """Return the questions that an archive answers; none if it answers a single one."""
    names = archive.namelist()
    if _QUESTIONS in names:
        entry = archive.getinfo(_QUESTIONS)
        data = read_entry(archive, entry, max_bytes=_LIMITS[_JSON], file_size=file_size)
        questions = msgspec.json.decode(data, type=list[str])
        is_valid = 0 < len({*questions}) == len(questions) <= MAX_QUESTIONS
        if not is_valid or has_surrogates("".join(questions)) or not all(questions):
            raise ModelFileError(f"{_QUESTIONS} is invalid; get an unmodified copy.")
        return questions
    if _JSON not in names:
        raise ModelFileError(
            f"a zip archive without {_JSON}, so not a Slugline model; check the path, or export a "
            "spreadsheet as CSV."
        )
    return []


def _find_question(questions: Sequence[str], question: str | None, path: PathLike) -> int | None:
    """Return the number of a question, from 1; None if the model answers a single question."""
    if not questions:
        if question is not None:
            raise ModelFileError(
                f"answers a single question, not also {short_repr(question)}; leave out the name."
            )
        return None
    if question in questions:
        return questions.index(question) + 1
    listed = join_words([*map(short_repr, questions)])
    if question is not None:
        near = nearest(question, questions)
        advice = f"did you mean {path}:{near}?" if near else f"it answers {listed}."
        raise ModelFileError(f"doesn't answer the question {short_repr(question)}; {advice}")
    raise ModelFileError(
        f"answers {counted(len(questions), 'question')} ({listed}); name one of them, such as "
        f"{path}:{questions[0]}."
    )


def _check_entries(archive: zipfile.ZipFile, n_questions: int, file_size: int) -> None:
    """Raise ModelFileError unless an archive has just the entries of its models."""
    if not n_questions:
        _read_json(archive, _JSON, file_size)  # refuse other formats, with other entries
    folders = [f"{number}/" for number in range(1, n_questions + 1)] or [""]
    expected = [folder + name for folder in folders for name in _LIMITS]
    if n_questions:
        expected.append(_QUESTIONS)
    entries = archive.infolist()
    if sorted(entry.filename for entry in entries) != sorted(expected):
        each = " for each question" if n_questions else ""
        raise ModelFileError(
            f"contains {len(entries)} entries, not only {', '.join(_LIMITS)}{each}; get an "
            "unmodified copy."
        )
    if sum(entry.compress_size for entry in entries) > file_size:
        raise ModelFileError("contains overlapping entries; get an unmodified copy.")


def _read_json(archive: zipfile.ZipFile, name: str, file_size: int) -> bytes:
    """Return a `model.json`; raise ModelFileError if it is of another format."""
    entry = archive.getinfo(name)
    data = read_entry(archive, entry, max_bytes=_LIMITS[_JSON], file_size=file_size)
    version = msgspec.json.decode(data, type=FormatOnly).format
    if version != FORMAT:
        remedy = "upgrade Slugline"
        if version < FORMAT:
            remedy = "train the model again, or install the Slugline release that saved it"
        raise ModelFileError(
            f"model of format {version}, but this Slugline reads format {FORMAT}; {remedy}."
        )
    return data


def _unpack(archive: zipfile.ZipFile, folder: str, file_size: int) -> ModelFile:
    entries = {name: archive.getinfo(folder + name) for name in _LIMITS}

    def content(name: str) -> bytes:
        return read_entry(archive, entries[name], max_bytes=_LIMITS[name], file_size=file_size)

    info = decode_info(_read_json(archive, folder + _JSON, file_size))
    _check_growth(entries[_WEIGHTS].file_size, info.weight_type)
    vocabulary = _check_vocabulary(
        content(_VOCABULARY), sum(info.n_terms), entries[_VOCABULARY].compress_size
    )
    arrays = _load_arrays(content(_WEIGHTS), info.weight_type)
    return ModelFile(info, arrays, vocabulary, content(_CARD).decode())


def _check_growth(n_stored: int, weight_type: WeightType) -> None:
    """Raise ModelFileError if the weights would exceed their limit as float32 in memory."""
    n_bytes = n_stored * BYTES["float32"] // BYTES[weight_type]
    if n_bytes > _LIMITS[_WEIGHTS]:
        raise ModelFileError(
            f"{_WEIGHTS} claims {n_bytes:,} bytes of weights, more than a model has; "
            "get an unmodified copy."
        )


def _check_header(data: bytes) -> None:
    """Raise ModelFileError if the header is too long."""
    n_bytes = int.from_bytes(data[:8], "little")
    if n_bytes > _MAX_HEADER:
        raise ModelFileError(
            f"{_WEIGHTS} claims an array header of {n_bytes:,} bytes, more than a model has; "
            "get an unmodified copy."
        )


def _check_vocabulary(data: bytes, n_terms: int, n_packed: int) -> bytes:
    """Return the vocabulary; raise ModelFileError if it has another number of terms."""
    n_lines = data.count(b"\n")
    if n_lines != n_terms:
        raise ModelFileError(
            f"{_VOCABULARY} holds {n_lines} terms but {_JSON} says {n_terms}; "
            "both must come from one training run."
        )
    # Even compressed, each distinct term takes at least a byte; in memory, it takes 300.
    if n_terms > n_packed:
        raise ModelFileError(
            f"{_VOCABULARY} claims {n_terms:,} terms in {n_packed:,} bytes, too few for "
            "distinct terms; get an unmodified copy."
        )
    data.decode("utf-8", "surrogatepass")
    return data


def _load_arrays(data: bytes, weight_type: WeightType) -> dict[str, npt.NDArray[Any]]:
    from safetensors.numpy import load

    _check_header(data)
    with np.errstate(over="ignore"):
        # Overflow is detected below.
        arrays = dequantize(load(data), weight_type)
    _check_weights(arrays)
    return arrays


def _check_weights(arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Raise ModelFileError if weights are not finite or scores could overflow."""
    for name, array in arrays.items():
        largest = max(float(array.max(initial=0)), -float(array.min(initial=0)))
        if not np.isfinite(largest):
            raise ModelFileError(
                f"array {reprlib.repr(name)} holds NaN or infinity; train the model again."
            )
        if largest > _MAX_WEIGHT:
            raise ModelFileError(
                f"array {reprlib.repr(name)} holds {largest:.3g}, and weights over "
                f"{_MAX_WEIGHT:.0e} are useless; train the model again, in smaller steps."
            )


# Quantization -------------------------------------------------------------------------------------

# Applies to tables, whose columns are topics or units, and to sparse weights, which have an array
# of topic numbers; these are nearly the whole model. Sparse weights are always stored as float16,
# since `slugline.learning.linear.steps` rounds them to it. For int8, each column is divided by its
# scale. In cross-validation on six data sets, row scales improved no prediction and doubled the
# file size.

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]
#: Bytes per weight.
BYTES: dict[WeightType, int] = {"float32": 4, "float16": 2, "int8": 1}
#: Types offered to users, besides the default float32.
LOWER: tuple[WeightType, ...] = ("float16", "int8")
_LARGEST_INT8 = 127
_SCALE, _VALUES, _TOPICS = ".scale", ".values", ".topics"


def check_weight_type(name: str) -> WeightType:
    """Return the weight type with this name; raise OptionError if unknown."""
    for weight_type in LOWER:
        if name == weight_type:
            return weight_type
    raise option_error("quantize", name, f"one of {', '.join(LOWER)}")


def quantize(arrays: Arrays, weight_type: WeightType) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays with quantized tables and sparse weights.

    For int8, a table "weights" of shape (n, m) is accompanied by a float32 array "weights.scale" of
    shape (m,); sparse "weights.values" have a scale for each topic in "weights.topics". Other
    arrays are unchanged. So are weights outside the float16 range and, with "float32", sparse
    weights that float16 doesn't represent exactly.
    """
    stored: dict[str, npt.NDArray[Any]] = {}
    for name, array in arrays.items():
        stored[name] = array
        if not _is_weights(name, array):
            continue
        columns = _scale_columns(name, arrays)
        if weight_type == "int8":
            scale = _scale_int8(array, columns)
            stored[name] = np.rint(array / scale[columns]).astype(np.int8)
            stored[name + _SCALE] = scale
        elif weight_type == "float16" or array.ndim == 1:
            with np.errstate(over="ignore"):
                half = array.astype(np.float16)
            is_enough = np.isfinite(half) if weight_type == "float16" else half == array
            stored[name] = half if is_enough.all() else array
    return stored


def dequantize(arrays: Arrays, weight_type: WeightType) -> dict[str, npt.NDArray[Any]]:
    """Invert `quantize`, apart from rounding; the arrays may be untrusted.

    Raises
    ------
    DataError : if weights have another type, or scales are missing, of the wrong shape or not
        positive and finite.
    """
    restored = dict(arrays)
    for name, array in arrays.items():
        if not _is_weights(name, array):
            continue
        columns = _scale_columns(name, arrays)
        if weight_type == "int8":
            _check_scale(name, arrays, columns)
            restored[name] = array * restored.pop(name + _SCALE)[columns]
        elif array.dtype == np.float16 and (weight_type == "float16" or array.ndim == 1):
            restored[name] = array.astype(np.float32)
    return restored


def _is_weights(name: str, array: npt.NDArray[Any]) -> bool:
    return array.ndim == 2 or (array.ndim == 1 and name.endswith(_VALUES))


def _scale_columns(name: str, arrays: Arrays) -> Integers:
    """Return the number of each sparse value's scale, or of each table column's scale."""
    array = arrays[name]
    if array.ndim == 2:
        return np.arange(array.shape[1])
    topics = arrays.get(name.removesuffix(_VALUES) + _TOPICS)
    if topics is None or topics.dtype != np.uint16 or topics.shape != array.shape:
        raise DataError(f"array {short_repr(name)} doesn't have one uint16 topic for each value")
    return topics


def _scale_int8(array: F32, columns: Integers) -> F32:
    """Return the scale of each column."""
    scale = np.zeros(int(columns.max(initial=0)) + 1, dtype=np.float32)
    np.maximum.at(scale, np.broadcast_to(columns, array.shape), np.abs(array))
    scale /= np.float32(_LARGEST_INT8)
    # The product of an int8 and a scale with 16 significant bits is exact, so saving a loaded model
    # reproduces its bytes. Truncating, not rounding, scales keeps products finite.
    scale = (scale.view(np.uint32) & np.uint32(0xFFFFFF00)).view(np.float32)
    return np.where(scale < np.finfo(np.float32).tiny, np.float32(1), scale)


def _check_scale(name: str, arrays: Arrays, columns: Integers) -> None:
    array, scale = arrays[name], arrays.get(name + _SCALE)
    if array.dtype != np.int8:
        raise DataError(f"array {short_repr(name)} is of type {array.dtype}, not int8")
    n_columns = int(columns.max(initial=0)) + 1
    if scale is None or scale.dtype != np.float32 or scale.shape != (n_columns,):
        raise DataError(f"array {short_repr(name)} doesn't have one float32 scale for each column")
    if not ((scale > 0) & (scale < np.inf)).all():
        raise DataError(f"array {short_repr(name)} has a scale that is not a finite number over 0")
