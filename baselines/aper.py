"""The nearest class mean of frozen and adapted features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from baselines.ncm import NCM
from baselines.shared.adapters import Adapter, add_adapters
from baselines.shared.finetuning import ALL_SCENARIOS
from baselines.shared.passes import Passes, Switched, logits_of_last
from baselines.ssf import Scale, Shift, add_scales
from baselines.vpt import Prompts, add_prompts
from methods import Network, Part, Range, Recipe, Step, methods


@methods.register("aper")
class APER(NCM):
    """Adapt and merge (Zhou et al., 2023, arXiv 2303.07338).

    The first task trains a module in the frozen backbone. It is then fixed, and no later task makes a gradient step. An
    image passes twice, without the module and with it, and its features are both side by side. The answer is that of
    `ncm` with them: the class whose mean has the largest cosine, 2 D values a class. The module trains with a head on
    the adapted features alone.

    Args:
        module: what the first task trains, as the method of this name does with its own options: "adapter", "ssf"
            or "vpt".

    Differs from the paper:
        head: the module trains with a linear head. The authors' code has a cosine head with a learned scale.
        module: the whole network (finetune) and prompts in the first block alone (VPT-shallow) are left out.
    """

    any_layout = True
    learns_in_steps = True
    recipe = Recipe(optimizer="adam", lr=0.01)
    search = {"lr": Range(3e-4, 0.1)}
    scenarios = ALL_SCENARIOS
    isolates_tasks = True

    def __init__(self, module: Literal["adapter", "ssf", "vpt"] = "adapter"):
        super().__init__()
        self.module = module

    def adapt(self, network: Network) -> None:
        if self.module == "adapter":
            added: Sequence[Switched] = add_adapters(network, 64, 0.1, self.name)
        elif self.module == "vpt":
            added = add_prompts(network, 10, "deep", self.name)
        else:
            added = add_scales(network, self.name)
            network.weights_vary = True
        self.passes = Passes([[], added])
        self.passes.add(network)
        network.feature_dim *= 2

    def part(self, module: nn.Module, name: str) -> Part:
        return "shared" if isinstance(module, Adapter | Prompts | Scale | Shift) else "frozen"

    def trains_task(self) -> bool:
        return self.task == 1

    def forward(self, step: Step) -> Tensor:
        return logits_of_last(step, self.passes)
