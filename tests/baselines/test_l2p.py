"""L2P against its formulas in double precision, and what it stores."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import prepare
from methods.network import Network


def tokens_and_nearness(query: Tensor, tokens: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """By the definition, image by image: the tokens of the 5 nearest prompts, and the sum of their cosines."""
    chosen, sums = [], []
    for q in query:
        cosines = [q @ k / (q.norm() * k.norm()) for k in keys]
        order = sorted(range(len(keys)), key=lambda number: -cosines[number].item())[:5]
        chosen.append(torch.cat([tokens[number] for number in order]))
        sums.append(sum(cosines[number] for number in order))
    return torch.stack(chosen), torch.stack(sums)


def test_three_steps_of_the_second_task(second_task, vit_tokens):
    found = second_task("l2p")
    data = found.tasks[1].train

    def loss(tensors):
        query = vit_tokens(data.images)[:, 0]
        tokens, nearness = tokens_and_nearness(query, tensors["tokens"], tensors["keys"])
        features = vit_tokens(data.images, tokens)[:, 1:26].mean(1)
        # The first three columns are those of the first task.
        logits = (features @ tensors["shared.weight"].T + tensors["shared.bias"])[:, 3:]
        return cross_entropy(logits, data.labels - 3) - 0.5 * nearness.mean()

    assert {*found.initial} == {"tokens", "keys", "shared.weight", "shared.bias"}
    found.assert_learned(["tokens", "keys"], loss, clip=1.0)


def test_an_answer_is_that_of_the_formula(second_task, vit_tokens):
    found = second_task("l2p:logits=seen")
    images = found.tasks[0].test.images
    names = {name.rpartition(".")[2]: tensor for name, tensor in found.after.shared.items()}
    tokens, _ = tokens_and_nearness(vit_tokens(images)[:, 0], names["tokens"], names["keys"])
    features = vit_tokens(images, tokens)[:, 1:26].mean(1)
    with torch.no_grad():
        answers = network_for(found.cell, found.after, 1, 3)(images)
    torch.testing.assert_close(answers, features @ names["weight"].T + names["bias"], rtol=1e-8, atol=1e-10)


def test_both_start_uniformly_between_minus_one_and_one(make_cell, vit_network):
    initial = prepare(make_cell("l2p:pool=50", vit_network), 1).take("shared")
    assert len(initial) == 2
    for tensor in initial.values():
        assert -1 <= tensor.min() < -0.9
        assert 0.9 < tensor.max() <= 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"global_pool": "avg"},
        {"global_pool": "avg", "class_token": False},
        {"global_pool": "avg", "reg_tokens": 3},
        {"global_pool": "avg", "fc_norm": False},
    ],
)
def test_a_network_of_timm_reads_the_mean_of_the_prompts(options, make_cell):
    """Also if it averages the patches: what follows the blocks sees a prompt's token as an image's only one."""
    timm = pytest.importorskip("timm.models.vision_transformer")
    torch.manual_seed(0)
    vit = timm.VisionTransformer(8, 4, embed_dim=8, depth=2, num_heads=2, num_classes=0, **options).double()
    network = prepare(make_cell("l2p", Network(vit, 8, (0.5,) * 3, (0.25,) * 3).double()), 1).network.eval()
    seen = []
    network.backbone.blocks[-1].register_forward_pre_hook(lambda block, inputs: seen.append(block.forward(inputs[0])))
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    features = network.features(images)
    tokens = seen[1][:, -25:]
    norm = vit.norm if isinstance(vit.fc_norm, nn.Identity) else vit.fc_norm
    torch.testing.assert_close(features, norm(tokens).mean(1))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pool": 0}, "pool=0 must be at least 1"),
        ({"chosen": 11}, "chosen=11 must be at most pool=10"),
        ({"length": 0}, "length=0"),
        ({"pull": -1.0}, "pull=-1 must not be negative"),
    ],
)
def test_options_that_make_no_sense_are_refused(make_cell, options, told):
    with pytest.raises(ValueError, match=told):
        make_cell("l2p", **options).make_method()
