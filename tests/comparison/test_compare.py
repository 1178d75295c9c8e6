"""Several models on the same folds: results, processes, what is kept, and bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from slugline.base.progress import SilentProgress
from slugline.classifier import TopicClassifier
from slugline.comparison.models import MODELS, choose_models
from slugline.comparison.results import Comparison
from slugline.comparison.run import CompareSettings, compare_models
from slugline.corpus.corpus import Corpus
from slugline.corpus.splits import make_folds
from slugline.corpus.topic_sets import to_indicator
from slugline.errors import DataError, EncoderError, OptionError
from slugline.evaluation.intervals import wilson

pytestmark = pytest.mark.slow

TWO = CompareSettings(n_folds=2, n_jobs=1)

PIPELINES = """
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

pipeline = make_pipeline(TfidfVectorizer(), MultinomialNB())
"""

# Of these, nothing imports scikit-learn, which takes most of the time of a process.
MODELS_PY = """
import os, random, signal, sys, time
from pathlib import Path

print("noise on import")
os.write(1, b"more noise")
three = 3


def makes_none():
    return None


class Guess:
    def fit(self, X, y):
        print("noise", file=sys.stderr)
        self.first = y[0]

    def predict(self, X):
        return [self.first] * len(X)


def make_guess():
    return Guess()


class Raises(Guess):
    def fit(self, X, y):
        raise ValueError("no\\nway")


class Numbers(Guess):
    def fit(self, X, y):
        float(X[0])


class Draws(Guess):
    def __init__(self, random_state=None):
        self.random_state = random_state

    def get_params(self, deep=True):
        return {"random_state": self.random_state}

    def set_params(self, random_state):
        self.random_state = random_state
        return self

    def predict(self, X):
        return random.Random(self.random_state).choices(["bank", "grain", "sport"], k=len(X))


class DrawsToo(Draws):
    pass


class NeverEnds(Guess):
    def fit(self, X, y):
        Path("pid").write_text(str(os.getpid()))
        while True:
            time.sleep(0.1)


class Crashes(Guess):
    def fit(self, X, y):
        os.kill(os.getpid(), signal.SIGSEGV)


class Exits(Guess):
    def fit(self, X, y):
        os._exit(3)


class Leaves(Guess):
    def fit(self, X, y):
        sys.exit("bye")


class TooFew(Guess):
    def predict(self, X):
        return [self.first]


class Unpicklable(Guess):
    def fit(self, X, y):
        super().fit(X, y)
        self.function = lambda: None
"""


@pytest.fixture
def corpus(texts: list[str], topics: list[str]) -> Corpus:
    """Return the news as a corpus."""
    return Corpus(texts, topics, "news")


@pytest.fixture(scope="module")
def noisy(news: list[tuple[str, str]]) -> Corpus:
    """Return the news with topics of the last 20 texts at which no model can be right."""
    texts, topics = zip(*news, strict=True)
    return Corpus(list(texts), [*topics[:-20], *(["sport", "bank"] * 10)], "news")


@pytest.fixture(scope="module")
def measured(noisy: Corpus) -> Comparison:
    """Return two models measured one after the other."""
    return compare_models(noisy, ["majority", "default"], TWO)


@pytest.fixture
def pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have pipelines.py and models.py in the current folder; return the latter."""
    (tmp_path / "pipelines.py").write_text(PIPELINES)
    path = tmp_path / "models.py"
    path.write_text(MODELS_PY)
    monkeypatch.chdir(tmp_path)
    return path


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float = 600) -> None:
    """Wait until a condition holds; the limit is there for what never comes."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "waited too long"
        time.sleep(0.05)


# Results ----------------------------------------------------------------------------------------


def test_compare_models_equals_fits_in_this_process(noisy: Corpus, measured: Comparison) -> None:
    folds = make_folds(noisy.topics, 2, 0)
    texts, topics = np.array(noisy.texts, object), np.array(noisy.topics, object)
    majority, default = measured.models
    for fold in range(2):
        train, test = folds != fold, folds == fold
        classifier = TopicClassifier(n_jobs=1).fit(texts[train], topics[train])
        assert default.accuracies[fold] == classifier.score(texts[test], topics[test])
        names, counts = np.unique(topics[train].astype(str), return_counts=True)
        assert majority.accuracies[fold] == np.mean(topics[test] == names[counts.argmax()])
    assert default.interval == wilson(sum(default.right), len(noisy))
    assert default.accuracy < 1
    assert measured.best is default
    assert measured.differences()["majority"].accuracy == pytest.approx(
        majority.accuracy - default.accuracy
    )


@pytest.fixture
def several(corpus: Corpus) -> Corpus:
    """Return the news with a second topic for some, and without a topic for others."""
    topics = corpus.topics
    sets = [
        () if row % 11 == 5 else (topic, "short") if len(text) < 60 else (topic,)
        for row, (text, topic) in enumerate(zip(corpus.texts, topics, strict=True))
    ]
    return replace(corpus, topics=sets)


def test_compare_models_of_several_topics_equals_fits_in_this_process(
    several: Corpus, pipelines: Path
) -> None:
    models = ["default", "tfidf-svc", "models:Guess", "models:TooFew"]
    comparison = compare_models(several, models, TWO)

    folds = make_folds(several.topics, 2, 0)
    names = sorted(set(several.all_topics()))
    texts, y = np.array(several.texts, object), to_indicator(several.topics, names)
    makers: list[Callable[[], Any]] = [
        partial(TopicClassifier, n_jobs=1),
        lambda: make_pipeline(TfidfVectorizer(), OneVsRestClassifier(LinearSVC(random_state=0))),
    ]
    for model, make in zip(comparison.models, makers, strict=False):
        true, answered = [], []
        for fold in range(2):
            train, test = folds != fold, folds == fold
            answered.append(make().fit(texts[train], y[train]).predict(texts[test]))
            true.append(y[test])
            micro = f1_score(true[-1], answered[-1], average="micro")
            assert model.scores[fold] == pytest.approx(micro)
        evaluation = model.evaluation
        for average in ("micro", "macro", "samples"):
            score = f1_score(
                np.vstack(true),
                np.vstack(answered),
                average=average,
                zero_division=1.0 if average == "samples" else 0.0,
            )
            assert getattr(evaluation, average).f1 == pytest.approx(score)
        assert model.interval[0] < model.score < model.interval[1]
    assert (comparison.multilabel, comparison.n_topics) == (True, len(names))
    assert comparison.models[2].error is None
    assert comparison.models[3].error == (
        "returned an array of shape (1, 4) for 45 texts instead of an indicator of shape (45, 4)"
    )
    first, best = comparison.to_dict()["models"][0], comparison.best
    assert best is not None
    assert best.score == max(m.score for m in comparison.measured)
    assert first["micro_f1"] == comparison.models[0].score


def test_compare_models_measures_times_memory_and_file_size(
    noisy: Corpus, measured: Comparison, tmp_path: Path
) -> None:
    _, default = measured.models
    assert len(default.fit_seconds) == len(default.answer_seconds) == 2
    assert default.fit_time == min(default.fit_seconds) > 0
    assert default.documents_per_second > 0
    assert default.peak_mb is None or 20 < default.peak_mb < 2000
    train = make_folds(noisy.topics, 2, 0) != 1  # the last fold's model
    classifier = TopicClassifier().fit(
        np.array(noisy.texts, object)[train].tolist(),
        np.array(noisy.topics, object)[train].tolist(),
    )
    classifier.save(tmp_path / "model.slug")
    assert default.file_bytes == pytest.approx((tmp_path / "model.slug").stat().st_size, rel=0.02)


class Steps(SilentProgress):
    """Keeps all steps, each after the share that is done."""

    def __init__(self, steps: list[str]) -> None:
        self._steps = steps

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        self._steps.append(f"{share:.0%} {step}")


def test_compare_models_reports_each_model_once_measured(corpus: Corpus, pipelines: Path) -> None:
    steps: list[str] = []
    told: list[tuple[str, int]] = []
    compare_models(
        corpus,
        ["majority", "models:Guess"],
        TWO,
        progress=Steps(steps),
        on_result=lambda model: told.append((model.name, len(steps))),
    )
    assert steps == [
        "0% majority: fold 1 of 2",
        "25% majority: fold 2 of 2",
        "50% models:Guess: fold 1 of 2",
        "75% models:Guess: fold 2 of 2",
    ]
    assert told == [("majority", 2), ("models:Guess", 4)]


# Models that fail -------------------------------------------------------------------------------


REASONS = {
    "models:Raises": "raised ValueError: no way (models.py, line 29)",
    "models:Crashes": "its process crashed or was killed, perhaps because memory ran out",
    "models:Exits": "its process crashed or was killed, perhaps because memory ran out",
    "models:Leaves": "raised SystemExit: bye (models.py, line 75)",
    "models:TooFew": (
        "returned an array of shape (1,) for 45 texts instead of one topic for each text"
    ),
    "models:Numbers": (
        "raised ValueError: could not convert string to float: 'the loan and bond and fed of 0' "
        "(models.py, line 34); add a vectorizer before the classifier"
    ),
}


def test_compare_models_gives_the_reason_of_failures_and_goes_on(
    corpus: Corpus, pipelines: Path
) -> None:
    comparison = compare_models(corpus, [*REASONS, "majority"], TWO)
    *failed, majority = comparison.models
    assert {model.name: model.error for model in failed} == REASONS
    assert majority.accuracy == pytest.approx(1 / 3)
    assert comparison.best is majority
    assert comparison.to_dict()["models"][0]["accuracy"] is None
    json.dumps(comparison.to_dict(), allow_nan=False)


def test_timeout_ends_a_model_that_never_ends(corpus: Corpus) -> None:
    psutil = pytest.importorskip("psutil")
    endless = make_pipeline(
        TfidfVectorizer(preprocessor=lambda _: time.sleep(3600)), LogisticRegression()
    )
    before = {*psutil.Process().children()}
    (failed,) = compare_models(corpus, endless, replace(TWO, timeout=0.2)).models
    assert failed.error == "exceeded the limit of 0.2 s for a fold"
    assert {*psutil.Process().children()} <= before


# Models of the user's ---------------------------------------------------------------------------


def test_compare_models_takes_a_pipeline_a_function_and_a_class(
    corpus: Corpus, pipelines: Path
) -> None:
    names = ["pipelines:pipeline", "models:make_guess", "models:Guess"]
    pipeline, made, guess = compare_models(corpus, names, TWO).models
    assert made.right == guess.right
    assert sum(pipeline.right) > sum(guess.right)
    assert made.file_bytes == guess.file_bytes
    assert (pipeline.file_bytes or 0) > 500


def test_compare_models_passes_texts_unchanged(pipelines: Path) -> None:
    texts = ["half \ud800", "zero \0 and\r\nlines", "\U0001f600", "", '"quoted"', "ab" * 100_000]
    code = f"""
        class Same:
            def fit(self, X, y):
                self.seen = X

            def predict(self, X):
                return ["x" if sorted(self.seen + X) == sorted({texts!r}) else "y" for _ in X]
        """
    Path("same.py").write_text(textwrap.dedent(code))
    corpus = Corpus(texts, ["x", "y"] * 3, "it")
    (model,) = compare_models(corpus, ["same:Same"], TWO).models
    assert (model.error, model.accuracy) == (None, 0.5)


def test_compare_models_seeds_a_pipeline_without_a_seed(corpus: Corpus, pipelines: Path) -> None:
    noisy = replace(corpus, topics=[*corpus.topics[:-40], *(["sport", "bank"] * 20)])
    first, again = compare_models(noisy, ["models:Draws", "models:DrawsToo"], TWO).models
    assert first.right == again.right
    assert 0 < sum(first.right) < len(noisy)


def test_compare_models_gives_no_size_of_a_model_it_cannot_save(
    corpus: Corpus, pipelines: Path
) -> None:
    (model,) = compare_models(corpus, ["models:Unpicklable"], TWO).models
    assert (model.error, model.file_bytes) == (None, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:model", "no module nowhere in {here} or the installed packages; check its name."),
        (
            "models.py:Guess",
            "no module models.py in {here} or the installed packages; omit .py: models.",
        ),
        ("models:make_gues", "module models has no make_gues; did you mean make_guess?"),
        ("models:xyzzy", "module models has no xyzzy; check its name."),
        (
            "models:three",
            "three is of type int; pass a text classifier with `fit` and `predict`, or a "
            "function that returns one.",
        ),
        ("models:makes_none", "it returned None, not a text classifier with `fit` and `predict`."),
        (
            "broken:model",
            "importing broken raises ZeroDivisionError: division by zero (broken.py, "
            "line 1); fix it.",
        ),
        (
            "needy:model",
            "module needy imports no_such_package, which is not installed; install it.",
        ),
    ],
)
def test_compare_models_rejects_a_missing_model_before_the_work(
    corpus: Corpus, pipelines: Path, name: str, message: str
) -> None:
    Path("broken.py").write_text("1 / 0")
    Path("needy.py").write_text("import no_such_package")
    with pytest.raises(OptionError) as error:
        compare_models(corpus, ["majority", name], TWO)
    expected = f"`models` names {name}: {message}".format(here=Path.cwd())
    assert str(error.value) == expected


def test_choose_models_names_the_nearest_of_an_unknown_name() -> None:
    names = (
        "majority, naive-bayes, tfidf-svc, tfidf-logistic, default, network, ngrams-svc, words, "
        "encoder, tuned, all"
    )
    with pytest.raises(OptionError) as error:
        choose_models(["defualt"])
    assert str(error.value) == (
        "`models` contains the unknown model 'defualt'; did you mean default? Choose from "
        f"{names}, or pass module:name for your own model."
    )
    with pytest.raises(OptionError, match=f"^`models` is empty; choose one or more of {names}.$"):
        choose_models([" ", ""])
    with pytest.raises(OptionError, match=r"^`models` contains 'a b:c'; for your own model, pass "):
        choose_models(["a b:c"])


def test_choose_models_leaves_out_majority_for_several_topics() -> None:
    note = "the model majority is left out: it assigns one topic to each text."
    for names in (["all"], ["majority", "all"]):
        chosen, notes, _ = choose_models(names, multilabel=True)
        assert sorted(model.name for model in chosen) == sorted(MODELS.keys() - {"majority"})
        assert notes == (note,)
    assert choose_models(["default"], multilabel=True).notes == ()
    with pytest.raises(OptionError, match=r"^`models` contains only majority, which assigns one "):
        choose_models(["majority"], multilabel=True)


def test_choose_models_leaves_out_the_encoder_without_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: object) -> None:
        raise EncoderError("the package is missing.")

    monkeypatch.setattr("slugline.comparison.models.get_encoder", missing)
    chosen, notes, _ = choose_models(["all"])
    assert "encoder" not in {model.name for model in chosen}
    assert notes == ("the model encoder is left out: the package is missing.",)
    with pytest.raises(EncoderError):
        choose_models(["all", "encoder"])


# Ends -------------------------------------------------------------------------------------------

COMPARE = """
from slugline import load_corpus
from slugline.comparison.run import CompareSettings, compare_models
compare_models(load_corpus("news.csv", "body", "queue"), ["models:NeverEnds"])
"""


def test_worker_process_ends_with_its_parent(
    pipelines: Path, news_csv: Path, tmp_path: Path
) -> None:
    # A process that is killed can't remove its folder for temporary files.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", COMPARE], env=environment)
    try:
        pid = Path("pid")
        wait_until(lambda: pid.exists() and pid.read_text() != "")
        assert is_alive(int(pid.read_text()))
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not is_alive(int(pid.read_text())))


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_ends_all_processes_and_keeps_results(pipelines: Path, news_csv: Path) -> None:
    command = [sys.executable, "-m", "slugline", "compare", "news.csv", "--text", "body"]
    process = subprocess.Popen(
        [*command, "--topic", "queue", "--models", "majority,models:NeverEnds", "-q"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pid = Path("pid")
    wait_until(lambda: pid.exists() and pid.read_text() != "")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert err == "warning: interrupted; showing the models measured so far\n"
    assert "Only majority was measured: 33.3 % of its answers are right." in out
    assert "models:NeverEnds has no result: interrupted after 0 of 5 folds." in out
    assert not is_alive(int(pid.read_text()))


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_before_any_result_leaves_no_folder(pipelines: Path, news_csv: Path) -> None:
    command = [sys.executable, "-m", "slugline", "compare", "news.csv", "--text", "body"]
    process = subprocess.Popen(
        [*command, "--topic", "queue", "--models", "models:NeverEnds", "-q", "-o", "deep/found"]
    )
    pid = Path("pid")
    wait_until(lambda: pid.exists() and pid.read_text() != "")
    assert not Path("deep").exists()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=600) == 130
    assert not Path("deep").exists()


# Bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "topics", "message"),
    [
        ([], [], "it contains no documents; add labelled documents."),
        (
            ["a", "b", "c"],
            ["x"] * 3,
            "all 3 documents of it have the topic 'x'. Add documents of other topics.",
        ),
        (
            ["a"] * 4,
            ["x", "y"] * 2,
            "all 4 documents of it have the same text: no model can tell their topics apart. "
            "Check which column contains the texts.",
        ),
        (
            ["a", "b", "c"],
            ["x", "y", "z"],
            "it has no topic with two documents, one for training and one for testing; "
            "check which column contains the topics, or add documents.",
        ),
        (
            ["a", "b", "c", "d"],
            ["x", "x", "x", "y"],
            "it has too few documents: for one of the folds, 'x' is the only topic left to train "
            "on. Add documents of the other topics.",
        ),
    ],
    ids=["none", "one topic", "one text", "single documents", "one topic left"],
)
def test_compare_models_rejects_documents_with_nothing_to_compare(
    texts: list[str], topics: list[str], message: str
) -> None:
    with pytest.raises(DataError) as error:
        compare_models(Corpus(texts, topics, "it"), ["majority"], TWO)
    assert str(error.value) == message


def test_compare_models_notes_topics_with_few_documents(corpus: Corpus) -> None:
    more = Corpus(
        [*corpus.texts, "one alone", "two of", "them"],
        [*corpus.topics, "single", "pair", "pair"],
        "it",
    )
    comparison = compare_models(more, ["majority"], replace(TWO, n_folds=3))
    assert comparison.notes == (
        "1 topic of 5, such as 'single', has one document: when it is tested, no model has seen "
        "the topic, so every answer is wrong.",
        "1 topic of 5, such as 'pair', has fewer documents than folds (3) and is tested only in "
        "some folds.",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_folds": 1}, "`n_folds` is 1; give a whole number of at least 2."),
        ({"timeout": 0}, "`timeout` is 0; give a number over 0 and under 100000000.0."),
        (
            {"timeout": float("nan")},
            "`timeout` is nan; give a number over 0 and under 100000000.0.",
        ),
        ({"random_state": -1}, "`random_state` is -1; give a whole number from 0 to 4294967295."),
    ],
)
def test_compare_settings_reject_values_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as error:
        CompareSettings(**options)
    assert str(error.value) == message


# Estimators -------------------------------------------------------------------------------------


def pipeline(**options: Any) -> Any:
    """Return a pipeline with a function that no other process can import."""
    vectorizer = TfidfVectorizer(preprocessor=lambda text: text.upper(), lowercase=False)
    return make_pipeline(vectorizer, LogisticRegression(**options))


def test_choose_models_names_estimators_by_class_or_key() -> None:
    one, other = pipeline(), pipeline(C=2)
    chosen = choose_models([one, "default", other])
    assert [model.name for model in chosen.models] == [
        "logisticregression",
        "default",
        "logisticregression-2",
    ]
    assert chosen.models[0].about == "TfidfVectorizer, LogisticRegression"
    assert [model.estimator for model in chosen.models] == [one, None, other]
    assert [model.name for model in choose_models({"mine": one}).models] == ["mine"]
    assert [model.name for model in choose_models(one).models] == ["logisticregression"]


def test_baseline_is_one_of_the_models_or_added() -> None:
    one = pipeline()
    for models, baseline, name in (
        (["default"], "default", "default"),
        (["default"], "majority", "majority"),
        ({"mine": one}, one, "mine"),
        ({"mine": one}, "mine", "mine"),
        (["default"], one, "logisticregression"),
    ):
        chosen = choose_models(models, baseline=baseline)
        assert chosen.baseline == name
        assert name in [model.name for model in chosen.models]
    assert choose_models(["default"]).baseline is None


@pytest.mark.parametrize(
    ("models", "baseline", "message"),
    [
        ([TfidfVectorizer()], None, "`models` is [TfidfVectorizer()]; give names, "),
        ({"default": pipeline()}, None, "`models` calls an estimator 'default', the name of a"),
        ({"mine": "default"}, None, "`models` is {'mine': 'default'}; give a text classifier"),
        (["default"], "defualt", "`baseline` contains the unknown model 'defualt'; did you mean"),
        (["default"], 3, "`baseline` is 3; give the name of a model, or a text classifier"),
    ],
)
def test_choose_models_rejects_invalid_models(models: Any, baseline: Any, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        choose_models(models, baseline=baseline)
    assert str(caught.value).startswith(message)


def test_compare_models_measures_estimators_with_a_baseline(corpus: Corpus) -> None:
    models = {"mine": pipeline(), "always": DummyClassifier()}
    compared = compare_models(corpus, models, TWO, baseline="mine")
    assert [model.error for model in compared.models] == [None] * 2
    assert compared.reference is not None
    assert compared.reference.name == "mine"
    assert {*compared.differences()} == {"always"}
    assert compared.differences()["always"].accuracy < 0


def test_compare_models_rejects_an_estimator_that_cannot_be_pickled(corpus: Corpus) -> None:
    locked = DummyClassifier(random_state=threading.Lock())
    with pytest.raises(OptionError, match="contains dummyclassifier, which can't be pickled"):
        compare_models(corpus, [locked], CompareSettings(n_folds=2))
