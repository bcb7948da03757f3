"""How sure a network is: against sums made by hand and SciPy, at the ends of the number range, and in any batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import entropy
from torch import Tensor

from benchmark.task_inference.rules import SURENESS_NAMES
from benchmark.task_inference.sureness import SURENESS

RULES = pytest.mark.parametrize("rule", SURENESS.values(), ids=SURENESS)


def test_every_name_has_its_rule():
    assert tuple(SURENESS) == SURENESS_NAMES


def test_by_hand():
    """Probabilities 1/2, 1/4, 1/4, and of one class alone."""
    logits = torch.tensor([[2.0, 1.0, 1.0]]) * np.log(2)
    expected = {"max-softmax": np.log(1 / 2), "entropy": -1.5 * np.log(2), "energy": np.log(4 + 2 + 2)}
    for name, sureness in SURENESS.items():
        assert sureness(logits).tolist() == pytest.approx([expected[name]], rel=1e-6)
    assert SURENESS["max-softmax"](torch.tensor([[7.0]])).item() == 0
    assert SURENESS["entropy"](torch.tensor([[7.0]])).item() == 0
    assert SURENESS["energy"](torch.tensor([[7.0]])).item() == 7


@pytest.mark.parametrize("classes", [1, 2, 10, 101])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_as_scipy_computes_them(classes: int, kind: torch.dtype):
    logits = (5 * torch.randn(50, classes, generator=torch.Generator().manual_seed(0))).to(kind)
    values = logits.double().numpy()
    expected = {
        "max-softmax": np.log(softmax(values, axis=1).max(1)),
        "entropy": -entropy(softmax(values, axis=1), axis=1),
        "energy": logsumexp(values, axis=1),
    }
    for name, sureness in SURENESS.items():
        found = sureness(logits)
        assert (found.shape, found.dtype) == ((50,), torch.float32)
        np.testing.assert_allclose(found.numpy(), expected[name], rtol=1e-5, atol=1e-6)


@RULES
def test_more_distance_is_surer_also_where_probabilities_are_rounded_to_one(rule: Callable[[Tensor], Tensor]):
    logits = torch.tensor([[0.0, distance] for distance in (0.5, 5, 15, 20, 30, 40, 80)])
    assert (rule(logits).diff() > 0).all()
    # In float32 these probabilities are all 1.
    assert len(logits[3:].softmax(1).amax(1).unique()) == 1


def test_very_sure_answers_are_as_in_exact_numbers():
    logits = torch.tensor([[0.0, 30.0, 2.0]])
    assert SURENESS["max-softmax"](logits).item() == pytest.approx(-(np.exp(-30) + np.exp(-28)), rel=1e-5)
    p, log_p = softmax([0, 30, 2]), log_softmax([0, 30, 2])
    assert SURENESS["entropy"](logits).item() == pytest.approx((p * log_p).sum(), rel=1e-4)


@RULES
def test_a_network_that_gives_no_numbers_is_never_the_surest(rule: Callable[[Tensor], Tensor]):
    found = rule(torch.tensor([[torch.nan, 1.0], [0.0, 0.0]]))
    assert found[0].item() == -torch.inf
    assert found[1].isfinite()


@RULES
def test_a_class_that_is_ruled_out_adds_nothing(rule: Callable[[Tensor], Tensor]):
    with_it, without = torch.tensor([[1.0, 2.0, -torch.inf]]), torch.tensor([[1.0, 2.0]])
    assert torch.equal(rule(with_it), rule(without))


@RULES
@pytest.mark.parametrize("size", [1, 7, 256])
def test_in_any_batch_and_order_the_same(rule: Callable[[Tensor], Tensor], size: int):
    random = torch.Generator().manual_seed(0)
    logits = 9 * torch.randn(300, 13, generator=random)
    whole, order = rule(logits), torch.randperm(300, generator=random)
    assert torch.equal(torch.cat([rule(part) for part in logits.split(size)]), whole)
    assert torch.equal(torch.cat([rule(part) for part in logits[order].split(size)]), whole[order])
