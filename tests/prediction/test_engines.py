"""The examples for other engines: the topics are those that the model itself gives."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import load

EXAMPLES = Path(__file__).parents[2] / "examples"
TEXTS = ["wheat and corn", None, "a goal of the cup", "loan", "  "] * 20
# What these say of themselves is not ours to mend.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def example(name: str) -> Any:
    """Return an example as a module that other processes can load, too."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expected(model: Path) -> list[tuple[str | None, float | None]]:
    texts = [text if text and text.strip() else None for text in TEXTS]
    known = [text for text in texts if text]
    loaded = load(model)
    answers = iter(
        zip(loaded.predict(known), loaded.predict_proba(known).max(axis=1).tolist(), strict=True)
    )
    return [next(answers) if text else (None, None) for text in texts]


def check(found: list[tuple[Any, Any]], model: Path) -> None:
    for (topic, probability), (own_topic, own) in zip(found, expected(model), strict=True):
        assert topic == own_topic
        assert probability == (None if own is None else pytest.approx(own))


@pytest.fixture
def spark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("pyspark")
    from pyspark.sql import SparkSession

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    builder: Any = SparkSession.builder
    session = builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    yield session
    session.stop()


def test_predict_frame_works_in_spark(spark: Any, news_slug: Path) -> None:
    rows = list(enumerate(TEXTS))
    frame = spark.createDataFrame(rows, "id int, text string").repartition(3)

    found = example("spark_predict").predict(frame, str(news_slug)).orderBy("id").collect()

    assert [(row.id, row.text) for row in found] == rows
    check([(row.topic, row.probability) for row in found], news_slug)


@pytest.fixture
def ray() -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    # Two for the actors, and some for what reads.
    ray.init(num_cpus=4, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    yield ray
    ray.shutdown()


def test_predict_frame_works_in_ray(ray: Any, news_slug: Path) -> None:
    data = ray.data.from_items([{"id": n, "text": text} for n, text in enumerate(TEXTS)])

    answers = example("ray_predict").predict(data.repartition(3), str(news_slug))
    found = answers.to_pandas().sort_values("id")

    assert [*found["id"]] == [*range(len(TEXTS))]
    found = found.astype(object).where(found.notna(), None)
    check([*zip(found["topic"], found["probability"], strict=True)], news_slug)
