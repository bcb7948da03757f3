"""Every registered method on unusual backbones: unused layers, shared layers, computed weights, and transformers.

If a method cannot work, it says so in a sentence before it learns anything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.parametrize import ParametrizationList
from torchvision.models import ConvNeXt, SwinTransformer, VisionTransformer
from torchvision.models.convnext import CNBlockConfig

from benchmark.learning.evaluation import evaluate, network_for
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.training import Training
from benchmark.planning.scenarios import learned_as
from benchmark.streams.base import Stream, Task
from benchmark.streams.columns import in_columns
from methods import Method, methods
from methods.configured import configure
from methods.errors import UserError
from methods.network import Network

MORE = ("residual-adapters:form=parallel", "ewc:fisher=exact", "avalanche:MASPlugin", "avalanche:LwFPlugin")
SPECIFICATIONS = dict.fromkeys((*methods.members("all"), *methods.members("class"), *MORE))
every_method = pytest.mark.parametrize("spec", SPECIFICATIONS)
CPU = torch.device("cpu")


class Small(nn.Module):
    """Two convolutions with batch normalisation: 3 -> 6 -> 5 features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 5, 1), nn.BatchNorm2d(5)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.bn1(self.conv1(images)).relu())

    def last(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(x)).relu().mean((2, 3))


class Spare(Small):
    """It has layers and tensors that the forward pass does not use, and one whose output it drops."""

    def __init__(self) -> None:
        super().__init__()
        self.spare, self.spare_bn = nn.Conv2d(4, 7, 3), nn.BatchNorm2d(7)
        self.auxiliary = nn.Linear(5, 10)
        self.scale = nn.Parameter(torch.ones(3))
        self.register_buffer("table", torch.arange(4))
        self.dropped, self.dropped_bn = nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        x = self.bn1(self.conv1(images)).relu()
        self.dropped_bn(self.dropped(x))
        return self.last(x)


class Shared(Small):
    """It has a layer that is called twice and has two names, and another layer with the same weight."""

    def __init__(self) -> None:
        super().__init__()
        self.middle, self.middle_bn = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.again = self.middle
        self.tied = nn.Conv2d(6, 6, 3, padding=1)
        self.tied.weight = self.middle.weight

    def forward(self, images: Tensor) -> Tensor:
        x = self.bn1(self.conv1(images)).relu()
        for layer in (self.middle, self.again, self.tied):
            x = self.middle_bn(layer(x)).relu()
        return self.last(x)


class Detached(Small):
    """Its first layer gets no gradient."""

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.bn1(self.conv1(images)).relu()
        return self.last(x)


def vit() -> Network:
    """A vision transformer: a convolution makes the tokens, then come two blocks of attention."""
    backbone = VisionTransformer(8, 4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16)
    backbone.heads = nn.Flatten(1)
    return network_on(backbone, 8)


def swin() -> Network:
    """Attention in windows. It uses the weights of its linear layers without calling these."""
    backbone = SwinTransformer([2, 2], 8, [2], [2], [2, 2], stochastic_depth_prob=0.0)
    backbone.head = nn.Flatten(1)
    return network_on(backbone, 8)


def convnext() -> Network:
    """Depthwise convolutions and linear layers, with layer normalisation."""
    backbone = ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], stochastic_depth_prob=0.0)
    backbone.classifier = nn.Flatten(1)
    for module in backbone.modules():
        if hasattr(module, "layer_scale"):
            # At first a block is worth a millionth.
            nn.init.ones_(module.layer_scale)
    return network_on(backbone, 16)


def perceptron() -> Network:
    return network_on(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 7), nn.ReLU()), 7)


def network_on(backbone: nn.Module, features: int = 5) -> Network:
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked = None
    return Network(backbone, features, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def learn_two(network: Network, spec: str, tasks: tuple[Task, ...]) -> None:
    method = configure(spec)
    scenario = learned_as("task", method)
    stream = in_columns(Stream("tiny", tasks[:2]), scenario)
    cell = Cell(network, method.make, 3, 0, CPU, scenario=scenario, widths=stream.widths)
    state, names = start(cell), [name for name, _, _ in network.tensors()]
    given = [tensor.detach().clone() for _, _, tensor in network.tensors()]
    for task in stream.tasks:
        state = learn(cell, state, task, Training(method.recipe, epochs=1, batch_size=20)).state
    for number, task in enumerate(stream.tasks, 1):
        answering = network_for(cell, state, number, len(task.classes))
        assert evaluate(answering, task.test, CPU) == evaluate(answering, task.test, CPU)
        assert all(tensor.isfinite().all() for tensor in state.tasks[number].values())
    after = [tensor for _, _, tensor in network.tensors()]
    assert all(torch.equal(a, b) for a, b in zip(given, after, strict=True)), names


@every_method
@pytest.mark.parametrize("backbone", [Spare, Shared])
def test_learns_whatever_the_forward_pass_uses(
    spec: str, backbone: type[nn.Module], tiny_tasks: tuple[Task, ...]
) -> None:
    torch.manual_seed(0)
    learn_two(network_on(backbone()), spec, tiny_tasks)


@pytest.mark.parametrize("spec", ["si", "agem", "hat", "ewc"])
def test_a_layer_that_gets_no_gradient_keeps_nothing_from_learning(spec: str, tiny_tasks: tuple[Task, ...]) -> None:
    torch.manual_seed(0)
    learn_two(network_on(Detached()), spec, tiny_tasks)


# These change or keep each weight of a convolution separately.
SINGLE_WEIGHTS = ("packnet", "hat", "supsup")


@every_method
@pytest.mark.parametrize("normalise", [parametrizations.spectral_norm, parametrizations.weight_norm])
def test_learns_with_parametrised_weights_or_says_why_not(
    spec: str, normalise: Callable[[nn.Module], nn.Module], tiny_tasks: tuple[Task, ...]
) -> None:
    torch.manual_seed(0)
    backbone = Small()
    normalise(backbone.conv1)
    if spec not in SINGLE_WEIGHTS:
        learn_two(network_on(backbone), spec, tiny_tasks)
        return
    with pytest.raises(UserError) as caught:
        start(Cell(network_on(backbone), configure(spec).make, 3, 0, CPU))
    assert str(caught.value) == (
        f"{spec} cannot be used on this backbone: it needs each single weight of a layer, and 'backbone.conv1' "
        "computes its weight from other tensors (torch.nn.utils.parametrize); leave the method out, or remove the "
        "parametrisation"
    )


def pruned(layer: nn.Module) -> nn.Module:
    return prune.l1_unstructured(layer, "weight", 0.5)


@pytest.mark.parametrize("hook", [nn.utils.spectral_norm, nn.utils.weight_norm, pruned])
def test_weights_that_hooks_compute_are_refused(hook: Callable[[nn.Module], nn.Module]) -> None:
    backbone = Small()
    hook(backbone.conv1)
    with pytest.raises(UserError, match=r"^--backbone: 'backbone.conv1' computes its weight in a hook"):
        start(Cell(network_on(backbone), configure("sgd").make, 3, 0, CPU))


@pytest.mark.parametrize("spec", ["clr", "linear-probe", "bn-only"])
def test_frozen_spectral_normalisation_stands_still(spec: str, tiny_tasks: tuple[Task, ...]) -> None:
    """In training mode it would change the weights, although nothing trains them."""
    torch.manual_seed(0)
    backbone = Small()
    parametrizations.spectral_norm(backbone.conv1)
    network = network_on(backbone)
    weight = network.eval().backbone.conv1.weight.detach().clone()
    method = configure(spec)
    cell = Cell(network, method.make, 3, 0, CPU)
    state = learn(cell, start(cell), tiny_tasks[0], Training(method.recipe, epochs=2, batch_size=8)).state
    assert torch.equal(network_for(cell, state, 1, 3).backbone.conv1.weight, weight)


# Transformers, and networks with layer normalisation. "avalanche" needs the name of a plugin.
MODERN = {make.__name__: make for make in (vit, swin, convnext, perceptron)}
EVERY = dict.fromkeys((*(name for name in methods.names() if name != "avalanche"), *MORE))
TOKENS = "it works on convolutions, and here they only make the tokens of a transformer"
NONE = "it works on convolutions, and there are none"
NORMALISED = "it works on convolutions that batch normalisation follows, and there are none"
REFUSED = {
    **{("confit", name): NORMALISED for name in MODERN},
    **{
        (spec, name): NONE if name == "perceptron" else TOKENS
        for spec in ("hat", "ccll", "eft", "bpn", "conv-lora", "residual-adapters", "residual-adapters:form=parallel")
        for name in ("vit", "swin", "perceptron")
    },
    ("residual-adapters:form=parallel", "convnext"): (
        "form=parallel works on convolutions wider than 1x1 and not grouped, with padding that keeps the size, and "
        "there are none"
    ),
}
CHANGES = [spec for spec in EVERY if configure(spec).cls.adapt is not Method.adapt]
# They work on these networks, whatever else is registered.
RUN = (
    *("sgd", "sgd-ll", "linear-probe", "ewc", "online-ewc", "si", "lwf", "er", "er-ace", "derpp", "agem", "joint"),
    *("single-task", "gdumb", "icarl", "wa", "bic", "ncm", "slda", "ranpac", "packnet", "piggyback", "supsup", "psp"),
    *("reprogram", "avalanche:MASPlugin", "avalanche:LwFPlugin"),
)


@pytest.mark.parametrize("name", MODERN)
@pytest.mark.parametrize("spec", EVERY)
def test_learns_with_linear_layers_or_says_why_not(spec: str, name: str, tiny_tasks: tuple[Task, ...]) -> None:
    torch.manual_seed(0)
    network = MODERN[name]()
    try:
        start(Cell(network, configure(spec).make, 3, 0, CPU))
    except UserError as error:
        said = str(error)
        assert said.startswith(f"{spec.partition(':')[0]} cannot be used on this backbone: ")
        assert "\n" not in said
        assert spec not in RUN
        assert REFUSED.get((spec, name), said.partition(": ")[2].rpartition("; ")[0]) in said
    else:
        assert (spec, name) not in REFUSED
        learn_two(network, spec, tiny_tasks)


@pytest.mark.parametrize("name", MODERN)
@pytest.mark.parametrize("spec", CHANGES)
def test_a_method_that_changes_the_network_changes_it_or_says_why_not(spec: str, name: str) -> None:
    """Otherwise it would be a linear probe, or `sgd`, under another name."""
    network = MODERN[name]()
    given = {tensor for tensor, _, _ in network.tensors()}
    with suppress(UserError):
        bench = prepare(Cell(network, configure(spec).make, 3, 0, CPU), 1)
        added = {tensor for tensor, _, _ in bench.network.tensors()} > given
        # Some train tensors of the backbone.
        assert added or _weights(bench.network) > 0 or "task" in bench.parts.values()


def _weights(network: Network) -> int:
    """Weights that are computed from others."""
    return sum(isinstance(module, ParametrizationList) for module in network.modules())


@pytest.mark.parametrize("name", MODERN)
@pytest.mark.parametrize("spec", ["packnet", "supsup", "piggyback", "single-task", "linear-probe"])
def test_transformers_forget_nothing_either(spec: str, name: str, tiny_tasks: tuple[Task, ...]) -> None:
    torch.manual_seed(0)
    method = configure(spec)
    cell, images = Cell(MODERN[name](), method.make, 3, 0, CPU), tiny_tasks[0].test.images
    state, answers = start(cell), []
    for task in tiny_tasks[:2]:
        state = learn(cell, state, task, Training(method.recipe, epochs=3, batch_size=8)).state
        with torch.no_grad():
            answers.append(network_for(cell, state, 1, 3)(images))
    assert torch.equal(*answers)
