"""The Fisher information against its per-sample definition, by plain autograd in double precision."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn.functional import log_softmax
from torchvision.models import VisionTransformer

from baselines.shared.fisher import fisher_diagonal
from methods.network import Network


@pytest.fixture
def network(tiny_network: Network) -> Network:
    network = copy.deepcopy(tiny_network).double()
    torch.manual_seed(3)
    network.heads.add("1", 3)
    network.use_head("1", 3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return network.train()


IMAGES = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(40) % 3


def squared_score(network: Network, image: Tensor, label: int) -> tuple[Tensor, float]:
    """(d log p(label | image) / d theta)^2 and p(label | image), one sample at a time."""
    network.zero_grad()
    log_p = log_softmax(network(image[None]), 1)[0, label]
    log_p.backward()
    return torch.cat([p.grad.flatten() for p in network.backbone.parameters()]).square(), log_p.exp().item()


def estimate(network: Network, kind: str) -> Tensor:
    parameters = {name: p for name, p in network.named_parameters() if not name.startswith("heads")}
    return fisher_diagonal(network, parameters, IMAGES, LABELS, kind, torch.Generator().manual_seed(5))


def test_empirical(network: Network) -> None:
    fisher = estimate(network, "empirical")
    network.eval()
    expected = sum(squared_score(network, x, int(y))[0] for x, y in zip(IMAGES, LABELS, strict=True)) / 40
    torch.testing.assert_close(fisher, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.filterwarnings("error")
def test_of_a_transformer() -> None:
    """The gradients of attention, for one image after the other, in double precision."""
    torch.manual_seed(3)
    backbone = VisionTransformer(8, 4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16)
    backbone.heads = torch.nn.Flatten(1)
    network = Network(backbone, 8, (0.5,) * 3, (0.25,) * 3).double()
    network.heads.add("1", 3)
    network.use_head("1", 3)
    torch.nn.init.normal_(network.heads.weight)
    fisher = estimate(network, "empirical")
    network.eval()
    expected = sum(squared_score(network, x, int(y))[0] for x, y in zip(IMAGES, LABELS, strict=True)) / 40
    assert expected.max() > 1e-6
    torch.testing.assert_close(fisher, expected, rtol=1e-9, atol=1e-15)


def test_weighted_by_the_probability_of_the_given_label(network: Network) -> None:
    fisher = estimate(network, "weighted")
    network.eval()
    pairs = [squared_score(network, x, int(y)) for x, y in zip(IMAGES, LABELS, strict=True)]
    expected = sum(p * squares for squares, p in pairs) / 40
    torch.testing.assert_close(fisher, expected, rtol=1e-9, atol=1e-15)


def test_exact(network: Network) -> None:
    fisher = estimate(network, "exact")
    network.eval()
    pairs = [squared_score(network, x, c) for x in IMAGES for c in range(3)]
    expected = sum(p * squares for squares, p in pairs) / 40
    torch.testing.assert_close(fisher, expected, rtol=1e-9, atol=1e-15)


def test_sampled_is_unbiased_for_exact(network: Network) -> None:
    """The mean of many estimates with drawn labels approaches the expectation over them."""
    parameters = {name: p for name, p in network.named_parameters() if not name.startswith("heads")}
    generator = torch.Generator().manual_seed(5)
    repeated = [fisher_diagonal(network, parameters, IMAGES, LABELS, "sampled", generator).sum() for _ in range(300)]
    mean, spread = torch.stack(repeated).mean(), torch.stack(repeated).std() / 300**0.5
    assert abs(mean - estimate(network, "exact").sum()) < 4 * spread
    assert spread > 0


def test_does_not_shrink_with_the_batch(network: Network) -> None:
    """The square of a batch's mean gradient is another, smaller thing."""
    fisher = estimate(network, "empirical")
    network.eval()
    network.zero_grad()
    torch.nn.functional.cross_entropy(network(IMAGES), LABELS).backward()
    of_mean = torch.cat([p.grad.flatten() for p in network.backbone.parameters()]).square()
    assert of_mean.sum() < fisher.sum() / 2


def test_leaves_mode_and_statistics_alone(network: Network) -> None:
    before = copy.deepcopy(network.state_dict())
    estimate(network, "exact")
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
