"""One head for the classes of all tasks: logits and columns worked out by hand, in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from methods.joint_head import JointHead
from methods.scenarios import Logits

# Two features, the classes of a first task (2) and of a second (1), and one that is yet to come.
WEIGHT = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [-1.0, 3.0]], dtype=torch.float64)
BIAS = torch.tensor([0.5, -1.0, 0.25, 0.0], dtype=torch.float64)
FEATURES = torch.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=torch.float64)
# Features times weights, plus biases.
LOGITS = torch.tensor([[1.5, 3.0, 3.25, 5.0], [3.5, -3.0, 2.25, -6.0]], dtype=torch.float64)
TASKS = (range(2), range(2, 3))


def head_of(units: int, logits: Logits = "seen", tasks: tuple[range, ...] = TASKS) -> JointHead:
    head = JointHead(2).double()
    head.add("shared", units)
    head.place({"heads.shared.weight": WEIGHT, "heads.shared.bias": BIAS})
    head.begin(tasks, logits)
    return head


def masked(logits: Tensor, *columns: int) -> Tensor:
    logits = logits.clone()
    logits[:, list(columns)] = float("-inf")
    return logits


@pytest.mark.parametrize(
    ("logits", "units", "expected"),
    [("seen", 3, LOGITS[:, :3]), ("current", 3, masked(LOGITS[:, :3], 0, 1)), ("all", 4, LOGITS)],
)
def test_the_logits_that_take_part_in_the_loss_of_a_new_image(logits: Logits, units: int, expected: Tensor) -> None:
    head = head_of(units, logits)
    assert torch.equal(head(FEATURES, "shared"), expected)
    assert torch.equal(head.whole(FEATURES, "shared"), LOGITS[:, :units])
    assert torch.equal(head.flat(FEATURES), LOGITS[:, :units])


@pytest.mark.parametrize("logits", ["seen", "current", "all"])
def test_a_replayed_image_has_all_logits_and_a_new_one_those_of_the_loss(logits: Logits) -> None:
    head = head_of(4 if logits == "all" else 3, logits)
    old, new = head.own(FEATURES, torch.tensor([1, 2]))
    assert torch.equal(old, LOGITS[0, : head.units])
    assert torch.equal(new, head(FEATURES, "shared")[1])


@pytest.mark.parametrize("logits", ["seen", "current"])
def test_units_that_take_no_part_have_no_gradient_at_all(logits: Logits) -> None:
    head = head_of(3, logits)
    cross_entropy(head(FEATURES, "shared"), torch.tensor([2, 2])).backward()
    gradient = head.weights.grad
    assert gradient is not None
    if logits == "current":
        # The new task has one class: its probability is 1, so nothing pulls anywhere.
        assert torch.equal(gradient, torch.zeros(3, 3, dtype=torch.float64))
        return
    # (p - y) times the features and 1 for the bias, the mean over two images.
    error = LOGITS[:, :3].softmax(1) - torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(gradient, error.T @ torch.cat([FEATURES, torch.ones(2, 1).double()], 1) / 2)


def test_groups_are_the_classes_before_the_new_task_and_its_own() -> None:
    head = head_of(3)
    assert head.layout.tolist() == [[0, 1], [2, 3]]
    nothing = float("-inf")
    expected = torch.tensor([[[1.5, 3.0], [3.25, nothing]], [[3.5, -3.0], [2.25, nothing]]], dtype=torch.float64)
    assert torch.equal(head.every(FEATURES), expected)


def test_where_all_tasks_have_the_same_classes_old_and_new_ones_are_the_same_units() -> None:
    head = head_of(3, tasks=(range(3), range(3)))
    assert head.layout.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert head.widths.tolist() == [3, 3]
    assert torch.equal(head(FEATURES, "shared"), LOGITS[:, :3])


def test_how_many_logits_an_image_had_when_its_task_was_learned() -> None:
    assert head_of(3).widths.tolist() == [2, 3]
    assert head_of(4, "all").widths.tolist() == [4, 4]


def test_labels_are_columns_already() -> None:
    head, labels, tasks = head_of(3), torch.tensor([2, 0]), torch.tensor([2, 1])
    assert torch.equal(head.columns(labels, tasks), labels)
    assert torch.equal(head.among_all(FEATURES, labels), LOGITS[:, :3])


def test_new_classes_start_as_a_linear_layer_would_and_leave_the_others_as_they_are() -> None:
    head = head_of(2, tasks=(range(2),))
    torch.manual_seed(7)
    head.add("shared", 3)
    torch.manual_seed(7)
    layer = nn.Linear(2, 3)
    taken = head.take("shared")
    assert torch.equal(taken["heads.shared.weight"], torch.cat([WEIGHT[:2], layer.weight.detach().double()]))
    assert torch.equal(taken["heads.shared.bias"], torch.cat([BIAS[:2], layer.bias.detach().double()]))


def test_new_classes_only_lengthen_the_parameters_as_a_vector() -> None:
    head = head_of(2, tasks=(range(2),))
    before = head.weights.detach().flatten()
    head.add("shared", 1)
    assert torch.equal(head.weights.detach().flatten()[: len(before)], before)


def test_values_of_fewer_or_more_classes_are_put_where_they_belong() -> None:
    head = JointHead(2).double()
    head.add("shared", 3)
    new = head.weights[2].detach().clone()
    head.place({"heads.shared.weight": WEIGHT[:2], "heads.shared.bias": BIAS[:2]})
    assert torch.equal(head.weights[:2], torch.cat([WEIGHT, BIAS[:, None]], 1)[:2])
    assert torch.equal(head.weights[2], new)
    head.place({"heads.shared.weight": WEIGHT, "heads.shared.bias": BIAS})
    assert torch.equal(head.flat(FEATURES), LOGITS[:, :3])


def test_values_of_fewer_features_are_put_before_the_new_ones() -> None:
    head = JointHead(3).double()
    head.add("shared", 3)
    new = head.weights.detach().clone()
    head.place({"heads.shared.weight": WEIGHT[:2], "heads.shared.bias": BIAS[:2]})
    assert torch.equal(head.weights[:2, :2], WEIGHT[:2])
    assert torch.equal(head.weights[:2, 3], BIAS[:2])
    assert torch.equal(head.weights[:2, 2], new[:2, 2])
    assert torch.equal(head.weights[2], new[2])


def test_values_are_assigned_to_all_units() -> None:
    head = JointHead(2).double()
    head.add("shared", 3)
    head.assign(WEIGHT[:3].float(), BIAS[:3])
    assert torch.equal(head.flat(FEATURES), LOGITS[:, :3])
    assert head.weights.requires_grad
