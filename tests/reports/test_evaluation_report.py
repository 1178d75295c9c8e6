"""What the report shows of probabilities, mistakes and words, and that it follows from numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.evaluation.evaluation import Evaluation
from slugline.experiment.evaluate import decide_corpus
from slugline.experiment.evidence import QualitativeEvidence, gather_evidence
from slugline.experiment.experiment import Experiment, run_experiment
from slugline.reports.training import describe_reliability, training_page

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def experiment(news: list[tuple[str, str]]) -> Experiment:
    """Return an experiment some of whose test documents are got wrong."""
    texts, topics = zip(*news, strict=True)
    test = Corpus(
        [
            *("wheat and corn", "team and goal", "loan and bond"),
            f"loan and bond {HOSTILE}",
            "goal and match",
            "القمح loan",
        ],
        ["grain", "sport", "bank", "grain", "grain", "oats"],
        "test.csv",
    )
    train = Corpus(list(texts), list(topics), "news.csv")
    return run_experiment(TopicClassifier(random_state=0).to_settings(), train, test=test)


@pytest.fixture(scope="module")
def evidence(experiment: Experiment) -> QualitativeEvidence:
    return gather_evidence(experiment)


def section(page: str, name: str) -> str:
    start = page.index(f'<section id="{name}">')
    return page[start : page.index("</section>", start)]


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", "", html).split())


# The page ---------------------------------------------------------------------------------------


def test_training_page_has_evidence_in_order(
    experiment: Experiment, evidence: QualitativeEvidence
) -> None:
    page = training_page(experiment, evidence=evidence)
    names = re.findall(r'<section id="(\w+)">', page)
    contents = re.findall(r'<li><a href="#(\w+)">', page)
    assert contents == [name for name in names if name not in ("warnings", "next")]
    assert [name for name in names if name != "warnings"] == [
        *("next", "data", "baselines", "probabilities", "confusions", "pairs", "surest"),
        *("topics", "words", "settings"),
    ]


def test_training_page_quotes_nothing_without_evidence(experiment: Experiment) -> None:
    page = training_page(experiment)
    assert not {"pairs", "surest", "words"} & set(re.findall(r'<section id="(\w+)">', page))
    assert "<blockquote" not in page


def test_training_page_has_no_words_without_term_weights(
    experiment: Experiment, evidence: QualitativeEvidence
) -> None:
    page = training_page(experiment, evidence=replace(evidence, terms=[]))
    assert 'id="words"' not in page
    assert 'id="surest"' in page


def test_training_page_has_no_examples_without_mistakes(experiment: Experiment) -> None:
    alone = QualitativeEvidence(gather_evidence(experiment).terms, [], [], 0, "line")
    page = training_page(experiment, evidence=alone)
    assert 'id="words"' in page
    assert 'id="pairs"' not in page
    assert 'id="surest"' not in page


def test_training_page_quotes_mistakes_with_marked_words(
    experiment: Experiment, evidence: QualitativeEvidence
) -> None:
    surest = section(training_page(experiment, evidence=evidence), "surest")
    assert "Of 3 mistakes, these are the ones with the highest probability" in plain(surest)
    assert surest.count("<blockquote") == 3
    assert re.search(r'<mark class="for s\d"[^>]*>loan</mark>', surest)
    assert "grain taken for bank" in plain(surest)
    assert re.search(r"Document 4, probability \d+\.\d\s%", plain(surest))


def test_training_page_escapes_texts_and_isolates_direction(
    experiment: Experiment, evidence: QualitativeEvidence
) -> None:
    page = training_page(experiment, evidence=evidence)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count('<blockquote dir="auto">') == page.count("<blockquote")


def test_training_page_lists_words_of_each_topic(
    experiment: Experiment, evidence: QualitativeEvidence
) -> None:
    words = section(training_page(experiment, evidence=evidence), "words")
    assert re.findall(r"<dt[^>]*>(.*?)</dt>", words) == ["bank", "grain", "sport"]
    shown = [plain(row).split(", ") for row in re.findall(r"<dd>(.*?)</dd>", words)]
    assert shown == [row.terms for row in evidence.terms]


def test_training_page_has_a_dash_for_a_topic_without_words(
    experiment: Experiment, evidence: QualitativeEvidence
) -> None:
    bare = [row._replace(terms=[]) for row in evidence.terms]
    words = section(training_page(experiment, evidence=replace(evidence, terms=bare)), "words")
    assert re.findall(r"<dd>(.*?)</dd>", words) == ["–"] * 3


def test_training_page_marks_the_threshold(experiment: Experiment) -> None:
    assert "threshold 0" not in training_page(experiment)
    asked = with_precision(experiment, 0.8)
    assert asked.threshold is not None
    assert f"threshold {asked.threshold:.2f}" in training_page(asked)
    assert "threshold 0" not in training_page(with_precision(experiment, 0.9999))


def with_precision(experiment: Experiment, precision: float) -> Experiment:
    """Return the experiment as if that precision had been asked for."""
    predictions = experiment.fitted.heldout_predictions
    assert predictions is not None
    predictions = replace(predictions, precision=precision)
    fitted = replace(experiment.fitted, heldout_predictions=predictions)
    return replace(
        experiment, fitted=fitted, decisions=decide_corpus(fitted, experiment.tested.test)
    )


def test_advice_begins_with_a_broken_promise(experiment: Experiment) -> None:
    asked = with_precision(experiment, 0.9999)
    page = plain(training_page(asked))
    promise = asked.promise
    assert promise is not None
    assert promise.status == "unreachable"
    assert promise.headline.startswith(
        "The model is unsure of every text, and none of the 6 test documents is answered: no "
    )
    headline = promise.headline
    assert page.index(headline) < page.index("The classifier gets")
    assert headline in plain(section(training_page(asked), "probabilities"))
    assert "even if all documents" not in page
    assert "If all documents are answered" not in page
    first = training_page(asked).partition('<ul class="slips">')[2].partition("</li>")[0]
    assert "The best that can be promised is" in plain(first)
    assert headline not in training_page(experiment)


def test_section_texts_count_skipped_rows(experiment: Experiment) -> None:
    for n, said in (
        (1, "1 row was skipped: it can’t be used."),
        (1200, "1,200 rows were skipped: they can’t be used."),
    ):
        assert said in section(training_page(replace(experiment, n_skipped=n)), "data")
    assert "skipped" not in section(training_page(experiment), "data")


# What it says -----------------------------------------------------------------------------------


def answered(probabilities: Sequence[float], right: Sequence[int]) -> Evaluation:
    """Return an evaluation of answers "a" with these probabilities."""
    p = np.array(probabilities)
    proba = np.stack([p, 1 - p], axis=1)
    return Evaluation.from_probabilities(["a", "b"], np.where(right, 0, 1), proba)


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        (0.5, "it is too sure"),
        (1.0, "it is too cautious"),
        (0.8, "the two agree, within the error of the test"),
    ],
)
def test_describe_reliability_follows_the_interval(share: float, verdict: str) -> None:
    n = 200
    ours = answered([0.8] * n, [int(place < share * n) for place in range(n)])
    said = describe_reliability(ours, ours.reliability())
    assert (
        f"classifier’s answers is 80.0 %, and {100 * share:.1f} % of them are right: {verdict}."
        in said
    )
    assert said.endswith("chance alone would cause 8.7 points.")


PROBABILITIES, RIGHT = [0.9, 0.8, 0.7, 0.6], [1, 1, 1, 0]
