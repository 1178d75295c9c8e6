"""What a comparison and the processes of its models tell each other, as lines of JSON."""

from __future__ import annotations

import math

import msgspec

__all__ = ["Described", "Failed", "FoldResult", "Job", "Message", "fits"]


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a process is to do: measure a model on folds, in their order; without any, describe it.

    If there are folds, the documents come on its standard input; see `slugline.compare.documents`.
    """

    model: str
    seed: int = 0
    n_threads: int = 1
    folds: tuple[int, ...] = ()


class Described(msgspec.Struct, frozen=True, tag="described"):
    """A user's model was found; `identity` changes when the model does."""

    identity: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """A model raised an error, or was not found."""

    reason: str


class FoldResult(msgspec.Struct, frozen=True, tag="fold"):
    """What a model answered for the documents of one fold, having learned from all others.

    Attributes
    ----------
    fold : int
        Counted from 0.
    answers : tuple of int
        For each document of the fold, the number of its topic in the sorted list of all; -1 for an
        answer that is none of them.
    fit_seconds, answer_seconds : float
    peak_mb : float or None
        The most memory that the process had so far, in 10^6 bytes; None where the system doesn't
        say.
    file_bytes : int or None
        The size of the saved model; None if it can't be saved, and but for the last fold.
    """

    fold: int
    answers: tuple[int, ...]
    fit_seconds: float
    answer_seconds: float
    peak_mb: float | None = None
    file_bytes: int | None = None


Message = Described | Failed | FoldResult


def fits(result: FoldResult, n_documents: int, n_topics: int) -> bool:
    """Whether a result, which was read from outside, can be one of a fold of so many documents."""
    seconds = (result.fit_seconds, result.answer_seconds, result.peak_mb or 0)
    return (
        len(result.answers) == n_documents
        and all(-1 <= answer < n_topics for answer in result.answers)
        and all(math.isfinite(value) and value >= 0 for value in seconds)
        and (result.file_bytes or 0) >= 0
    )
