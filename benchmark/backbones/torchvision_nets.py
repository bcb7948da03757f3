"""Any of torchvision's convolutional networks, whole or cut, without its classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError

import torchvision.models
from torch import Tensor, nn

from benchmark.backbones.base import Backbone, fill, read_weights
from methods.errors import UserError

# The names of these networks' classifiers, also the auxiliary ones.
_CLASSIFIERS = ("fc", "classifier", "AuxLogits", "aux1", "aux2")


class TorchvisionBackbone(Backbone):
    """A network of torchvision.

    Args:
        until: the last module to keep, as `layer3` or `features.10`; empty for the whole network. Later modules are
            left out; features are pooled over all positions.
        weights: "random", a name of torchvision's weights for this network (IMAGENET1K_V1, DEFAULT), or a .safetensors
            or .pth file. From a detector or segmenter the backbone is taken.
    """

    #: torchvision's name of the network.
    architecture: ClassVar[str]
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(self, until: str = "", weights: str = "random"):
        self.until = until
        self.weights = weights
        self._left_out: tuple[str, ...] = ()

    @property
    def pretraining(self) -> str:
        if self._is_file:
            return Path(self.weights).name
        return "none" if self.weights == "random" else f"ImageNet-1k ({self._chosen().name})"

    @property
    def _is_file(self) -> bool:
        return self.weights.endswith((".safetensors", ".pth", ".pt", ".tar"))

    def modules(self) -> nn.Module:
        name = self.architecture
        auxiliary = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
        network = torchvision.models.get_model(name, weights=None, **auxiliary)
        for classifier in _CLASSIFIERS:
            if hasattr(network, classifier):
                setattr(network, classifier, nn.Flatten(1))
        if isinstance(getattr(network, "avgpool", None), nn.AdaptiveAvgPool2d):
            network.avgpool = nn.AdaptiveAvgPool2d(1)
        if name.startswith("squeezenet"):
            network.classifier = nn.AdaptiveAvgPool2d(1)  # its forward pass pools nowhere else
        self._left_out = tuple(f"{module}." for module in (*_CLASSIFIERS, *self._cut(network)))
        return network

    def _cut(self, network: nn.Module) -> list[str]:
        """Replace all modules after `until` by the identity; returns the names of those that were left out."""
        left_out: list[str] = []
        module, path = network, ""
        for component in self.until.split(".") if self.until else []:
            if not (module is network or isinstance(module, nn.Sequential)):
                raise UserError(f"--backbone: {self.name} cannot be cut inside {path[:-1]}; it can be cut after it")
            children = list(dict(module.named_children()))
            if component not in children:
                raise UserError(
                    f"--backbone: {self.name} has no module '{self.until}' to cut at; "
                    f"{f'inside {path[:-1]} ' if path else ''}it can be cut after {', '.join(children)}"
                )
            for name in children[children.index(component) + 1 :]:
                if name not in ("avgpool", *_CLASSIFIERS):
                    module.add_module(name, nn.Identity())
                    left_out.append(path + name)
            module, path = module.get_submodule(component), f"{path}{component}."
        return left_out

    def load(self, modules: nn.Module) -> None:
        if self.weights == "random":
            return
        if self._is_file:
            fill(modules, read_weights(self.weights), self._left_out, self.weights, self.warn)
        else:
            fill(modules, self._published(), self._left_out, f"{self.name}:weights={self.weights}", self.warn)

    def _chosen(self) -> Any:
        """torchvision's weights of that name."""
        known: Any = torchvision.models.get_model_weights(self.architecture)
        if self.weights not in known.__members__:
            raise UserError(
                f"--backbone: {self.name} has no weights '{self.weights}': known are random, "
                f"{', '.join(known.__members__)}, or a .safetensors or .pth file"
            )
        return known[self.weights]

    def _published(self) -> dict[str, Tensor]:
        try:
            return self._chosen().get_state_dict(progress=False, check_hash=True)
        except (URLError, OSError, RuntimeError) as error:
            raise UserError(
                f"--backbone: the weights {self.weights} of {self.name} could not be downloaded ({error}); "
                f"give a local file with {self.name}:weights=FILE"
            ) from error


def __getattr__(name: str) -> type[TorchvisionBackbone]:
    """The class of the network `name`: the registry's lazy entries end here."""
    if name in torchvision.models.list_models(module=torchvision.models):
        return type(name, (TorchvisionBackbone,), {"__doc__": TorchvisionBackbone.__doc__, "architecture": name})
    raise AttributeError(name)
