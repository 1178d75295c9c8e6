"""Reword the library's messages for the command line: parameters in backticks become flags.

The library's messages name `test_fraction` or `tune=True`, for a Python user. On the command line
these are --test-fraction and --tune.
"""

from __future__ import annotations

import re

__all__ = ["FLAGS", "in_flags"]

#: Flags named like their parameter, apart from dashes.
_ALIKE = (
    *(
        "batch_size",
        "checkpoint",
        "correction_weight",
        "corrections_of",
        "coverage",
        "dropout",
        "encoder",
        "encoding",
        "epochs",
        "fold_topics",
        "format",
        "hidden",
        "id",
    ),
    *(
        "l2",
        "learn_every",
        "learn_from",
        "learner",
        "learning_rate",
        "max_size",
        "min_precision",
        "num_words",
        "optimizer",
        "output",
        "overwrite",
        "patience",
        "per_topic",
    ),
    *(
        "quantize",
        "report",
        "seeds",
        "skip_bad_rows",
        "strict",
        "test",
        "test_fraction",
        "text",
        "top",
    ),
    *("to", "topic", "tune", "validation", "validation_fraction", "weighting"),
)
#: The flag of each parameter.
FLAGS = {name: "--" + name.replace("_", "-") for name in _ALIKE} | {
    "against": "--not",
    "class_weight": "--balanced",
    "descriptions": "--topics",
    "first_seed": "--seed",
    "max_terms": "--num-words",
    "jobs": "--jobs",
    "models": "--models",
    "n_draws": "--draws",
    "n_folds": "--folds",
    "n_jobs": "--threads",
    "n_seeds": "--seeds",
    "n_threads": "--threads",
    "n_workers": "--workers",
    "resume": "--resume",
    "timeout": "--timeout",
    "random_state": "--seed",
    "topic_map": "--map-topics",
    "validation_data": "--validation",
}

_PARAMETER = re.compile(r"`(\w+)(?:=([^`]*))?`")
# Values that the flag alone implies.
_SILENT = ("True", '"balanced"', "'balanced'")


def in_flags(message: str) -> str:
    """Return a message of the library in the command line's words.

    >>> in_flags("`dropout` is 3; for more, pass `tune=True` or `hidden=64`, not `classes`.")
    '--dropout is 3; for more, pass --tune or --hidden 64, not `classes`.'
    """
    return _PARAMETER.sub(_flag, message)


def _flag(found: re.Match[str]) -> str:
    name, value = found.groups()
    if name not in FLAGS:
        return found[0]
    return FLAGS[name] if value is None or value in _SILENT else f"{FLAGS[name]} {value}"
