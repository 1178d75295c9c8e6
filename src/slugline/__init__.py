"""Slugline trains, checks, explains and serves topic classifiers for short documents."""

from __future__ import annotations

__version__ = "0.1.0"
