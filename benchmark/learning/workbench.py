"""The network that learns: a backbone and a head per task, with access to every tensor by name."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import get_args

import torch
from torch import Tensor, nn

from benchmark.backbones.parametrised import parametrisations, refuse_hooked_weights
from benchmark.backbones.strided import subsample_first
from benchmark.images.layout import MemoryFormat, lay_out
from benchmark.learning.layers import Heights
from methods.errors import UserError
from methods.heads import Heads, is_head
from methods.joint_head import SHARED, JointHead
from methods.method import STEP_HOOKS, BatchNorm, Method, Part, Start, fills
from methods.network import Network

#: Where the weights of convolutions lie as images do. On a GPU each conversion is a kernel of its own. On a CPU nothing
#: is gained that can be measured: see performance/README.md.
WEIGHTS_FOLLOW = ("cuda",)


class Workbench:
    """A network prepared for one method: the method's modules are added, the tensors divided into parts.

    Args:
        pristine: the backbone as given, with no heads; copied, never changed.
        method: a fresh instance of the method.
        device: where to compute.
        most_classes: width of a head that all tasks share, unless it grows with them.
        seed: the seed for random numbers that the method draws when it adds its modules.

    Raises:
        UserError: the method cannot learn with this backbone.
    """

    def __init__(self, pristine: Network, method: Method, device: torch.device, most_classes: int, seed: int):
        self.method, self._pristine = method, pristine
        refuse_hooked_weights(pristine)
        self.network = copy.deepcopy(pristine)
        torch.manual_seed(seed)
        method.task_was_read = False
        with _evaluating(self.network):
            method.adapt(self.network)
        subsample_first(self.network)
        # `adapt` may have changed the length of the features.
        self.network.heads = (JointHead if self.is_joint else Heads)(self.network.feature_dim).to(pristine.scale)
        if self.head_is_fixed:
            self.network.heads.add(SHARED, most_classes)
        self.network.to(device)
        self.parts: dict[str, Part] = {
            name: "frozen" if name in pristine.frozen else method.part(owner, name)
            for name, owner, _ in self.network.tensors()
        }
        for name, part in self.parts.items():
            if part not in get_args(Part):
                raise ValueError(f"{type(method).__name__} puts {name} into the unknown part '{part}'")
        if self.is_joint and "task" in self.parts.values():
            raise UserError(
                f"method '{method.name}' keeps tensors for each task, so it has no answer where the task is not known; "
                "give it other options, or use --scenario task"
            )
        self._same_for_all_tasks = not method.task_was_read
        #: Where each of a task's own tensors starts in a task after the first.
        self.starts: dict[str, Start] = {
            name: "initial" if method.starts_over else method.starts_at(owner, name)
            for name, owner, _ in self.network.tensors()
            if self.parts[name] == "task"
        }
        for name, start in self.starts.items():
            if start not in get_args(Start):
                raise ValueError(f"{type(method).__name__} lets {name} start at the unknown place '{start}'")
        trained = {
            name: self.parts[name] != "frozen" and method.trains(owner, name)
            for name, owner, _ in self.network.tensors()
        }
        self.network._still = [
            module
            for name, module in self.network.backbone.named_modules(prefix="backbone")
            if isinstance(module, BatchNorm) and not trained.get(f"{name}.running_mean", True)
        ]
        self.network._still += [
            module
            for name, module in parametrisations(self.network.backbone, "backbone")
            if not any(trained[f"{name}.{own}"] for own, _ in module.named_buffers() if f"{name}.{own}" in trained)
        ]
        for name, _, tensor in self.network.tensors():
            if isinstance(tensor, nn.Parameter):
                tensor.requires_grad_(trained[name])

    @property
    def is_joint(self) -> bool:
        """Whether one head answers for all tasks without knowing the task."""
        return self.method.scenario != "task"

    @property
    def head_is_fixed(self) -> bool:
        """Whether all tasks share a head that has all its units from the start."""
        return self.method.shared_head or self.method.scenario == "domain"

    @property
    def head_is_shared(self) -> bool:
        """Whether all tasks share a head."""
        return self.method.shared_head or self.is_joint

    def is_shared(self, name: str) -> bool:
        """Whether a tensor is one that methods treat as shared by all tasks: that includes a joint head."""
        return self.parts.get(name) == "shared" or (self.is_joint and is_head(name))

    @property
    def trains_head_only(self) -> bool:
        """Whether an image has the same features in all steps, and the method has no hook on the steps."""
        looks = any(fills(self.method, hook) for hook in STEP_HOOKS)
        own_forward = type(self.method).forward is not Method.forward
        return set(self.parts.values()) <= {"frozen"} and not looks and not own_forward

    @property
    def is_same_for_all_tasks(self) -> bool:
        """Whether the networks of all tasks differ in nothing but the values of the tasks' own tensors."""
        own = (_definer(self.method, name) for name in ("switch_task", "restored"))
        return self._same_for_all_tasks and all(cls is Method for cls in own)

    @property
    def serves_all_tasks(self) -> bool:
        """Whether the network of another task only needs `Method.switch_task` and other values: see there."""
        switch, adapt, restored = (_definer(self.method, name) for name in ("switch_task", "adapt", "restored"))
        if switch is not Method:
            return issubclass(switch, adapt) and issubclass(switch, restored)
        return self.is_same_for_all_tasks

    def switch_task(self) -> None:
        """Let the method change the network for the task that it has now."""
        with _evaluating(self.network):
            self.method.switch_task(self.network)

    def lay_out(self, memory_format: MemoryFormat) -> None:
        """On a GPU, let the weights of convolutions lie in memory as the images do, if the method allows that.

        Otherwise torch converts them in every pass, and their gradients back. A backbone may come in any format.
        """
        backbone = self.network.backbone
        follows = self.method.any_layout and self.network.scale.device.type in WEIGHTS_FOLLOW
        own = memory_format if follows else "contiguous"
        lay_out((*backbone.parameters(), *backbone.buffers()), own)

    def head_key(self, task: int) -> str:
        """Return the name of the head that answers for a task."""
        return SHARED if self.head_is_shared else str(task)

    def take(self, part: Part) -> dict[str, Tensor]:
        """Return what is stored for the backbone tensors of `part`, as copies on the CPU."""
        tensors = {name: detached(tensor) for name, _, tensor in self.network.tensors() if self.parts[name] == part}
        with _evaluating(self.network):
            return self.method.stored(self.network, tensors)

    def frozen(self) -> list[Tensor]:
        """Return the tensors of the network that never change."""
        return [tensor for name, _, tensor in self.network.tensors() if self.parts[name] == "frozen"]

    def take_head(self, key: str) -> dict[str, Tensor]:
        """Return copies of a head's tensors, named heads.KEY.weight and heads.KEY.bias."""
        return {name: detached(tensor) for name, tensor in self.network.heads.take(key).items()}

    def restore(self, stored: Mapping[str, Tensor]) -> set[str]:
        """Restore the stored tensors of a part; return their names. Restore the shared part before that of a task."""
        with _evaluating(self.network):
            values = self.method.restored(self.network, dict(stored))
            self.network.place(values)
        return set(values)

    def trainable(self) -> list[tuple[str, nn.Parameter]]:
        """Return (name, parameter) of all that the optimiser may change."""
        return [(name, p) for name, p in self.network.named_parameters() if p.requires_grad]

    def lr_scales(self, layer_decay: float = 1.0) -> list[float]:
        """Return what the learning rate of each trainable parameter is multiplied by.

        That is what the method says (Method.lr_scale), times the power of the recipe's `layer_decay`.
        """
        names = [name for name, _ in self.trainable()]
        scales = [self.method.lr_scale(name) for name in names]
        if layer_decay == 1:
            return scales
        heights = Heights(self._pristine)
        return [scale * layer_decay ** heights.of(name) for scale, name in zip(scales, names, strict=True)]


def _definer(method: Method, name: str) -> type[Method]:
    """The class that a method has an attribute from."""
    return next(cls for cls in type(method).__mro__ if name in vars(cls) and issubclass(cls, Method))


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Use evaluation mode to read the network: in training mode, reading a weight may change it."""
    training = network.training
    network.eval()
    yield
    network.train(training)


def detached(tensor: Tensor) -> Tensor:
    """Return a contiguous copy without history, on the CPU. A tensor without data stays on its device."""
    own = tensor.detach() if tensor.is_meta else tensor.detach().cpu()
    # So that what is stored does not depend on the format in which it was computed.
    return own.clone(memory_format=torch.contiguous_format)
