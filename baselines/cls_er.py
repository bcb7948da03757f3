"""Experience replay with two means of the weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from baselines.er import ER
from baselines.shared.finetuning import OnePassBN
from baselines.shared.memory import DEFAULT_MEMORY, Fill
from methods import MemorySize, Network, Range, Step, methods
from methods.scenarios import Logits

_WORKING, _PLASTIC, _STEPS = "working.", "plastic.", "steps"


@methods.register("cls-er")
class CLSER(ER):
    """CLS-ER: a working model and two slow means of its weights (Arani et al., 2022, arXiv 2201.12604).

    L = the mean of CE over the batch and a replay batch together + strength * MSE(f(x'), z'), x' the replay batch. Of
    each image, z' are the logits of that of the two means which gives its label the larger probability; of equal ones,
    the plastic's. The MSE is the mean over the image's logits, then over the batch. After a step, the stable mean
    becomes a * mean + (1 - a) * working weights with probability `stable_rate`, a the smaller of `stable_decay` and
    1 - 1 / (steps so far + 1), and the plastic mean likewise. As in the authors' code, the means pass the replay batch
    in train mode: statistics of batch normalisation are those of replayed images. The stable mean answers. The working
    model and the plastic mean are kept beside it, with their heads.

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        strength: the weight of the MSE.
        stable_rate, plastic_rate: how often a mean is renewed, 0..1.
        stable_decay, plastic_decay: the share of a mean that stays when it is renewed.
        replay_batch: images of a replay batch; None for as many as the batch has.
        fill: images enter the memory "after" their task, so that past tasks alone are replayed; or "during" it, as in
            the authors' code: each image in the step that trained on it.
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, of the "current" task's only
            (replayed images have all seen ones), or of "all" classes of the stream.

    Differs from the paper:
        memory: filled at the end of a task, not in each step; `fill=during` is the paper's way. So the statistics of
            batch normalisation in the means are of images of earlier tasks, and in the first task the backbone's. On
            three tasks of `mini` both ways give 62.5 % on validation images (two seeds).
        replay: images of a replay batch are drawn with replacement, the authors draw without.
    """

    any_layout = True
    trains_old_heads = True
    search = {**ER.search, "strength": Range(0.02, 2.0), "stable_rate": (0.1, 0.5, 0.9)}

    def __init__(
        self,
        memory: MemorySize = DEFAULT_MEMORY,
        strength: float = 0.1,
        stable_rate: float = 0.7,
        plastic_rate: float = 0.9,
        stable_decay: float = 0.999,
        plastic_decay: float = 0.999,
        replay_batch: int | None = None,
        fill: Fill = "after",
        bn: OnePassBN = "shared",
        logits: Logits = "seen",
    ):
        super().__init__(memory, "mean", replay_batch, fill, bn, logits)
        if strength < 0:
            raise ValueError(f"strength={strength:g} must not be negative")
        shares = {"stable_rate": stable_rate, "plastic_rate": plastic_rate}
        for name, share in (shares | {"stable_decay": stable_decay, "plastic_decay": plastic_decay}).items():
            if not 0 <= share <= 1:
                raise ValueError(f"{name}={share:g} must be from 0 to 1")
        self.strength = strength
        self.stable_rate = stable_rate
        self.plastic_rate = plastic_rate
        self.stable_decay = stable_decay
        self.plastic_decay = plastic_decay

    @torch.no_grad()
    def before_training_exp(self, step: Step) -> None:
        """The network comes as the stable mean; it becomes the working model."""
        super().before_training_exp(step)
        model = step.model
        self.stable, self.plastic = (copy.deepcopy(model).train().requires_grad_(False) for _ in range(2))
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        self.weights, self.of_stable, self.of_plastic = (
            list[Tensor](network.get_parameter(name) for name in trained)
            for network in (model, self.stable, self.plastic)
        )
        model.place(self._stored(_WORKING))
        self.plastic.place(self._stored(_PLASTIC))
        self.steps = int(self.kept.get(_STEPS, 0))

    def _stored(self, prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in self.kept.items() if name.startswith(prefix)}

    def before_backward(self, step: Step) -> None:
        super().before_backward(step)
        if self.replays:
            step.loss = step.loss + self.strength * self.inconsistency()

    def inconsistency(self) -> Tensor:
        """The mean squared distance of the replayed images' logits from those of the surer mean."""
        images, labels, tasks = (self.replayed[name] for name in ("images", "labels", "tasks"))
        with torch.no_grad():
            stable, plastic = (mean.heads.own(mean.features(images), tasks) for mean in (self.stable, self.plastic))
            sure, surer = (logits.softmax(1).gather(1, labels[:, None]) for logits in (plastic, stable))
            targets = torch.where(surer > sure, stable, plastic)
            # An image has no logit where its task has fewer classes than another one.
            missing = targets.isneginf()
        errors = (self.answers.masked_fill(missing, 0) - targets.masked_fill(missing, 0)).square()
        return (errors.sum(1) / (~missing).sum(1)).mean()

    @torch.no_grad()
    def after_update(self, step: Step) -> None:
        self.steps += 1
        most = 1 - 1 / (self.steps + 1)
        for mean, rate, decay in (
            (self.of_plastic, self.plastic_rate, self.plastic_decay),
            (self.of_stable, self.stable_rate, self.stable_decay),
        ):
            if torch.rand((), generator=self.generator) < rate:
                torch._foreach_lerp_(mean, self.weights, 1 - min(most, decay))

    @torch.no_grad()
    def after_training_exp(self, step: Step) -> None:
        super().after_training_exp(step)
        model = step.model
        for prefix, network in ((_WORKING, model), (_PLASTIC, self.plastic)):
            for name, value in self._changed(network).items():
                self.kept[prefix + name] = value.detach().clone()
        self.kept[_STEPS] = torch.tensor(self.steps)
        model.place(self._changed(self.stable))

    def _changed(self, network: Network) -> dict[str, Tensor]:
        """The tensors that training changes, heads included, by name."""
        own = {name: tensor for name, module, tensor in network.tensors() if self.part(module, name) == "shared"}
        for key in network.heads.rows:
            own |= network.heads.take(key)
        return own
