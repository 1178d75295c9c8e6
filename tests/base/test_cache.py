"""Where the cache is."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from slugline.base.files import cache_folder


def test_the_cache_is_the_system_s_place_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUGLINE_CACHE", raising=False)
    assert cache_folder() == platformdirs.user_cache_path("slugline")
    monkeypatch.setenv("SLUGLINE_CACHE", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"
