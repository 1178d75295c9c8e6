"""Encoding many texts: once each, kept for the next time, in threads, interrupted."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from slugline.base.progress import SilentProgress
from slugline.errors import DataError, EncoderError, OptionError
from slugline.learning.encoder.rows import encode
from stand_ins import Letters


@pytest.fixture(autouse=True)
def cache(empty_cache: Path) -> Path:
    return empty_cache / "encodings-2.sqlite"


TEXTS = [f"{number} aeio {'a' * (number % 7)}{'e' * (number % 11)}" for number in range(700)]


def test_encode_encodes_each_text_once_and_then_uses_the_cache(cache: Path) -> None:
    letters = Letters()
    fresh = encode(["ae", "a", "ae", "a\ud800"], letters)
    assert fresh.dtype == np.float32
    assert letters.calls == [3]
    again = encode(["a\ud800", "ae", "a"], Letters("none"))
    np.testing.assert_array_equal(again, fresh[[3, 0, 1]])
    assert cache.exists()


def test_encode_returns_the_same_rows_from_the_cache() -> None:
    uncached = encode(TEXTS, Letters(), cache_rows=False)
    for _ in range(2):
        np.testing.assert_array_equal(encode(TEXTS, Letters()), uncached)


def test_encode_caches_rows_by_the_digest_of_the_encoder() -> None:
    encode(["ae"], Letters())
    other = Letters("ea")
    other.digest = "2"
    assert encode(["ae"], other).shape == (1, 2)


def test_encode_rejects_a_width_that_differs_from_the_cache() -> None:
    encode(["a"], Letters())
    with pytest.raises(EncoderError, match=r"letters returned 2 columns, and 4 before; "):
        encode(["a", "b"], Letters("ae"))


class ThreadSafe(Letters):
    is_thread_safe = True

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()
        self.met = threading.Barrier(2)

    def encode(self, texts: list[str]) -> Any:
        self.threads.add(threading.get_ident())
        self.met.wait(10)
        return super().encode(texts)


def test_encode_uses_threads_and_keeps_the_order_of_rows() -> None:
    encoder = ThreadSafe()
    rows = encode(TEXTS[:512], encoder, n_jobs=2)
    assert len(encoder.threads) == 2
    np.testing.assert_array_equal(rows, encode(TEXTS[:512], Letters(), cache_rows=False))


def test_encode_uses_one_thread_unless_the_encoder_is_thread_safe() -> None:
    inside = threading.Lock()

    class Alone(Letters):
        def encode(self, texts: list[str]) -> Any:
            assert inside.acquire(blocking=False)
            try:
                return super().encode(texts)
            finally:
                inside.release()

    assert encode(TEXTS, Alone(), n_jobs=4).shape == (700, 4)


class Told(SilentProgress):
    """Notes what a progress bar is told."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        assert step.startswith("encoding 700 texts with ")
        assert share is not None
        self.said.append(round(700 * share))

    def close(self) -> None:
        self.said.append("end")


def test_encode_reports_progress_only_of_texts_not_in_the_cache() -> None:
    told = Told()
    for _ in range(2):
        encode(TEXTS, Letters(), progress=told)
    assert told.said == [*range(0, 700, 64), 700, "end", "end"]


class Stopping(Letters):
    """Raises when it is called for the third time."""

    def __init__(self, what: BaseException) -> None:
        super().__init__()
        self.what = what

    def encode(self, texts: list[str]) -> Any:
        if len(self.calls) == 2:
            raise self.what
        return super().encode(texts)


@pytest.mark.parametrize(
    "what", [KeyboardInterrupt(), EncoderError("full")], ids=["ctrl-c", "error"]
)
def test_encode_keeps_what_was_encoded_before_a_stop(what: BaseException) -> None:
    told = Told()
    with pytest.raises(type(what)):
        encode(TEXTS, Stopping(what), progress=told)
    assert told.said == [0, 64, 128, "end"]
    letters = Letters()
    rows = encode(TEXTS, letters)
    assert letters.calls == [*[64] * 8, 60]
    np.testing.assert_array_equal(rows, encode(TEXTS, Letters(), cache_rows=False))


@pytest.mark.parametrize(("seconds", "notes"), [(0.05, []), (2.0, ["about 23 minutes"])])
def test_encode_notes_long_work_without_the_time_to_load(
    monkeypatch: pytest.MonkeyPatch, seconds: float, notes: list[str]
) -> None:
    now = 0.0

    class Slow(Letters):
        def encode(self, texts: list[str]) -> Any:
            nonlocal now
            now += seconds * len(texts) + (30 if not self.calls else 0)  # to load it
            return super().encode(texts)

    class Noted(Told):
        def note(self, text: str) -> None:
            assert self.said == [0, 64]
            notes_read.append(text)

    notes_read: list[str] = []
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    encode(TEXTS, Slow(), progress=Noted())
    beginning = "encoding 700 texts with letters, which takes "
    assert notes_read == [f"{beginning}{note}" for note in notes]


def test_encode_rejects_invalid_texts_and_n_jobs() -> None:
    with pytest.raises(DataError, match="document 1 is of type int"):
        encode(["a", 1], Letters())  # type: ignore[list-item]
    with pytest.raises(OptionError, match="`n_jobs` is 0"):
        encode(["a"], Letters(), n_jobs=0)


class BlasUser:
    """An encoder that notes how many threads BLAS has while it encodes."""

    name = "blas"
    is_thread_safe = True

    def __init__(self) -> None:
        self.n_threads: set[int] = set()

    def encode(self, texts: list[str]) -> np.ndarray:
        self.n_threads.add(n_blas_threads())
        return np.ones((len(texts), 2), dtype=np.float32)


def n_blas_threads() -> int:
    pools = ThreadpoolController().select(user_api="blas").info()
    return max((pool["num_threads"] for pool in pools), default=0)


def test_encode_gives_blas_one_thread_if_it_uses_several() -> None:
    with threadpool_limits(2, "blas"):
        if (usual := n_blas_threads()) < 2:
            pytest.skip("BLAS has no threads here")
        alone, encoder = BlasUser(), BlasUser()
        alone.is_thread_safe = False
        encode(TEXTS, alone, cache_rows=False)
        assert alone.n_threads == {usual}
        encode(TEXTS, encoder, n_jobs=2, cache_rows=False)
        assert encoder.n_threads == {1}
        threads = [
            threading.Thread(target=encode, args=(TEXTS, encoder), kwargs={"cache_rows": False})
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert n_blas_threads() == usual
