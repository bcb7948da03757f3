"""The interface of backbones, and how weights are loaded into them."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from benchmark.backbones.parametrised import refuse_hooked_weights
from benchmark.backbones.strided import RiskyConvolutions, subsample_first
from methods.errors import UserError, first_line
from methods.method import BatchNorm
from methods.network import Network
from methods.paths import given_path

# Height and width of an image that every network takes, unless it takes only its own size.
_PROBED = 224


class Backbone(ABC):
    """A pretrained network without its classifier. The constructor's signature is its specification's options."""

    name: ClassVar[str]
    #: The per-channel normalisation that the weights expect, for pixels scaled to 0..1: three numbers, or one if the
    #: images are grey.
    mean: tuple[float, ...]
    std: tuple[float, ...]
    #: The only height and width of images that it takes, in pixels; None if it takes any that are not too small.
    image_size: int | None = None
    #: The height and width that its images usually have, where nobody says which.
    usual_image_size: ClassVar[int] = 224
    #: Beginnings of the names of tensors that no method changes.
    frozen: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name

    @property
    def pretraining(self) -> str:
        """How the weights were pretrained, in a word or two, for tables."""
        return "not stated"

    @abstractmethod
    def modules(self) -> nn.Module:
        """The network without weights: normalised images [N, C, S, S] -> features [N, D]."""

    @abstractmethod
    def load(self, modules: nn.Module) -> None:
        """Load the weights into `modules`.

        Raises:
            UserError: they are missing or do not fit; the message names the file or the first mismatching key.
        """

    #: `load` calls it with one line of text for the user; `network` sets it.
    warn: Callable[[str], None] = staticmethod(lambda text: None)

    def network(self, weights: bool = True, warn: Callable[[str], None] | None = None) -> Network:
        """The backbone, ready to be adapted by a method.

        Args:
            weights: False keeps the initial weights.
            warn: called with a line of text for the user.

        Raises:
            UserError: the weights are missing or do not fit, or nothing can be trained with them.
        """
        torch.manual_seed(0)
        if warn:
            self.warn = warn
        modules = self.modules()
        if weights:
            self.load(modules)
        refuse_hooked_weights(modules)
        self._check_numbers(modules)
        for module in modules.modules():
            if isinstance(module, BatchNorm):
                # Only a momentum of None reads it; without it, every stored tensor matters.
                module.num_batches_tracked = None
        features, risky = self._probe(modules)
        for stride, channels in risky[:1]:
            self.warn(
                f"--backbone: {self.label} has a 1x1 convolution of stride {stride} over {channels} channels that is "
                "no nn.Conv2d: on some processors, torch's gradient of it is wrong or ends the process"
            )
        network = Network(modules, features, self.mean, self.std)
        frozen = tuple(f"backbone.{name}" for name in self.frozen)
        network.frozen = frozenset(name for name, _, _ in network.tensors() if name.startswith(frozen))
        return network

    def _check_numbers(self, modules: nn.Module) -> None:
        """Refuse parameters that are not finite real numbers, and convert the others to single precision."""
        _refuse_unusable(dict(modules.named_parameters()), self.label)
        others = {str(p.dtype).removeprefix("torch.") for p in modules.parameters() if p.dtype != torch.float32}
        if others:
            self.warn(f"--backbone: {self.label} has weights in {' and '.join(sorted(others))}, here they are float32")
            modules.float()

    def _probe(self, modules: nn.Module) -> tuple[int, list[tuple[int, int]]]:
        """The length of the features, and the risky convolutions that `subsample_first` cannot mend."""
        probe, size = copy.deepcopy(modules).to("meta").eval(), self.image_size or _PROBED
        subsample_first(probe)
        try:
            with RiskyConvolutions() as watch:
                features = probe(torch.empty(1, len(self.mean), size, size, device="meta"))
        except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise UserError(
                f"--backbone: {self.label} does not run on images of {size}x{size}: {first_line(error)}"
            ) from error
        return int(features.shape[1]), watch.found


def fingerprint(network: Network) -> str:
    """SHA-256 of a backbone's tensors and normalisation: how a state refers to its frozen part."""
    digest = hashlib.sha256(network.get_buffer("scale").numpy().tobytes())
    digest.update(network.get_buffer("shift").numpy().tobytes())
    for name, _, tensor in network.tensors():
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_weights(path: str, words: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a .pth, .pt or .pth.tar file; pickled code is never run.

    From a detector or segmenter, such as those trained on Pascal VOC, only the backbone's are returned.

    Args:
        path: of the file.
        words: what may be given instead of a file, for the message where the path does not look like a file.

    Raises:
        UserError: the file does not exist, or it holds something else.
    """
    file = given_path("--backbone", path)
    if not file.is_file():
        instead = f"; without a file weights= is {' or '.join(words)}" if words and not file.suffix else ""
        raise UserError(f"--backbone: there is no weights file {path}{instead}")
    try:
        if file.suffix == ".safetensors":
            return safetensors.torch.load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever is wrong with the file, the user needs its name
        raise UserError(f"--backbone: {path} cannot be read as a file of weights: {_reason(error)}") from error
    for key in ("state_dict", "state", "model", "teacher"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"--backbone: {path} holds no state dict (tensor names -> tensors)")
    for name in content:
        if not isinstance(name, str):
            raise UserError(
                f"--backbone: {path} holds a tensor under {name!r}, which is no name; save what the "
                "network's state_dict() gives"
            )
    named = {name.removeprefix("module."): tensor for name, tensor in content.items()}
    for name in named:
        if name in content and f"module.{name}" in content:
            raise UserError(f"--backbone: {path} holds '{name}' and 'module.{name}', which are the same; keep one")
    return _backbone_alone(named)


def _reason(error: Exception) -> str:
    """Why a file of weights cannot be read."""
    if isinstance(error, OSError | safetensors.SafetensorError):
        return first_line(error)
    # Because torch explains how to run the code in the file, which is dangerous, or says nothing helpful.
    return "it is damaged, or holds more than tensors; save what the network's state_dict() gives"


def _backbone_alone(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A detector's or segmenter's backbone, named as in a classifier; all weights of any other network."""
    # Detectors have a feature pyramid beside the body.
    for prefix in ("backbone.body.", "backbone."):
        found = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
        if found:
            return found
    return weights


@torch.no_grad()
def fill(
    modules: nn.Module,
    weights: Mapping[str, Tensor],
    ignored: tuple[str, ...],
    source: str,
    warn: Callable[[str], None] = lambda text: None,
) -> None:
    """Copy `weights` into `modules`, converted to the modules' types.

    Args:
        weights: name -> tensor.
        ignored: prefixes of names that need not fit: of the classifier, and of the layers that were cut off.
        source: where the weights come from, for messages.
        warn: called with a line of text if numbers lose digits.

    Raises:
        UserError: a tensor is missing, not needed, or has another shape or kind of number; the message names the first.
    """
    wanted = {name: tensor for name, tensor in modules.state_dict().items() if not name.endswith("num_batches_tracked")}
    for name, tensor in wanted.items():
        if name not in weights:
            raise UserError(f"--backbone: {source} does not fit: it lacks '{name}', which the network has")
        if weights[name].shape != tensor.shape:
            shapes = f"{list(weights[name].shape)}, the network needs {list(tensor.shape)}"
            raise UserError(f"--backbone: {source} does not fit: '{name}' has shape {shapes}")
        _refuse_another_kind(name, weights[name], tensor, source)
    _refuse_unusable({name: weights[name] for name in wanted}, source)
    if any(weights[name].dtype == torch.float64 != tensor.dtype for name, tensor in wanted.items()):
        warn(f"--backbone: the float64 weights of {source} are rounded to float32")
    for name, tensor in wanted.items():
        tensor.copy_(weights[name])
    for name in weights:
        if name not in wanted and not name.endswith("num_batches_tracked") and not name.startswith(ignored):
            raise UserError(f"--backbone: {source} does not fit: the network has no '{name}'")


def _refuse_another_kind(name: str, given: Tensor, wanted: Tensor, source: str) -> None:
    """Check that a file's numbers are of the network's kind; their precision may differ.

    Raises:
        UserError: they are of another kind, or have no values.
    """
    kind = str(given.dtype).removeprefix("torch.")
    if given.is_complex() or given.is_floating_point() != wanted.is_floating_point() or given.is_quantized:
        needed = "floating-point numbers" if wanted.is_floating_point() else "whole numbers"
        raise UserError(f"--backbone: {source} does not fit: '{name}' is {kind}, the network needs {needed}")
    if given.is_meta or given.layout != torch.strided:
        form = "holds no values" if given.is_meta else "is sparse"
        raise UserError(f"--backbone: {source} does not fit: '{name}' {form}; save it as an ordinary tensor")


def _refuse_unusable(tensors: Mapping[str, Tensor], source: str) -> None:
    """Check that weights are finite real numbers.

    Raises:
        UserError: one is not; the message names it.
    """
    for name, tensor in tensors.items():
        if nn.parameter.is_lazy(tensor):
            raise UserError(f"--backbone: {source}: '{name}' has no shape yet; use a layer that is not lazy")
        if tensor.is_complex() or not (tensor.is_floating_point() or not isinstance(tensor, nn.Parameter)):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UserError(f"--backbone: {source}: '{name}' is {kind}; only floating-point weights can be trained")
        if tensor.is_floating_point() and not tensor.is_meta and not tensor.float().isfinite().all():
            raise UserError(f"--backbone: {source}: '{name}' holds NaN, infinity, or more than float32 can hold")
