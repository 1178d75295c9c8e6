"""`encoder="auto"`: which encoder is chosen, by what, and what is said of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.classifier import TopicClassifier, load
from slugline.errors import EncoderError, EncoderWarning, OptionError
from slugline.learning.encoder import choice
from stand_ins import Meanings, Nameless, register_only

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty_cache")]

TOPICS = ("grain", "bank", "sport")
# Words of three letters that stand in one text each, so that only an encoder can know them.
WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]
LABELS = np.random.default_rng(0).integers(0, 3, len(WORDS)).tolist()
NAMES = [TOPICS[label] for label in LABELS]


class Knowing(Meanings):
    """Knows the topic of every word, or of a share of them; no two words have the same row."""

    def __init__(self, name: str, share: float = 1.0) -> None:
        n_known = round(share * len(WORDS))
        super().__init__(dict(zip(WORDS[:n_known], LABELS[:n_known], strict=True)))
        self.name = self.digest = name

    def encode(self, texts: list[str]) -> Any:
        rows = super().encode(texts)
        rows[:, 3] = [zlib.crc32(text.encode()) % 1000 / 5000 for text in texts]
        return rows


class Useless(Nameless):
    """Says nothing of topics."""

    name = "use"


def _make(encoder: Any) -> Any:
    if encoder is None:
        raise EncoderError("not installed")
    return encoder


Install = Callable[[Any, Any], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put stand-ins in the places of both built-in encoders."""

    def install(use: Any, e5: Any) -> None:
        encoders = {"use": use, "e5": e5}
        register_only(
            monkeypatch, {name: partial(_make, encoder) for name, encoder in encoders.items()}
        )

    return install


def fit(**options: Any) -> TopicClassifier:
    return TopicClassifier(encoder="auto", **options).fit(WORDS, NAMES)


def test_auto_chooses_the_fastest_encoder_that_is_about_the_best(install: Install) -> None:
    install(Knowing("use"), Knowing("e5"))
    classifier = fit()
    assert classifier.fitted_.encoder is not None
    assert classifier.fitted_.encoder.name == "use"
    found = classifier.fitted_.encoder_choice
    assert found is not None
    assert [trial.name for trial in found.trials] == [choice.WORDS, "use", "e5", "use,e5"]
    assert found.name == "use"
    words, use = found.trials[:2]
    assert words.accuracy < 0.5 < 0.9 < use.accuracy
    assert use.log_loss < words.log_loss
    assert found.n_documents == len(WORDS)


def test_auto_chooses_a_slower_encoder_that_is_better(install: Install) -> None:
    install(Knowing("use", 0.4), Knowing("e5"))
    fitted = fit().fitted_
    assert fitted.encoder is not None
    assert fitted.encoder.name == "e5"


def test_auto_ignores_an_encoder_worse_than_a_faster_one(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(Knowing("use"), Knowing("e5"))
    losses = {
        choice.WORDS: [1.0, 1.0, 1.0, 1.0],
        "use": [0.45, 0.45, 0.45, 0.45],
        "e5": [0.0, 0.9, 0.3, 0.7],  # worse, and so odd that it might be as good as the best
        "use,e5": [0.4, 0.4, 0.4, 0.4],
    }

    def judgement(name: str, *_: Any) -> choice._Result:
        of_all = np.resize(np.array(losses[name], np.float32), len(WORDS))
        return choice._Result(name, np.ones(len(WORDS), dtype=bool), of_all)

    monkeypatch.setattr(choice._Result, "from_proba", judgement)
    found = fit().fitted_.encoder_choice
    assert found is not None
    assert found.name == "use,e5"


def test_card_names_both_encoders(install: Install, tmp_path: Path) -> None:
    install(Knowing("use"), Knowing("e5"))
    TopicClassifier(encoder="use,e5").fit(WORDS, NAMES).save(tmp_path / "a.slug")
    card = load(tmp_path / "a.slug").card_
    assert "It needs the sentence encoders use and e5, from which " in card
    assert "the languages of use and e5 only" in card


def test_auto_keeps_words_alone_without_a_warning_if_no_encoder_helps(install: Install) -> None:
    install(Useless(), None)
    texts = [f"{name} {word}" for name, word in zip(NAMES, WORDS, strict=True)]
    fitted = TopicClassifier(encoder="auto").fit(texts, NAMES).fitted_
    assert fitted.encoder is None
    found = fitted.encoder_choice
    assert found is not None
    assert found.name == choice.WORDS
    assert found.missing == ("e5",)
    assert str(found).startswith("encoder: words alone, chosen on 150 held-out documents: words ")
    assert str(found).endswith("; not installed: e5")


def test_auto_warns_if_unlabelled_texts_need_an_encoder_and_none_is_there(install: Install) -> None:
    install(None, None)
    found = fit().fitted_.encoder_choice
    assert found is not None
    assert found.missing == ("use", "e5")
    with pytest.warns(EncoderWarning) as warned:
        TopicClassifier(encoder="auto").fit(WORDS, NAMES, X_unlabelled=["more"])
    assert str(warned[0].message) == "no encoder was chosen, so `X_unlabelled` was ignored."
    assert [trial.name for trial in found.trials] == [choice.WORDS]


def test_auto_tries_a_sample_of_many_documents_with_every_topic(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "N_SAMPLED", 40)
    install(Knowing("use"), None)
    found = [fit(random_state=seed).fitted_.encoder_choice for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert found[0] is not None
    assert 30 <= found[0].n_documents <= 40


def test_auto_works_with_several_topics_per_text(install: Install) -> None:
    install(Knowing("use"), None)
    sets = [[name, "bank"] if name == "sport" else [name] for name in NAMES]
    fitted = TopicClassifier(encoder="auto").fit(WORDS, sets).fitted_
    assert fitted.encoder is not None
    assert fitted.encoder_choice is not None
    assert fitted.encoder_choice.name == "use"


@pytest.mark.parametrize("topics", [["a"] * 6, ["a", "b"] * 3])
def test_auto_works_with_a_few_texts(install: Install, topics: list[str]) -> None:
    install(Knowing("use"), Knowing("e5"))
    classifier = TopicClassifier(encoder="auto").fit(WORDS[:6], topics)
    assert classifier.fitted_.encoder_choice is not None
    assert set(classifier.predict(WORDS[:3])) <= set(topics)


def test_auto_rejects_descriptions(install: Install) -> None:
    install(Knowing("use"), None)
    with pytest.raises(OptionError, match="`descriptions` require a named encoder"):
        fit(descriptions={"grain": "wheat"})
