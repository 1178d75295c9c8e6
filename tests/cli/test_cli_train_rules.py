"""`slugline train`: what can be combined, as the table of rules declares it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.cli.train import train
from slugline.cli.train_options import DEFAULTS, RULES, Rule, check_options, flag, given_options
from slugline.errors import OptionError

#: Options that break no rule.
PLAIN = {**DEFAULTS, "data": ("news.csv",)}


def with_options(values: dict[str, Any], *options: str) -> dict[str, Any]:
    """Return values in which some options have another than their default."""
    return values | {option: f"{option}?" for option in options}


CASES = [
    pytest.param(rule, option, id=f"{flag(option)} {'needs' if rule.needs else 'or'}")
    for rule in RULES
    for option in rule.options
]


@pytest.mark.parametrize(("rule", "option"), CASES)
def test_check_options_refuses_what_a_rule_excludes(rule: Rule, option: str) -> None:
    base = {**DEFAULTS, "topics": Path("t.csv")} if "data" in rule.needs else PLAIN
    for other in rule.excludes or ("",):
        values = with_options(base, *filter(None, (option, other)))
        message = rule.violation(given_options(values), values)
        assert message is not None
        assert message.startswith(flag(option))
        with pytest.raises(OptionError):
            check_options(given_options(values), values)


@pytest.mark.parametrize(("rule", "option"), CASES)
def test_rule_allows_an_option_with_what_it_needs(rule: Rule, option: str) -> None:
    for other in rule.needs or ("",):
        values = with_options(PLAIN, *filter(None, (option, other)))
        assert rule.violation(given_options(values), values) is None


def test_given_options_are_those_that_differ_from_their_default() -> None:
    assert given_options(PLAIN) == {"data"}
    assert given_options({**PLAIN, "test_fraction": 0, "seed": 0}) == {"data", "test_fraction"}


def test_rules_name_existing_options() -> None:
    flags = {flag for param in train.params for flag in param.opts}
    for rule in RULES:
        assert bool(rule.needs) != bool(rule.excludes)
        for option in (*rule.options, *rule.needs, *rule.excludes):
            assert flag(option) in flags or option == "data"


def test_train_rejects_options_that_break_a_rule(run: Callable[..., Any]) -> None:
    result = run("train", "news.csv", "--force")
    assert tuple(result) == (
        2,
        "",
        "slugline: error: --force goes with --corrections FILE; give both.\n",
    )
