"""The network that learns: a backbone, a head per task, and every tensor reachable by name."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import torch
from torch import Tensor, nn

from methods.errors import UserError
from methods.method import BatchNorm, Method, Part

_HEADS = "heads."


class Network(nn.Module):
    """A backbone with classification heads of exactly each task's width.

    Args:
        backbone: normalised images [N, 3, S, S] -> features [N, D].
        feature_dim: D.
        mean, std: per-channel normalisation of images scaled to 0..1.
    """

    def __init__(self, backbone: nn.Module, feature_dim: int, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict()
        self.feature_dim = feature_dim
        # Folded so that uint8 pixels are normalised by one multiplication and one addition.
        scale = 1 / (255 * torch.tensor(std, device="cpu"))
        shift = -torch.tensor(mean, device="cpu") / torch.tensor(std, device="cpu")
        self.register_buffer("scale", scale.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", shift.view(1, 3, 1, 1), persistent=False)
        self.head_key = ""
        self.classes = 0
        self._still_norms: list[nn.Module] = []

    def features(self, images: Tensor) -> Tensor:
        """uint8 images [N, 3, S, S] -> features [N, D]."""
        scale, shift = self.get_buffer("scale"), self.get_buffer("shift")
        return self.backbone(torch.addcmul(shift, images.to(scale.dtype), scale))

    def forward(self, images: Tensor) -> Tensor:
        """uint8 images [N, 3, S, S] -> logits [N, classes of the current task]."""
        return self.heads[self.head_key](self.features(images))[:, : self.classes]

    def add_head(self, key: str, classes: int) -> None:
        """Add a linear head under `key`, initialised from torch's global random state."""
        # Made on the CPU, so that the initial values do not depend on the device.
        self.heads[key] = nn.Linear(self.feature_dim, classes).to(self.get_buffer("scale"))

    def use_head(self, key: str, classes: int) -> None:
        """Let `forward` answer with the first `classes` units of head `key`."""
        self.head_key, self.classes = key, classes

    def own_head_logits(self, features: Tensor, tasks: Tensor) -> tuple[Tensor, Tensor]:
        """Each sample's logits from the head of its own task, for a batch of mixed tasks.

        One matrix product over all heads side by side, so that neither the number of tasks nor which of them are
        present costs a synchronisation; what is not the sample's own head is -inf and gets no gradient.

        Args:
            features: [B, D].
            tasks: int64 [B], task numbers from 1.

        Returns:
            logits [B, sum of classes], and the column [B] at which each sample's own head begins.
        """
        heads = [self.heads[str(number)] for number in range(1, len(self.heads) + 1)]
        weight = torch.cat([head.get_parameter("weight") for head in heads])
        bias = torch.cat([head.get_parameter("bias") for head in heads])
        widths = torch.tensor([head.get_parameter("bias").numel() for head in heads])
        owner = torch.repeat_interleave(torch.arange(1, len(heads) + 1), widths).to(features.device)
        begins = (widths.cumsum(0) - widths).to(features.device)
        logits = nn.functional.linear(features, weight, bias)
        return logits.masked_fill(tasks[:, None] != owner, float("-inf")), begins[tasks - 1]

    def train(self, mode: bool = True) -> Network:
        """Train or evaluation mode; batch normalisation whose statistics are frozen always evaluates."""
        super().train(mode)
        for norm in self._still_norms:
            norm.training = False
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
        """Copy values into the live tensors of the same names.

        Raises:
            KeyError: a name is not in the network.
        """
        live = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        for name, value in tensors.items():
            live[name].copy_(value)


class Workbench:
    """A network prepared for one method: its modules added, its tensors divided into parts.

    Args:
        pristine: the backbone as given, with no heads; copied, never changed.
        method: a fresh instance.
        device: where to work.
        most_classes: width of a shared head.
        seed: of what the method draws when it adds its modules.
    """

    def __init__(self, pristine: Network, method: Method, device: torch.device, most_classes: int, seed: int):
        self.method = method
        self.network = copy.deepcopy(pristine)
        torch.manual_seed(seed)
        method.adapt(self.network)
        if method.shared_head:
            self.network.add_head("shared", most_classes)
        self.network.to(device)
        self.parts: dict[str, Part] = {name: method.part(owner, name) for name, owner, _ in self.network.tensors()}
        for name, part in self.parts.items():
            if part not in get_args(Part):
                raise ValueError(f"{type(method).__name__} puts {name} into the unknown part '{part}'")
        self.network._still_norms = [
            module
            for name, module in self.network.backbone.named_modules(prefix="backbone")
            if isinstance(module, BatchNorm) and self.parts.get(f"{name}.running_mean") == "frozen"
        ]
        for name, _, tensor in self.network.tensors():
            if isinstance(tensor, nn.Parameter):
                tensor.requires_grad_(self.parts[name] != "frozen")

    def head_key(self, task: int) -> str:
        """The name of the head that answers for a task."""
        return "shared" if self.method.shared_head else str(task)

    def take(self, part: Part) -> dict[str, Tensor]:
        """Copies, on the CPU, of the backbone tensors that belong to `part`."""
        return {name: detached(tensor) for name, _, tensor in self.network.tensors() if self.parts[name] == part}

    def take_head(self, key: str) -> dict[str, Tensor]:
        """Copies of a head's tensors, named heads.KEY.weight and heads.KEY.bias."""
        head = self.network.heads[key]
        return {f"{_HEADS}{key}.{name}": detached(tensor) for name, tensor in head.named_parameters()}

    def trainable(self) -> list[tuple[str, nn.Parameter]]:
        """(name, parameter) of what the optimiser may change."""
        return [(name, p) for name, p in self.network.named_parameters() if p.requires_grad]


def is_head(name: str) -> bool:
    """Whether a tensor's name is that of a head."""
    return name.startswith(_HEADS)


def head_width(tensors: Mapping[str, Tensor], key: str) -> int:
    """The number of classes of head `key` among a part's tensors."""
    try:
        return len(tensors[f"{_HEADS}{key}.bias"])
    except KeyError:
        raise UserError(f"the state holds no head '{key}'; the run folder is damaged") from None


def detached(tensor: Tensor) -> Tensor:
    """A copy without history, on the CPU (a tensor without data stays where it is)."""
    return tensor.detach().clone() if tensor.is_meta else tensor.detach().cpu().clone()
