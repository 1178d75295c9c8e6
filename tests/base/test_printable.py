"""What goes to a terminal: nothing from a file, a name or a topic is obeyed there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.base.wording import printable, printable_json
from slugline.classifier import TopicClassifier

Run = Callable[..., Any]

#: Clears a terminal, titles its window, rings, goes back, colours by one byte, and turns writing.
EVIL = "\x1b[2J\x1b]0;title\x07\r\x9b31m\x7f\u202e"
SEEN = r"\x1b[2J\x1b]0;title\x07\x0d\x9b31m\x7f\u202e"
OBEYED = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_printable_escapes_invisible_characters_only() -> None:
    text = "Größe 石 e\u0301 עברית 😀\n\t“—”\u00a0"
    assert printable(text) == text
    assert printable(EVIL) == SEEN
    assert printable("a\ud800\0") == r"a\ud800\x00"
    assert printable("a\nb\tc", keep="") == r"a\x0ab\x09c"


@pytest.mark.parametrize("value", [EVIL, "\ud800 \u2028", "Größe\n\t\\", ["a", {"b": 1}]])
def test_printable_json_keeps_the_value(value: Any) -> None:
    shown = printable_json(json.dumps(value, indent=1, ensure_ascii=False))
    assert not OBEYED.search(shown)
    assert json.loads(shown) == value


@pytest.fixture
def evil_model(tmp_path: Path) -> Path:
    """Save a model whose topics and card would have a terminal obey."""
    folder = tmp_path / f"folder{EVIL}"
    folder.mkdir()
    texts = ["wheat and corn", "zinc and tin"] * 10
    classifier = TopicClassifier().fit(texts, [f"a{EVIL}", f"b{EVIL}"] * 10)
    classifier.save(folder / "evil.slug", card_notes=f"notes {EVIL}", metrics={EVIL: 1.0})
    rows = [f'"{text}","{topic}{EVIL}"\n' for text in texts for topic in "abc"]
    (tmp_path / "data.csv").write_text("".join(["text,topic\n", *rows]), newline="")
    return folder / "evil.slug"


@pytest.mark.parametrize(
    "command",
    [
        ("info", "MODEL"),
        ("info", "MODEL", "--json"),
        ("evaluate", "MODEL", "data.csv"),
        ("evaluate", "MODEL", "data.csv", "--json"),
        ("evaluate", "MODEL", f"{EVIL}.csv"),
        ("predict", "MODEL", "data.csv", "--text", EVIL),
        ("predict", "MODEL", "data.csv"),
        ("predict", f"MODEL{EVIL}"),
        ("train", "data.csv", "-o", f"{EVIL}.slug", "--quiet"),
    ],
    ids=lambda command: " ".join(command).replace(EVIL, "EVIL"),
)
def test_commands_write_no_control_characters(
    command: tuple[str, ...], evil_model: Path, run: Run
) -> None:
    code, out, err = run(*(part.replace("MODEL", str(evil_model)) for part in command))
    assert code in {0, 1, 2}
    assert not OBEYED.search(out + err)
    assert r"\x1b" in out + err or r"\u001b" in out + err


def test_info_keeps_the_lines_of_a_card(evil_model: Path, run: Run) -> None:
    out = run("info", evil_model).out
    assert f"\n\nnotes {SEEN}\n\n## Figures\n\n" in out
    assert f"- a{SEEN}\n- b{SEEN}\n" in out


def test_tables_keep_a_topic_with_line_breaks_in_its_row(run: Run, tmp_path: Path) -> None:
    texts = ["wheat and corn", "zinc and tin"] * 10
    TopicClassifier().fit(texts, ["a\nb", "c"] * 10).save(tmp_path / "a.slug")
    (tmp_path / "data.csv").write_text('text,topic\nwheat,"a\nb"\nzinc,c\n')
    out = run("evaluate", "a.slug", "data.csv", "-q").out
    assert "\na\\x0ab" in out


def test_messages_keep_a_name_with_line_breaks_on_one_line(run: Run, tmp_path: Path) -> None:
    for n in (10, 11):
        (tmp_path / "data.csv").write_text("text,topic\n" + "wheat,a\nzinc,b\n" * n)
        out = run("train", "data.csv", "--test-fraction", "0", "-o", f"a\n{n}.slug", "-q").out
        assert out.splitlines()[-1] == rf"model   a\x0a{n}.slug"
    Path("a\n10.slug").rename("a\n11.slug.before.1")
    out = run("rollback", "a\n11.slug").out
    replaced = Path("a").absolute().with_name(r"a\x0a11.slug.rolled-back")
    assert out.splitlines() == [
        r"model     a\x0a11.slug, restored from a\x0a11.slug.before.1",
        f"replaced  {replaced}",
        "kept      no earlier version",
    ]


def test_log_messages_have_one_line() -> None:
    code = (
        "import sys; from slugline.cli.output import log_to_standard_error;"
        "log_to_standard_error().warning('%s is damaged', sys.argv[1])"
    )
    command = [sys.executable, "-c", code, f"a\n{EVIL}.slug"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    [line] = done.stderr.splitlines()
    assert line.endswith(rf" WARNING a\x0a{SEEN}.slug is damaged")
