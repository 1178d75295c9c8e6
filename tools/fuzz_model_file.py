"""Damage model files at random, and see that `slugline.load` refuses them or gives a working model.

    python tools/fuzz_model_file.py [NUMBER] [SEED]

Models of all learners and types of weights are damaged, and the included one. A file may be
refused with ModelFileError; else its answers must be numbers, and both within seconds. Prints how
many files ended how, the slowest one and the peak memory; exits 1 if any ended otherwise, and keeps
the first such file as fuzz-failure.slug. The seed is 0 unless given.
"""

from __future__ import annotations

import io
import json
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from slugline.classifier import TopicClassifier, load
from slugline.errors import ModelFileError
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner
from slugline.text.feature_groups import FeatureGroup

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "src/slugline/model/reuters46.slug"
TEXTS = ["wheat and corn prices rose", "quarterly net profit rose", "zinc output fell"] * 10
TOPICS = ["grain", "earn", "zinc"] * 10
SETS = [("grain", "corn"), ("earn",), ("zinc", "corn")] * 10
QUESTIONS = ["wheat rose", "", "zinc " * 3000 + "\ud800 石油"]
# Any of them takes a hundredth of it.
SECONDS = 5

Entries = dict[str, bytes]


def make_models(folder: Path) -> list[bytes]:
    """Return the included model, and small ones of each learner in each type of weights."""
    net = NeuralLearner((4, 3), epochs=2)
    counted = [
        FeatureGroup("words", "counts"),
        FeatureGroup("characters", n_buckets=64),
        FeatureGroup("bigrams"),
    ]
    makes: list[tuple[Any, list[FeatureGroup] | None, Any]] = [
        *((net, None, TOPICS), (LinearLearner(), None, TOPICS)),
        *((LinearLearner(), counted, TOPICS), (LinearLearner(), None, SETS)),
        (
            Mixture([LinearLearner(), Mixture([net, net], [1, 2])], inverse_temperature=1.5),
            counted,
            TOPICS,
        ),
    ]
    models = [SHIPPED.read_bytes()]
    for learner, feature_groups, topics in makes:
        classifier = TopicClassifier(
            learner=learner, feature_groups=feature_groups, class_weight={"zinc": 2}
        )
        classifier.fit(TEXTS, topics)
        for weight_type in (None, "float16", "int8"):
            path = folder / "model.slug"
            classifier.save(path, quantize=weight_type)
            models.append(path.read_bytes())
    return models


# Ways to damage a file --------------------------------------------------------------------------


def overwrite_bytes(data: bytes, rng: random.Random) -> bytes:
    """Change some bytes anywhere."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut_off(data: bytes, rng: random.Random) -> bytes:
    """Lose the end."""
    return data[: rng.randrange(len(data))]


def insert_bytes(data: bytes, rng: random.Random) -> bytes:
    """Put bytes in, which shifts all offsets behind them."""
    place = rng.randrange(len(data))
    return data[:place] + rng.randbytes(rng.randrange(40)) + data[place:]


def swap_entries(data: bytes, rng: random.Random) -> bytes:
    """Let two entries change places."""
    entries = unzip(data)
    one, other = rng.sample(sorted(entries), 2)
    entries[one], entries[other] = entries[other], entries[one]
    return rezip(entries, rng)


def change_entry(data: bytes, rng: random.Random) -> bytes:
    """Change some bytes of an entry, checksum and all, such as digits and quotes of the JSON."""
    entries = unzip(data)
    name = rng.choice(sorted(entries))
    changed = bytearray(entries[name])
    for _ in range(rng.choice([1, 2, 8])):
        byte = rng.choice([rng.randrange(256), rng.choice(b'0123456789",:[]{}-e\n')])
        changed[rng.randrange(len(changed))] = byte
    return rezip(entries | {name: bytes(changed)}, rng)


def replace_entry(data: bytes, rng: random.Random) -> bytes:
    """Empty an entry, double it, halve it, or fill it with zeros, up to a bomb of 30 MB."""
    entries = unzip(data)
    name = rng.choice(sorted(entries))
    old = entries[name]
    zeros = b"\0" * rng.choice([100, 10**6, 3 * 10**7])
    new = rng.choice([b"", zeros, old * 2, old[: len(old) // 2], b"[" * 10**5])
    return rezip(entries | {name: new}, rng)


def change_json(data: bytes, rng: random.Random) -> bytes:
    """Replace, drop or add a value somewhere in model.json."""
    entries = unzip(data)
    info = json.loads(entries["model.json"])
    place = rng.choice(list(containers(info)))
    key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
    action = rng.randrange(8)
    if action == 0:
        del place[key]
    elif action == 1 and isinstance(place, dict):
        place[key + "x"] = place[key]
    else:
        place[key] = rng.choice(ODD_VALUES)
    return rezip(entries | {"model.json": json.dumps(info).encode()}, rng)


def change_number(data: bytes, rng: random.Random) -> bytes:
    """Make a number in model.json a little or far larger or smaller."""
    entries = unzip(data)
    info = json.loads(entries["model.json"])
    places = [
        (place, key)
        for place in containers(info)
        for key in (place if isinstance(place, dict) else range(len(place)))
        if isinstance(place[key], int | float) and not isinstance(place[key], bool)
    ]
    place, key = rng.choice(places)
    place[key] = rng.choice(NUMBER_CHANGES)(place[key])
    return rezip(entries | {"model.json": json.dumps(info).encode()}, rng)


def name_twice(data: bytes, rng: random.Random) -> bytes:
    """Have two of a name: entries, keys of the JSON, topics, terms, or arrays."""
    entries = unzip(data)
    what = rng.randrange(5)
    if what == 0:
        return rezip(entries, rng, [rng.choice(sorted(entries))])
    if what == 1:
        key = rng.choice(sorted(json.loads(entries["model.json"])))
        extra = json.dumps({key: rng.choice(ODD_VALUES)})[1:-1]
        entries["model.json"] = entries["model.json"].rstrip()[:-1] + f",{extra}}}".encode()
    elif what == 2:
        info = json.loads(entries["model.json"])
        info["topics"][-1] = info["topics"][0]
        entries["model.json"] = json.dumps(info).encode()
    elif what == 3:
        lines = entries["vocabulary.txt"].split(b"\n")
        lines[rng.randrange(len(lines))] = rng.choice(lines)
        entries["vocabulary.txt"] = b"\n".join(lines)
    else:
        entries["weights.safetensors"] = double_array(entries["weights.safetensors"], rng)
    return rezip(entries, rng)


def double_array(data: bytes, rng: random.Random) -> bytes:
    """List an array twice: under its own name, or at the same place under another's."""
    n_bytes = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n_bytes])
    name, other = rng.choice(sorted(header)), rng.choice([*sorted(header), "learner.x"])
    text = json.dumps(header)[:-1] + f", {json.dumps(other)}: {json.dumps(header[name])}}}"
    return struct.pack("<Q", len(text)) + text.encode() + data[8 + n_bytes :]


def lie_in_headers(data: bytes, rng: random.Random) -> bytes:
    """Change a number in the headers of the archive: sizes, places, methods, checksums, counts."""
    changed = bytearray(data)
    mark = rng.choice([b"PK\1\2", b"PK\3\4", b"PK\5\6"])
    starts = [i for i in range(len(data)) if data.startswith(mark, i)]
    place = rng.choice(starts) + rng.randrange(4, 22 if mark == b"PK\5\6" else 42)
    width = rng.choice([1, 2, 4])
    value = rng.choice(
        [0, 1, 8, 255, 1 << 15, len(data), 1 << 20, (1 << 32) - 1, rng.getrandbits(32)]
    )
    lie = (value % (1 << 8 * width)).to_bytes(width, "little")
    changed[place : place + width] = lie
    return bytes(changed[: len(data)])


def change_arrays(data: bytes, rng: random.Random) -> bytes:
    """Return an array another shape, type or name, or odd values."""
    entries = unzip(data)
    arrays = load_arrays(entries["weights.safetensors"])
    change = rng.choice(ARRAY_CHANGES)
    for name in sorted(arrays) if rng.random() < 0.2 else [rng.choice(sorted(arrays))]:
        array = arrays.pop(name)
        new_name = name if rng.random() < 0.8 else rng.choice([name + "0", "learner.0", "idf.0"])
        with np.errstate(all="ignore"):
            # Not np.ascontiguousarray, which gives every array a dimension.
            arrays[new_name] = np.array(change(array), order="C")
    return rezip(entries | {"weights.safetensors": save_arrays(arrays)}, rng)


def change_weight_type(data: bytes, rng: random.Random) -> bytes:
    """Claim another type of weights, or lose, add or change the scales of an array."""
    entries = unzip(data)
    info = json.loads(entries["model.json"])
    arrays = load_arrays(entries["weights.safetensors"])
    scales = [name for name in sorted(arrays) if name.endswith(".scale")]
    if not scales or rng.random() < 0.3:
        info["weight_type"] = rng.choice(["float32", "float16", "int8", "int4", 8, None])
    elif rng.random() < 0.2:
        del arrays[rng.choice(scales)]
    else:
        name = rng.choice(scales)
        factor = np.float32(rng.choice([0, -1, 1e-30, 1e30, 3e38, "nan", "inf"]))
        with np.errstate(all="ignore"):
            arrays[rng.choice([name, name, name + ".scale"])] = arrays[name] * factor
    changed = {"model.json": json.dumps(info).encode(), "weights.safetensors": save_arrays(arrays)}
    return rezip(entries | changed, rng)


MUTATIONS = (
    overwrite_bytes,
    cut_off,
    insert_bytes,
    swap_entries,
    change_entry,
    replace_entry,
    change_json,
    change_number,
    name_twice,
    lie_in_headers,
    change_arrays,
    change_weight_type,
)

ODD_VALUES: list[Any] = [
    *(None, True, "", "x", "linear", "characters", "bigrams", "multi-hot", "tf-idf"),
    *("float16", "int8"),
    *(0, -1, 1, 2, 10**9, 2**63, 2**70, -(10**30), 0.0, -0.5, 1e-320, 1e308),
    *([], {}, [1], ["a"], {"a": 1}, {"kind": "linear"}, {"kind": "mixture", "learners": []}),
]

NUMBER_CHANGES: list[Callable[[float], float]] = [
    lambda number: number + 1,
    lambda number: number - 1,
    lambda number: -number,
    lambda number: number * 0,
    lambda number: number * 2,
    lambda number: number * 1e-300,
    *(lambda _, value=value: value for value in (1e308, 999_999.0, 2**63 - 1, 2**64, 10**400)),
]

ARRAY_CHANGES: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda array: array[:-1],
    lambda array: array[:0],
    lambda array: array[..., np.newaxis],
    lambda array: np.resize(array, ()),
    lambda array: array.ravel(),
    lambda array: np.zeros((0, 2**40), array.dtype),
    lambda array: array.T,
    lambda array: np.concatenate([array, array]),
    lambda array: array.astype(np.float64),
    lambda array: array.astype(np.float16),
    lambda array: array.astype(np.int64),
    lambda array: array.astype(np.int8),
    lambda array: array.astype(np.float32),
    lambda array: array * 0,
    lambda array: -array,
    lambda array: array * 0 + np.float32(3e38),
    lambda array: array * 0 + np.finfo(np.float32).max,
    lambda array: array * 0 + np.float32(1e-45),
    lambda array: array * 0 + np.float32(9.9e8),
    lambda array: array * 0 - np.float32(9.9e8),
    lambda array: array * np.float32(1e-38),
    lambda array: array * np.float32(1e6),
    lambda array: np.where(np.arange(array.size).reshape(array.shape) % 2, array, -9e8),
    lambda array: np.where(np.arange(array.size).reshape(array.shape) % 2, array, 0),
    lambda array: np.where(np.arange(array.size).reshape(array.shape), array, np.inf),
    lambda array: array * np.float32("nan"),
]


def unzip(data: bytes) -> Entries:
    """Return the content of each entry."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rezip(entries: Entries, rng: random.Random, again: Sequence[str] = ()) -> bytes:
    """Pack entries, each deflated or not, and some of them once more."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")
        for name in [*entries, *again]:
            archive.writestr(
                name, entries[name], rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
            )
    return buffer.getvalue()


def containers(value: Any) -> list[Any]:
    """Return all lists and dicts in a JSON value that aren't empty."""
    if not isinstance(value, list | dict) or not value:
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(found for item in inner for found in containers(item))]


# What becomes of them ---------------------------------------------------------------------------


def outcome(path: Path) -> str:
    """Load a file and predict; say how it ended. Whatever should not happen is raised."""
    try:
        classifier = load(path)
    except ModelFileError:
        return "refused"
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        proba = classifier.predict_proba(QUESTIONS)
        scores = classifier.decision_function(QUESTIONS)
    if proba.shape != (len(QUESTIONS), len(classifier.classes_)):
        raise AssertionError(f"probabilities of shape {proba.shape}")
    heldout = classifier.fitted_.heldout_predictions
    if heldout is not None and not np.isfinite(heldout.dense_proba()).all():
        raise AssertionError("held-out probabilities that are not finite")
    expected = proba.sum(axis=1) if classifier.fitted_.multilabel else 1
    in_range = ((proba >= 0) & (proba < 1.001)).all()
    if not np.allclose(proba.sum(axis=1), expected, atol=1e-4) or not np.isfinite(scores).all():
        raise AssertionError(f"probabilities {proba} of scores {scores}")
    if not in_range:
        raise AssertionError(f"probabilities {proba} of scores {scores}")
    return "loaded"


def fuzz(number: int, seed: int, folder: Path) -> tuple[Counter[str], float]:
    """Damage and load so many files.

    Returns
    -------
    How many had which kind of damage and end, and the processor's seconds for the slowest.
    """
    models = make_models(folder)
    slowest = 0.0
    rng = random.Random(seed)  # noqa: S311 (no secret)
    counts: Counter[str] = Counter()
    path = folder / "damaged.slug"
    for _ in range(number):
        mutation = rng.choice(MUTATIONS)
        path.write_bytes(mutation(rng.choice(models), rng))
        started = time.process_time()
        counts[f"{mutation.__name__}: {outcome(path)}"] += 1
        slowest = max(slowest, time.process_time() - started)
        if slowest > SECONDS:
            raise AssertionError(f"took {slowest:.0f} s")
    return counts, slowest


def main() -> int:
    """Run from the command line."""
    number, seed = [int(argument) for argument in sys.argv[1:]] + [20_000, 0][len(sys.argv) - 1 :]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            counts, slowest = fuzz(number, seed, Path(folder))
        except Exception:  # noqa: BLE001 (any is a failure)
            traceback.print_exc()
            Path("fuzz-failure.slug").write_bytes(Path(folder, "damaged.slug").read_bytes())
            return 1
    for name, count in sorted(counts.items()):
        print(f"{count:>7,}  {name}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - started
    print(
        f"{number:,} files in {seconds:.0f} s, slowest {slowest:.1f} s, peak memory {peak:.0f} MB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
