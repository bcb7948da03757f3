"""Adversarial reprogramming."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from methods import methods
from methods.method import Method, Part
from methods.recipe import Range, Recipe

if TYPE_CHECKING:
    from methods.network import Network


def _perturb(backbone: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    # `get_parameter` would refuse the plain tensor that stands for it in an exported program.
    images, theta = inputs[0], dict(backbone.named_parameters(recurse=False))["theta"]
    return images + torch.tanh(stretch(theta, images.shape[-1]))


def stretch(theta: Tensor, size: int) -> Tensor:
    """Bilinear interpolation of [C, s, s] to [C, size, size].

    The rows and then the columns are interpolated by products with one matrix, because their gradient is deterministic
    on a GPU; the gradient of torch's bilinear interpolation is not.
    """
    identity = torch.eye(theta.shape[-1], dtype=theta.dtype, device=theta.device)
    weights = interpolate(identity[None], size=size, mode="linear")[0]
    return weights.T @ theta @ weights


@methods.register("reprogram")
class Reprogram(Method):
    """Adversarial reprogramming (Elsayed et al., 2018, arXiv 1806.11146).

    features = backbone(x + tanh(theta_t)) for a normalised image x and a perturbation theta_t that starts at zero:
    3 * size^2 values a task for images with colours. The backbone is frozen, batch normalisation included.

    Args:
        size: height and width of theta, which is stretched bilinearly to the images' size.

    Differs from the paper:
        images: the task's images fill the whole input of the network. In the paper they are in its middle, and the
            perturbation around them.
        theta: `size` values wide and high, and stretched. In the paper each pixel has its own.
        head: linear. The paper has a fixed mapping from the classes that the network was trained for.
    """

    any_layout = True
    recipe = Recipe(optimizer="adam", lr=0.01)
    isolates_tasks = True
    search = {"lr": Range(1e-3, 0.3), "size": (8, 16, 32, 64)}

    def __init__(self, size: int = 32):
        super().__init__()
        if size < 1:
            raise ValueError(f"size={size} must be at least 1")
        self.size = size

    def adapt(self, network: Network) -> None:
        # A parameter of the backbone itself, because a child would become a layer if the backbone is an nn.Sequential.
        theta = network.get_buffer("shift").new_zeros(network.channels, self.size, self.size)
        network.backbone.register_parameter("theta", nn.Parameter(theta))
        network.backbone.register_forward_pre_hook(_perturb)

    def part(self, module: nn.Module, name: str) -> Part:
        return "task" if name == "backbone.theta" else "frozen"
