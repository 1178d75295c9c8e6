"""`slugline train --encoder`: what is learned, said and kept, and what else reads such a model."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conftest import WORDS
from slugline.base.lazy import install_command
from slugline.errors import EncoderError
from slugline.experiment.curve import learning_curves
from slugline.learning.encoder.registry import describe_choices
from stand_ins import Nameless, Use, register, register_only

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty_cache")]

Run = Callable[..., Any]


class Useless(Nameless):
    """An encoder whose rows say nothing, under a known name."""

    name = "use"


class UseForNews(Use):
    """Knows the words of each topic of the news."""

    def __init__(self) -> None:
        topics = enumerate(WORDS.values())
        super().__init__({word: row for row, words in topics for word in words})


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "use", UseForNews)


@pytest.fixture
def few_csv(news: list[tuple[str, str]], tmp_path: Path) -> Path:
    """Write the news with a word of its own for each text beside one that the encoder knows."""
    lines = [f"{text.split()[1]} w{row},{topic}" for row, (text, topic) in enumerate(news[:45])]
    path = tmp_path / "few.csv"
    path.write_text("\n".join(["text,topic", *lines]) + "\n")
    return path


def test_train_encoder_prints_how_much_the_encoder_counts(run: Run, few_csv: Path) -> None:
    result = run("train", few_csv, "--encoder", "use", "-o", "a.slug")
    assert result.code == 0
    encoders = r"\nencoder +\d+ %  of the decision comes from vectors and use"
    assert re.search(encoders + r"(, and the rest from words)?\n", result.out)
    assert "encoding 36 texts with use\n" in result.err
    assert "training documents" not in result.err


def test_train_unlabelled_leaves_out_test_documents(run: Run, few_csv: Path) -> None:
    texts = [line.split(",")[0] for line in few_csv.read_text().splitlines()[1:]]
    Path("more.txt").write_text("\n".join([*texts, *(f"{text} today" for text in texts)]) + "\n\n")
    options = ("--encoder", "use", "--unlabelled", "more.txt")
    result = run("train", few_csv, *options, "-o", "a.slug")
    assert result.code == 0
    assert "encoding 45 texts with use\n" in result.err
    assert "It learned from 45 texts without labels as well." in run("info", "a.slug").out
    assert "It learned from 45 texts without labels as well." in Path("a.html").read_text()
    check = run("check", "a.slug", few_csv)
    assert check.code == 1
    assert "a.slug: it was also trained on unlabelled texts; train it again" in check.err
    again = run("train", few_csv, *options, "-o", "b.slug", "--json", "-q")
    assert json.loads(again.out)["encoder"]["n_unlabelled"] == 45
    assert Path("b.slug").read_bytes() == Path("a.slug").read_bytes()


def test_train_unlabelled_warns_if_no_encoder_was_chosen(
    run: Run, few_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_only(monkeypatch, {"use": missing, "e5": missing})
    Path("more.txt").write_text("wheat and rye\n")
    result = run("train", few_csv, "--encoder", "auto", "--unlabelled", "more.txt", "-o", "a.slug")
    assert result.code == 0
    assert "warning: no encoder was chosen, so --unlabelled was ignored." in result.err


def test_train_encoder_json_and_report_name_the_encoder(
    run: Run, few_csv: Path, tmp_path: Path
) -> None:
    result = run("train", few_csv, "--encoder", "use", "-o", "a.slug", "--json", "-q")
    found = json.loads(result.out)
    assert found["encoder"]["name"] == "vectors,use"
    assert 0 < found["encoder"]["weight"] <= 1
    report = (tmp_path / "a.html").read_text()
    assert "(16 languages) and the sentence encoder use as well as words" in report
    assert "<dt>encoder</dt><dd>vectors,use, " in report
    default = json.loads(run("train", few_csv, "-o", "b.slug", "--json", "-q").out)
    assert default["encoder"]["name"] == "vectors"
    options = ("--encoder", "none", "-o", "b.slug", "--json", "-q")
    assert json.loads(run("train", few_csv, *options).out)["encoder"] is None
    assert "encoder" not in (tmp_path / "b.html").read_text()


def test_train_encoder_prints_the_fraction_of_texts_it_reads(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, known = [], UseForNews()
    register(monkeypatch, "use", lambda: known)
    for row in range(300):
        for number, (topic, words) in enumerate(WORDS.items()):
            digest = hashlib.sha256(b"%d %d" % (row, number)).digest()
            word = "".join(
                chr(ord("a") + byte % 26) for byte in digest[:8]
            )  # no digits, as ids have
            known.meanings = {**known.meanings, word: number}
            # Two thirds have a word of their topic beside one that stands nowhere else.
            lines.append(f"{'' if row < 100 else words[0]} {word},{topic}")
    (tmp_path / "sure.csv").write_text("\n".join(["text,topic", *lines]) + "\n")
    train = run("train", "sure.csv", "--encoder", "use", "-o", "a.slug", "--json", "-q")
    encoded = json.loads(train.out)["encoder"]["encoded_fraction"]
    assert 0 < encoded < 0.5
    assert f"in doubt, {round(100 * encoded)} % of the held-out" in run("info", "a.slug").out
    assert run("check", "a.slug", "sure.csv", "-q").out.startswith("a.slug: identical")
    assert "The encoder reads only the" in (tmp_path / "a.html").read_text()


def test_commands_read_a_model_with_an_encoder(run: Run, few_csv: Path) -> None:
    assert run("train", few_csv, "--encoder", "use", "-o", "a.slug", "-q").code == 0
    assert "accuracy" in run("evaluate", "a.slug", few_csv).out
    answer = json.loads(run("predict", "a.slug", "-q", stdin="wheat never seen").out)
    assert answer["topic"] == "grain"
    assert run("check", "a.slug", few_csv, "-q").out.startswith("a.slug: identical; 36 documents")
    assert "(16 languages) and the sentence encoder use, from which " in run("info", "a.slug").out
    assert json.loads(run("info", "a.slug", "--json").out)["encoder"]["name"] == "vectors,use"


def test_train_encoder_works_without_a_test_and_quantized(run: Run, few_csv: Path) -> None:
    result = run("train", few_csv, "--encoder", "use", "--test-fraction", 0, "--json", "-q")
    assert json.loads(result.out)["encoder"]["name"] == "vectors,use"
    result = run("train", few_csv, "--encoder", "use", "--quantize", "int8", "-q")
    assert "int8: accuracy " in result.out


def test_train_encoder_warns_if_the_encoder_does_not_help(
    run: Run, news_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, "use", Useless)
    result = run("train", news_csv, "--encoder", "use", "--test-fraction", 0, "-q")
    assert result.err == (
        "warning: the --encoder use is left out: on held-out documents, it did not improve the "
        "answers. The model uses words and word vectors.\n"
    )
    assert "the sentence encoder" not in run("info", "model.slug").out


def missing() -> None:
    raise EncoderError("not installed")


HINT = (
    "few.csv: few documents per topic; a sentence encoder would probably help: "
    f"{install_command('encoder')}, then --encoder use"
)
OVER_WORDS = (
    " (with ten per topic, +12 points of accuracy over words alone, on average over nine sets of "
    "short English texts)\n"
)


def test_train_proposes_an_encoder_for_few_documents(
    run: Run, few_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert HINT.replace(f"{install_command('encoder')}, then ", "") in run("train", few_csv).err
    register(monkeypatch, "use", missing)
    assert f"{HINT}\n" in run("train", few_csv).err
    assert f"{HINT}{OVER_WORDS}" in run("train", few_csv, "--encoder", "none").err


# Ctrl-C -----------------------------------------------------------------------------------------


def test_train_encoder_interrupted_keeps_encodings_and_no_model(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    class Stopping(UseForNews):
        def encode(self, texts: list[str]) -> Any:
            calls.append(len(texts))
            if len(calls) == 2:
                raise KeyboardInterrupt
            return super().encode(texts)

    register(monkeypatch, "use", Stopping)
    lines = [f"{words[0]} w{row},{topic}" for row in range(150) for topic, words in WORDS.items()]
    (tmp_path / "many.csv").write_text("\n".join(["text,topic", *lines]) + "\n")
    train = ("train", "many.csv", "--encoder", "use", "-o", "a.slug", "--test-fraction", 0)
    result = run(*train)
    assert result.code in (1, 130)
    assert "interrupted; no model was saved; finished encodings are cached\n" in result.err
    assert not list(tmp_path.glob("a.*"))
    n_calls = len(calls)
    result = run(*train)
    assert result.code == 0
    assert "encoding 386 texts with use\n" in result.err
    assert calls[n_calls:] == [*[64] * 6, 2]


# Wrong arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--encoder", "bert"], f"--encoder is 'bert'; give {describe_choices()}, or none."),
        (
            ["--encoder", "use", "--tune"],
            "--tune only searches for feature groups and passes, without an --encoder; leave one "
            "of them out.",
        ),
        (
            ["--encoder", "use", "--learner", "network"],
            "--encoder requires the linear learner, but --learner is a NeuralLearner; leave one of "
            "them out.",
        ),
    ],
    ids=["unknown", "tune", "network"],
)
def test_train_encoder_rejects_invalid_options(
    run: Run, few_csv: Path, options: list[str], message: str
) -> None:
    result = run("train", few_csv, *options, "-q")
    assert result.code == 2
    assert result.err == f"slugline: error: {message}\n"


def test_train_encoder_rejects_a_missing_package_before_reading(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise EncoderError("the package is missing; run: pip install it")

    register(monkeypatch, "use", missing)
    result = run("train", "nowhere.csv", "--encoder", "use")
    assert result.code == 1
    assert result.err == ("slugline: error: the package is missing; run: pip install it\n")


# Curves -----------------------------------------------------------------------------------------


def test_train_curve_encoder_reports_both_curves(
    run: Run, few_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_draw = partial(learning_curves, n_draws=1)
    monkeypatch.setattr("slugline.cli.train.learning_curves", one_draw)
    options = ("--curve", "--encoder", "use", "-o", "a.slug", "-q")
    result = run("train", few_csv, *options)
    for name in ("Slugline", "Slugline with vectors,use"):
        assert f"\n{name}: " in result.out
        assert f'<th scope="col">{name}</th>' in (tmp_path / "a.html").read_text()


def test_train_proposes_an_encoder_if_heldout_documents_say_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many documents, but of words that say nothing: half of the answers are wrong."""
    digests = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(160)]
    rows = [f"w{n} x{n} y{n},{'ab'[int(d, 16) % 2]}" for n, d in enumerate(digests)]
    (tmp_path / "odd.csv").write_text("\n".join(["text,topic", *rows]) + "\n")
    words = "of the held-out documents are right; a sentence encoder would probably help"
    assert words in run("train", "odd.csv").err
    monkeypatch.setattr("slugline.experiment.experiment._MORE_DOCUMENTS", 50)
    assert words not in run("train", "odd.csv").err


def test_train_unlabelled_reads_files_like_data(run: Run, few_csv: Path) -> None:
    Path("a.txt").write_text("wheat today\n")
    Path("b.csv").write_text("id,text,topic\n1,rye today,\n2,,\n")
    files = ("--unlabelled", "a.txt", "--unlabelled", "b.csv")
    result = run("train", few_csv, "--encoder", "use", *files, "-o", "a.slug")
    assert result.code == 0
    assert "encoding 2 texts with use\n" in result.err
    assert "b.csv: skipped 1 row without text (line 3)\n" in result.err
    assert "b.csv: read" not in result.err
    Path("b.csv").write_text("foo,bar\n1,rye today\n")
    result = run("train", few_csv, "--encoder", "use", *files, "-q")
    assert result.code == 1
    assert result.err.endswith(
        "b.csv has no column 'text', a text column of few.csv; found 'foo', 'bar'. "
        "Rename the text column.\n"
    )
