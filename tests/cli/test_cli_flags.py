"""The library's parameters in the command line's words."""

from __future__ import annotations

import importlib
import inspect

import click
import pytest

from slugline.cli.app import COMMANDS
from slugline.cli.output import flags_of, name_flags
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


@pytest.mark.parametrize(
    ("name", "parameter", "flag"),
    [
        ("export", Parameter("learner", "linear"), "--learner linear"),
        ("predict", Parameter("columns"), "--column"),
        ("explain", Parameter("text"), "`text`"),  # an argument
    ],
)
def test_name_flags_knows_the_flags_of_train_in_other_commands(
    name: str, parameter: Parameter, flag: str
) -> None:
    assert name_flags(Message("Use ", parameter, "."), command(name)) == f"Use {flag}."


def test_name_flags_leaves_quoted_names_alone() -> None:
    message = Message(Parameter("topic"), " names '`text`'")
    assert name_flags(message, command("train")) == "--topic names '`text`'"


def test_flags_of_names_the_long_flag_of_each_parameter() -> None:
    flags = flags_of(command("train").params)
    assert flags["threads"] == flags["n_jobs"] == "--threads"
    assert flags["output"] == "--output"
