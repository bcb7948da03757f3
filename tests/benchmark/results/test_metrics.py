import math

import numpy as np
import pytest

from benchmark.results import metrics

NAN = math.nan

#            task 1  task 2  task 3
R = np.array(
    [
        [0.90, NAN, NAN],
        [0.60, 0.80, NAN],
        [0.70, 0.50, 0.60],
    ]
)

# Task 1 improves before it drops, so its best accuracy is not the one it was learned with; task 3's is never dropped.
R_TRANSFER = np.array(
    [
        [0.50, 0.10, 0.20],
        [0.75, 0.40, 0.30],
        [0.65, 0.60, 0.80],
    ]
)


def test_accuracy_matrix_is_nan_where_nothing_was_evaluated():
    built = metrics.accuracy_matrix([1, 2, 2], [1, 1, 2], [0.9, 0.6, 0.8], tasks=3)
    expected = [[0.9, NAN, NAN], [0.6, 0.8, NAN], [NAN, NAN, NAN]]
    np.testing.assert_array_equal(built, expected)


def test_what_the_first_task_has_lost():
    R = metrics.accuracy_matrix([1, 2, 2, 3, 3, 3], [1, 1, 2, 1, 2, 3], [0.9, 0.95, 0.5, 0.6, 0.5, 0.5], tasks=3)
    assert metrics.first_task_drop(R) == pytest.approx(0.9 - 0.6)
    np.testing.assert_allclose(metrics.first_task_drop_curve(R), [0, -0.05, 0.3])


def test_average_accuracy():
    assert metrics.average_accuracy(R) == pytest.approx(0.6)  # (0.70 + 0.50 + 0.60) / 3
    assert metrics.average_accuracy(R_TRANSFER) == pytest.approx(2.05 / 3)


def test_average_accuracy_curve_leaves_out_tasks_not_yet_learned():
    np.testing.assert_allclose(metrics.average_accuracy_curve(R), [0.90, 0.70, 0.60])
    np.testing.assert_allclose(metrics.average_accuracy_curve(R_TRANSFER), [0.50, 0.575, 2.05 / 3])


def test_first_task():
    assert metrics.first_task_accuracy(R) == 0.70
    np.testing.assert_array_equal(metrics.first_task_curve(R), [0.90, 0.60, 0.70])


def test_forgetting_is_from_the_best_earlier_accuracy():
    assert metrics.forgetting(R) == pytest.approx(0.25)  # (0.90 - 0.70 + 0.80 - 0.50) / 2
    # Task 1: 0.75 - 0.65; task 2: 0.40 - 0.60, without the 0.60 itself and without 0.10, before it was learned.
    assert metrics.forgetting(R_TRANSFER) == pytest.approx(-0.05)


def test_backward_transfer_is_from_the_accuracy_when_learned():
    assert metrics.backward_transfer(R) == pytest.approx(-0.25)  # (0.70 - 0.90 + 0.50 - 0.80) / 2
    assert metrics.backward_transfer(R_TRANSFER) == pytest.approx(0.175)  # (0.65 - 0.50 + 0.60 - 0.40) / 2


def test_one_task_has_nothing_to_forget():
    one = np.array([[0.8]])
    assert metrics.average_accuracy(one) == metrics.first_task_accuracy(one) == 0.8
    assert math.isnan(metrics.forgetting(one))
    assert math.isnan(metrics.backward_transfer(one))


def test_an_unfinished_matrix_gives_no_number():
    unfinished = R.copy()
    unfinished[2] = NAN
    for metric in (metrics.average_accuracy, metrics.forgetting, metrics.backward_transfer):
        assert math.isnan(metric(unfinished))
    np.testing.assert_allclose(metrics.average_accuracy_curve(unfinished), [0.90, 0.70, NAN])


def test_confidence_interval_is_students_t():
    # Mean 0.7, standard deviation 0.1; t for 2 degrees of freedom is 4.302653: 4.302653 * 0.1 / sqrt(3).
    assert metrics.confidence_interval_95([0.6, 0.7, 0.8]) == pytest.approx(0.2484138, abs=1e-7)
    # t for 1 degree of freedom is 12.706205, the standard error of 0.5 and 0.7 is 0.1.
    assert metrics.confidence_interval_95([0.5, 0.7]) == pytest.approx(1.2706205, abs=1e-7)


def test_confidence_interval_needs_two_values():
    assert math.isnan(metrics.confidence_interval_95([0.5]))
    assert math.isnan(metrics.confidence_interval_95([]))
