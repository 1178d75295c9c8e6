"""TopicClassifier: scikit-learn's contract on raw strings, options, and what can't be learned."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn.exceptions
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from fitting_modules import FITTING
from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError, NotFittedError, OptionError, SluglineError
from slugline.learning.learner import choose_learner
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner
from slugline.model.file.schema import FORMAT
from slugline.text.feature_groups import FeatureGroup

News = list[tuple[str, str]]


@pytest.fixture(params=["network", "linear", "mixture"])
def learner(request: pytest.FixtureRequest) -> Any:
    """Return each kind of learner in turn."""
    if request.param == "mixture":
        return Mixture([LinearLearner(), NeuralLearner((8,), epochs=3)])
    return request.param


# scikit-learn's own checks ----------------------------------------------------------------------


class MatrixClassifier(TopicClassifier):
    """Reads each row of a matrix as a text, so that checks made for numbers can be run.

    A value becomes as many words as it has steps above the least: rows near to one another share
    most of their words.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MatrixClassifier:  # type: ignore[override]
        X, y = validate_data(self, X, y, ensure_min_samples=2, multi_output=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        from sklearn.utils.multiclass import check_classification_targets

        check_classification_targets(y)
        super().fit(self._texts(X), self._topics(y), sample_weight)
        self.labels_ = np.unique(y) if y.ndim == 1 else np.arange(y.shape[1])
        return self

    @property
    def classes_(self) -> Any:
        return self.labels_

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> MatrixClassifier:
        X, y = validate_data(self, X, y, reset=not hasattr(self, "fitted_"))
        if classes is not None:
            self.labels_ = np.unique(classes)
        topics = None if classes is None else self._topics(classes)
        super().partial_fit(self._texts(X), self._topics(y), topics, sample_weight)
        return self

    def _read(self, X: Any) -> Any:
        check_is_fitted(self)
        return self._texts(validate_data(self, X, reset=False))

    @staticmethod
    def _texts(X: Any) -> list[str]:
        # Near values have words in common.
        steps = np.clip(np.round(4 * X) + 40, 0, 80).astype(int)
        return [
            " ".join(f"c{j}s{s}" for j, n in enumerate(row) for s in range(n, n + 15))
            for row in steps
        ]

    @staticmethod
    def _topics(y: Any) -> Any:
        if y.ndim == 2:  # an indicator
            return y
        return [str(topic) if not isinstance(topic, str | np.integer) else topic for topic in y]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = tags.input_tags.string = False
        return tags


# Most checks need matrices, and a few need pandas.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:.* does not inherit from `sklearn.base.BaseEstimator`")
@pytest.mark.parametrize(
    "classifier",
    [
        TopicClassifier(learner="network"),
        TopicClassifier(learner="linear"),
        MatrixClassifier(learner=NeuralLearner((16,), epochs=30)),
        MatrixClassifier(learner="linear"),
    ],
    ids=["texts, network", "texts, linear", "matrices, network", "matrices, linear"],
)
def test_classifier_passes_the_checks_of_scikit_learn(classifier: TopicClassifier) -> None:
    # Without shuffling, the models are the same: see `test_weights`.
    reason = "the order of rows decides which a network holds out, and the check shuffles them"
    has_epochs = choose_learner(classifier.learner).capabilities.has_epochs
    failed = {}
    if has_epochs:
        failed = {
            "check_sample_weight_equivalence_on_dense_data": reason,
            # They are compared to 1e-7, as are all scores in double precision.
            "check_methods_subset_invariance": "networks compute scores in single precision",
        }
    estimator_checks.check_estimator(classifier, expected_failed_checks=failed)


# scikit-learn's tools ---------------------------------------------------------------------------


def test_random_state_none_draws_a_seed_that_the_model_keeps(
    texts: list[str], topics: list[str], tmp_path: Path
) -> None:
    classifier = TopicClassifier(random_state=None)
    seeds = {clone(classifier).fit(texts, topics).fitted_.seed for _ in range(4)}
    assert len(seeds) > 1
    classifier.fit(texts, topics).save(tmp_path / "a.slug")
    assert classifier.random_state is None
    seed = classifier.fitted_.seed
    again = TopicClassifier(random_state=seed).fit(texts, topics)
    again.save(tmp_path / "b.slug")
    assert (tmp_path / "a.slug").read_bytes() == (tmp_path / "b.slug").read_bytes()
    assert load(tmp_path / "a.slug").random_state == seed
    # Batches go on with the seed of the first one.
    assert classifier.partial_fit(texts[:9], topics[:9]).fitted_.seed == seed


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_random_state_generator_gives_each_fit_a_seed(
    make: Callable[[int], Any], texts: list[str], topics: list[str]
) -> None:
    first, second = (TopicClassifier(random_state=make(5)) for _ in range(2))
    seeds = [first.fit(texts, topics).fitted_.seed for _ in range(3)]
    assert len(set(seeds)) == 3
    assert [second.fit(texts, topics).fitted_.seed for _ in range(3)] == seeds
    assert cross_val_score(TopicClassifier(random_state=make(5)), texts, topics, cv=3).min() > 0.9


def test_classifier_ends_a_pipeline(texts: list[str], topics: list[str]) -> None:
    shout = FunctionTransformer(lambda batch: [text.upper() for text in batch])
    pipeline = make_pipeline(shout, TopicClassifier(learner="linear")).fit(texts, topics)
    alone = TopicClassifier(learner="linear").fit([text.upper() for text in texts], topics)
    assert isinstance(clone(pipeline), Pipeline)
    assert pipeline.score(texts, topics) == 1
    assert np.array_equal(pipeline.predict_proba(texts), alone.predict_proba(texts))


@pytest.mark.slow
def test_classifier_works_with_cross_validation(
    learner: Any, texts: list[str], topics: list[str]
) -> None:
    classifier = TopicClassifier(learner=learner)
    scores = cross_val_score(classifier, texts, topics, cv=3)
    proba = cross_val_predict(classifier, texts, topics, cv=3, method="predict_proba")
    assert (scores > 0.9).all()
    assert proba.shape == (90, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    found = np.unique(topics)[proba.argmax(axis=1)]
    assert np.mean(found == topics) == pytest.approx(scores.mean())


def test_classifier_works_with_a_grid_search_of_learners(
    texts: list[str], topics: list[str]
) -> None:
    learners = [
        LinearLearner(passes=1, clean=False),
        LinearLearner(),
        NeuralLearner((8,), epochs=2),
    ]
    topics = ["sport" if topic == "sport" else "other" for topic in topics]
    grid = {"learner": learners, "class_weight": [None, "balanced"]}
    scoring = ["roc_auc", "accuracy"]
    search = GridSearchCV(TopicClassifier(), grid, cv=3, scoring=scoring, refit="accuracy")
    search.fit(texts, topics)
    assert search.best_score_ == search.cv_results_["mean_test_roc_auc"].max() == 1
    assert search.best_params_["learner"] in learners
    assert not hasattr(learners[1], "biases")
    assert search.predict(texts).tolist() == topics


def test_decision_function_has_one_score_for_two_topics(
    texts: list[str], topics: list[str]
) -> None:
    topics = ["sport" if topic == "sport" else "other" for topic in topics]
    classifier = TopicClassifier(learner="linear").fit(texts, topics)
    scores = classifier.decision_function(texts)
    assert scores.shape == (90,)
    assert scores.dtype == np.float64
    assert np.array_equal(scores > 0, classifier.predict(texts) == "sport")
    assert classifier.predict_proba(texts).shape == (90, 2)


@pytest.mark.parametrize("dump", [pickle, joblib], ids=["pickle", "joblib"])
def test_classifier_predicts_the_same_after_pickling(
    dump: Any, learner: Any, texts: list[str], topics: list[str]
) -> None:
    classifier = TopicClassifier(learner=learner).fit(texts, topics)
    buffer = io.BytesIO()
    dump.dump(classifier, buffer)
    buffer.seek(0)
    again = dump.load(buffer)
    assert again.get_params().keys() == classifier.get_params().keys()
    assert np.array_equal(again.predict_proba(texts), classifier.predict_proba(texts))


# Input ------------------------------------------------------------------------------------------


class Series:
    """Has what a column of a data frame has and is needed: items in order, not by position."""

    def __init__(self, items: list[Any]) -> None:
        self._items = dict(zip(range(100, 100 + len(items)), items, strict=True))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, label: int) -> Any:
        return self._items[label]


@pytest.mark.parametrize(
    "make",
    [tuple, np.array, lambda items: np.array(items, dtype=object), Series, iter],
    ids=["tuple", "array", "array of objects", "series", "iterator"],
)
def test_fit_takes_any_sequence_of_strings(
    make: Callable[[list[str]], Any], texts: list[str], topics: list[str]
) -> None:
    from_list = TopicClassifier(learner="linear").fit(texts, topics)
    other = TopicClassifier(learner="linear").fit(make(texts), make(topics))
    assert other.classes_.tolist() == from_list.classes_.tolist()
    assert other.fitted_.data_digest == from_list.fitted_.data_digest
    assert np.array_equal(other.predict_proba(make(texts)), from_list.predict_proba(texts))
    assert other.predict(make(texts)).tolist() == topics
    assert other.score(make(texts), make(topics)) == 1


@pytest.mark.parametrize(
    "numbers",
    [{"bank": 7, "grain": -1, "sport": 10}, {"bank": np.int8(3), "grain": 2**40, "sport": 0}],
    ids=["plain", "NumPy's and large"],
)
def test_fit_takes_integer_topics(
    numbers: dict[str, Any], texts: list[str], topics: list[str]
) -> None:
    y = [numbers[topic] for topic in topics]
    classifier = TopicClassifier(learner="linear").fit(texts, y)
    assert classifier.classes_.tolist() == sorted(map(int, numbers.values()))
    assert classifier.classes_.dtype.kind == "i"
    assert classifier.predict(texts).tolist() == y


def test_predict_proba_is_the_same_for_batches_of_any_size(
    learner: Any, texts: list[str], topics: list[str]
) -> None:
    classifier = TopicClassifier(learner=learner).fit(texts, topics)
    batch = classifier.predict_proba(texts)
    rows = np.concatenate([classifier.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(rows, batch, rtol=1e-4, atol=1e-6)


# Options ----------------------------------------------------------------------------------------


def test_validation_data_choose_the_epoch_and_nothing_else(
    texts: list[str], topics: list[str]
) -> None:
    classifier = TopicClassifier(learner=NeuralLearner((8,), epochs=2))
    classifier.fit(texts, topics, validation_data=(["wheat zebra"], ["grain"]))
    assert classifier.fitted_.history is not None
    assert len(classifier.fitted_.history.history["val_loss"]) == 2
    assert classifier.fitted_.n_learned == 90
    assert "zebra" not in classifier.fitted_.features.vocabularies_[0].terms


@pytest.mark.parametrize("name", ["network", "linear"])
def test_sample_weight_decides_between_contradicting_documents(name: Any) -> None:
    texts, topics = ["wheat rose", "zinc fell"] * 20, ["a", "b"] * 10 + ["b", "a"] * 10
    for favoured, expected in ((0, ["a", "b"]), (1, ["b", "a"])):
        weight = np.where(np.arange(40) // 20 == favoured, 1.0, 0.05)
        classifier = TopicClassifier(learner=name)
        # On documents held out by chance the net would find the epoch best for either half.
        validation = (texts[:2], expected) if name == "network" else None
        classifier.fit(texts, topics, weight, validation_data=validation)
        assert classifier.predict(texts[:2]).tolist() == expected


def test_validation_data_need_a_learner_with_epochs() -> None:
    with pytest.raises(OptionError) as caught:
        TopicClassifier(learner="linear").fit(
            ["wheat", "zinc"], ["a", "b"], validation_data=(["wheat"], ["a"])
        )
    assert str(caught.value) == (
        "`validation_data` selects the best epoch, but this learner has no epochs; leave it out."
    )


@pytest.mark.parametrize("name", ["network", "linear"])
def test_class_weight_decides_between_topics_of_equal_texts(name: Any) -> None:
    texts, topics = ["wheat"] * 40, ["common"] * 30 + ["rare"] * 10
    weights: dict[str, Any] = {"none": None, "balanced": "balanced", "rare": {"rare": 20.0}}
    share = {
        key: TopicClassifier(learner=name, class_weight=weight).fit(texts, topics)
        .predict_proba(["wheat"])[0, 1]
        for key, weight in weights.items()
    }  # fmt: skip
    assert share["none"] < share["balanced"] < share["rare"]


def test_fit_changes_neither_parameters_nor_the_learner_passed(
    texts: list[str], topics: list[str]
) -> None:
    learner = LinearLearner()
    classifier = TopicClassifier(learner=learner, class_weight={"bank": 2})
    before = copy.deepcopy(classifier.get_params())
    classifier.fit(texts, topics)
    assert vars(learner) == vars(before["learner"])
    assert classifier.get_params()["class_weight"] == before["class_weight"]


def saved(classifier: TopicClassifier, folder: Path) -> bytes:
    classifier.save(folder / "model.slug")
    return (folder / "model.slug").read_bytes()


def test_random_state_decides_the_bytes_of_the_file(
    learner: Any, texts: list[str], topics: list[str], tmp_path: Path
) -> None:
    one, same, other = (
        saved(TopicClassifier(learner=learner, random_state=seed).fit(texts, topics), tmp_path)
        for seed in (1, 1, 2)
    )
    assert one == same != other


# What can't be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (
            "wheat",
            ["a"],
            "the texts are a single string, not a sequence of strings; put brackets around it: "
            "[text].",
        ),
        (["wheat", None], ["a", "b"], "document 1 is of type NoneType, not a str"),
        (["wheat"], ["a", "b"], "there is 1 text and 2 topics; give one topic for each text."),
        ([], [], "there are no training documents; pass at least two."),
        (["?!", ""], ["a", "b"], "no document contains a word"),
        (["wheat", "zinc"], ["a", 1], "topics mix strings and numbers, such as 'a' and 1"),
        (
            ["wheat", "zinc"],
            ["a", -1],
            "topics mix strings and numbers, such as 'a' and -1; make them all strings or all "
            "numbers. "
            "Pass texts without labels as `X_unlabelled`.",
        ),
        (
            ["wheat", "zinc"],
            [0.5, 1.5],
            "`y` has 0.5 in row 0, counted from 0; topics must be strings or integers.",
        ),
        (
            ["wheat", "zinc"],
            ["a", None],
            "`y` has None instead of a topic in row 1, counted from 0; give it one, or leave the "
            "row "
            "out.",
        ),
        (
            ["wheat", "zinc"],
            ["a", float("nan")],
            "`y` has nan instead of a topic in row 1, counted from 0; give it one, or leave the "
            "row "
            "out.",
        ),
    ],
    ids=[
        *("string", "None", "lengths", "none", "no words", "mixed", "unlabelled", "floats"),
        *("no topic", "NaN"),
    ],
)
def test_fit_rejects_documents_that_it_cannot_learn_from(X: Any, y: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        TopicClassifier(learner="linear").fit(X, y)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, 2], "`sample_weight` has shape (2,)"),
        ([-1] * 90, "`sample_weight` is "),
        ([np.nan] * 90, "`sample_weight` is "),
        ([0] * 90, "every row has zero weight"),
    ],
    ids=["shape", "negative", "NaN", "zero"],
)
@pytest.mark.parametrize("name", ["network", "linear"])
def test_fit_rejects_invalid_weights(
    name: Any, weight: list[float], message: str, texts: list[str], topics: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        TopicClassifier(learner=name).fit(texts, topics, sample_weight=weight)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learner": "forest"}, "`learner` is 'forest'; give one of linear, network."),
        ({"learner": 3}, "`learner` is 3; give one of linear, network, or a learner object."),
        (
            {"learner": LinearLearner},
            "`learner` is <class 'slugline.learning.linear.learner.LinearLearner'>; "
            "give one of linear, network, or a learner object.",
        ),
        (
            {"class_weight": "auto"},
            "`class_weight` is 'auto'; give None, 'balanced' or a mapping of topic to weight.",
        ),
        (
            {"class_weight": {"bonk": 1}},
            "`class_weight` names an unknown topic 'bonk'; the known ones are bank, grain, sport.",
        ),
        ({"n_jobs": 0}, "`n_jobs` is 0; give a whole number of at least 1."),
        ({"n_jobs": 1.5}, "`n_jobs` is 1.5; give a whole number of at least 1."),
        ({"random_state": -1}, "`random_state` is -1; give a whole number from 0 to 4294967295."),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_fit_rejects_invalid_options(
    options: dict[str, Any], message: str, texts: list[str], topics: list[str]
) -> None:
    with pytest.raises((OptionError, DataError)) as caught:
        TopicClassifier(**options).fit(texts, topics)
    assert str(caught.value) == message


def test_validation_data_must_have_known_topics(texts: list[str], topics: list[str]) -> None:
    with pytest.raises(DataError, match="unknown topic 'farm'"):
        TopicClassifier(learner="network").fit(texts, topics, validation_data=(["wheat"], ["farm"]))


@pytest.mark.parametrize(
    "use",
    [
        lambda classifier: classifier.predict(["wheat"]),
        lambda classifier: classifier.predict_proba(["wheat"]),
        lambda classifier: classifier.decision_function(["wheat"]),
        lambda classifier: classifier.score(["wheat"], ["a"]),
        lambda classifier: classifier.save("a.slug"),
    ],
    ids=["predict", "predict_proba", "decision_function", "score", "save"],
)
def test_not_fitted_error_is_one_of_scikit_learn_too(use: Callable[[Any], Any]) -> None:
    with pytest.raises(NotFittedError) as caught:
        use(TopicClassifier())
    assert isinstance(caught.value, SluglineError)
    assert isinstance(caught.value, sklearn.exceptions.NotFittedError)
    assert str(caught.value) == (
        "this TopicClassifier is not fitted yet; call fit first, or load a saved one."
    )


# Predicting alone -------------------------------------------------------------------------------


@pytest.mark.slow
def test_saved_classifier_predicts_without_scikit_learn_or_training(
    learner: Any, texts: list[str], topics: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "model.slug"
    TopicClassifier(learner=learner).fit(texts, topics).save(path)
    code = (
        "import sys; import slugline; model = slugline.load(sys.argv[1]);"
        "print(*model.predict(['wheat', 'goal match']), model.predict_proba(['loan']).shape);"
        "model.save(sys.argv[1]);"
        "print(*[n for n in sys.modules if n.startswith('sklearn') or n in sys.argv[2:]])"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(path), *FITTING]
    run = subprocess.run(command, capture_output=True, check=True, text=True)
    assert run.stdout == "grain sport (1, 3)\n\n"


@pytest.mark.slow
def test_fit_imports_no_large_parts_of_scipy() -> None:
    code = (
        "import sys; import slugline;"
        "texts = [f'{word} {n}' for word in ('wheat', 'goal') for n in range(400)];"
        "topics = ['grain'] * 400 + ['sport'] * 400;"
        "print(slugline.TopicClassifier().fit(texts, topics).predict(['wheat']));"
        "print(*{'scipy.linalg', 'scipy.optimize', 'scipy.special'} & {*sys.modules})"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    run = subprocess.run(command, capture_output=True, check=True, text=True)
    assert run.stdout == "['grain']\n\n"


def test_loaded_classifier_has_no_history_and_can_be_fitted_again(
    texts: list[str], topics: list[str], tmp_path: Path
) -> None:
    TopicClassifier(learner="linear").fit(texts, topics).save(tmp_path / "model.slug")
    classifier = load(tmp_path / "model.slug")
    assert classifier.fitted_.history is None
    assert classifier.fit(["one", "two"] * 4, ["a", "b"] * 4).predict(["one"]) == "a"


@pytest.mark.parametrize("topic", ["", " ", "a\0", "\ud800"], ids=["empty", "blank", "NUL", "half"])
def test_fit_rejects_a_topic_that_cannot_be_shown_or_written(topic: str) -> None:
    with pytest.raises(DataError) as caught:
        TopicClassifier().fit(["wheat", "zinc"], [topic, "b"])
    assert str(caught.value) == (
        f"topic {topic!r} is blank, or contains a NUL character or an unpaired surrogate; rename "
        "it."
    )


# Kinds of topics --------------------------------------------------------------------------------


class NAType:
    """As pandas marks what is missing: not even unequal to itself."""

    def __eq__(self, other: object) -> Any:
        return self

    def __hash__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


@pytest.mark.parametrize(
    "kinds",
    [
        (False, True),
        (0.0, 1.0),
        (np.False_, np.True_),
        (np.float32(0), np.float32(1)),
        (False, 1.0),
    ],
    ids=["bools", "floats", "NumPy's bools", "NumPy's floats", "mixed"],
)
def test_fit_keeps_boolean_topics_and_makes_integers_of_whole_floats(
    kinds: tuple[Any, Any], texts: list[str], topics: list[str], tmp_path: Path
) -> None:
    y = [kinds[topic == "sport"] for topic in topics]
    dtype = bool if all(isinstance(kind, bool | np.bool_) for kind in kinds) else np.int64
    net = TopicClassifier(learner=NeuralLearner((8,), epochs=1))
    assert net.fit(texts, y, validation_data=(texts[:3], y[:3])).classes_.tolist() == [0, 1]
    classifier = TopicClassifier(class_weight={kinds[1]: 2.0})
    classifier.fit(texts, y).save(tmp_path / "a.slug")
    again = load(tmp_path / "a.slug")
    for one in (classifier, again):
        assert one.classes_.tolist() == [0, 1]
        assert one.classes_.dtype == one.predict(texts).dtype == dtype
        assert one.predict(texts).tolist() == y
        assert type(one.decide(texts[:1])[0].topic) is (bool if dtype is bool else int)
        assert one.explain(texts[0], one.classes_[1]).topic == one.classes_[1]
        assert one.score(texts, y) == 1
    assert again.info_.format == FORMAT
    again.partial_fit(texts[:3], y[:3], [kinds[1], kinds[0]])
    assert again.classes_.dtype == dtype
    assert cross_val_score(TopicClassifier(), texts, np.array(y), cv=3, scoring="roc_auc").min() > 0


@pytest.mark.parametrize("missing", [None, float("nan"), np.float64("nan"), NAType()], ids=type)
def test_fit_names_the_row_of_a_missing_topic(missing: Any) -> None:
    with pytest.raises(DataError) as caught:
        TopicClassifier().fit(["wheat", "zinc", "tin"], ["a", "b", missing])
    end = " instead of a topic in row 2, counted from 0; give it one, or leave the row out."
    assert str(caught.value).endswith(end)


# Small and odd data -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["linear", "network"])
@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({}, {"bank": 0.0, "grain": 0.0, "sport": 1.0}),
        ({"class_weight": {"bank": 0, "grain": 0}}, None),
    ],
    ids=["sample_weight", "class_weight"],
)
def test_predict_gives_the_only_topic_that_has_weight(
    name: Any, options: Any, weights: Any, texts: list[str], topics: list[str]
) -> None:
    weight = None if weights is None else [weights[topic] for topic in topics]
    classifier = TopicClassifier(learner=name, **options).fit(texts, topics, weight)
    assert set(classifier.predict(texts)) == {"sport"}
    # A document of weight 0 is left out, and its topic if there is no other.
    known = ["bank", "grain", "sport"] if weights is None else ["sport"]
    assert classifier.classes_.tolist() == known


def test_fit_learns_a_topic_with_one_document(texts: list[str], topics: list[str]) -> None:
    classifier = TopicClassifier().fit([*texts, "zebra"], [*topics, "zoo"])
    assert classifier.predict(["zebra", *texts]).tolist() == ["zoo", *topics]
    net = TopicClassifier(learner="network").fit([*texts, "zebra"], [*topics, "zoo"])
    assert net.predict_proba(["zebra"])[0, 3] > net.predict_proba(texts)[:, 3].max()


@pytest.mark.parametrize("name", ["linear", "network"])
def test_fit_is_not_disturbed_by_empty_texts(
    name: Any, texts: list[str], topics: list[str]
) -> None:
    classifier = TopicClassifier(learner=name).fit([*texts, "", " ", ""], [*topics, *topics[:3]])
    assert classifier.predict(texts).tolist() == topics
    assert np.isfinite(classifier.predict_proba(["", "wheat"])).all()


def test_fit_in_four_threads_at_once_makes_the_same_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in row) for row in rng.integers(4000, size=(1500, 15))]
    topics = [f"t{number % 10}" for number in range(len(texts))]

    def file(number: int) -> bytes:
        path = tmp_path / f"{number}.slug"
        TopicClassifier(feature_groups=[FeatureGroup()]).fit(texts, topics).save(path)
        return path.read_bytes()

    with ThreadPoolExecutor(4) as threads:
        files = list(threads.map(file, range(4)))
    assert files == [file(9)] * 4
