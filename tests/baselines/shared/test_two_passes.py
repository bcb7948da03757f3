"""The query is that of the backbone as given, whatever prompts the network has."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from baselines.shared.two_passes import TwoPasses, cosines, nearest

IMAGES = torch.rand(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Made(nn.Module):
    """A prompt that is a multiple of the query."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))

    def given(self, query):
        assert not query.requires_grad
        return [self.factor * query]


class Shift(nn.Module):
    """A place of a prompt, which is added to the features."""

    def __init__(self):
        super().__init__()
        self.prompt = None
        self.made = Made()

    def forward(self, x):
        return x if self.prompt is None else x + self.prompt


@pytest.fixture
def backbone():
    """A network with dropout, whose prompt is added to its features."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.Dropout(0.5), Shift()).double()
    network.passes = TwoPasses([network[3]], network[3].made.given)
    network.passes.add(network)
    return network


def test_the_second_pass_has_the_prompt_of_the_first(backbone):
    backbone.eval()
    plain = backbone[1](IMAGES.flatten(1))
    torch.testing.assert_close(backbone(IMAGES), 4 * plain)


def test_the_query_has_neither_dropout_nor_a_gradient(backbone):
    backbone.train()
    backbone[0].eval()
    features = backbone(IMAGES)
    plain = backbone[1](IMAGES.flatten(1))
    assert torch.equal(backbone.passes.query, plain)
    assert not backbone.passes.query.requires_grad
    assert not torch.equal(features, 4 * plain), "the second pass has dropout"
    assert [module.training for module in backbone[:4]] == [False, True, True, True], "modes are as before"
    features.sum().backward()
    torch.testing.assert_close(backbone[3].made.factor.grad, plain.sum().detach())


def test_a_network_can_be_copied_after_a_pass_and_the_copy_asks_itself(backbone):
    backbone.eval()
    before = backbone(IMAGES)
    copied = copy.deepcopy(backbone)
    nn.init.zeros_(copied[1].weight)
    nn.init.ones_(copied[1].bias)
    assert torch.equal(copied(IMAGES), torch.full_like(before, 4))
    assert torch.equal(backbone(IMAGES), before)


def test_a_pass_that_fails_leaves_no_prompt(backbone):
    backbone.eval()
    before = backbone(IMAGES)

    def fail(module, inputs, output):
        if module.prompt is not None:
            raise RuntimeError("as if out of memory")

    handle = backbone[3].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="as if out of memory"):
        backbone(IMAGES)
    handle.remove()
    assert backbone[3].prompt is None
    assert torch.equal(backbone(IMAGES), before)


def test_cosines_are_exact_where_passes_are_in_bfloat16():
    query, keys = (torch.randn(5, 16, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    expected = cosine_similarity(query[:, None], keys, dim=2)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(cosines(query, keys), expected)


def test_of_equal_keys_the_first_are_chosen_in_any_batch():
    similarity = torch.tensor([[0.5, 0.9, 0.5, 0.9, 0.1], [0.2] * 5]).repeat(40, 1)
    assert nearest(similarity, 3)[:2].tolist() == [[1, 3, 0], [0, 1, 2]]
    assert torch.equal(nearest(similarity, 3), torch.cat([nearest(row[None], 3) for row in similarity]))
