"""The library's parameters in the command line's words."""

from __future__ import annotations

import importlib
import inspect

import click
import pytest

from slugline.cli.app import COMMANDS
from slugline.cli.output import FLAGS, name_flags

pytestmark = pytest.mark.slow


def command(name: str) -> click.Command:
    return getattr(importlib.import_module(f"slugline.cli.{name}"), name)


def flags_of_all_commands() -> set[str]:
    params = [param for name in COMMANDS for param in command(name).params]
    return {flag for param in params for flag in param.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_the_first_line_of_each_help(name: str) -> None:
    assert COMMANDS[name] == inspect.cleandoc(command(name).help or "").partition("\n")[0]


def test_every_flag_that_a_parameter_becomes_is_one() -> None:
    assert set(FLAGS.values()) <= flags_of_all_commands()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("`text` names no column.", "--text names no column."),
        ("Use `n_seeds=12`.", "Use --seeds 12."),
        ("Let `tune=True` help.", "Let --tune help."),
        ("`random_state` is -1", "--seed is -1"),
        ('`class_weight="balanced"`', "--balanced"),
        ("make one with `slugline train DATA`", "make one with `slugline train DATA`"),
        ("`classes` are needed", "`classes` are needed"),
        ("a `b` and `text", "a `b` and `text"),
    ],
)
def test_a_parameter_in_backticks_becomes_its_flag(said: str, shown: str) -> None:
    assert name_flags(said) == shown
