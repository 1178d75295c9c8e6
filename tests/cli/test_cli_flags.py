"""The library's parameters in the command line's words."""

from __future__ import annotations

import importlib
import inspect

import click
import pytest

from slugline.cli.app import COMMANDS
from slugline.cli.output import name_flags
from slugline.errors import Message, Parameter

pytestmark = pytest.mark.slow


def command(name: str) -> click.Command:
    return getattr(importlib.import_module(f"slugline.cli.{name}"), name)


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_are_listed_with_the_first_line_of_their_help(name: str) -> None:
    assert COMMANDS[name] == inspect.cleandoc(command(name).help or "").partition("\n")[0]


@pytest.mark.parametrize(
    ("parameter", "flag"),
    [
        (Parameter("text"), "--text"),
        (Parameter("test_fraction", 0.3), "--test-fraction 0.3"),
        (Parameter("tune", True), "--tune"),
        (Parameter("random_state"), "--seed"),
        (Parameter("class_weight", "balanced"), "--balanced"),
        (Parameter("columns", phrase=", or add {}"), ", or add --column"),
        (Parameter("classes"), "`classes`"),
        (Parameter("epochs", 12), "`epochs=12`"),
    ],
)
def test_name_flags_renders_a_parameter_as_the_flag_of_the_command(
    parameter: Parameter, flag: str
) -> None:
    assert name_flags(Message("Use ", parameter, "."), command("train")) == f"Use {flag}."
