"""The network that learns: a backbone, a head per task, and every tensor reachable by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from methods.heads import Classifier, Heads, is_head


class Network(nn.Module):
    """A backbone with classification heads of exactly each task's width, or with one head for the classes of all tasks.

    Args:
        backbone: normalised images [N, C, S, S] -> features [N, D].
        feature_dim: D.
        mean, std: per-channel normalisation of images scaled to 0..1: C numbers each.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, backbone: nn.Module, feature_dim: int, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.backbone = backbone
        self.feature_dim = feature_dim
        self.heads: Classifier = Heads(feature_dim)
        # Combined so that one multiplication and one addition normalise uint8 pixels.
        scale = 1 / (255 * torch.tensor(std, device="cpu"))
        shift = -torch.tensor(mean, device="cpu") / torch.tensor(std, device="cpu")
        self.register_buffer("scale", scale.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", shift.view(1, -1, 1, 1), persistent=False)
        #: How many answers each image gets, from as many feature vectors of length D side by side. Of each class the
        #: largest probability counts: the logits are then its logarithms.
        self.answers = 1
        #: Whether a weight that is computed from other tensors is another one in each pass of an image: then it cannot
        #: be computed once for all images.
        self.weights_vary = False
        #: The head that answers, and how many of its units.
        self.head_key = ""
        self.classes = 0
        #: Names of the backbone's tensors that are frozen, whatever a method says.
        self.frozen: frozenset[str] = frozenset()
        #: Images that have passed through the backbone so far; three times those whose gradients are wanted.
        self.passed = 0
        self._still: list[nn.Module] = []
        self._compiled: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the backbone, which does nearly all the work; copies that are made later, as a teacher, are too.

        Args:
            args, kwargs: of torch.compile.
        """
        self._compiled = args, kwargs
        self.backbone.compile(*args, **kwargs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # torch does not compile the copy of a compiled module.
        if self._compiled is not None:
            args, kwargs = self._compiled
            self.compile(*args, **kwargs)

    @property
    def channels(self) -> int:
        """C, the channels of the images: 3 colours, or 1 for grey."""
        return self.scale.numel()

    def features(self, images: Tensor) -> Tensor:
        """uint8 images [N, C, S, S] -> features [N, D], or [N, answers * D]."""
        self.passed += len(images) * (3 if torch.is_grad_enabled() else 1)
        return self.backbone(self.normalised(images))

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 images [N, C, S, S] -> what the backbone takes, of the same shape."""
        return torch.addcmul(self.shift, images.to(self.scale.dtype), self.scale)

    def forward(self, images: Tensor) -> Tensor:
        """uint8 images [N, C, S, S] -> logits [N, classes of the current task]."""
        return self.answer(self.features(images))

    def answer(self, features: Tensor, whole: bool = False) -> Tensor:
        """Features [N, D], or [N, answers * D] -> logits [N, classes of the current task].

        Args:
            whole: also the units before `heads.closed` answer.
        """
        head = self.heads.whole if whole else self.heads
        if self.answers > 1:
            features = features.unflatten(1, (self.answers, -1))
        logits = head(features, self.head_key)
        if self.classes and logits.shape[-1] != self.classes:
            logits = logits[..., : self.classes]
        return logits if self.answers == 1 else logits.log_softmax(-1).amax(1)

    def use_head(self, key: str, classes: int) -> None:
        """Let the network answer with the first `classes` units of head `key`, or with all of them if that is 0."""
        self.head_key, self.classes = key, classes

    def train(self, mode: bool = True) -> Network:
        """Train or evaluation mode; batch normalisation with frozen statistics always stays in evaluation mode."""
        super().train(mode)
        for module in self._still:
            module.training = False
        return self

    def tensors(self) -> Iterator[tuple[str, nn.Module, Tensor]]:
        """(name, owner module, tensor) of each parameter and stored buffer of the backbone."""
        for prefix, module in self.backbone.named_modules(prefix="backbone"):
            own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            for name, tensor in own:
                if name not in module._non_persistent_buffers_set:
                    yield f"{prefix}.{name}", module, tensor

    @torch.no_grad()
    def place(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy values into the live tensors of the same names; heads that the network does not have are left out.

        Raises:
            KeyError: a name is not in the network.
        """
        live = {name: tensor for name, _, tensor in self.tensors()}
        for name, value in tensors.items():
            if not is_head(name):
                live[name].copy_(value)
        self.heads.place(tensors)
