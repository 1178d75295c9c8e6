"""Encoders: found by name, checked at every answer, told from one another."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.classifier import TopicClassifier, load
from slugline.errors import EncoderError, OptionError
from slugline.learning.encoder.encoder import CheckedEncoder, get_encoder
from slugline.learning.encoder.identity import MAX_WIDTH
from slugline.learning.encoder.rows import encode
from stand_ins import Letters, Nameless, Returning, register


def test_encode_scales_rows_to_unit_length_and_keeps_zeros() -> None:
    rows = get_encoder(Letters()).encode(["aae", "xyz"])
    assert rows.dtype == np.float16
    expected = np.array([[2 / 5**0.5, 1 / 5**0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(rows.astype(np.float64), expected, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-30, 1e30], ids=["tiny", "huge"])
def test_encode_scales_rows_whose_squares_overflow(scale: float) -> None:
    rows = get_encoder(Returning(np.array([[3 * scale, 4 * scale]], "f4"))).encode(["a"])
    np.testing.assert_allclose(rows, [[0.6, 0.8]], atol=1e-3)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (np.ones((1, 3)), "shape (1, 3), not (2, n_columns)"),
        (np.ones(2), "shape (2,), not (2, n_columns)"),
        (np.ones((2, 0)), f"0 columns, not 1 to {MAX_WIDTH}"),
        (np.ones((2, MAX_WIDTH + 1)), f"{MAX_WIDTH + 1} columns, not 1 to {MAX_WIDTH}"),
        (None, "values of type object, not real numbers"),
        (np.ones((2, 3)) * 1j, "values of type complex128, not real numbers"),
        ([["a"], ["b"]], "values of type <U1, not real numbers"),
        ([[1.0], [np.nan]], "numbers that are NaN, infinite or too large for text 1"),
        ([[np.inf], [1.0]], "numbers that are NaN, infinite or too large for text 0"),
        ([[1e300], [1.0]], "numbers that are NaN, infinite or too large for text 0"),
    ],
    ids=["few", "flat", "empty", "wide", "none", "complex", "words", "nan", "inf", "large"],
)
def test_encode_rejects_anything_but_a_row_per_text(answer: Any, what: str) -> None:
    with pytest.raises(EncoderError) as caught:
        get_encoder(Returning(answer)).encode(["a", "b"])
    assert str(caught.value) == (
        f"the encoder stand_ins.Returning returned {what}; its `encode` must return one row of "
        "finite numbers for each text, all of the same width."
    )


def test_encode_rejects_a_width_that_changes() -> None:
    letters = Letters("ae")
    encoder = get_encoder(letters)
    encoder.encode(["a"])
    letters.letters = "aei"
    with pytest.raises(EncoderError, match=r"letters returned 3 columns, and 2 before; "):
        encoder.encode(["a"])


def test_encode_names_an_encoder_that_raises_and_keeps_the_cause() -> None:
    cause = KeyError("weights")
    with pytest.raises(EncoderError) as caught:
        get_encoder(Returning(cause)).encode(["a"])
    assert str(caught.value) == (
        "the encoder stand_ins.Returning failed on 1 text with KeyError: 'weights'"
    )
    assert caught.value.__cause__ is cause


def test_digest_error_says_that_the_sentences_are_not_the_user_s() -> None:
    with pytest.raises(EncoderError, match=r"failed on 5 texts with KeyError: 'weights'") as caught:
        _ = get_encoder(Returning(KeyError("weights"))).digest
    assert str(caught.value).endswith(
        " The texts are not yours, but 5 sentences by which Slugline identifies an encoder."
    )


def test_encode_passes_on_keyboard_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt):
        get_encoder(Returning(KeyboardInterrupt())).encode(["a"])


@pytest.mark.parametrize("wrong", ["elmo", "", None, 3, Letters, object()])
def test_get_encoder_rejects_what_is_no_encoder(wrong: Any) -> None:
    with pytest.raises(OptionError, match=r"^`encoder` is .*; give vectors, use, e5, several with"):
        get_encoder(wrong)


# Two as one -------------------------------------------------------------------------------------


@pytest.fixture
def built_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Letters]:
    """Let letters stand in for the built-in encoders."""
    monkeypatch.setenv("SLUGLINE_CACHE", str(tmp_path / "cache"))
    encoders = {"use": Letters("ae"), "e5": Letters("iou")}
    for name, letters in encoders.items():
        letters.name = letters.digest = name
        register(monkeypatch, name, partial(encoders.get, name))
    return encoders


@pytest.mark.usefixtures("built_in")
def test_joined_encoder_concatenates_rows_of_equal_weight() -> None:
    both = get_encoder("use,e5")
    rows = both.encode(["aaaaaai", "e", "u", "x"]).astype(float)
    half = 0.5**0.5
    expected = [[half, 0, half, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    np.testing.assert_allclose(rows, expected, atol=5e-4)
    assert (both.name, both.width, both.is_thread_safe) == ("use,e5", 5, False)
    assert pickle.loads(pickle.dumps(both)).digest == both.digest


def test_joined_encoder_has_a_digest_that_changes_with_each(built_in: dict[str, Letters]) -> None:
    digests = {get_encoder(name).digest for name in ("use", "e5", "use,e5")}
    for letters in built_in.values():
        letters.digest += "2"
        digests.add(get_encoder("use,e5").digest)
    assert len(digests) == 5


def test_joined_encoder_reuses_cached_rows_of_each(built_in: dict[str, Letters]) -> None:
    texts = ["ai", "ae", "eu"]
    encode(texts, "e5")
    rows = encode([*texts, "oo"], "use,e5")
    assert built_in["e5"].calls == [3, 1]
    np.testing.assert_array_equal(rows, get_encoder("use,e5").encode([*texts, "oo"]))
    np.testing.assert_array_equal(rows, encode([*texts, "oo"], "use,e5", cache_rows=False))


def test_load_names_the_missing_one_of_two_encoders(
    built_in: dict[str, Letters], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["aaa", "ee"] * 4
    classifier = TopicClassifier(encoder="use,e5").fit(texts, ["grain", "bank"] * 4)
    classifier.save(tmp_path / "both.slug")
    assert load(tmp_path / "both.slug").predict(["ea ee"]) == ["bank"]

    def missing() -> Letters:
        raise EncoderError("the encoder e5 needs a package")

    register(monkeypatch, "e5", missing)
    with pytest.raises(EncoderError) as caught:
        load(tmp_path / "both.slug")
    assert str(caught.value) == f"{tmp_path / 'both.slug'}: the encoder e5 needs a package"


# Digests ----------------------------------------------------------------------------------------


def test_digest_is_that_of_the_encoder_if_it_has_one() -> None:
    first, same, other = Letters(), Letters("xyz"), Letters()
    other.digest = "2"
    digests = [CheckedEncoder(encoder).digest for encoder in (first, same, other)]
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 64
    assert first.calls == []


def test_digest_ignores_the_last_bits_of_rows() -> None:
    class Shaken(Nameless):
        def encode(self, texts: list[str]) -> Any:
            return super().encode(texts) * (1 + 1e-7)

    Shaken.__module__, Shaken.__qualname__ = Nameless.__module__, Nameless.__qualname__
    assert CheckedEncoder(Shaken()).digest == CheckedEncoder(Nameless()).digest


@pytest.mark.parametrize("words", [3, "", "two\nlines", "x" * 201], ids=repr)
def test_name_of_an_encoder_must_fit_on_a_line(words: Any) -> None:
    encoder = Letters()
    encoder.name = words
    assert CheckedEncoder(encoder).name == "stand_ins.Letters"
