"""DualPrompt against its formulas in double precision, and what stays as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmark.checks.tiny import three_tasks
from benchmark.learning.evaluation import network_for


def prefixes(general: Tensor, expert: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
    """Block -> keys and values: general [N, 2, 2, rows, 8] for blocks 0 and 1, expert [N, 3, 2, rows, 8] for 2 to 4."""
    both = {0: general[:, 0], 1: general[:, 1], 2: expert[:, 0], 3: expert[:, 1], 4: expert[:, 2]}
    return {block: (pair[:, 0], pair[:, 1]) for block, pair in both.items()}


def cosine(first: Tensor, second: Tensor) -> Tensor:
    return first @ second / (first.norm(dim=-1) * second.norm())


def test_three_steps_of_the_second_task(second_task, vit_tokens):
    found = second_task("dualprompt")
    data = found.tasks[1].train
    count = len(data)

    def loss(tensors):
        query = vit_tokens(data.images)[:, 0]
        own = (tensors[name].expand(count, -1, -1, -1, -1) for name in ("general", "expert.2"))
        features = vit_tokens(data.images, prefixes=prefixes(*own))[:, 0]
        # The first three columns are those of the first task.
        logits = (features @ tensors["shared.weight"].T + tensors["shared.bias"])[:, 3:]
        return cross_entropy(logits, data.labels - 3) - cosine(query, tensors["keys.2"]).mean()

    assert found.initial["general"].shape == (2, 2, 5, 8)
    assert found.initial["expert.2"].shape == (3, 2, 20, 8)
    found.assert_learned(["general", "expert.2", "keys.2"], loss, clip=1.0)
    # The prompt starts at that of the task before, the key at random.
    before = {name.rpartition("prompts.")[2]: tensor for name, tensor in found.before.shared.items()}
    assert found.initial["expert.2"].equal(before["expert.1"])
    random = torch.Generator().manual_seed(found.cell.derive(2, "method"))
    assert found.initial["keys.2"].equal(torch.empty(8).uniform_(-1, 1, generator=random).double())


@pytest.mark.parametrize("scenario", ["class", "task"])
def test_an_answer_has_the_prompt_whose_key_is_nearest(scenario, make_cell, states, vit_network, vit_tokens):
    """Also where the task is known: images of both tasks are asked of the network of the first one."""
    tasks = three_tasks(scenario)[:2]
    cell = replace(make_cell("dualprompt", vit_network), scenario=scenario, widths=(3, 2), most_classes=3)
    state = states(cell, tasks)[-1]
    images = torch.cat([task.test.images for task in tasks])
    query = vit_tokens(images)[:, 0]
    # Keys that some images are near to.
    shared = {name: query[int(name[-1])] if "keys" in name else tensor for name, tensor in state.shared.items()}
    names = {name.rpartition("prompts.")[2]: tensor for name, tensor in shared.items()}
    first = cosine(query, names["keys.1"]) >= cosine(query, names["keys.2"])
    assert 0 < first.sum() < len(images)
    expert = torch.where(first.view(-1, 1, 1, 1, 1), names["expert.1"], names["expert.2"])
    general = names["general"].expand(len(images), -1, -1, -1, -1)
    features = vit_tokens(images, prefixes=prefixes(general, expert))[:, 0]
    network = network_for(cell, replace(state, shared=shared), 1, 3)
    with torch.no_grad():
        torch.testing.assert_close(network.features(images), features, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"general": 0}, "general=0 must be at least 1"),
        ({"expert": 0}, "expert=0 must be at least 1"),
        ({"pull": -1.0}, "pull=-1 must not be negative"),
    ],
)
def test_options_that_make_no_sense_are_refused(make_cell, options, told):
    with pytest.raises(ValueError, match=told):
        make_cell("dualprompt", **options).make_method()
