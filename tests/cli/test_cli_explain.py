"""`slugline explain` and `predict --explain`, and what the docs say of them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import TopicClassifier, load

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
ROOT = Path(__file__).parents[2]
TEXT = "Wheat and corn for the bank: wheat!"


@pytest.fixture(autouse=True)
def _model(news_slug: Path) -> None:
    """Have a model called news.slug in the folder."""


def explained(run: Run, *args: object, **how: Any) -> Any:
    result = run("explain", "news.slug", *args, "--json", **how)
    assert (result.code, result.err) == (0, "")
    return json.loads(result.out)


# What it prints ---------------------------------------------------------------------------------


def test_explain_prints_a_table_of_words_that_adds_up(run: Run) -> None:
    result = run("explain", "news.slug", TEXT)
    assert (result.code, result.err) == (0, "")
    head, _, *rows, _, foot = result.out.splitlines()
    found = load("news.slug").explain(TEXT)
    assert head == f"grain, probability {found.probability:.2f}"
    assert foot == "attributions are each term's weight times its value"
    assert re.fullmatch(r"\+\d\.\d{3}  \+{10}  wheat \(2 times\)", rows[0])
    assert rows[-2].endswith("  baseline: an empty text")
    assert rows[-1].endswith("  score: the sum of these")
    *terms, score = (float(row.split()[0]) for row in rows)
    assert sum(terms) == pytest.approx(score, abs=0.02)
    assert re.search(r"^\S+ +\d+ others$", rows[-3])
    for row in rows[:-3]:
        assert set(row.split()[1]) == {row[0]}  # the sign of the number, and of its bar


def test_explain_leaves_out_minor_words_unless_asked(run: Run) -> None:
    text = " ".join(["wheat", "corn", "goal", *TEXT.split()])
    shares = {}
    for options in ([], ["-n", 50]):
        rows = run("explain", "news.slug", text, *options).out.splitlines()[2:-4]
        shares[len(options)] = [abs(float(row.split()[0])) for row in rows]
    assert min(shares[2]) < shares[2][0] / 10 - 0.001
    assert min(shares[0][:-1]) >= shares[0][0] / 10 - 0.001


def test_explain_json_has_the_position_of_each_word(run: Run) -> None:
    found = explained(run, TEXT)
    assert found == json.loads(json.dumps(load("news.slug").explain(TEXT).to_dict()))
    for reason in found["reasons"]:
        assert TEXT[reason["start"] : reason["end"]].lower() == reason["word"]
    shares = sum(reason["attribution"] for reason in found["reasons"])
    assert shares + found["bias"] == pytest.approx(found["score"], abs=1e-6)


def test_explain_topic_and_not_choose_the_topics(run: Run) -> None:
    assert explained(run, TEXT, "--topic", "bank")["topic"] == "bank"
    found = explained(run, TEXT, "--not", "sport")
    assert (found["topic"], found["against"]) == ("grain", "sport")
    assert found == explained(run, TEXT, "--topic", "grain", "--not", "sport")
    out = run("explain", "news.slug", TEXT, "--not", "sport").out
    assert out.startswith("grain rather than sport, probability 0.")


def test_explain_examples_prints_similar_documents(run: Run, news_csv: Path) -> None:
    result = run("explain", "news.slug", "wheat and corn", "--examples", "news.csv", "-q")
    assert result.code == 0
    heading, *rows = result.out.splitlines()[-6:]
    assert heading == "documents of grain most similar to the text in these words"
    lines = news_csv.read_text().splitlines()
    for row in rows:
        share, number, text = re.split(r"  +", row, maxsplit=2)
        assert float(share) > 0
        assert lines[int(number.removeprefix("line ")) - 1] == f"{text},grain"
    found = explained(run, "wheat and corn", "--examples", "news.csv", "-q")
    assert len(found["examples"]) == 5


def test_explain_examples_name_the_lines_of_the_file(run: Run, tmp_path: Path) -> None:
    rows = ["text,topic", '"goal', 'match",sport', *["loan bond,bank"] * 200, "wheat,"]
    (tmp_path / "news.csv").write_text("\n".join([*rows, "wheat,grain"]))
    options = ["news.slug", "wheat", "--examples", "news.csv"]
    result = run("explain", *options, "--html", "why.html")
    assert result.err == "news.csv: skipped 1 row without a usable text or topic\n"
    assert re.split("  +", result.out.splitlines()[-1])[1:] == ["line 205", "wheat"]
    assert "<bdi>line 205</bdi>" in (tmp_path / "why.html").read_text(encoding="utf-8")
    (tmp_path / "more.csv").write_text("text,topic\ngoal,sport\n")
    out = run("explain", *options, "--examples", "more.csv").out
    assert re.split("  +", out.splitlines()[-1])[1] == "news.csv, line 205"
    found = load("news.slug").explain("wheat", corpus=(["goal", "wheat"], ["sport", "grain"]))
    assert found.examples[0].place == "document 2"


def test_explain_html_writes_a_page(run: Run, tmp_path: Path) -> None:
    text = "Wheat <b>and</b> corn for the bank: wheat!"
    result = run("explain", "news.slug", text, "--html", "why.html", "--examples", "news.slug.csv")
    assert result.code == 1
    assert not (tmp_path / "why.html").exists()
    run("explain", "news.slug", text, "--html", "why.html")
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert "<h1>Why grain</h1>" in page
    assert re.search(r'<mark class="for s9" title="[^"]*">Wheat</mark>', page)
    assert "&lt;b&gt;" in page
    assert "<b>and" not in page
    assert not re.search(r"(src|href)=", page)


def test_explain_colours_the_text_on_a_terminal_unless_no_color(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)
    assert "\x1b[1;32mWheat\x1b[0m" in run("explain", "news.slug", f"{TEXT} \x1b[2J").out
    assert "\x1b[2J" not in run("explain", "news.slug", f"{TEXT} \x1b[2J").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("explain", "news.slug", TEXT).out


# Reasons of predictions -------------------------------------------------------------------------


def test_predict_explain_adds_reasons_to_answers(run: Run) -> None:
    result = run("predict", "news.slug", "--explain", stdin=f"{TEXT}\n\ngoal match team")
    assert result.code == 1
    first, bad, second = map(json.loads, result.out.splitlines())
    assert bad == {"line": 2, "error": "no text"}
    assert list(first) == ["topic", "probability", "reasons"]
    model = load("news.slug")
    for line, text in ((first, TEXT), (second, "goal match team")):
        expected = model.explain(text, max_reasons=10).reasons
        assert [(r["word"], r["start"], r["end"]) for r in line["reasons"]] == [
            (r.word, r.start, r.end) for r in expected if r.start is not None
        ]
    assert len(first["reasons"]) <= 10


def test_predict_explain_escapes_a_surrogate_in_a_word(news_slug: Path) -> None:
    from slugline.cli.predict import _reasons
    from slugline.model.decision import Decision

    decision = Decision("grain", 0.9, reason=None, top=[("grain", 0.9)])
    found = _reasons(load(news_slug).fitted_, "wheat\ud800 wheat", decision)
    assert {reason["word"] for reason in found} >= {"wheat\\ud800", "wheat"}


def test_predict_explain_rejects_an_output_file(run: Run) -> None:
    result = run("predict", "news.slug", "-", "--explain", "-o", "a.csv", stdin=TEXT)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "slugline: error: --explain can't be used with --output; it is available only for JSON "
        "lines.\n"
    )


# What can't be explained ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (
            ["news.slug", TEXT, "--topic", "grian"],
            2,
            "the model has no topic 'grian'; did you mean 'grain'?",
        ),
        (
            ["news.slug", TEXT, "--not", "bnk"],
            2,
            "the model has no topic 'bnk'; did you mean 'bank'?",
        ),
        (
            ["news.slug", TEXT, "--not", "grain"],
            2,
            "--not is 'grain', the topic to explain; choose another topic, or choose the one to "
            "explain with --topic.",
        ),
        (
            [TEXT, "news.slug"],
            1,
            f"{TEXT} is not a model, but news.slug is. Swap them: "
            f"slugline explain news.slug '{TEXT}'",
        ),
        (
            ["news.slug", TEXT, "--html", "news.slug"],
            2,
            "--html news.slug: would overwrite an input file; choose another one.",
        ),
    ],
)
def test_explain_rejects_invalid_arguments(
    run: Run, args: list[str], code: int, message: str
) -> None:
    assert run("explain", *args) == (code, "", f"slugline: error: {message}\n")


def test_explain_takes_the_name_of_a_file_for_words_with_a_note(run: Run) -> None:
    Path("wheat").write_text("goal")
    result = run("explain", "news.slug", "wheat")
    assert result.out.startswith("grain")
    assert result.err == (
        "explaining the words 'wheat', not the file of that name; to explain the file, "
        "pass it on standard input: - < wheat\n"
    )


def test_explain_limits_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slugline.cli.explain._MAX_BYTES", 1 << 20)
    result = run("explain", "news.slug", "-", stdin=b"x" * ((1 << 20) + 1))
    assert result == (
        1,
        "",
        "slugline: error: standard input exceeds 1 MB; explain one text at a time.\n",
    )


@pytest.mark.parametrize("options", [[], ["--topic", "bank"]], ids=["answer", "a topic"])
def test_explain_of_an_unsure_model_gives_its_guesses(
    run: Run, tmp_path: Path, options: list[str]
) -> None:
    """Whoever names a topic asks about that, not for an answer."""
    texts = ["wheat corn grain"] * 12 + ["loan bank rate"] * 12
    topics = ["grain"] * 12 + ["bank"] * 12
    TopicClassifier(min_precision=0.5).fit(texts, topics).save("sure.slug")
    result = run("explain", "sure.slug", "xyzzy plugh", *options, "--html", "page.html")
    words = "nsure (unknown words: 2 of 2); best guesses: "
    page = (tmp_path / "page.html").read_text("utf-8")
    assert (f"U{words}" in result.out, f"u{words}" in page) == ((not options),) * 2
    assert ("<h1>What speaks for " in page, "<h1>Why " in page) == (not options, bool(options))
    told = json.loads(run("explain", "sure.slug", "xyzzy plugh", *options, "--json").out)
    assert told.get("unsure", "").startswith(f"u{words}") == (not options)
