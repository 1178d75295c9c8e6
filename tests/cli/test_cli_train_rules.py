"""`slugline train`: what can be combined, as the table of rules declares it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slugline.cli.train import train
from slugline.cli.train_options import RULES, flag

CASES = [
    pytest.param(rule, option, id=f"{flag(option)} {'needs' if rule.needs else 'or'}")
    for rule in RULES
    for option in rule.options
]


def test_rules_name_existing_options() -> None:
    flags = {flag for param in train.params for flag in param.opts}
    for rule in RULES:
        assert bool(rule.needs) != bool(rule.excludes)
        for option in (*rule.options, *rule.needs, *rule.excludes):
            assert flag(option) in flags or option == "data"


def test_train_rejects_options_that_break_a_rule(run: Callable[..., Any]) -> None:
    result = run("train", "news.csv", "--force")
    assert tuple(result) == (2, "", "slugline: error: --force requires --corrections FILE.\n")
