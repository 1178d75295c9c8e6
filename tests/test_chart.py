"""Charts that are drawn without matplotlib."""

from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from slugline.evaluation.probabilities import coverage_curve, reliability_curve
from slugline.reports.chart import Axis, Chart
from slugline.reports.training import coverage_chart, reliability_diagram

WHOLE = Axis(0, 1, "across"), Axis(0, 1, "up")


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?[\d.]+", text)]


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 -- our own


def texts(svg: str) -> list[str]:
    return [str(text.text) for text in parsed(svg).iter("text")]


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.83, 1, [0.85, 0.9, 0.95, 1]),
        (0.5, 0.75, [0.5, 0.55, 0.6, 0.65, 0.7, 0.75]),
        (0.995, 1, [0.995, 0.996, 0.997, 0.998, 0.999, 1]),
    ],
)
def test_an_axis_is_marked_by_round_shares(low: float, high: float, marks: list[float]) -> None:
    assert Axis(low, high, "").marks() == marks


@given(st.floats(0, 1), st.floats(0, 1))
def test_an_axis_has_a_few_marks_within_it(low: float, high: float) -> None:
    assume(high - low > 1e-4)
    marks = Axis(low, high, "").marks()
    assert 2 <= len(marks) <= 7
    assert all(low - 1e-9 <= mark <= high + 1e-9 for mark in marks)


def test_a_chart_is_well_formed_with_names_marks_and_words_for_the_blind() -> None:
    chart = Chart(*WHOLE)
    chart.line([(0, 0), (1, 1)], "training", dashed=True)
    chart.note((0.2, 0.9), "threshold <0.5", "best")
    svg = chart.svg("what & why")
    root = parsed(svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", "what & why")
    assert texts(svg)[-4:] == ["100\xa0%", "across", "up", "threshold <0.5"]


def test_higher_shares_are_further_right_and_further_up() -> None:
    chart = Chart(*WHOLE)
    chart.line([(0.25, 0.25), (0.75, 0.75)], "training")
    (points,) = re.findall(r'<polyline points="([^"]*)"', chart.svg(""))
    x1, y1, x2, y2 = numbers(points)
    assert x1 < x2
    assert y1 > y2


def test_what_is_outside_is_drawn_on_the_edge() -> None:
    chart = Chart(Axis(0, 1, ""), Axis(0.5, 1, ""))
    chart.band([0, 1], [(0.1, 0.6), (0.5, 1.2)], "validation")
    chart.dot((0.5, 0.75), "validation", ends=(0.2, 0.9))
    svg = chart.svg("")
    _, _, width, height = numbers(re.findall(r'viewBox="([^"]*)"', svg)[0])
    for points in re.findall(r'points="([^"]*)"', svg):
        found = numbers(points)
        assert all(0 <= x <= width for x in found[::2])
        assert all(0 <= y <= height for y in found[1::2])


@pytest.mark.parametrize(("x", "anchor"), [(0.1, "start"), (0.9, "end")])
def test_a_note_never_leaves_the_chart(x: float, anchor: str) -> None:
    chart = Chart(*WHOLE)
    chart.note((x, 0.5), "here", "best")
    (style,) = re.findall(r'style="([^"]*)">here<', chart.svg(""))
    assert f"text-anchor: {anchor}" in style


def test_colours_are_those_of_the_page() -> None:
    svg = reliability_diagram(reliability_curve([0.5, 0.9], [True, False]))
    assert not re.search(r"#[0-9a-f]{3,6}", svg)
    style = "".join(re.findall(r"var\(--(\w+)\)", svg))
    assert set(re.findall("training|validation|ink|rule", style)) == {
        "training",
        "validation",
        "ink",
        "rule",
    }


def test_every_bin_is_a_dot_with_its_interval() -> None:
    svg = reliability_diagram(reliability_curve([0.2, 0.5, 0.9], [True, False, True]))
    assert svg.count("<circle") == 3
    assert len(re.findall(r'style="stroke: var\(--validation\)', svg)) == 3


@pytest.mark.parametrize(
    ("probabilities", "right"),
    [([0.9], [True]), ([0.9], [False]), ([1.0] * 50, [True] * 50), ([0.5] * 50, [False] * 50)],
    ids=["one right", "one wrong", "all right", "all wrong"],
)
def test_a_curve_of_one_point_can_be_drawn(probabilities: list[float], right: list[bool]) -> None:
    svg = coverage_chart(coverage_curve(probabilities, right))
    parsed(svg)
    assert "nan" not in svg


def test_the_first_few_answers_are_not_drawn() -> None:
    probabilities = [1 - n / 100 for n in range(50)]
    curve = coverage_curve(probabilities, [n > 0 for n in range(50)])
    (points,) = re.findall(r'<polyline points="([^"]*)"', coverage_chart(curve))
    assert len(points.split()) == 31


def test_a_report_of_a_linear_model_needs_no_matplotlib() -> None:
    code = (
        "import sys\n"
        "from slugline import TopicClassifier\n"
        "from slugline.corpus.corpus import Corpus\n"
        "from slugline.experiment.run import run_experiment\n"
        "from slugline.reports.training import training_page\n"
        "corpus = Corpus(['wheat', 'loan'] * 9, ['grain', 'bank'] * 9, 'news')\n"
        "page = training_page(run_experiment(TopicClassifier(), corpus))\n"
        "assert page.count('<svg') == 2\n"
        "print('matplotlib' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
