"""Labels of rows with one topic and with several, and what goes with each type."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.corpus.documents import Topics
from slugline.errors import DataError
from slugline.learning.calibration import DEFAULT_CALIBRATION, Calibration, TopicCalibration
from slugline.learning.label_types import MULTILABEL, SINGLE_LABEL, LabelType, label_type
from slugline.learning.labels import Labels

TOPICS = Topics(["corn", "earn", "grain"])
SINGLE = Labels.encode(TOPICS, ["grain", "corn"], multilabel=False)
SEVERAL = Labels.encode(TOPICS, [("grain", "corn"), (), ("earn",)], multilabel=True)


def test_encode_numbers_the_topics_of_each_row() -> None:
    assert (SINGLE.to_topics(), SINGLE.multilabel) == ([2, 0], False)
    assert (SEVERAL.to_topics(), SEVERAL.multilabel) == ([(0, 2), (), (1,)], True)


@pytest.mark.parametrize(("names", "multilabel"), [(["oil"], False), ([("oil",)], True)])
def test_encode_rejects_an_unknown_topic(names: list[str], multilabel: bool) -> None:
    with pytest.raises(DataError, match="unknown topic 'oil'"):
        Labels.encode(TOPICS, names, multilabel=multilabel)


def test_from_indicator_reads_the_nonzero_columns() -> None:
    indicator = sp.csr_array(SEVERAL.indicator(3))
    assert Labels.from_indicator(indicator).to_topics() == SEVERAL.to_topics()


@pytest.mark.parametrize("labels", [SINGLE, SEVERAL], ids=["single", "several"])
def test_to_csr_equals_indicator(labels: Labels) -> None:
    assert np.array_equal(labels.to_csr(3).toarray(), labels.indicator(3))


@pytest.mark.parametrize("labels", [SINGLE, SEVERAL], ids=["single", "several"])
def test_take_accepts_numbers_and_masks(labels: Labels) -> None:
    mask = np.arange(len(labels)) != 1
    by_mask, by_number = labels.take(mask), labels.take(np.flatnonzero(mask))
    assert by_mask.to_topics() == by_number.to_topics()
    assert np.array_equal(by_mask.indicator(3), labels.indicator(3)[mask])


@pytest.mark.parametrize("labels", [SINGLE, SEVERAL], ids=["single", "several"])
def test_concatenate_appends_rows(labels: Labels) -> None:
    both = Labels.concatenate(labels, labels)
    assert both.to_topics() == [*labels.to_topics(), *labels.to_topics()]
    empty = Labels.empty(multilabel=labels.multilabel)
    assert Labels.concatenate(empty, labels).to_topics() == labels.to_topics()


def test_label_type_follows_multilabel() -> None:
    assert label_type(multilabel=False) is SINGLE_LABEL
    assert label_type(multilabel=True) is MULTILABEL


@pytest.mark.parametrize("of_type", [SINGLE_LABEL, MULTILABEL], ids=["single", "several"])
def test_identity_inverts_to_scores(of_type: LabelType) -> None:
    proba = np.array([[0.2, 0.5, 0.3]], dtype=np.float32)
    calibration = of_type.identity(3)
    assert calibration.multilabel == of_type.multilabel
    np.testing.assert_allclose(calibration.proba(of_type.to_scores(proba)), proba, rtol=1e-5)


def test_log_losses_are_those_of_the_right_topics() -> None:
    proba = np.array([[0.2, 0.5, 0.3]], dtype=np.float32)
    single = SINGLE_LABEL.log_losses(SINGLE_LABEL.to_scores(proba), SINGLE.take(np.array([0])))
    assert single == pytest.approx(-np.log(0.3), rel=1e-5)
    several = MULTILABEL.log_losses(MULTILABEL.to_scores(proba), SEVERAL.take(np.array([0])))
    assert several == pytest.approx(-np.log(0.2 * 0.5 * 0.3), rel=1e-5)


def test_are_right_compares_the_best_topic_or_all_over_a_half() -> None:
    proba = np.array([[0.6, 0.1, 0.8], [0.6, 0.1, 0.2], [0.1, 0.1, 0.2]], dtype=np.float32)
    assert SINGLE_LABEL.are_right(proba[:2], SINGLE).tolist() == [True, True]
    assert MULTILABEL.are_right(proba, SEVERAL).tolist() == [True, False, False]


def test_fit_calibration_returns_the_usual_one_for_no_rows() -> None:
    nothing = np.zeros((0, 3), dtype=np.float32)
    empty = Labels.empty(multilabel=False)
    assert SINGLE_LABEL.fit_calibration(nothing, empty) == DEFAULT_CALIBRATION
    several = MULTILABEL.fit_calibration(nothing, Labels.empty(multilabel=True))
    assert isinstance(several, TopicCalibration)


def test_blend_of_weight_0_is_the_calibration_before() -> None:
    before, after = Calibration(2.0, 0.1, 0.2), Calibration(4.0, 0.3, 0.4)
    assert after.blend(before, 0.0) == before
    assert after.blend(before, 1.0) == after
    curves, flat = TopicCalibration.of_log_odds(2), TopicCalibration.of_log_odds(2)
    flat = flat._replace(slopes=flat.slopes / np.float32(2))
    np.testing.assert_array_equal(curves.blend(flat, 0.5).slopes, [0.75, 0.75])
