"""Numbers from answers, against scikit-learn and examples worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from benchmark.results.answers import (
    Marked,
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    f1,
    image_weighted_accuracy,
    mean_calibration_error,
    places_of,
    precision,
    recall,
    task_confusion,
    task_inference_accuracy,
)
from benchmark.storage.answers import Answers
from benchmark.storage.labels import TaskLabels

LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2])
CLASSES = np.array([0, 0, 1, 1, 0, 2, 0, 2])


def test_by_hand() -> None:
    assert accuracy(CLASSES, LABELS) == 5 / 8
    confusion = confusion_matrix(CLASSES, LABELS, 3)
    assert confusion.tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 2]]
    assert recall(confusion).tolist() == pytest.approx([2 / 3, 1 / 2, 2 / 3])
    assert precision(confusion).tolist() == pytest.approx([2 / 4, 1 / 2, 1])
    assert f1(confusion).tolist() == pytest.approx([4 / 7, 1 / 2, 4 / 5])


@pytest.mark.parametrize("count", [2, 5, 40])
def test_as_in_scikit_learn(count: int) -> None:
    random = np.random.default_rng(count)
    labels, classes = random.integers(count, size=(2, 60))
    confusion = confusion_matrix(classes, labels, count)
    every = list(range(count))
    assert accuracy(classes, labels) == metrics.accuracy_score(labels, classes)
    assert (confusion == metrics.confusion_matrix(labels, classes, labels=every)).all()
    for own, theirs in (
        (recall, metrics.recall_score),
        (precision, metrics.precision_score),
        (f1, metrics.f1_score),
    ):
        expected = theirs(labels, classes, labels=every, average=None, zero_division=np.nan)
        np.testing.assert_allclose(own(confusion), expected)


def test_a_class_without_images_and_one_that_is_never_the_answer() -> None:
    confusion = confusion_matrix([0, 0, 2], [0, 1, 0], 4)
    np.testing.assert_equal(recall(confusion), [0.5, 0.0, np.nan, np.nan])
    np.testing.assert_equal(precision(confusion), [0.5, np.nan, 0.0, np.nan])
    np.testing.assert_equal(f1(confusion), [0.5, 0.0, 0.0, np.nan])


def test_calibration_by_hand() -> None:
    """Two bins of four: 0.3 and 0.4 share one, and 0.9 stands alone. Their gaps are |1/2 - 0.35| and |0 - 0.9|."""
    error = expected_calibration_error([True, False, False], [0.3, 0.4, 0.9], bins=4)
    assert error == pytest.approx((2 * 0.15 + 1 * 0.9) / 3)


def test_an_upper_edge_belongs_to_its_bin() -> None:
    """0.5 is in the lower of two bins, with 0.1: the gap is |1/2 - 0.3|. In the upper one it would be 1 - 0.5."""
    assert expected_calibration_error([True, False], [0.5, 0.1], bins=2) == pytest.approx(0.2)


def test_calibration_bin_by_bin() -> None:
    random = np.random.default_rng(0)
    sure, right = random.uniform(size=1000), random.uniform(size=1000) < 0.6
    expected = 0.0
    for lower in range(15):
        inside = (sure > lower / 15) & (sure <= (lower + 1) / 15)
        expected += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    assert expected_calibration_error(right, sure) == pytest.approx(expected)


@pytest.mark.parametrize("sure", [1.0, 0.0])
def test_calibration_at_the_ends(sure: float) -> None:
    assert expected_calibration_error([True, True, False, False], [sure] * 4) == 0.5


def test_calibration_without_numbers() -> None:
    assert math.isnan(expected_calibration_error([], []))
    assert math.isnan(expected_calibration_error([True], [np.nan]))


def test_calibration_is_the_mean_over_tasks() -> None:
    """A task of one image counts as much as one of three."""

    def task(*sure: float) -> Marked:
        zeros = np.zeros(len(sure), dtype=np.int64)
        return Marked(Answers(zeros, np.array(sure, dtype=np.float32)), TaskLabels("t", "f", ("a", "b"), zeros, ()))

    assert mean_calibration_error([task(0.5), task(0.75, 0.75, 0.75)]) == pytest.approx((0.5 + 0.25) / 2)


def marked_columns(labels: list[int], columns: list[int], widths: list[int]) -> Marked:
    """Answers among the classes of several tasks to the images of the first one."""
    given = np.array(columns, dtype=np.int64)
    truth = TaskLabels("t", "f", ("a", "b"), np.array(labels, dtype=np.int64), ())
    sure = np.ones(len(columns), dtype=np.float32)
    return Marked(Answers(given, sure), truth, 0, sum(widths), places_of(given, widths))


def test_a_column_belongs_to_the_task_whose_classes_lie_there() -> None:
    assert places_of([0, 1, 2, 4, 5, 9], [2, 3, 5]).tolist() == [1, 1, 2, 2, 3, 3]
    assert places_of([0, 2, 3], [2, 1, 1]).tolist() == [1, 2, 3]


def test_which_task_was_guessed() -> None:
    """Of the first task's images one of four is taken for the third's; the second task was not asked."""
    tasks = {
        1: marked_columns([0, 0, 1, 1], [0, 1, 1, 4], [2, 1, 2]),
        2: None,
        3: marked_columns([0, 1], [0, 3], [2, 1, 2]),
    }
    confusion = task_confusion(tasks, 3)
    assert confusion.tolist() == [[3, 0, 1], [0, 0, 0], [1, 0, 1]]
    assert task_inference_accuracy(confusion[[0, 2]][:, [0, 2]]) == (0.75 + 0.5) / 2
    assert np.isnan(task_inference_accuracy(confusion))


def test_every_image_counts_alike() -> None:
    """2 of 4 and 1 of 1 are right: 3 of 5, and not 75 %."""
    tasks = [marked_columns([0, 0, 1, 1], [0, 1, 1, 4], [2, 3]), marked_columns([0], [0], [1])]
    assert image_weighted_accuracy(tasks) == 3 / 5
    assert np.isnan(image_weighted_accuracy([marked_columns([], [], [2])]))
