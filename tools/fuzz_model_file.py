"""Damage model files at random, and see that `slugline.load` refuses them or gives a working model.

    python tools/fuzz_model_file.py [NUMBER] [SEED]

Prints how many files ended how, and the peak memory; exits 1 if any ended otherwise, and keeps the
first such file as fuzz-failure.slug. The seed is 0 unless given.
"""

from __future__ import annotations

import io
import json
import random
import resource
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from slugline.classifier import TopicClassifier, load
from slugline.errors import ModelFileError, SluglineError
from slugline.learners.linear import LinearLearner
from slugline.learners.mixture import Mixture
from slugline.learners.neural import NeuralLearner

TEXTS = ["wheat and corn prices rose", "quarterly net profit rose", "zinc output fell"] * 10
TOPICS = ["grain", "earn", "zinc"] * 10

Entries = dict[str, bytes]


def make_models(folder: Path) -> list[bytes]:
    """Return the bytes of a small model of each kind of learner, in each precision."""
    net = NeuralLearner((4,), epochs=2)
    models = []
    for learner in (net, LinearLearner(), Mixture([LinearLearner(), net])):
        classifier = TopicClassifier(learner=learner, class_weight={"zinc": 2}).fit(TEXTS, TOPICS)
        for precision in (None, "float16", "int8"):
            path = folder / "model.slug"
            classifier.save(path, quantize=precision)
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


def change_arrays(data: bytes, rng: random.Random) -> bytes:
    """Return an array another shape, type or name, or odd values."""
    entries = unzip(data)
    arrays = load_arrays(entries["weights.safetensors"])
    name = rng.choice(sorted(arrays))
    array = arrays.pop(name)
    new_name = rng.choice([name, name, name, name + "0", "learner.0", "idf.0"])
    with np.errstate(all="ignore"):
        arrays[new_name] = np.ascontiguousarray(rng.choice(ARRAY_CHANGES)(array))
    return rezip(entries | {"weights.safetensors": save_arrays(arrays)}, rng)


def change_precision(data: bytes, rng: random.Random) -> bytes:
    """Claim another precision, or lose, add or change the scales of an array."""
    entries = unzip(data)
    info = json.loads(entries["model.json"])
    arrays = load_arrays(entries["weights.safetensors"])
    scales = [name for name in sorted(arrays) if name.endswith(".scale")]
    if not scales or rng.random() < 0.3:
        info["precision"] = rng.choice(["float32", "float16", "int8", "int4", 8, None])
    elif rng.random() < 0.2:
        del arrays[rng.choice(scales)]
    else:
        name = rng.choice(scales)
        factor = np.float32(rng.choice([0, -1, 1e-30, 1e30, 3e38, "nan", "inf"]))
        with np.errstate(all="ignore"):
            arrays[rng.choice([name, name, name + ".scale"])] = arrays[name] * factor
    changed = {
        "model.json": json.dumps(info).encode(),
        "weights.safetensors": save_arrays(arrays),
    }
    return rezip(entries | changed, rng)


MUTATIONS = (
    overwrite_bytes,
    cut_off,
    insert_bytes,
    swap_entries,
    change_entry,
    replace_entry,
    change_json,
    change_arrays,
    change_precision,
)

ODD_VALUES: list[Any] = [
    *(None, True, "", "x", "linear", "characters", "bigrams", "multi-hot", "tf-idf"),
    *("float16", "int8"),
    *(0, -1, 1, 2, 10**9, 2**63, 2**70, -(10**30), 0.0, -0.5, 1e-320, 1e308),
    *([], {}, [1], ["a"], {"a": 1}, {"kind": "linear"}, {"kind": "mixture", "learners": []}),
]

ARRAY_CHANGES: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda array: array[:-1],
    lambda array: array[:0],
    lambda array: array[..., np.newaxis],
    lambda array: array.ravel()[0].reshape(()),
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
    lambda array: array * np.float32("nan"),
]


def unzip(data: bytes) -> Entries:
    """Return the content of each entry."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rezip(entries: Entries, rng: random.Random) -> bytes:
    """Pack entries, each deflated or not."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data, rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
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
    try:
        # Weights may be as large as float32 goes: their sums then overflow.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            proba = classifier.predict_proba(["wheat rose", ""])
    except SluglineError:
        return "refused when predicting"
    if proba.shape != (2, len(classifier.classes_)):
        raise AssertionError(f"probabilities of shape {proba.shape}")
    return "loaded"


def fuzz(number: int, seed: int, folder: Path) -> Counter[str]:
    """Damage and load so many files; count kinds of damage and of ends."""
    models = make_models(folder)
    rng = random.Random(seed)  # noqa: S311 (no secret)
    counts: Counter[str] = Counter()
    path = folder / "damaged.slug"
    for _ in range(number):
        mutation = rng.choice(MUTATIONS)
        path.write_bytes(mutation(rng.choice(models), rng))
        counts[f"{mutation.__name__}: {outcome(path)}"] += 1
    return counts


def main() -> int:
    """Run from the command line."""
    number, seed = [int(argument) for argument in sys.argv[1:]] + [20_000, 0][len(sys.argv) - 1 :]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            counts = fuzz(number, seed, Path(folder))
        except Exception:  # noqa: BLE001 (any is a failure)
            traceback.print_exc()
            Path("fuzz-failure.slug").write_bytes(Path(folder, "damaged.slug").read_bytes())
            return 1
    for name, count in sorted(counts.items()):
        print(f"{count:>7,}  {name}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{number:,} files in {time.perf_counter() - started:.0f} s, peak memory {peak:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
