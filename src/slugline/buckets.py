"""Columns for terms without learning which there are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slugline.term_columns import TermColumns

__all__ = ["Buckets"]


class Buckets(TermColumns):
    """A fixed number of columns, of which a term has the one that its hash names.

    Nothing is learned and nothing shared: rows made in any process agree. Terms that meet in a
    bucket are counted together, and none has a name.

    Parameters
    ----------
    n_buckets : int
        A power of two.
    kind : {"words", "lead", "bigrams", "characters"}, default "words"

    References
    ----------
    Weinberger, Dasgupta, Langford, Smola and Attenberg (2009), Feature hashing for large scale
    multitask learning; here without their random signs.
    """

    terms = ()

    def __init__(self, n_buckets: int, kind: str = "words") -> None:
        self.kind = kind
        self._n_buckets = n_buckets

    def __repr__(self) -> str:
        return f"Buckets({self._n_buckets}, kind={self.kind!r})"

    @property
    def n_columns(self) -> int:
        """How many buckets there are."""
        return self._n_buckets

    def term(self, column: int) -> None:
        """Give None: many terms may share a bucket, and none is kept."""

    def _find_columns(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        return (hashes & np.uint64(self._n_buckets - 1)).astype(np.int32)
