"""CODA-Prompt against its formulas in double precision, and how its components begin."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmark.learning.evaluation import network_for

KINDS = ("rows", "keys", "attention")


def prefixes(query: Tensor, tensors: dict[str, Tensor], tasks: int) -> dict[int, tuple[Tensor, Tensor]]:
    """p = sum_m cos(q * A_m, K_m) P_m in each block, component by component."""
    found = {}
    for block in range(5):
        total = 0
        for task in range(1, tasks + 1):
            rows, keys, attention = (tensors[f"{kind}.{task}"][block] for kind in KINDS)
            for p, k, a in zip(rows, keys, attention, strict=True):
                seen = query * a
                weight = seen @ k / (seen.norm(dim=1) * k.norm())
                total = total + weight[:, None, None] * p
        half = total.shape[1] // 2
        found[block] = total[:, :half], total[:, half:]
    return found


def departure(tensors: dict[str, Tensor], tasks: int) -> Tensor:
    """The mean of (V V^T - I)^2 over all pairs, summed over blocks and kinds."""
    total = 0
    for block in range(5):
        for kind in KINDS:
            vectors = [v.flatten() for task in range(1, tasks + 1) for v in tensors[f"{kind}.{task}"][block]]
            pairs = [(i, j) for i in range(len(vectors)) for j in range(len(vectors))]
            total = total + sum((vectors[i] @ vectors[j] - float(i == j)) ** 2 for i, j in pairs) / len(pairs)
    return total


def test_three_steps_of_the_second_task(second_task, vit_tokens):
    found = second_task("coda-prompt:components=3")
    data = found.tasks[1].train

    def loss(tensors):
        query = vit_tokens(data.images)[:, 0]
        features = vit_tokens(data.images, prefixes=prefixes(query, tensors, 2))[:, 0]
        # The first three columns are those of the first task.
        logits = (features @ tensors["shared.weight"].T + tensors["shared.bias"])[:, 3:]
        return cross_entropy(logits, data.labels - 3) + 0.1 * departure(tensors, 2)

    assert found.initial["rows.2"].shape == (5, 3, 8, 8)
    assert found.initial["keys.2"].shape == found.initial["attention.2"].shape == (5, 3, 8)
    found.assert_learned([f"{kind}.2" for kind in KINDS], loss, clip=0.0)


def test_an_answer_has_the_components_of_all_tasks_so_far(second_task, vit_tokens):
    found = second_task("coda-prompt:components=3:logits=seen")
    names = {name.rpartition("prompts.")[2]: tensor for name, tensor in found.after.shared.items()}
    images = found.tasks[0].test.images
    features = vit_tokens(images, prefixes=prefixes(vit_tokens(images)[:, 0], names, 2))[:, 0]
    with torch.no_grad():
        answers = network_for(found.cell, found.after, 1, 3).features(images)
    torch.testing.assert_close(answers, features, rtol=1e-8, atol=1e-10)


def test_new_components_begin_orthogonal_to_each_other_and_to_the_learned_ones(second_task):
    found = second_task("coda-prompt:components=3")
    for kind in KINDS:
        for block in range(5):
            old, new = (found.initial[f"{kind}.{task}"][block].flatten(1) for task in (1, 2))
            assert not torch.allclose(old @ old.T, torch.eye(3, dtype=torch.float64)), "the old ones were trained"
            torch.testing.assert_close(new @ new.T, torch.eye(3, dtype=torch.float64))
            torch.testing.assert_close(new @ old.T, torch.zeros(3, 3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"components": 0}, "components=0 must be at least 1"),
        ({"length": 3}, "length=3 must be an even number from 2 on"),
        ({"length": 0}, "length=0 must be an even number from 2 on"),
        ({"ortho": -0.1}, "ortho=-0.1 must not be negative"),
    ],
)
def test_options_that_make_no_sense_are_refused(make_cell, options, told):
    with pytest.raises(ValueError, match=told):
        make_cell("coda-prompt", **options).make_method()
