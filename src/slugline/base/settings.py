"""Descriptions of settings, from which the options of the command line are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """Describes a field of a settings type, in its `Annotated` type.

    Attributes
    ----------
    help : str
    metavar : str
        The placeholder of a value; empty for a switch or a choice.
    flag : str
        The spelling on the command line; by default, the field's name with hyphens.
    panel : str
        The heading under which the help lists it.
    default : str
        The default in words, if the help doesn't show the value.
    values : sequence of str
        Values that a shell proposes.
    ge, le : float or None
        The least and the greatest number.
    """

    help: str
    metavar: str = ""
    flag: str = ""
    panel: str = "Options"
    default: str = ""
    values: Sequence[str] = ()
    ge: float | None = None
    le: float | None = None
