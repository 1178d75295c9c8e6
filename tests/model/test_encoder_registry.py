"""Encoders by a registry: any list in any order, and models that outlive a new entry."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.classifier import TopicClassifier, load
from slugline.errors import EncoderError, OptionError
from slugline.learning.encoder import registry
from slugline.learning.encoder.encoder import get_encoder
from stand_ins import Meanings, register, register_only

# Each text has a word of its own, so that words alone say nothing of other texts.
WORDS = {f"word{number}": number % 3 for number in range(63)}
TOPICS = ["grain", "bank", "sport"]
TEXTS, NEW = [*WORDS][:60], [*WORDS][60:]
LABELS = [TOPICS[WORDS[word]] for word in TEXTS]


class Named(Meanings):
    """Stands in for an encoder of any name; its vectors are per word and come with it."""

    def __init__(self, name: str, meanings: Mapping[str, int], width: int) -> None:
        super().__init__(meanings, width)
        self.name = name


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    makers = {name: partial(Named, name, WORDS, width) for name, width in (("use", 3), ("e5", 4))}
    register_only(monkeypatch, makers)


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch) -> str:
    """Register a third encoder and return its name."""
    register(monkeypatch, "third", partial(Named, "third", WORDS, 5))
    return "third"


def fit(encoder: str, **options: Any) -> TopicClassifier:
    return TopicClassifier(encoder=encoder, **options).fit(TEXTS, LABELS)


def test_encoder_names_in_any_order_give_the_same_model(tmp_path: Path) -> None:
    fit("use,e5").save(tmp_path / "a.slug")
    fit("e5, use").save(tmp_path / "b.slug")
    assert (tmp_path / "a.slug").read_bytes() == (tmp_path / "b.slug").read_bytes()


@pytest.mark.parametrize("names", ["third", "use,third", "third,e5", "use,e5,third"])
def test_third_encoder_can_be_fitted_saved_and_loaded(
    third: str, names: str, tmp_path: Path
) -> None:
    classifier = fit(names)
    assert classifier.fitted_.encoder is not None
    assert {*classifier.fitted_.encoder.name.split(",")} == {*names.split(",")}
    classifier.save(tmp_path / "a.slug")
    loaded = load(tmp_path / "a.slug")
    assert np.array_equal(loaded.predict_proba(TEXTS), classifier.predict_proba(TEXTS))
    assert loaded.predict(NEW).tolist() == TOPICS


def test_auto_tries_each_combination_of_three_encoders(third: str) -> None:
    choice = fit("auto").fitted_.encoder_choice
    assert choice is not None
    assert [trial.name for trial in choice.trials[1:]] == [*registry.combinations()]
    assert registry.combinations() == (
        *("use", "e5", "use,e5", third),
        *("use,third", "e5,third", "use,e5,third"),
    )


@pytest.mark.parametrize("place", [0, 1, 2])
def test_load_finds_two_encoders_wherever_a_third_is_registered(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = fit("use,e5")
    classifier.save(tmp_path / "a.slug")
    entries = [*registry.ENCODERS.items()]
    entries.insert(place, ("third", registry.ENCODERS["use"]))
    monkeypatch.setattr(registry, "ENCODERS", dict(entries[::-1]))
    loaded = load(tmp_path / "a.slug")
    assert np.array_equal(loaded.predict_proba(TEXTS), classifier.predict_proba(TEXTS))


def test_load_asks_for_an_encoder_that_is_no_longer_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        register(context, "third", partial(Named, "third", WORDS, 5))
        fit("use,third").save(tmp_path / "a.slug")
    with pytest.raises(EncoderError, match="use,third, which is not part of Slugline"):
        load(tmp_path / "a.slug")


@pytest.mark.parametrize("names", ["use,use", "use,", "bert", "use;e5", ""])
def test_get_encoder_rejects_unknown_and_repeated_names(names: str) -> None:
    with pytest.raises(OptionError) as caught:
        get_encoder(names)
    assert str(caught.value) == (
        f"`encoder` is {names!r}; give use, e5, several with commas between them, an object whose "
        "`encode` turns a list of texts into an array, or, for a fit, 'auto'."
    )


def test_descriptions_work_with_three_encoders(third: str) -> None:
    described = dict(zip(TOPICS, TEXTS, strict=False))
    classifier = TopicClassifier(encoder=f"use,e5,{third}", descriptions=described).fit([], [])
    assert classifier.predict(NEW).tolist() == TOPICS
