"""`slugline train`: what can be combined, as the table of rules declares it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from slugline.cli.train import train
from slugline.cli.train_options import RULES, Rule, TrainRequest, check_request, flag
from slugline.corpus.layout import ReadOptions
from slugline.errors import OptionError

#: A request that breaks no rule.
PLAIN = TrainRequest(data=["news.csv"])
FIELDS = {option.name for option in fields(TrainRequest)}


def given(request: TrainRequest, *options: str) -> TrainRequest:
    """Return a request in which options have some value that isn't their default."""
    values: dict[str, Any] = {option: f"{option}?" for option in options if option in FIELDS}
    columns: dict[str, Any] = {
        option: f"{option}?" for option in options if option in ReadOptions._fields
    }
    reading = request.reading._replace(**columns)
    return replace(request, reading=reading, **values)


CASES = [
    pytest.param(rule, option, id=f"{flag(option)} {'needs' if rule.needs else 'or'}")
    for rule in RULES
    for option in rule.options
]


@pytest.mark.parametrize(("rule", "option"), CASES)
def test_an_option_is_refused_as_its_rule_says(rule: Rule, option: str) -> None:
    base = replace(PLAIN, data=(), topics=Path("t.csv")) if "data" in rule.needs else PLAIN
    for other in rule.excludes or ("",):
        request = given(base, *filter(None, (option, other)))
        message = rule.violation(request)
        assert message is not None
        assert message.startswith(flag(option))
        with pytest.raises(OptionError):
            check_request(request)


@pytest.mark.parametrize(("rule", "option"), CASES)
def test_an_option_is_allowed_with_what_it_needs_or_without_what_it_excludes(
    rule: Rule, option: str
) -> None:
    for other in rule.needs or ("",):
        request = given(PLAIN, *filter(None, (option, other)))
        assert rule.violation(request) is None


def test_rules_name_options_that_exist() -> None:
    flags = {flag for param in train.params for flag in param.opts}
    for rule in RULES:
        assert bool(rule.needs) != bool(rule.excludes)
        for option in (*rule.options, *rule.needs, *rule.excludes):
            assert flag(option) in flags or option == "data"


def test_a_rule_that_is_broken_ends_the_command(run: Callable[..., Any]) -> None:
    result = run("train", "news.csv", "--force")
    assert tuple(result) == (
        2,
        "",
        "slugline: error: --force goes with --corrections FILE; give both.\n",
    )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ["train", "news.csv", "--max-size", "5MB"],
            "No such option: --max-size; --quantize int8 makes the file smaller.",
        ),
        (
            ["train", "news.csv", "--epochs=3"],
            "No such option: --epochs; in Python, `TopicClassifier(learner=NeuralLearner(...))` "
            "sets it.",
        ),
        (
            ["curve", "news.csv", "--baseline"],
            "No such option: --baseline; `slugline compare DATA default ngrams-svc` compares "
            "models.",
        ),
    ],
)
def test_an_option_that_does_not_exist_names_what_to_do(
    run: Callable[..., Any], command: list[str], message: str
) -> None:
    result = run(*command)
    hint = f"Try 'slugline {command[0]} -h' for help."
    assert tuple(result) == (2, "", f"slugline: error: {message}\n{hint}\n")
