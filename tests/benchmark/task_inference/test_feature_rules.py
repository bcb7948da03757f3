"""Each rule on features, against scikit-learn and sums made by hand; the same guess in any batch; odd tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.covariance import EmpiricalCovariance
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from benchmark.storage.sealed_tensors import Tensors
from benchmark.task_inference.base import FeatureRule, Features, Labels, Numbers, products
from benchmark.task_inference.centres import Centres
from benchmark.task_inference.feature_rules import FEATURE_RULES
from benchmark.task_inference.gmm import GaussianMixtures, log_density
from benchmark.task_inference.mahalanobis import Mahalanobis

RULES = pytest.mark.parametrize("rule", FEATURE_RULES.values(), ids=FEATURE_RULES)

#: Features and labels of the training images of each task.
Tasks = Sequence[tuple[Features, Labels]]


def make_tasks(count: int, images: int = 60, size: int = 12, classes: int = 3, seed: int = 0) -> Tasks:
    """Tasks whose classes are clouds of different places and widths."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    scales = random.uniform(0.2, 2, (count, classes, size))
    places = random.normal(0, 2, (count, classes, size))
    noise = random.normal(size=(count, images, size))
    return [((places[k][labels] + scales[k][labels] * noise[k]).astype(np.float32), labels) for k in range(count)]


def learned(rule: FeatureRule, tasks: Tasks) -> tuple[list[Tensors], Tensors]:
    """What a rule keeps of the tasks, learned one after the other."""
    own, shared = [], {}
    for seed, (features, labels) in enumerate(tasks):
        own.append(rule.learn(features, labels, seed))
        shared = rule.share(shared, features, labels)
    return own, shared


def nearness(rule: FeatureRule, tasks: Tasks, features: Features) -> Numbers:
    """[N, number of tasks]."""
    points = rule.points(features)
    return np.stack([measure(points) for measure in rule.measures(*learned(rule, tasks))], 1)


def unseen(tasks: Tasks, seed: int = 9) -> Features:
    """Images between those of the tasks."""
    every = np.concatenate([features for features, _ in tasks])
    random = np.random.default_rng(seed)
    return (every[random.permutation(len(every))] + random.normal(0, 2, every.shape)).astype(np.float32)


def test_products_are_those_of_blas():
    random = np.random.default_rng(0)
    points, columns = random.normal(size=(30, 9000)), random.normal(size=(4, 9000))
    np.testing.assert_allclose(products(points, columns), points @ columns.T, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [1, 3, 100, 512, 1280, 2048, 5000, 9000, 25088])
@pytest.mark.parametrize("columns", [1, 5])
def test_a_product_does_not_depend_on_the_others(size: int, columns: int):
    random = np.random.default_rng(0)
    points, columns = random.normal(size=(40, size)), random.normal(size=(columns, size))
    whole, order = products(points, columns), random.permutation(40)
    assert np.array_equal(products(points[order], columns), whole[order])
    for batch in (1, 7):
        parts = [products(points[start : start + batch], columns) for start in range(0, 40, batch)]
        assert np.array_equal(np.concatenate(parts), whole)


def test_centres_are_those_of_k_means_on_features_of_length_one():
    tasks = make_tasks(3)
    own, shared = learned(Centres(), tasks)
    assert shared == {}
    for seed, (features, _) in enumerate(tasks):
        points = features.astype(np.float64)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        expected = KMeans(5, n_init=10, random_state=seed).fit(points)
        np.testing.assert_allclose(own[seed]["centres"], expected.cluster_centers_, rtol=1e-6, atol=1e-7)


def test_the_nearest_centre_is_the_one_that_k_means_predicts():
    """A k-means of all tasks' centres tells the centre, and so the task."""
    tasks, rule = make_tasks(4), Centres()
    own, _ = learned(rule, tasks)
    every = np.concatenate([kept["centres"] for kept in own]).astype(np.float64)
    oracle = KMeans(len(every), init=every, n_init=1, max_iter=1).fit(every)
    features = unseen(tasks)
    points = features / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    expected = oracle.predict(points) // 5
    assert len(np.unique(expected)) == 4
    assert np.array_equal(nearness(rule, tasks, features).argmax(1), expected)


def test_centres_by_hand():
    """Each of two tasks has two images, which are its centres. Lengths do not matter."""
    first = np.array([[2, 0], [0, 3]], dtype=np.float32), np.array([0, 1])
    second = np.array([[-1, 0], [1, 1]], dtype=np.float32), np.array([0, 1])
    images = np.array([[5, 1], [9, 8], [-2, 1], [0.1, 0.3]], dtype=np.float32)
    found = nearness(Centres(), [first, second], images)
    # Angles: 11 degrees from (2, 0); 3 from (1, 1); 27 from (-1, 0); 18 from (0, 3) and 27 from (1, 1).
    assert found.argmax(1).tolist() == [0, 1, 1, 0]
    # (1 - |x - c|^2) / 2 = cosine - 1/2
    cosines = [5 / 26**0.5, 17 / (2 * 145) ** 0.5, 2 / 5**0.5, 3 / 10**0.5]
    assert found.max(1).tolist() == pytest.approx([cosine - 0.5 for cosine in cosines], rel=1e-6)


def test_a_mixture_is_that_of_scikit_learn():
    tasks = make_tasks(2, images=80)
    own, shared = learned(GaussianMixtures(), tasks)
    assert shared == {}
    points = unseen(tasks).astype(np.float64)
    for seed, (features, _) in enumerate(tasks):
        values = features.astype(np.float64)
        centre = values.mean(0)
        oracle = GaussianMixture(25, covariance_type="diag", reg_covar=1e-3 * values.var(0).mean(), random_state=seed)
        oracle.fit(values - centre)
        expected = oracle.score_samples(points - centre)
        found = log_density(points, **{name: array.astype(np.float64) for name, array in own[seed].items()})
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_density_by_hand():
    """Two Gaussians on a line and a plane's second axis: 0.25 N(0, 1) and 0.75 N(2, 4), times N(1, 1)."""
    weights, means = np.array([0.25, 0.75]), np.array([[0.0, 1.0], [2.0, 1.0]])
    variances = np.array([[1.0, 1.0], [4.0, 1.0]])
    found = log_density(np.array([[0.0, 1.0], [2.0, 3.0]]), weights, means, variances)
    other = np.exp(-(2.0**2) / 2)
    expected = [
        (0.25 + 0.75 / 2 * np.exp(-(2.0**2) / 8)) / (2 * np.pi),
        (0.25 * np.exp(-(2.0**2) / 2) + 0.75 / 2) * other / (2 * np.pi),
    ]
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-12)


def test_all_tasks_have_the_same_weight_whatever_their_size():
    """The same cloud with ten times the images is not nearer."""
    random = np.random.default_rng(0)
    cloud = random.normal(size=(50, 4)).astype(np.float32)
    small, large = (cloud, np.zeros(50, int)), (np.tile(cloud, (10, 1)), np.zeros(500, int))
    rule = GaussianMixtures()
    rule.count = 1
    found = nearness(rule, [small, large], unseen([small]))
    np.testing.assert_allclose(found[:, 0], found[:, 1], rtol=1e-6)


def test_small_variances_of_large_features_are_not_lost():
    random = np.random.default_rng(0)
    near, far = (10_000 + random.normal(offset, 0.05, (60, 6)).astype(np.float32) for offset in (0, 0.5))
    tasks = [(near, np.arange(60) % 2), (far, np.arange(60) % 2)]
    for rule in (GaussianMixtures(), Mahalanobis()):
        found = nearness(rule, tasks, np.concatenate([near, far])).argmax(1)
        assert found.tolist() == [0] * 60 + [1] * 60


def test_one_covariance_of_all_tasks_replaces_that_of_fewer():
    """The scatter around class means, as scikit-learn computes it from all images at once."""
    tasks, rule = make_tasks(3), Mahalanobis()
    own, shared = learned(rule, tasks)
    rest = []
    for features, labels in tasks:
        for label in range(3):
            points = features[labels == label].astype(np.float64)
            rest.append(points - points.mean(0))
    expected = EmpiricalCovariance(assume_centered=True).fit(np.concatenate(rest)).covariance_
    np.testing.assert_allclose(shared["scatter"] / shared["images"], expected, rtol=1e-4, atol=1e-5)
    assert shared["images"].tolist() == [180]
    shrunk = expected + 1e-2 * np.trace(expected) / 12 * np.eye(12)
    np.testing.assert_allclose(rule.covariance(shared), shrunk, rtol=1e-4, atol=1e-5)
    for (features, labels), kept in zip(tasks, own, strict=True):
        means = [features[labels == label].mean(0) for label in range(3)]
        np.testing.assert_allclose(kept["means"], means, rtol=1e-4, atol=1e-5)


def test_the_nearest_mean_by_distances_from_an_inverse():
    tasks, rule = make_tasks(3, classes=4), Mahalanobis()
    own, shared = learned(rule, tasks)
    features = unseen(tasks).astype(np.float64)
    inverse = np.linalg.inv(rule.covariance(shared))
    squares = []
    for kept in own:
        rest = features[:, None] - kept["means"].astype(np.float64)
        squares.append(np.einsum("ncd,de,nce->nc", rest, inverse, rest).min(1))
    expected = np.stack(squares, 1)
    found = nearness(rule, tasks, features.astype(np.float32))
    assert len(np.unique(expected.argmin(1))) == 3
    assert np.array_equal(found.argmax(1), expected.argmin(1))
    # Up to a number of each image, the nearness is minus half of the squared distance.
    np.testing.assert_allclose(
        found - found[:, :1], (expected[:, :1] - expected) / 2, rtol=1e-7, atol=1e-7 * expected.max()
    )


def test_mahalanobis_by_hand():
    """Two classes at (0, 0) and (4, 0), with variances 4 and 1/4: the second axis counts 16 times as much."""
    spread = np.array([[2, 0.5], [-2, 0.5], [2, -0.5], [-2, -0.5]], dtype=np.float32)
    tasks = [(spread, np.zeros(4, int)), (spread + np.float32([4, 1]), np.zeros(4, int))]
    rule = Mahalanobis()
    rule.shrinkage = 1e-12
    shared = learned(rule, tasks)[1]
    np.testing.assert_allclose(rule.covariance(shared), [[4, 0], [0, 0.25]], atol=1e-9)
    # (1, 0.9): 1/4 + 3.24 from the first, 9/4 + 0.04 from the second, which Euclid would not choose.
    found = nearness(rule, tasks, np.float32([[1, 0.9], [1, 0.1]]))
    assert found.argmax(1).tolist() == [1, 0]
    assert (found[:, 0] - found[:, 1]).tolist() == pytest.approx([(2.29 - 3.49) / 2, (5.49 - 0.29) / 2])


def test_bytes_and_operations_by_hand():
    """D = 12, 60 images and 3 classes in each of two tasks."""
    own, shared = learned(Centres(), make_tasks(2))
    assert [sum(values.nbytes for values in kept.values()) for kept in own] == [4 * 5 * 12] * 2
    assert Centres().operations(own) == 2 * 2 * 5 * 12
    own, shared = learned(GaussianMixtures(), make_tasks(2))
    assert [sum(values.nbytes for values in kept.values()) for kept in own] == [4 * 25 * (2 * 12 + 1)] * 2
    assert GaussianMixtures().operations(own) == 2 * 4 * 25 * 12
    own, shared = learned(Mahalanobis(), make_tasks(2))
    assert [sum(values.nbytes for values in kept.values()) for kept in own] == [4 * 3 * 12] * 2
    assert sum(values.nbytes for values in shared.values()) == 4 * 12 * 12 + 8
    assert Mahalanobis().operations(own) == 2 * 2 * 3 * 12


@RULES
def test_operations_are_those_of_the_products(rule: FeatureRule, monkeypatch: pytest.MonkeyPatch):
    counted = []

    def counting(points: Numbers, columns: Numbers) -> Numbers:
        counted.append(2 * len(points) * columns.size)
        return products(points, columns)

    tasks = make_tasks(3)
    own, shared = learned(rule, tasks)
    monkeypatch.setattr(f"{type(rule).__module__}.products", counting)
    for measure in rule.measures(own, shared):
        measure(rule.points(tasks[0][0][:1]))
    assert sum(counted) == rule.operations(own)


@RULES
@pytest.mark.parametrize("size", [12, 2048])
@pytest.mark.parametrize("batch", [1, 7, 256])
def test_in_any_batch_and_order_the_same(rule: FeatureRule, size: int, batch: int):
    tasks = make_tasks(3, images=100 if size == 12 else 30, size=size)
    measures = rule.measures(*learned(rule, tasks))
    features = unseen(tasks)

    def asked(images: Features) -> Numbers:
        parts = [images[start : start + batch] for start in range(0, len(images), batch)]
        return np.concatenate([np.stack([measure(rule.points(part)) for measure in measures], 1) for part in parts])

    whole = np.stack([measure(rule.points(features)) for measure in measures], 1)
    order = np.random.default_rng(1).permutation(len(features))
    assert np.array_equal(asked(features), whole)
    assert np.array_equal(asked(features[order]), whole[order])


@RULES
def test_the_number_of_threads_changes_nothing(rule: FeatureRule):
    tasks = make_tasks(2, images=300, size=64)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append((learned(rule, tasks), nearness(rule, tasks, unseen(tasks))))
    assert torch.get_num_threads() == before
    for (own, shared), other in ((found[0][0], found[1][0]),):
        for one, two in zip([*own, shared], [*other[0], other[1]], strict=True):
            assert {name: values.tobytes() for name, values in one.items()} == {
                name: values.tobytes() for name, values in two.items()
            }
    assert np.array_equal(found[0][1], found[1][1])


@RULES
def test_equal_tasks_are_equally_near_and_the_first_is_the_guess(rule: FeatureRule):
    """They have the same seed too."""
    task, other = make_tasks(2)
    own, shared = rule.learn(*task, 3), rule.share(rule.share({}, *task), *task)
    shared = rule.share(shared, *other)
    points = rule.points(unseen([task]))
    found = np.stack([m(points) for m in rule.measures([own, rule.learn(*other, 3), own], shared)], 1)
    assert np.array_equal(found[:, 0], found[:, 2])
    assert set(found.argmax(1)) == {0, 1}


@RULES
@pytest.mark.parametrize("images", [1, 2, 3, 4, 7])
def test_a_task_may_have_few_images(rule: FeatureRule, images: int):
    """One for each class."""
    large = make_tasks(1)[0]
    few = large[0][:images] + np.float32(30), np.arange(images)
    found = nearness(rule, [large, few], np.concatenate([large[0], few[0]]))
    assert np.isfinite(found).all()
    assert found.argmax(1).tolist() == [0] * 60 + [1] * images
    found = nearness(rule, [few], few[0])
    assert np.isfinite(found).all()


@RULES
@pytest.mark.parametrize("value", [0, 7])
def test_features_may_be_constant(rule: FeatureRule, value: float):
    constant = np.full((20, 12), value, np.float32), np.arange(20) % 2
    varied = make_tasks(1)[0]
    for tasks in ([constant], [constant, constant], [constant, varied], [varied, constant]):
        found = nearness(rule, tasks, np.concatenate([varied[0], constant[0]]))
        assert np.isfinite(found).all()
    assert (found[60:].argmax(1) == 1).all()


@RULES
def test_some_features_may_be_constant(rule: FeatureRule):
    tasks = make_tasks(2)
    for features, _ in tasks:
        features[:, :5] = 0
    found = nearness(rule, tasks, np.concatenate([features for features, _ in tasks]))
    assert np.isfinite(found).all()
    assert (found.argmax(1) == np.repeat([0, 1], 60)).mean() > 0.9


@RULES
def test_large_seeds_can_be_used(rule: FeatureRule):
    features, labels = make_tasks(1)[0]
    for seed in (0, 2**32 - 1, 2**32, 2**63 - 1):
        assert rule.learn(features, labels, seed)


@RULES
def test_what_is_learned_of_a_task_does_not_depend_on_others_nor_change_them(rule: FeatureRule):
    tasks = make_tasks(3)
    shared = rule.share({}, *tasks[0])
    copies = {name: values.copy() for name, values in shared.items()}
    before = tasks[1][0].copy()
    after = rule.share(shared, *tasks[1])
    rule.learn(*tasks[1], 5)
    assert np.array_equal(tasks[1][0], before)
    assert all(np.array_equal(shared[name], copies[name]) for name in copies)
    assert shared.keys() == after.keys() == (shared.keys() if rule.shares else set())
