"""Heads side by side answer as separate linear layers would."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from methods.heads import Heads, head_width, is_head

WIDTHS = {"1": 3, "2": 1, "3": 4}


@pytest.fixture
def heads() -> Heads:
    torch.manual_seed(0)
    heads = Heads(5)
    for key, classes in WIDTHS.items():
        heads.add(key, classes)
    return heads


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(1))


def separate(heads: Heads, key: str, features: torch.Tensor) -> torch.Tensor:
    own = heads.take(key)
    return linear(features, own[f"heads.{key}.weight"], own[f"heads.{key}.bias"])


def test_each_head_is_exactly_as_wide_as_its_task_and_starts_as_a_linear_layer_would() -> None:
    heads = Heads(5)
    for key, classes in WIDTHS.items():
        torch.manual_seed(int(key))
        heads.add(key, classes)
        torch.manual_seed(int(key))
        layer = torch.nn.Linear(5, classes)
        x = torch.ones(2, 5)
        assert heads(x, key).shape == (2, classes)
        assert torch.equal(heads(x, key), layer(x))


def test_adding_a_head_leaves_the_others_as_they_were(heads: Heads, features: torch.Tensor) -> None:
    before = {key: heads(features, key) for key in WIDTHS}
    heads.add("4", 6)
    assert all(torch.equal(before[key], heads(features, key)) for key in WIDTHS)


def test_every_head_at_once_with_minus_infinity_beyond_its_classes(heads: Heads, features: torch.Tensor) -> None:
    logits = heads.every(features)
    assert logits.shape == (6, 3, 4)
    for index, (key, classes) in enumerate(WIDTHS.items()):
        torch.testing.assert_close(logits[:, index, :classes], separate(heads, key, features))
        assert (logits[:, index, classes:] == float("-inf")).all()
    flat = torch.cat([separate(heads, key, features) for key in WIDTHS], 1)
    torch.testing.assert_close(heads.flat(features), flat)


def test_each_sample_is_answered_by_the_head_of_its_own_task(heads: Heads, features: torch.Tensor) -> None:
    tasks = torch.tensor([3, 1, 2, 3, 1, 1])
    logits = heads.own(features, tasks)
    assert logits.shape == (6, 4)
    for row, task in enumerate(tasks.tolist()):
        classes = WIDTHS[str(task)]
        torch.testing.assert_close(logits[row, :classes], separate(heads, str(task), features[row]))
        assert (logits[row, classes:] == float("-inf")).all()


def test_only_the_own_head_gets_a_gradient_and_it_is_the_one_of_separate_heads(
    heads: Heads, features: torch.Tensor
) -> None:
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    cross_entropy(heads.own(features, torch.full((6,), 3)), labels).backward()
    weight = heads.take("3")["heads.3.weight"].detach().requires_grad_()
    cross_entropy(linear(features, weight, heads.bias[heads.rows["3"]]), labels).backward()
    assert heads.weight.grad[:4].eq(0).all()
    torch.testing.assert_close(heads.weight.grad[4:], weight.grad)


def test_what_is_taken_can_be_placed_in_a_network_with_fewer_heads(heads: Heads, features: torch.Tensor) -> None:
    taken = {name: tensor.detach() for key in WIDTHS for name, tensor in heads.take(key).items()}
    assert all(map(is_head, taken))
    assert not is_head("backbone.0.weight")
    assert {key: head_width(taken, key) for key in WIDTHS} == WIDTHS
    other = Heads(5)
    other.add("3", 4)
    other.place(taken)
    torch.testing.assert_close(other(features, "3"), heads(features, "3"))


def test_columns_of_all_heads_side_by_side(heads: Heads, features: torch.Tensor) -> None:
    """Heads of 3, 1 and 4 classes begin at the columns 0, 3 and 4."""
    tasks, labels = torch.tensor([1, 1, 2, 3, 3, 1]), torch.tensor([0, 2, 0, 0, 3, 1])
    columns = heads.columns(labels, tasks)
    assert columns.tolist() == [0, 2, 3, 4, 7, 1]
    logits = heads.among_all(features, columns)
    for n, task in enumerate(tasks.tolist()):
        first = (0, 3, 4)[task - 1]
        expected = torch.full((8,), float("-inf"))
        expected[first : first + WIDTHS[str(task)]] = separate(heads, str(task), features[n])
        torch.testing.assert_close(logits[n], expected)


@pytest.fixture
def close() -> Heads:
    """Two heads of two classes. For the features (256, 0.5) the logits are 256 and 256.5: bfloat16 has 256 and 258."""
    heads = Heads(2)
    for key in ("1", "2"):
        heads.add(key, 2)
    with torch.no_grad():
        heads.weight.copy_(torch.tensor([[1.0, 0.0], [1.0, 1.0]]).repeat(2, 1))
        heads.bias.zero_()
    return heads


TASKS = torch.tensor([2])


@pytest.mark.parametrize(
    "logits",
    [
        lambda heads, features: heads(features, "2"),
        lambda heads, features: heads.flat(features)[:, 2:],
        lambda heads, features: heads.every(features)[:, 1],
        lambda heads, features: heads.own(features, TASKS),
        lambda heads, features: heads.among_all(features, torch.tensor([2]))[:, 2:],
    ],
    ids=["forward", "flat", "every", "own", "among_all"],
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_in_bfloat16_the_logits_are_not_rounded(close: Heads, logits: Callable[..., Tensor], dtype: torch.dtype):
    # The features have the same value in both formats: those of a pass, and those that were kept.
    features = torch.tensor([[256.0, 0.5]], dtype=dtype, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = logits(close, features)
        loss = cross_entropy(found, torch.tensor([0]))
    assert found.dtype == torch.float32
    assert found.tolist() == [[256.0, 256.5]]
    # -log(1 / (1 + e^0.5)); with rounded logits it would be log 2.
    assert loss.item() == pytest.approx(0.974077, abs=1e-6)
    loss.backward()
    assert close.weight.grad is not None
    # The gradient of the first class's logit is p - 1, with p = 1 / (1 + e^0.5) = 0.377541.
    assert close.weight.grad[2].tolist() == pytest.approx([256 * (0.377541 - 1), 0.5 * (0.377541 - 1)], rel=1e-5)
    assert features.grad is not None
    assert features.grad.dtype == dtype


def test_one_head_alone_is_not_rounded_either():
    heads = Heads(2)
    heads.add("1", 2)
    with torch.no_grad():
        heads.weight.copy_(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        heads.bias.zero_()
    with torch.autocast("cpu", torch.bfloat16):
        assert heads(torch.tensor([[256.0, 0.5]]).bfloat16(), "1").tolist() == [[256.0, 256.5]]


def test_heads_in_double_precision_stay_so(heads: Heads, features: torch.Tensor):
    heads.double()
    assert heads.flat(features.double()).dtype == torch.float64


def test_values_are_assigned_to_all_units(heads: Heads, features: torch.Tensor) -> None:
    """In the order in which the heads were added, from any type."""
    weight, bias = torch.arange(40.0).view(8, 5).double(), torch.arange(8)
    heads.assign(weight, bias)
    for key, rows in (("1", slice(0, 3)), ("2", slice(3, 4)), ("3", slice(4, 8))):
        expected = linear(features, weight[rows].float(), bias[rows].float())
        assert torch.equal(heads(features, key), expected)
    assert heads.weight.requires_grad
