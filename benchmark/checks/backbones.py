"""The contract of a backbone: it must give the same features every time, and be trainable."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from benchmark.backbones.base import Backbone
from benchmark.checks.base import Check, WrongError, move_random_states, process_state, refuse_changes, state_before
from benchmark.checks.gpu import GPU_CHECK
from benchmark.checks.instance import Instances
from benchmark.checks.options import OPTION_CHECKS
from benchmark.checks.pretended.cuda import pretended_gpu
from benchmark.checks.pretended.places import GPU
from benchmark.checks.tiny import make_task
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from methods.configured import configure
from methods.method import BatchNorm
from methods.network import Network

# Image sizes to try; the first one that the backbone accepts is used.
_SIZES = (32, 64, 128, 224)

_NORMALISATION = (BatchNorm, nn.LayerNorm, nn.GroupNorm)


class BackboneSubject(Instances):
    """A backbone to check."""

    @cached_property
    def network(self) -> Network:
        """Return it with its weights, in evaluation mode. Do not change it."""
        return self.fresh()

    @cached_property
    def size(self) -> int:
        """The smallest of the tried image sizes that works."""
        network = self.fresh(weights=False).to("meta")
        for size in (only,) if (only := self.make().image_size) else _SIZES:
            try:
                features = network.features(
                    torch.empty(2, network.channels, size, size, dtype=torch.uint8, device="meta")
                )
            except RuntimeError as error:
                reason = error
            else:
                if features.ndim != 2 or len(features) != 2:
                    raise WrongError(
                        f"features of 2 images are {list(features.shape)}; return [N, D], as by nn.Flatten()"
                    )
                return size
        raise reason

    @cached_property
    def images(self) -> Tensor:
        """Two images, uint8 [2, C, size, size]."""
        random = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (2, self.network.channels, self.size, self.size), generator=random).to(torch.uint8)

    def fresh(self, weights: bool = True) -> Network:
        """Return a new instance in evaluation mode."""
        backbone: Backbone = self.make()
        return backbone.network(weights=weights).eval()

    def features(self, network: Network, images: Tensor | None = None) -> Tensor:
        """Return features [N, D] without history."""
        images = self.images if images is None else images
        with torch.no_grad():
            return network.features(images)


def runs_without_data(subject: BackboneSubject) -> str | None:
    """It runs on tensors without values, as in `cost`, with images of 32x32 or more, or of the only size it takes."""
    if subject.make().image_size or subject.size == _SIZES[0]:
        return None
    return f"it needs images of {subject.size}x{subject.size}; use --image-size"


def is_made(subject: BackboneSubject) -> None:
    """Its weights exist and fit, and its normalisation has a value for each colour."""
    for name in ("mean", "std"):
        values = tuple(getattr(subject.make(), name, ()))
        if len(values) not in (1, 3) or (name == "std" and min(values) <= 0):
            raise WrongError(f"{name} is {values!r}; give three numbers, or one for grey images, of pixels from 0 to 1")
    if subject.network.shift.numel() != subject.network.channels:
        raise WrongError("mean and std must have as many numbers as each other")


def gives_features(subject: BackboneSubject) -> None:
    """Each image gets a row of finite float32 features, which does not depend on other images."""
    features = subject.features(subject.network)
    if list(features.shape) != [2, subject.network.feature_dim]:
        raise WrongError(
            f"features of 2 images are {list(features.shape)}, and [2, {subject.network.feature_dim}] "
            "without data; let "
            "shapes depend on no value"
        )
    if features.dtype != torch.float32:
        raise WrongError(f"features are {features.dtype}; compute in float32")
    if not features.isfinite().all():
        raise WrongError("features are not all finite numbers; look at the weights, mean and std")
    alone = torch.cat([subject.features(subject.network, image[None]) for image in subject.images])
    if not torch.allclose(features, alone, rtol=1e-3, atol=1e-4):
        raise WrongError("features of an image depend on the other images of its batch; keep images apart in forward")
    if torch.equal(features[0], features[1]):
        raise WrongError("features are the same whatever the image is; see that forward uses it, and the weights too")


def is_deterministic(subject: BackboneSubject) -> None:
    """In evaluation mode the same images give the same features."""
    first = subject.features(subject.network)
    move_random_states()
    if not torch.equal(first, subject.features(subject.network)):
        raise WrongError(
            "the same images give other features in evaluation mode; draw random numbers only if self.training"
        )


def stands_still(subject: BackboneSubject) -> None:
    """In evaluation mode nothing changes."""
    network = subject.fresh()
    before = {name: tensor.detach().clone() for name, _, tensor in network.tensors()}
    subject.features(network)
    for name, _, tensor in network.tensors():
        if not torch.equal(before[name], tensor):
            raise WrongError(f"'{name}' changes in evaluation mode; change tensors only if self.training")


def is_the_same_again(subject: BackboneSubject) -> None:
    """A second instance has the same tensors: names, shapes and values."""
    move_random_states()
    first, again = ({name: t.detach() for name, _, t in n.tensors()} for n in (subject.network, subject.fresh()))
    if list(first) != list(again):
        name = next(iter(first.keys() ^ again.keys()), "")
        raise WrongError(f"tensors have other names in a second instance ('{name}'); name modules the same each time")
    for name, tensor in first.items():
        if tensor.shape != again[name].shape or not torch.equal(tensor, again[name]):
            raise WrongError(
                f"'{name}' has other values in a second instance; draw random weights from torch's own "
                "generator, which "
                "is seeded before modules() is called, and set no seed elsewhere"
            )


def is_float32(subject: BackboneSubject) -> str | None:
    """All trained tensors are float32 after modules() and load()."""
    said: list[str] = []
    backbone: Backbone = subject.make()
    backbone.network(warn=said.append)
    return said[0] if said else None


def has_layers(subject: BackboneSubject) -> str | None:
    """Convolutions and normalisation are classes of torch.nn, because methods look for these."""
    modules = list(subject.network.backbone.modules())
    lacking = []
    if not any(isinstance(module, nn.Conv2d) for module in modules):
        lacking.append("nn.Conv2d, which clr and others adapt")
    if not any(isinstance(module, _NORMALISATION) for module in modules):
        lacking.append("batch or layer normalisation, which norm-only and others train")
    return f"it has no {' and no '.join(lacking)}" if lacking else None


def learns(subject: BackboneSubject) -> None:
    """`sgd` learns a task with it; the weights change and stay finite."""
    method = configure("sgd")
    task = make_task(1, 2, subject.size, train=4)
    cell = Cell(subject.network, method.make, 2, 0, torch.device("cpu"))
    before = start(cell)
    after = learn(cell, before, task, Training(method.recipe, epochs=1, batch_size=2)).state.shared
    weights = {name for name, _, tensor in subject.network.tensors() if isinstance(tensor, nn.Parameter)}
    if not all(tensor.isfinite().all() for tensor in after.values() if tensor.is_floating_point()):
        raise WrongError("weights are not finite after two steps of sgd; look at the scale of weights and features")
    if all(torch.equal(before.shared[name], after[name]) for name in weights):
        raise WrongError(
            "two steps of sgd change no weight; let gradients reach the weights: no detach, no torch.no_grad"
        )


def runs_on_a_gpu(subject: BackboneSubject) -> None:
    """On a GPU it mixes no devices and does not wait, neither forward nor backward."""
    with pretended_gpu() as log:
        network, images = subject.fresh().to(GPU).train(), subject.images.to(GPU)
        with log.stepping(lambda: 1):
            network.features(images).sum().backward()


def leaves_the_process_alone(subject: BackboneSubject) -> None:
    """It does not change threads, default types and random states of the process."""
    before = state_before()
    subject.features(subject.fresh())
    refuse_changes([name for name, value in process_state().items() if value != before[name]])


BACKBONE_CHECKS: tuple[Check[BackboneSubject], ...] = (
    *OPTION_CHECKS,
    Check("runs without data", runs_without_data, "let shapes depend on no value", basis=True),
    Check("has weights, and a normalisation", is_made, basis=True),
    Check("gives features [N, D]", gives_features, basis=True),
    Check("gives the same features each time", is_deterministic),
    Check("does not change while it answers", stands_still),
    Check("has the same tensors each time", is_the_same_again),
    Check("is in float32", is_float32),
    Check("has layers that methods know", has_layers),
    Check("can be trained", learns),
    Check(GPU_CHECK.name, runs_on_a_gpu, GPU_CHECK.remedy),
    Check("leaves the rest of the process alone", leaves_the_process_alone),
)
