"""What holds of all methods that learn prompts."""

from __future__ import annotations

import copy
import re
from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from benchmark.checks.tiny import three_tasks
from benchmark.learning.answering import Answering
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import learn, prepare, start
from benchmark.learning.operations import feature_operations_per_image, inference_operations_per_image
from benchmark.learning.training import Training
from methods.errors import UserError
from methods.network import Network
from methods.recipe import Recipe

METHODS = ("l2p", "dualprompt", "coda-prompt")
GROWING = METHODS[1:]


def whole(name: str) -> Network:
    """A network of torchvision, without data."""
    with torch.device("meta"):
        backbone = get_model(name, weights=None)
        if hasattr(backbone, "heads"):
            backbone.heads = nn.Identity()
        return Network(backbone, 768, (0.5,) * 3, (0.25,) * 3).to("meta")


# Values in all with which a ViT-B/16 begins, and what each further task adds. D = 768.
@pytest.mark.parametrize(
    ("method", "first", "more"),
    [
        # 10 prompts of 5 tokens, 10 keys.
        ("l2p", 10 * 5 * 768 + 10 * 768, 0),
        # Blocks, keys and values, rows; and a key for each task.
        ("dualprompt", 2 * 2 * 5 * 768 + 3 * 2 * 20 * 768 + 768, 3 * 2 * 20 * 768 + 768),
        # 5 blocks, 10 components of 8 rows, K and A.
        ("coda-prompt", 5 * 10 * (8 * 768 + 2 * 768), 5 * 10 * (8 * 768 + 2 * 768)),
    ],
)
def test_what_is_stored_for_a_vit_b_16(method, first, more, make_cell):
    assert 10 * 5 * 768 + 10 * 768 == 46_080
    cell = replace(make_cell(method, whole("vit_b_16")), device=torch.device("meta"))
    for task in (1, 2, 10):
        shared = prepare(cell, task).take("shared")
        assert sum(tensor.numel() for tensor in shared.values()) == first + (task - 1) * more
    if method == "coda-prompt":
        assert first + 9 * more == 3_840_000, "the paper's 100 components"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("backbone", "told"),
    [
        ("resnet18", "works on the blocks of a transformer, and there are none"),
        (
            "swin_t",
            "needs attention to sequences of any length, and that of 'features.1.0' depends on where its tokens",
        ),
        ("maxvit_t", "needs attention to sequences of any length"),
    ],
)
def test_other_networks_are_refused_in_a_sentence(method, backbone, told, make_cell):
    cell = replace(make_cell(method, whole(backbone)), device=torch.device("meta"))
    with pytest.raises(UserError, match=f"^{method} cannot be used on this backbone: it {told}.*leave the method out"):
        prepare(cell, 1)


@pytest.mark.parametrize("method", GROWING)
def test_a_network_of_too_few_blocks_is_refused(method, make_cell, vit_network):
    vit_network.backbone.encoder.layers = vit_network.backbone.encoder.layers[:4]
    with pytest.raises(
        UserError, match=f"^{method} cannot be used on this backbone: it needs 5 blocks, and there are 4"
    ):
        prepare(make_cell(method, vit_network), 1)


@pytest.mark.parametrize("method", METHODS)
def test_both_passes_are_counted(method, make_cell, states, vit_network):
    """The second one has 25 tokens more, or further keys and values in five blocks."""
    network = vit_network.float()
    state = states(make_cell(method, network), three_tasks()[:1])[-1]
    answering = network_for(make_cell(method, network), state, 1, 3)
    once, size = feature_operations_per_image(network, 8), 8
    # Tokens: five of the image. In a block each makes q, k, v and an output, and has a perceptron with 12 units.
    per_token, pair = 2 * (4 * size * size + 2 * size * 12), 2 * 2 * size
    assert once == 2 * 4 * 48 * size + 5 * (5 * per_token + 25 * pair)
    extra = {
        "l2p": 2 * size * 10 + 5 * (25 * per_token + (30 * 30 - 25) * pair),
        "dualprompt": 2 * size * 1 + 2 * 5 * 5 * pair + 3 * 5 * 20 * pair,
        # Weights from two products, and sums of 10 prompts of 8 rows; 4 more keys for each of 5 tokens.
        "coda-prompt": 5 * 10 * (2 * size + 2 * size + 2 * 8 * size) + 5 * 5 * 4 * pair,
    }
    head = 2 * size * 3
    assert inference_operations_per_image(answering, 3, 8) == 2 * once + extra[method] + head


@pytest.mark.parametrize("method", METHODS)
def test_an_image_gets_the_same_prompts_in_any_batch_in_training_too(method, make_cell, states, vit_network):
    cell, tasks = make_cell(method, vit_network), three_tasks()
    state = states(cell, tasks[:1])[-1]
    network = network_for(cell, state, 1, 3).train()
    images = torch.cat([task.test.images for task in tasks])
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    with torch.enable_grad():
        together = network.features(images)
        for size in (1, 7, 64):
            parts = torch.cat([network.features(some) for some in images.split(size)])
            torch.testing.assert_close(parts, together, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(network.features(images[order]), together[order], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("method", METHODS)
def test_the_query_is_that_of_the_backbone_as_given(method, make_cell, states, vit_network):
    """Also after two tasks, and in training of a network with dropout."""
    for module in vit_network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    images = three_tasks()[2].test.images
    expected = copy.deepcopy(vit_network).eval().features(images).detach()
    cell, queries = make_cell(method, vit_network), []
    bench_method = cell.make_method()

    class Watched(type(bench_method)):
        def before_backward(self, step):
            super().before_backward(step)
            with torch.random.fork_rng():
                step.model.features(images)
            queries.append(self.passes.query)

    states(replace(cell, make_method=Watched), three_tasks()[:2])
    assert len(queries) == 10
    for query in queries:
        torch.testing.assert_close(query, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("recipe", [Recipe(weight_decay=0.1), Recipe(optimizer="adam", lr=0.1, weight_decay=0.1)])
@pytest.mark.parametrize("scenario", ["task", "class", "domain"])
@pytest.mark.parametrize("method", GROWING)
def test_what_earlier_tasks_have_learned_stays_bit_for_bit(method, scenario, recipe, make_cell, states, vit_network):
    tasks = three_tasks(scenario)
    widths = tuple(len(task.classes) for task in tasks)
    cell = replace(make_cell(method, vit_network), scenario=scenario, widths=widths, most_classes=max(widths))
    found = states(cell, tasks, Training(recipe, epochs=1, batch_size=8))
    for before, after, number in zip(found, found[1:], (2, 3), strict=False):
        old = {name: tensor for name, tensor in before.shared.items() if re.search(r"\.\d+$", name)}
        assert {int(name.rpartition(".")[2]) for name in old} == set(range(1, number))
        for name, tensor in old.items():
            assert torch.equal(after.shared[name], tensor), name
        new = [name for name in after.shared if name.endswith(f".{number}")]
        assert len(new) * (number - 1) == len(old)


@pytest.mark.parametrize("method", METHODS)
def test_the_backbone_is_frozen_and_all_prompts_are_trained(method, make_cell, vit_network):
    tasks, cell = three_tasks(), make_cell(method, vit_network)
    bench = prepare(cell, 1)
    trained = {name for name, _ in bench.trainable()}
    shared = {name for name, part in bench.parts.items() if part == "shared"}
    assert trained - {"heads.weight", "heads.bias"} == shared
    assert all(".encoder_layer_0.prompts." in name for name in shared)
    assert {part for name, part in bench.parts.items() if name not in shared} == {"frozen"}
    before = bench.take("shared")
    after = learn(cell, start(cell), tasks[0], Training(Recipe(), 1, 8)).state.shared
    assert before.keys() == after.keys()
    assert not any(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("method", GROWING)
def test_a_kept_network_counts_its_operations_again_when_it_has_grown(method, make_cell, states, vit_network):
    tasks = three_tasks("domain")
    cell = replace(make_cell(method, vit_network.float()), scenario="domain", most_classes=3)
    kept, counts = Answering(cell), []
    for state in states(cell, tasks):
        counts.append(kept.operations(state, 1, 3, 8))
        assert counts[-1] == inference_operations_per_image(network_for(cell, state, 1, 3), 3, 8)
    first, second, third = counts
    assert third - second == second - first > 0
