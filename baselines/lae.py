"""An online and an offline module, and the surer one of both."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from baselines.shared.adapters import Adapter, add_adapters, check_adapters
from baselines.shared.finetuning import ALL_SCENARIOS
from baselines.shared.passes import Passes
from methods import Method, Network, Part, Range, Recipe, Step, methods

_OFFLINE = "offline"


@methods.register("lae")
class LAE(Method):
    """Learning, accumulation, ensemble (Gao et al., 2023, arXiv 2303.10070).

    A frozen backbone has two sets of adapters, as the method `adapter` has one for each task. All tasks train the
    online ones, with the loss over the new classes. From the second task on, after each step offline <- decay * offline
    + (1 - decay) * online; before that both are the same. In the first epochs of a later task only its head learns, by
    default in three of five, as in the paper. An image passes twice, and both share the head: of each class the larger
    of the two probabilities counts. Two sets are stored, however many tasks there are.

    Args:
        bottleneck: the width of an adapter.
        scale: of what an adapter adds.
        decay: of the moving average.
        frozen: the share of the epochs of a later task in which the online adapters do not learn.

    Differs from the paper:
        adapters: those of the method `adapter`, beside the perceptrons of all blocks. The paper's own are beside the
            attention of the first five blocks, with GELU and a learned scale.
    """

    any_layout = True
    recipe = Recipe(optimizer="adam", lr=0.003, schedule="constant")
    search = {"lr": Range(3e-4, 0.03), "frozen": (0.0, 0.3, 0.6, 0.8)}
    scenarios = ALL_SCENARIOS

    def __init__(self, bottleneck: int = 64, scale: float = 0.1, decay: float = 0.9999, frozen: float = 0.6):
        super().__init__()
        check_adapters(bottleneck, scale)
        if not 0 <= decay <= 1:
            raise ValueError(f"decay={decay:g} must be from 0 to 1: it is a share of the moving average")
        if not 0 <= frozen < 1:
            raise ValueError(f"frozen={frozen:g} must be at least 0 and below 1: it is a share of the epochs")
        self.bottleneck = bottleneck
        self.scale = scale
        self.decay = decay
        self.frozen = frozen
        self.logits = "current"

    def adapt(self, network: Network) -> None:
        self.online, self.offline = (
            add_adapters(network, self.bottleneck, self.scale, self.name, name) for name in ("online", _OFFLINE)
        )
        self.passes = Passes([self.online, self.offline])
        self.passes.add(network)
        network.answers = 2

    def part(self, module: nn.Module, name: str) -> Part:
        return "shared" if isinstance(module, Adapter) else "frozen"

    def trains(self, module: nn.Module, name: str) -> bool:
        return f".{_OFFLINE}." not in name

    def before_training_epoch(self, step: Step) -> None:
        waits = self.task > 1 and step.epoch <= self.frozen * step.epochs
        for parameter in _parameters(self.online):
            parameter.requires_grad_(not waits)

    def forward(self, step: Step) -> Tensor:
        model = step.model
        with self.passes.only(0):
            features = model.features(step.images)
        return model.heads(features, model.head_key)[:, : model.classes]

    def may_end(self, epoch: int, epochs: int) -> bool:
        return self.task == 1 or epoch > self.frozen * epochs

    @torch.no_grad()
    def after_update(self, step: Step) -> None:
        if self.task > 1:
            torch._foreach_lerp_(_parameters(self.offline), _parameters(self.online), 1 - self.decay)

    @torch.no_grad()
    def after_training_exp(self, step: Step) -> None:
        if self.task == 1:
            torch._foreach_copy_(_parameters(self.offline), _parameters(self.online))


def _parameters(modules: Sequence[nn.Module]) -> list[Tensor]:
    return [parameter for module in modules for parameter in module.parameters()]
