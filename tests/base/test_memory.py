"""Freed memory is given back to the system."""

from __future__ import annotations

import pytest

from slugline.base import memory
from slugline.base.memory import release_memory


def test_release_memory_asks_the_c_library_once(monkeypatch: pytest.MonkeyPatch) -> None:
    release_memory()  # with the one of this system, which may keep no freed memory
    calls: list[int] = []

    def trim(n_kept: int) -> int:
        calls.append(n_kept)
        return 1

    monkeypatch.setattr(memory, "_find_trim", lambda: trim)
    release_memory()
    assert calls == [0]


def test_release_memory_does_nothing_without_malloc_trim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_find_trim", lambda: None)
    release_memory()
