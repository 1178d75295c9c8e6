"""Descriptions of settings, used to generate command-line options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """Describes a field of a settings type in its `Annotated` type.

    Attributes
    ----------
    help : str
    metavar : str
        The placeholder of a value; empty for a switch or a choice.
    flag : str
        The spelling on the command line; by default, the field's name with hyphens.
    panel : str
        Heading of the option in the help.
    default : str
        Description of the default, if the help doesn't show the value.
    values : sequence of str
        Values for shell completion.
    ge, le : float or None
        Minimum and maximum.
    """

    help: str
    metavar: str = ""
    flag: str = ""
    panel: str = "Options"
    default: str = ""
    values: Sequence[str] = ()
    ge: float | None = None
    le: float | None = None
