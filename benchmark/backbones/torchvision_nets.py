"""Any of torchvision's classifiers, whole or cut, without its classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError

import torchvision.models
from torch import Tensor, nn
from torchvision.models.vision_transformer import Encoder

from benchmark.backbones.base import Backbone, fill, read_weights
from benchmark.backbones.tensor_names import with_todays_names
from methods.errors import UserError

# The names of these networks' classifiers, also the auxiliary ones.
_CLASSIFIERS = ("fc", "classifier", "heads", "head", "AuxLogits", "aux1", "aux2")

# What is between the last features and the classifier, and stays if the network is cut.
_POOLING = ("permute", "avgpool", "flatten")

# Modules that call their children one after the other.
_CHAINS = (nn.Sequential, nn.ModuleList, Encoder)


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
        network = self._whole()
        for classifier in _CLASSIFIERS:
            if hasattr(network, classifier):
                setattr(network, classifier, nn.Flatten(1))
        if isinstance(getattr(network, "avgpool", None), nn.AdaptiveAvgPool2d):
            network.avgpool = nn.AdaptiveAvgPool2d(1)
        if self.architecture.startswith(("squeezenet", "maxvit")):
            # Their forward pass pools nowhere else.
            network.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self._left_out = tuple(f"{module}." for module in (*_CLASSIFIERS, *self._cut(network)))
        return network

    def _whole(self) -> nn.Module:
        """torchvision's network with its classifier, and without weights."""
        name = self.architecture
        auxiliary = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
        return torchvision.models.get_model(name, weights=None, **auxiliary)

    def _cut(self, network: nn.Module) -> list[str]:
        """Replace all modules after `until` by the identity; returns the names of those that were left out."""
        left_out: list[str] = []
        module, path = network, ""
        for component in self.until.split(".") if self.until else []:
            if not (module is network or isinstance(module, _CHAINS)):
                raise UserError(f"--backbone: {self.name} cannot be cut inside {path[:-1]}; it can be cut after it")
            children = list(dict(module.named_children()))
            if component not in children:
                raise UserError(
                    f"--backbone: {self.name} has no module '{self.until}' to cut at; "
                    f"{f'inside {path[:-1]} ' if path else ''}it can be cut after {', '.join(children)}"
                )
            for name in children[children.index(component) + 1 :]:
                if name not in (*_POOLING, *_CLASSIFIERS):
                    rest = module.get_submodule(name)
                    # MaxViT's forward pass goes over such a list.
                    module.add_module(name, nn.ModuleList() if isinstance(rest, nn.ModuleList) else nn.Identity())
                    left_out.append(path + name)
            module, path = module.get_submodule(component), f"{path}{component}."
        return left_out

    def load(self, modules: nn.Module) -> None:
        if self.weights == "random":
            return
        if self._is_file:
            source, weights = self.weights, with_todays_names(read_weights(self.weights))
        else:
            source, weights = f"{self.name}:weights={self.weights}", self._published()
        fill(modules, self._fitted(weights, modules, source), self._left_out, source, self.warn)

    def _fitted(self, weights: dict[str, Tensor], modules: nn.Module, source: str) -> dict[str, Tensor]:
        """The weights as this network needs them.

        Args:
            source: where they come from, for messages.
        """
        return weights

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
            return with_todays_names(self._chosen().get_state_dict(progress=False, check_hash=True))
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
