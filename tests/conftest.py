"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reuters_data() -> Path:
    """Give the folder that holds the Reuters files; skip the test where there is none."""
    root = os.environ.get("SLUGLINE_DATA")
    folder = Path(root) / "reuters" if root else None
    if folder is None or not (folder / "reuters.npz").is_file():
        pytest.skip("no Reuters files: set SLUGLINE_DATA to the folder that holds reuters/")
    return folder
