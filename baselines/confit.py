"""Fine-tuning with batch normalisation that follows the weights."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from baselines.shared.finetuning import FineTuning
from baselines.shared.input_means import InputMeans, add_input_means, shifted
from methods import BatchNorm, Network, Part, Step, methods


@methods.register("confit")
class ConFiT(FineTuning):
    """ConFiT (Jie et al., 2022, arXiv 2204.10535).

    Batch normalisation belongs to the task, everything else is shared. The first fifth of the epochs trains the head
    only, up to half of them also batch normalisation, the rest everything. Each task starts at the values of the
    previous one.

    When later tasks have changed a convolution W to W', an old task's running mean mu is no longer the mean of its
    output. So the means m of the convolution's input are stored too, per channel and phase of the stride: 4 * C + sum
    of C_in * stride^2 values a task. W * m is the output for an input that equals its means, and mu moves by
    W' * m - W * m. So mu - W * m is stored, and W' * m is added when it is restored.

    Differs from the paper:
        running mean: the paper replaces mu by W' * m. Zero padding and the moving averages make mu differ from W * m
            even if nothing has changed; here this difference is kept, so that mu stays the same if the weights do.
        optimizer: SGD with a cosine, momentum and limited gradients, as most methods that train the whole network, and
            `lr=0.054`, chosen on the embedded stream. The authors' code has 0.01, constant, without momentum or limit
            (`lr=0.01:momentum=0:clip=0:schedule=constant`), for 10 to 50 epochs.
        input means: the first batch sets the mean of an input; in the authors' code it starts at 0.
    """

    any_layout = True
    recipe = replace(FineTuning.recipe, lr=0.054)
    continues = True

    def __init__(self) -> None:
        super().__init__(bn="per-task")

    def adapt(self, network: Network) -> None:
        add_input_means(network, "confit", first=self.task == 1)

    def switch_task(self, network: Network) -> None:
        """Nothing: only training asks which task is the first."""

    def part(self, module: nn.Module, name: str) -> Part:
        return "task" if isinstance(module, InputMeans) else super().part(module, name)

    def before_training_epoch(self, step: Step) -> None:
        for module in step.model.backbone.modules():
            # Batch normalisation waits for a fifth of the epochs, the rest for half of them.
            waits = 5 if isinstance(module, BatchNorm) else 2
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(step.epoch * waits > step.epochs)

    def may_end(self, epoch: int, epochs: int) -> bool:
        return epoch * 2 > epochs

    def stored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return shifted(network, tensors, sign=-1)

    def restored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return shifted(network, tensors, sign=1)
