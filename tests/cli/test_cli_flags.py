"""The library's parameters in the command line's words."""

from __future__ import annotations

import pytest
import typer.main

from slugline.cli.app import make_app
from slugline.cli.output import FLAGS, name_flags

pytestmark = pytest.mark.slow


def flags_of_all_commands() -> set[str]:
    group = typer.main.get_command(make_app([]))
    commands = group.commands.values()  # type: ignore[attr-defined]
    return {flag for command in commands for option in command.params for flag in option.opts}


def test_every_flag_that_a_parameter_becomes_is_one() -> None:
    assert set(FLAGS.values()) <= flags_of_all_commands()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("`text` names no column.", "--text names no column."),
        ("Use `epochs=12`.", "Use --epochs 12."),
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
