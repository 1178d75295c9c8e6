"""Answers as a file that a command writes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from slugline.answer_target import check_ending
from slugline.cli.targets import check_not_read, check_target

__all__ = ["check_answer_file"]


def check_answer_file(path: Path, sources: Iterable[str]) -> None:
    """Check, before the work, that answers can be written to `path`; OptionError if not."""
    check_ending(path)
    check_target("--output", path)
    check_not_read("--output", path, sources)
