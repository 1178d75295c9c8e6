"""Charts as SVG elements, and as files."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.base.chart import Axis, Chart, Key, svg_file
from slugline.comparison.results import ModelMark
from slugline.evaluation.probabilities import reliability_curve
from slugline.experiment.curve import CurvePoint, LearningCurve, LearningCurves
from slugline.reports.pictures import accuracy_by_labels, reliability_diagram, score_by_model

WHOLE = Axis.fractions("across"), Axis.fractions("up")


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?[\d.]+", text)]


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 -- our own


def texts(svg: str) -> list[str]:
    return [str(text.text) for text in parsed(svg).iter("text")]


def texts_of(axis: Axis) -> list[str]:
    return [text.replace("\xa0", " ") for _, text in axis.ticks]


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0, 1, ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        (0.82, 1, ["85 %", "90 %", "95 %", "100 %"]),
        (0.9712, 0.9785, [f"{n / 10} %" for n in range(971, 980)]),
    ],
    ids=["all", "wide", "narrow"],
)
def test_percent_never_rounds_to_0_or_100(low: float, high: float, texts: list[str]) -> None:
    axis = Axis.fractions("", [low, high])
    assert texts_of(axis) == texts
    for (value, _), text in zip(axis.ticks, texts, strict=True):
        assert float(text.removesuffix(" %")) == pytest.approx(100 * value)


@given(st.floats(0, 1), st.floats(0, 1))
def test_axis_has_few_ticks_and_room_for_all_values(low: float, high: float) -> None:
    for axis in (Axis.fractions("", [low, high]), Axis.numbers("", [9 * low, 9 * high])):
        assert 2 <= len(axis.ticks) <= 10
        assert len(set(texts_of(axis))) == len(axis.ticks)
        assert all(axis.low - 1e-9 <= value <= axis.high + 1e-9 for value, _ in axis.ticks)
    assert Axis.fractions("", [low, high]).low <= min(low, high)
    assert max(low, high) <= Axis.fractions("", [low, high]).high


def test_chart_svg_is_well_formed_and_has_a_label() -> None:
    chart = Chart(*WHOLE)
    chart.line([(0, 0), (1, 1)], "training", dashed=True)
    chart.rule(0.2, "threshold <0.5", "best")
    svg = chart.svg("what & why")
    root = parsed(svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", "what & why")
    assert texts(svg)[-4:] == ["100\xa0%", "across", "up", "threshold <0.5"]


def test_chart_draws_higher_values_further_right_and_up() -> None:
    chart = Chart(*WHOLE)
    chart.line([(0.25, 0.25), (0.75, 0.75)], "training")
    (points,) = re.findall(r'<polyline points="([^"]*)"', chart.svg(""))
    x1, y1, x2, y2 = numbers(points)
    assert x1 < x2
    assert y1 > y2


def test_chart_draws_outside_points_on_the_edge() -> None:
    chart = Chart(Axis.fractions(""), Axis.fractions("", [0.5, 1]))
    chart.band([0, 1], [(0.1, 0.6), (0.5, 1.2)], "validation")
    chart.dot((0.5, 0.75), "validation", (0.2, 0.9))
    svg = chart.svg("")
    _, _, width, height = numbers(re.findall(r'viewBox="([^"]*)"', svg)[0])
    for points in re.findall(r'points="([^"]*)"', svg):
        found = numbers(points)
        assert all(0 <= x <= width for x in found[::2])
        assert all(0 <= y <= height for y in found[1::2])


@pytest.mark.parametrize(("x", "anchor"), [(0.1, "start"), (0.9, "end")])
def test_chart_rule_has_its_text_above_the_curves(x: float, anchor: str) -> None:
    chart = Chart(*WHOLE, [Key("one", "best"), Key("two", "training", "dashes")])
    chart.rule(x, "marked", "best")
    svg = chart.svg("")
    ((y, style),) = re.findall(r'y="(\d+)" style="([^"]*)">marked<', svg)
    assert f"text-anchor: {anchor}" in style
    ((legend_y, _),) = re.findall(r'y="(\d+)" style="([^"]*)">one<', svg)
    (top,) = re.findall(r'd="M[\d.]+ (\d+)V254" style="stroke: var\(--best', svg)
    assert int(legend_y) < int(y) < int(top)


Box = tuple[float, float, float, float]


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_chart_uses_the_colours_of_the_page() -> None:
    svg = reliability_diagram(reliability_curve([0.5, 0.9], [True, False]))
    assert not re.search(r"#[0-9a-f]{3,6}", svg)
    style = "".join(re.findall(r"var\(--(\w+)\)", svg))
    assert set(re.findall("training|validation|ink|rule", style)) == {
        "training",
        "validation",
        "ink",
        "rule",
    }


def test_reliability_diagram_has_a_dot_and_interval_per_bin() -> None:
    svg = reliability_diagram(reliability_curve([0.2, 0.5, 0.9], [True, False, True]))
    assert svg.count("<circle") == 3
    assert len(re.findall(r'<path [^>]*style="stroke: var\(--validation\)', svg)) == 3


def test_svg_file_is_well_formed_and_needs_no_page() -> None:
    diagram = reliability_diagram(reliability_curve([0.5, 0.9], [True, False]))
    content = svg_file([diagram])
    root = parsed(content)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in content
    assert "#fbfaf7" in content  # --paper of colours.css


@pytest.mark.parametrize("name", ["a\0b", "a\udc80b"])
def test_svg_file_replaces_what_xml_forbids(name: str) -> None:
    content = svg_file([score_by_model([ModelMark(name, 1.0, 0.5, (0.4, 0.6))])])
    assert "a\ufffdb, " in content
    parsed(content)


def test_accuracy_by_labels_has_a_line_for_each_curve_and_dashes_to_twice_the_labels() -> None:
    sizes = {5: 10, 10: 20, 20: 40, None: 100}
    points = tuple(
        CurvePoint(n, n_documents, (0.9 - 1 / n_documents,), 500)
        for n, n_documents in sizes.items()
    )
    curves = (LearningCurve("ours", points), LearningCurve("cut short", points[:1]))
    svg = accuracy_by_labels(LearningCurves("data", 2, 2000, 500, curves))
    assert {"ours", "cut short", "Training documents", "Accuracy"} <= {*texts(svg)}
    (dashes,) = re.findall(r'<polyline points="([^"]*)" [^>]*stroke-dasharray', svg)
    assert len(dashes.split()) == 2
    assert svg.count('r="3"') == len(points) + 1 + 1  # and the forecast
