"""Files of weights: what fits, and what is wrong with what does not."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from benchmark.backbones.base import Backbone, fill, fingerprint, read_weights
from methods.errors import UserError


class Small(nn.Sequential):
    def __init__(self) -> None:
        super().__init__()
        self.add_module("conv", nn.Conv2d(3, 4, 3))
        self.add_module("bn", nn.BatchNorm2d(4))
        self.add_module("pool", nn.AdaptiveAvgPool2d(1))
        self.add_module("flat", nn.Flatten())


class SmallBackbone(Backbone):
    name = "small"
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def __init__(self, weights: str = "random"):
        self.weights = weights

    def modules(self) -> nn.Module:
        return Small()

    def load(self, modules: nn.Module) -> None:
        fill(modules, read_weights(self.weights), ("fc.",), self.weights, self.warn)


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    state = Small().state_dict()
    return {name: torch.randn_like(tensor) if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def refusal(call, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_holds(modules: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    state = modules.state_dict()
    for name in ("conv.weight", "conv.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"):
        assert torch.equal(state[name], weights[name].float()), name


def test_random_weights_do_not_depend_on_a_seed():
    networks = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        networks.append(SmallBackbone().network(weights=False).backbone)
    first, second = networks
    assert_holds(first, second.state_dict())
    assert first[0].weight.count_nonzero() > 0


def test_weights_that_fit_are_copied(weights):
    modules = Small()
    fill(modules, weights, (), "w")
    assert_holds(modules, weights)


def test_weights_of_another_precision_are_converted(weights):
    modules = Small()
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    fill(modules, halves, (), "w")
    assert_holds(modules, halves)
    assert modules.conv.weight.dtype == torch.float32


def test_the_classifier_need_not_fit(weights):
    modules = Small()
    fill(modules, weights | {"fc.weight": torch.zeros(17, 4), "fc.bias": torch.zeros(17)}, ("fc.",), "w")
    assert_holds(modules, weights)


def test_batch_counters_need_not_be_there(weights):
    modules = Small()
    del weights["bn.num_batches_tracked"]
    fill(modules, weights, (), "w")
    assert_holds(modules, weights)


def test_what_does_not_fit_is_named(weights):
    lacking = {name: tensor for name, tensor in weights.items() if name != "bn.bias"}
    expected = "--backbone: w does not fit: it lacks 'bn.bias', which the network has"
    assert refusal(fill, Small(), lacking, (), "w") == expected
    expected = "--backbone: w does not fit: the network has no 'fc.weight'"
    assert refusal(fill, Small(), weights | {"fc.weight": torch.zeros(2, 4)}, ("classifier.",), "w") == expected
    expected = "--backbone: w does not fit: 'conv.weight' has shape [5, 3, 3, 3], the network needs [4, 3, 3, 3]"
    assert refusal(fill, Small(), weights | {"conv.weight": torch.zeros(5, 3, 3, 3)}, (), "w") == expected


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.safetensors"])
def test_weights_are_read_from_a_file(tmp_path, weights, name):
    path = tmp_path / name
    (safetensors.torch.save_file if name.endswith("safetensors") else torch.save)(weights, path)
    network = SmallBackbone(str(path)).network()
    assert_holds(network.backbone, weights)
    assert network.feature_dim == 4


@pytest.mark.parametrize("wrap", [lambda w: {"state_dict": w, "epoch": 3}, lambda w: {"model": w}])
def test_a_checkpoint_that_holds_more_is_unwrapped(tmp_path, weights, wrap):
    torch.save(wrap({f"module.{name}": tensor for name, tensor in weights.items()}), tmp_path / "w.pth")
    read = read_weights(str(tmp_path / "w.pth"))
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in weights.items())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("w.pth", b""),
        ("w.pth", b"not weights"),
        ("w.pth", b"PK\x03\x04 not a zip either"),
        ("w.safetensors", b""),
        ("w.safetensors", b"not weights"),
        ("w.safetensors", (2**40).to_bytes(8, "little") + b"{}"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    says = f"--backbone: {path} cannot be read as a file of weights: "
    message = refusal(read_weights, str(path))
    assert message.startswith(says)
    assert len(message) > len(says), "the reason follows"
    assert len(message) < len(says) + 150
    assert "torch.load" not in message, "its advice is to run the code in the file"


def test_two_tensors_of_one_name_are_refused(tmp_path):
    """Of nn.DataParallel's names, and without: one of the two would be used without a word."""
    path = tmp_path / "w.pth"
    torch.save({"a.weight": torch.zeros(3), "module.a.weight": torch.ones(3)}, path)
    says = f"--backbone: {path} holds 'a.weight' and 'module.a.weight', which are the same; keep one"
    assert refusal(read_weights, str(path)) == says


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"state_dict": {"a": "b"}}, torch.zeros(3)])
def test_a_file_without_named_tensors_is_refused(tmp_path, content):
    path = tmp_path / "w.pth"
    torch.save(content, path)
    assert refusal(read_weights, str(path)) == f"--backbone: {path} holds no state dict (tensor names -> tensors)"


@pytest.mark.parametrize("name", ["missing.pth", "folder.pth"])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    (tmp_path / "folder.pth").mkdir()
    path = tmp_path / name
    assert refusal(read_weights, str(path)) == f"--backbone: there is no weights file {path}"


def test_a_backbone_need_not_say_how_it_was_pretrained():
    assert SmallBackbone().pretraining == "not stated"


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"state_dict": w}])
def test_keys_that_are_no_text_are_refused(tmp_path, wrap):
    path = tmp_path / "int-keys.pth"
    torch.save(wrap({0: torch.zeros(2), 1: torch.zeros(3)}), path)
    assert refusal(read_weights, str(path)) == (
        f"--backbone: {path} holds a tensor under 0, which is no name; save what the network's state_dict() gives"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: w.to(torch.complex64), "w does not fit: 'conv.weight' is complex64, the network needs floating"),
        (lambda w: w.to(torch.int8), "w does not fit: 'conv.weight' is int8, the network needs floating-point numbers"),
        (lambda w: w > 0, "w does not fit: 'conv.weight' is bool, the network needs floating-point numbers"),
        (lambda w: w.to_sparse(), "w does not fit: 'conv.weight' is sparse"),
        (lambda w: w.to("meta"), "w does not fit: 'conv.weight' holds no values"),
        (lambda w: w * float("nan"), "w: 'conv.weight' holds NaN, infinity, or more than float32 can hold"),
        (lambda w: w / 0, "w: 'conv.weight' holds NaN, infinity, or more than float32 can hold"),
        (lambda w: w.double() * 1e300, "w: 'conv.weight' holds NaN, infinity, or more than float32 can hold"),
    ],
)
def test_what_is_no_finite_real_number_is_refused(weights, change, says):
    changed = weights | {"conv.weight": change(weights["conv.weight"])}
    assert refusal(fill, Small(), changed, (), "w").startswith(f"--backbone: {says}")


def test_rounding_double_precision_is_told(tmp_path, weights):
    doubled = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    path, heard = tmp_path / "w.safetensors", []
    safetensors.torch.save_file(doubled, path)
    network = SmallBackbone(str(path)).network(warn=heard.append)
    assert heard == [f"--backbone: the float64 weights of {path} are rounded to float32"]
    assert_holds(network.backbone, weights)
    safetensors.torch.save_file({name: tensor.half() for name, tensor in doubled.items()}, path)
    SmallBackbone(str(path)).network(warn=heard.append)
    assert len(heard) == 1, "single precision holds them exactly"


class Given(SmallBackbone):
    """A network that is made elsewhere."""

    def __init__(self, modules: nn.Module):
        super().__init__()
        self.given = modules

    def modules(self) -> nn.Module:
        return self.given

    def load(self, modules: nn.Module) -> None: ...


def test_a_network_is_computed_in_single_precision():
    heard = []
    network = Given(Small().double()).network(warn=heard.append)
    assert heard == ["--backbone: small has weights in float64, here they are float32"]
    assert {tensor.dtype for _, _, tensor in network.tensors()} == {torch.float32}


def test_a_network_that_cannot_be_trained_is_refused():
    broken = Small()
    nn.init.constant_(broken.bn.bias, float("inf"))
    assert refusal(Given(broken).network).startswith("--backbone: small: 'bn.bias' holds NaN, infinity")
    assert refusal(Given(Small().to(torch.complex64)).network) == (
        "--backbone: small: 'conv.weight' is complex64; only floating-point weights can be trained"
    )
    lazy = Small()
    lazy.late = nn.LazyLinear(3)
    assert refusal(Given(lazy).network) == (
        "--backbone: small: 'late.weight' has no shape yet; use a layer that is not lazy"
    )
    hooked = Small()
    nn.utils.weight_norm(hooked.conv)
    assert refusal(Given(hooked).network).startswith(
        "--backbone: 'conv' computes its weight in a hook (WeightNorm), which no method can train; use torch.nn"
    )


class Strided(Small):
    def __init__(self) -> None:
        super().__init__()
        self.side = nn.Parameter(torch.ones(4, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) + nn.functional.conv2d(images, self.side, stride=2).mean((2, 3))


def test_a_convolution_that_torch_takes_wrong_is_told():
    heard = []
    Given(Strided()).network(warn=heard.append)
    (text,) = heard
    assert text.startswith("--backbone: small has a 1x1 convolution of stride 2 over 3 channels that is no nn.Conv2d")


class Malicious:
    """Creates a file when it is unpickled without care."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def save_pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("save", [torch.save, save_pickle])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, weights, save):
    marker = tmp_path / "was run"
    save({"conv.weight": Malicious(marker)}, tmp_path / "w.pth")
    assert "cannot be read as a file of weights" in refusal(read_weights, str(tmp_path / "w.pth"))
    assert not marker.exists()
    Malicious(marker).__reduce__()[0](marker)
    assert marker.exists(), "it would have been seen"


def test_a_network_is_the_same_every_time_and_leaves_out_the_batch_counters():
    first, second = (SmallBackbone().network(weights=False) for _ in range(2))
    assert fingerprint(first) == fingerprint(second)
    assert [name for name, _, _ in first.tensors()] == [
        *("backbone.conv.weight", "backbone.conv.bias"),
        *(f"backbone.bn.{name}" for name in ("weight", "bias", "running_mean", "running_var")),
    ]


@pytest.mark.parametrize("name", ["backbone.conv.weight", "backbone.bn.running_var"])
def test_the_fingerprint_changes_with_every_tensor(name):
    network = SmallBackbone().network(weights=False)
    before = fingerprint(network)
    tensor = {n: t for n, _, t in network.tensors()}[name]
    with torch.no_grad():
        tensor.view(-1)[-1] += 1e-3
    assert fingerprint(network) != before


def test_the_fingerprint_changes_with_the_normalisation():
    class Other(SmallBackbone):
        std = (0.5, 0.5, 0.6)

    assert fingerprint(Other().network(weights=False)) != fingerprint(SmallBackbone().network(weights=False))
