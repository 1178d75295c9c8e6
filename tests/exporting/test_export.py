"""`slugline export`: the file that is written, what is refused, and how little it takes."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conftest import WORDS, Result
from slugline.classifier import TopicClassifier, load
from slugline.cli import export as command
from slugline.errors import OptionError
from slugline.exporting.page import model_page
from slugline.exporting.parts import model_parts
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner
from slugline.model.file import container
from slugline.text.feature_groups import FeatureGroup
from stand_ins import Meanings

Run = Callable[..., Result]
News = list[tuple[str, str]]


@pytest.fixture
def model(news: News, tmp_path: Path) -> Path:
    texts, topics = zip(*news, strict=True)
    path = tmp_path / "news.slug"
    TopicClassifier(encoder=None).fit(texts, topics).save(path)
    return path


# Files ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_exported_page_of_the_shipped_model_is_under_600_kb(run: Run) -> None:
    result = run("export", "reuters46")
    page = Path("reuters46-page.html").read_bytes()
    assert len(page) < 600_000
    assert result == (
        0,
        "",
        f"wrote reuters46-page.html, {len(page) / 1e3:.0f} kB; open it in a browser\n",
    )
    assert page == model_page("reuters46").encode()


def test_model_page_is_reproducible_and_has_no_other_address(model: Path) -> None:
    page = model_page(model)
    assert page == model_page(model)
    # The one data address is an empty picture, so that no browser asks a server for one.
    assert re.findall(r"""(?:src|href|url|action)\s*[=(]\s*["']?[^"' >)]*""", page) == [
        'href="data:,'
    ]
    assert "http" not in re.sub(r"http-equiv|[A-Za-z0-9+/]{200,}", "", page)


def test_model_page_has_a_policy_for_its_script_and_style(model: Path) -> None:
    import hashlib

    page = model_page(model)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None

    def digest(tag: str) -> str:
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert len(found) == 1
        return base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()

    assert policy[1].replace("&#39;", "'").replace("&#43;", "+") == (
        f"default-src 'none'; script-src 'sha256-{digest('script')}'; "
        f"style-src 'sha256-{digest('style')}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    assert not re.search(r"\son\w+=|\sstyle=", page.partition("<script")[0])


def test_export_warns_about_a_large_page(
    model: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.cli.export.LARGE_PAGE", 10_000)
    result = run("export", model, "--quiet")
    kb = f"{Path('news-page.html').stat().st_size / 1e3:.0f}"
    assert result.err == (
        f"warning: news-page.html is large ({kb} kB); for a smaller one, train with --quantize "
        "int8.\n"
    )
    assert command._size(b"0" * 1_234_567) == "1.2 MB"


# What is refused --------------------------------------------------------------------------------


@pytest.fixture
def encoder_model(news: News, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a model with an encoder that doesn't come with Slugline."""
    monkeypatch.setenv("SLUGLINE_CACHE", str(tmp_path / "cache"))
    texts, topics = zip(*news, strict=True)
    path = tmp_path / "news.slug"
    meanings = {word: i for i, words in enumerate(WORDS.values()) for word in words}
    TopicClassifier(encoder=Meanings(meanings)).fit(texts, topics).save(path)
    return path


@pytest.mark.parametrize("name", ["meanings", "use", "vectors,use", "e5"])
def test_model_page_rejects_a_model_with_another_encoder_than_vectors(
    name: str, encoder_model: Path, run: Run
) -> None:
    rename_encoder(encoder_model, name)
    assert run("export", encoder_model) == (
        2,
        "",
        f"slugline: error: {encoder_model} can't be exported: it needs the encoder {name}, and a "
        "page can contain only word vectors; train with --encoder vectors.\n",
    )


def test_model_page_rejects_other_word_vectors(encoder_model: Path, run: Run) -> None:
    rename_encoder(encoder_model, "vectors")
    result = run("export", encoder_model)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"slugline: error: {encoder_model} was made with ")
    assert result.err.count("\n") == 1
    assert not list(Path().glob("*.html"))


def rename_encoder(path: Path, name: str) -> None:
    """Write another name for the encoder that a model needs."""
    file = container.read(path)
    assert file.info.encoder is not None
    encoder = msgspec.structs.replace(file.info.encoder, name=name)
    info = msgspec.structs.replace(file.info, encoder=encoder)
    container.write(path, replace(file, info=info))


@pytest.mark.parametrize(
    ("kind", "learner"),
    [
        ("network", NeuralLearner(epochs=1, hidden=(4,))),
        ("mixture", Mixture([NeuralLearner(epochs=1, hidden=(4,))])),
    ],
)
def test_model_page_rejects_a_learner_that_is_not_linear(
    kind: str, learner: Any, news: News, tmp_path: Path
) -> None:
    texts, topics = zip(*news, strict=True)
    path = tmp_path / "news.slug"
    TopicClassifier(learner=learner).fit(texts, topics).save(path)
    with pytest.raises(OptionError) as caught:
        model_page(path)
    assert str(caught.value) == (
        f"{path} can't be exported: its learner is {kind!r}, and a page can contain only linear "
        "ones; "
        'train with `learner="linear"`.'
    )
    assert not list(Path().glob("*.html"))


def test_model_page_rejects_a_column_for_each_bucket(
    news: News, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LinearLearner, "grows", False)
    texts, topics = zip(*news, strict=True)
    path = tmp_path / "news.slug"
    classifier = TopicClassifier(encoder=None, feature_groups=[FeatureGroup(n_buckets=64)])
    classifier.partial_fit(texts, topics, classes=set(topics)).save(path)
    with pytest.raises(OptionError) as error:
        model_page(path)
    assert str(error.value) == (
        f"{path} can't be exported: it doesn't record which hash buckets contain words of its "
        "training data; train it again."
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.slug"], 1, "none.slug: there is no such file; check the path."),
        (["reuters46", "-o", "-"], 2, "--output -: can't be written to standard output"),
        (["reuters46", "-o", "no/page.html"], 2, "--output no/page.html: can't write a file there"),
        (["reuters46", "-o", "."], 2, "--output .: is a folder; name a file."),
        (["reuters46", "--min-precision", "2"], 2, "--min-precision is 2"),
        (["reuters46", "--min-precision", "0.9999"], 2, "--min-precision is 0.9999, but no thresh"),
        (["a.slug", "-o", "./a.slug"], 2, "--output a.slug: would overwrite an input file"),
    ],
)
def test_export_rejects_wrong_arguments_in_one_line(
    arguments: list[str], code: int, message: str, run: Run
) -> None:
    result = run("export", *arguments)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith(f"slugline: error: {message}")
    assert result.err.count("\n") == 1
    assert not list(Path().glob("*.html"))


def test_model_page_rejects_a_damaged_model(model: Path, run: Run) -> None:
    file = container.read(model)
    fewer = {**file.arrays, "learner.biases": file.arrays["learner.biases"][:2]}
    container.write(model, replace(file, arrays=fewer))
    result = run("export", model)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"slugline: error: {model}: damaged (")
    assert not list(Path().glob("*.html"))


def test_model_parts_without_heldout_predictions_have_no_precision(model: Path, run: Run) -> None:
    classifier = load(model)
    classifier.partial_fit(["wheat"], classifier.classes_[:1]).save(model)
    result = run("export", model, "--min-precision", "0.9")
    assert result.code == 2
    assert result.err.startswith("slugline: error: --min-precision requires held-out pred")
    assert model_parts(model).facts["hasPrecision"] is False


# Parts ------------------------------------------------------------------------------------------


def test_facts_are_plain_json_that_ends_no_script(tmp_path: Path) -> None:
    texts = [f"{word} {more}" for word in ("wheat", "goal") for more in "abcde"]
    topics = ["</script><script>alert(1)//", "<!--<script>"]
    path = tmp_path / "m.slug"
    y = [topics[number // 5] for number in range(10)]
    TopicClassifier(encoder=None).fit(texts, y).save(path)
    page = model_page(path)
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', page)
    assert found is not None
    assert json.loads(found[1])["topics"] == sorted(topics)
    assert page.count("</script>") == 3
    assert "<!--" not in page
