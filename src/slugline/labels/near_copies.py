"""Finds texts that are nearly the same as another, among the texts to label."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from slugline.base.arrays import Index

# Near copies of more texts aren't looked for: of a million, it takes minutes and 2.4 GB.
_MAX_TEXTS = 300_000


class NearCopies:
    """Groups of texts that are nearly the same; they are found in a thread of their own.

    Of very many texts, no groups are found.

    Texts are in one group if they differ only in case or spaces, or share most of their terms, or
    if other texts link them so; see `slugline.auditing.audit.group_copies`.

    Parameters
    ----------
    texts : sequence of str
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._groups: Index | None = None
        # Rows by group, so that a group is one slice.
        self._rows, self._starts = np.zeros(0, dtype=np.intp), np.zeros(1, dtype=np.intp)
        self._thread = threading.Thread(target=self._group, name="near-copies", daemon=True)
        self._thread.start()

    def _group(self) -> None:
        if len(self._texts) > _MAX_TEXTS:
            return
        from slugline.auditing.audit import group_copies  # it takes a moment to import

        try:
            groups = group_copies(self._texts, n_jobs=1)
        except Exception:  # noqa: BLE001 - without near copies, coders label one text at a time
            return
        self._rows = np.argsort(groups, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(groups))])
        self._groups = groups

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the groups are found; return whether the search has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def find(self, row: int) -> Index:
        """Return the other rows of a row's group, ascending; none while they are being found."""
        if self._groups is None:
            return np.zeros(0, dtype=np.intp)
        group = self._groups[row]
        rows = self._rows[self._starts[group] : self._starts[group + 1]]
        return rows[rows != row]
