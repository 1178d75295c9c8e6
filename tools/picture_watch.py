"""Take the pictures of the days on the Model tab that the documentation shows.

`python tools/picture_watch.py` from the root of the repository, with Playwright and Chromium, makes
docs/watch.png and docs/watch-dark.png. A model that learned sentences of BBC News answers 60 days
of other sentences; in the last two weeks, more of them are about business.
"""

from __future__ import annotations

import datetime
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from slugline import TopicClassifier, load_corpus
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.recorder import Watch, utc_today
from slugline.serving.watch.store import WatchStore

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TOPICS = ("business", "politics", "tech", "entertainment")
N_DAYS, N_CHANGED, N_TRAINING, N_TEXTS = 58, 15, 500, 160
# Pixels around the section.
MARGIN = 20
FRACTION, CHANGED_FRACTION = 0.25, 0.42


def split_sentences() -> dict[str, list[str]]:
    """Return sentences of BBC News by topic, in random order."""
    corpus, sentences = load_corpus("bbc"), dict[str, dict[str, None]]()
    for text, topic in zip(corpus.texts, corpus.topics, strict=True):
        parts = re.split(r'(?<=[.!?"])\s+', text)
        sentences.setdefault(str(topic), {}).update(
            dict.fromkeys(part for part in parts if 60 <= len(part) <= 250)
        )
    draw = random.Random(0)  # noqa: S311
    return {topic: draw.sample([*sentences[topic]], len(sentences[topic])) for topic in TOPICS}


def train(path: Path) -> dict[str, list[str]]:
    """Save a model that learned some sentences, and return the others by topic."""
    sentences = split_sentences()
    texts = [text for topic in TOPICS for text in sentences[topic][:N_TRAINING]]
    topics = [topic for topic in TOPICS for _ in range(N_TRAINING)]
    TopicClassifier(min_precision=0.8).fit(texts, topics).save(path)
    return {topic: sentences[topic][N_TRAINING:] for topic in TOPICS}


def answer_days(model: ServedModel, file: Path, sentences: dict[str, list[str]]) -> None:
    """Write the sums of all days up to today."""
    rng, draw = np.random.default_rng(3), random.Random(3)  # noqa: S311
    with WatchStore(file) as store:
        today = [utc_today()]
        watch = Watch(Metrics(), store, today=lambda: today[0])
        for days_ago in range(N_DAYS - 1, -1, -1):
            today[0] = utc_today() - datetime.timedelta(days_ago)
            first = CHANGED_FRACTION if days_ago < N_CHANGED else FRACTION
            shares = np.array([first, *[(1 - first) / 3] * 3]) * np.exp(rng.normal(0, 0.12, 4))
            counts = rng.multinomial(rng.poisson(N_TEXTS), shares / shares.sum()).tolist()
            texts = [
                text
                for topic, n in zip(TOPICS, counts, strict=True)
                for text in draw.choices(sentences[topic], k=n)
            ]
            watch.add(model, model.answer(texts))
            watch.write()


def take_pictures(address: str) -> None:
    """Take a picture in light and in dark mode."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browsers import run_chromium

    with run_chromium() as browser:
        for scheme, name in (("light", "watch.png"), ("dark", "watch-dark.png")):
            context = browser.new_context(
                color_scheme=scheme, viewport={"width": 1180, "height": 900}
            )
            page = context.new_page()
            page.goto(f"{address}model")
            while not page.locator(".charts").count():  # weeks are counted at the start
                page.wait_for_timeout(500)
                page.reload()
            box = page.locator("#days").bounding_box() or {}
            clip = {
                "x": box["x"] - MARGIN,
                "y": box["y"] - MARGIN,
                "width": box["width"] + 2 * MARGIN,
                "height": box["height"] + MARGIN,
            }
            page.screenshot(path=DOCS / name, clip=clip, full_page=True)
            context.close()


def main() -> None:
    """Train, answer, serve, and take the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        path, file = Path(folder, "news.slug"), Path(folder, "watch.db")
        sentences = train(path)
        answer_days(ServedModel.load(str(path)), file, sentences)
        server = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "slugline", "serve", path, "--watch", file, "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            line = next(line for line in server.stderr or () if "listening at " in line)
            take_pictures(line.partition("listening at ")[2].strip())
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
