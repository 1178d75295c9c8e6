"""Where the cache is."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from slugline.base.files import cache_folder


def test_cache_folder_is_that_of_the_system_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUGLINE_CACHE", raising=False)
    assert cache_folder() == platformdirs.user_cache_path("slugline")
    monkeypatch.setenv("SLUGLINE_CACHE", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"
