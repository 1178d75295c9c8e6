"""How many threads there are to be."""

from __future__ import annotations

import os

from slugline.checks import check_whole

__all__ = ["count_threads"]


def count_threads(n_jobs: int | None, name: str = "n_jobs") -> int:
    """Return the number of threads; None and, as in scikit-learn, -1 mean one for each core.

    Raises
    ------
    OptionError : if it is another number below 1, or no whole number; it names the argument.
    """
    if n_jobs is None or n_jobs == -1:
        # Only those that the process may use, where the system tells.
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    check_whole(name, n_jobs, 1)
    return int(n_jobs)
