"""Reports: pages that need no other file, with sentences that follow from the numbers."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from page_elements import Elements
from slugline.base.files import write_result
from slugline.errors import SluglineError
from slugline.experiment.lesson import (
    LESSON,
    Baselines,
    EpochCurves,
    IntegerLabels,
    LessonData,
    MultiHot,
    NetworkResult,
    NotebookResult,
    Predictions,
    SeedSummary,
    TopicProbability,
    WireExample,
)
from slugline.reports.lesson import notebook_page, rules, takeaways
from slugline.reports.render import table_page


def over_seeds(*values: float) -> SeedSummary:
    return SeedSummary.from_values(values)


def curves(hidden: tuple[int, ...], batch_size: int, accuracy: float, **others: Any) -> EpochCurves:
    """Return three seeds' curves, whose validation loss is lowest after epoch 2."""
    history = {
        "loss": [2.5, 1.0, 0.5, 0.1],
        "accuracy": [0.5, 0.8, 0.9, 0.95],
        "val_loss": [1.5, 0.9, 1.0, 1.1],
        "val_accuracy": [0.6, accuracy, accuracy - 0.01, accuracy - 0.02],
    }
    values: dict[str, Any] = {
        "hidden": hidden,
        "epochs": 4,
        "batch_size": batch_size,
        **history,
        "best_epoch": over_seeds(2, 2, 3),
        "val_loss_lowest": over_seeds(0.9, 0.91, 0.92),
        "val_accuracy_peak": over_seeds(accuracy, accuracy + 0.005, accuracy + 0.01),
        "test_loss": over_seeds(1.2, 1.25, 1.3),
        "test_accuracy": over_seeds(accuracy - 0.03, accuracy - 0.025, accuracy - 0.02),
        "seeds": [history] * 3,
    }
    return EpochCurves(**(values | others))


def made(hidden: tuple[int, ...], *accuracies: float) -> NetworkResult:
    return NetworkResult(hidden, 8, over_seeds(1.0, 1.01, 1.02), over_seeds(*accuracies))


@pytest.fixture(scope="module")
def result() -> NotebookResult:
    retrained = made((64, 64), 0.78, 0.785, 0.79)
    return NotebookResult(
        seeds=[0, 1, 2],
        data=LessonData(
            n_train=8982,
            n_test=2246,
            n_validation=1000,
            n_partial=7982,
            n_topics=46,
            num_words=10_000,
            examples=[WireExample(0, [1, 2, 8], "? ? <said> & done", "0" * 64, 3, "earn")],
            multi_hot=MultiHot((8982, 10_000), 733_517, 5.9, 718.56),
            one_hot_shape=(8982, 46),
        ),
        curves=curves((64, 64), 512, 0.81),
        retrained=retrained,
        retrained_on_all=NetworkResult(
            (64, 64), [2, 2, 3], over_seeds(0.9, 0.9, 0.9), over_seeds(0.79, 0.795, 0.8)
        ),
        baselines=Baselines(over_seeds(0.18, 0.185, 0.19), 813 / 2246, "earn"),
        predictions=Predictions(
            shape=(46,),
            sum=1.0,
            argmax=3,
            topic="earn",
            probability=0.84,
            true_topic="earn",
            likeliest=[TopicProbability("earn", 0.84), TopicProbability("acq", 0.15)],
            largest_sum_error=4.8e-7,
            n_topics_answered=38,
            n_topics_present=46,
        ),
        integer_labels=IntegerLabels(0.0, 16),
        bottleneck=curves((64, 4), 128, 0.70),
        experiments=[
            made((32, 32), 0.75, 0.76, 0.77),
            retrained,
            made((64,), 0.79, 0.792, 0.794),
            made((64, 64, 64), 0.77, 0.772, 0.774),
        ],
        notebook=LESSON,
        seconds=12.3,
        peak_memory_mb=180.0,
    )


@pytest.fixture(scope="module")
def page(result: NotebookResult) -> str:
    return notebook_page(result)


# The page ---------------------------------------------------------------------------------------


def test_the_page_is_well_formed_and_needs_no_other_file(page: str) -> None:
    elements = Elements(page)
    assert not elements.open
    tags = Counter(tag for tag, _ in elements.seen)
    assert not {"script", "link", "iframe", "img", "object"} & set(tags)
    for _, attributes in elements.seen:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert not re.search(r"url\((?!#)|@import", page)


def test_notebook_page_has_unique_ids(page: str) -> None:
    ids = Counter(attributes["id"] for _, attributes in Elements(page).seen if "id" in attributes)
    assert ids.most_common(1)[0][1] == 1


def test_notebook_page_labels_pictures_and_uses_its_colours(page: str) -> None:
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    labels = [attributes["aria-label"] for tag, attributes in Elements(page).seen if tag == "svg"]
    assert labels == [
        "Loss by epoch, on training and validation documents",
        "Accuracy by epoch, on training and validation documents",
        "Validation accuracy of several networks by epoch",
        "Test accuracy by the number of units in the hidden layers",
    ]
    for picture in pictures:
        assert not re.search(r"#[0-9a-f]{3,6}", picture)
    style = page[: page.index("</style>")]
    for variable in set(re.findall(r"var\((--\w+)\)", "".join(pictures))):
        assert f"{variable}: #" in style


def test_notebook_page_forbids_fetching(page: str) -> None:
    policy = next(a["content"] for t, a in Elements(page).seen if t == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_notebook_page_has_row_headers(page: str) -> None:
    headers = [attributes for tag, attributes in Elements(page).seen if tag == "th"]
    assert {attributes.get("scope") for attributes in headers} == {"col", "row", "rowgroup"}
    assert not re.search(r"<tbody>\s*<tr><td", page)
    assert page.count('<td class="number ours">') == page.count('<tr><th scope="row">')


# Contrast ---------------------------------------------------------------------------------------

Colour = tuple[float, float, float]


def palettes(page: str) -> dict[str, dict[str, Colour]]:
    """Return the colours of the sheet by name: in the light, in the dark and on paper."""
    sheets = re.findall(r":root \{(.*?)\}", page[: page.index("</style>")], re.DOTALL)
    found = [
        {name: _colour(value) for name, value in re.findall(r"--(\w+): #(\w+);", sheet)}
        for sheet in sheets
    ]
    return dict(zip(("light", "dark", "print"), found, strict=True))


def _colour(digits: str) -> Colour:
    whole = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    red, green, blue = (int(whole[place : place + 2], 16) / 255 for place in (0, 2, 4))
    return red, green, blue


def _luminance(colour: Colour) -> float:
    """As WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _mixed(colour: Colour, paper: Colour, share: float) -> Colour:
    red, green, blue = (share * c + (1 - share) * p for c, p in zip(colour, paper, strict=True))
    return red, green, blue


@pytest.mark.parametrize("mode", ["light", "dark", "print"])
def test_page_colours_have_enough_contrast(page: str, mode: str) -> None:
    palette = palettes(page)[mode]
    for name in ("ink", "soft", "validation", "best"):
        assert contrast(palette[name], palette["paper"]) >= 4.5
    for name in ("ink", "soft", "best"):
        assert contrast(palette[name], palette["card"]) >= 4.5
    assert contrast(palette["training"], palette["paper"]) >= 3  # of dots and bars
    for name, most in re.findall(r"var\(--(\w+)\) calc\(8% \+ ([\d.]+) \* var\(--share", page):
        cell = _mixed(palette[name], palette["paper"], 0.08 + float(most))
        assert contrast(palette["ink"], cell) >= 4.5


def test_notebook_page_escapes_wires(page: str) -> None:
    assert "? ? &lt;said&gt; &amp; done" in page


# What it says -----------------------------------------------------------------------------------


def _still_falling(result: NotebookResult) -> NotebookResult:
    falling = replace(result.curves, val_loss=[4.0, 3.0, 2.0, 1.0], best_epoch=over_seeds(4, 4, 4))
    return replace(result, curves=falling)


@pytest.mark.parametrize(
    ("change", "section", "sentence"),
    [
        (_still_falling, "curves", "is still falling"),
        (_still_falling, "curves", "All 3 seeds have their lowest loss after epoch 4"),
        (
            lambda r: replace(r, curves=replace(r.curves, test_loss=over_seeds(0.8, 0.9, 0.9))),
            "retrained",
            "did not pay off",
        ),
        (
            lambda r: replace(r, curves=replace(r.curves, test_accuracy=over_seeds(0.7, 0.7, 0.7))),
            "retrained",
            "makes both worse",
        ),
        (
            lambda r: replace(
                r, retrained_on_all=replace(r.retrained, test_accuracy=over_seeds(0.7))
            ),
            "retrained",
            "8.5 points less",
        ),
        (
            lambda r: replace(r, baselines=replace(r.baselines, majority=0.9)),
            "baselines",
            "does not beat it",
        ),
        (
            lambda r: replace(r, predictions=replace(r.predictions, true_topic="acq")),
            "predictions",
            "but the right topic is “acq”",
        ),
        (
            lambda r: replace(r, integer_labels=IntegerLabels(0.02, 16)),
            "integer_labels",
            "differ by up to 2 × 10⁻²",
        ),
        (
            lambda r: replace(r, bottleneck=curves((64, 4), 128, 0.85)),
            "bottleneck",
            "4.0 points above",
        ),
        (
            lambda r: replace(r, experiments=r.experiments[:2]),
            "experiments",
            "The best of these is 64-64",
        ),
    ],
    ids=[
        "still falling",
        "agreeing seeds",
        "late is better",
        "late is worse",
        "all wires are worse",
        "a poor network",
        "a wrong answer",
        "labels that differ",
        "a wide bottleneck",
        "few experiments",
    ],
)
def test_takeaways_follow_the_numbers(
    result: NotebookResult, change: Any, section: str, sentence: str
) -> None:
    assert sentence in takeaways(change(result))[section]
    assert sentence not in takeaways(result)[section]


def test_rules_are_checked_against_the_numbers(result: NotebookResult) -> None:
    verdicts = [rule.verdict for rule in rules(result)]
    assert verdicts == ["holds", "holds", "not tested", "holds", "holds"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "change"),
    [
        (0, lambda r: replace(r, predictions=replace(r.predictions, shape=(45,)))),
        (1, lambda r: replace(r, predictions=replace(r.predictions, largest_sum_error=0.1))),
        (3, lambda r: replace(r, integer_labels=IntegerLabels(0.02, 16))),
        (4, lambda r: replace(r, bottleneck=curves((64, 4), 128, 0.815))),
    ],
    ids=["outputs", "softmax", "labels", "bottleneck"],
)
def test_rules_that_fail_are_not_said_to_hold(
    result: NotebookResult, number: int, change: Any
) -> None:
    assert rules(change(result))[number].verdict == "not seen"


# Files and pictures -----------------------------------------------------------------------------


def test_reproduce_leaves_nothing_if_the_page_can_not_be_written(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.mkdir()
    with pytest.raises(SluglineError) as error:
        write_result(target, "<p>new</p>", "report")
    assert str(error.value) == (
        f"{target}: the report can't be written (Is a directory). "
        "Check the disk, and the permissions of file and folder, or choose another place."
    )
    assert list(tmp_path.iterdir()) == [target]


def test_reproduce_keeps_the_old_page_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.html"
    write_result(target, "<p>old</p>", "report")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(SluglineError, match="No space left on device"):
        write_result(target, "<p>new</p>", "report")
    assert target.read_text() == "<p>old</p>"
    assert list(tmp_path.iterdir()) == [target]


def test_pages_show_nul_as_the_replacement_character() -> None:
    page = table_page("a\0b", [], [{"text": "c\0d"}])
    assert "\0" not in page
    assert "c\ufffdd" in page
