"""Texts with marked words, for pages; their rules are part of every page's style sheet."""

from __future__ import annotations

from slugline.marks import highlighted

__all__ = ["highlighted"]
