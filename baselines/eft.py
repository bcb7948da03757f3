"""Small convolutions per task after each convolution."""

from __future__ import annotations

from math import gcd

from torch import Tensor, nn

from baselines.shared.anchored import Anchored
from baselines.shared.convolutions import convolutions_for
from methods import methods


class Grouped(nn.Conv2d):
    """A convolution that keeps the size, with bias, zero at first, in groups of `size` channels.

    If `size` does not divide the number of channels, a group has as many as their greatest common divisor.
    """

    def __init__(self, channels: int, kernel: int, size: int):
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels // gcd(channels, size))
        for tensor in self.parameters():
            nn.init.zeros_(tensor)


def _transform(conv: nn.Module, inputs: tuple[Tensor, ...], c: Tensor) -> Tensor:
    return conv.get_submodule("groupwise")(c) + conv.get_submodule("pointwise")(c)


@methods.register("eft")
class EFT(Anchored):
    """Efficient feature transformations (Verma et al., CVPR 2021, arXiv 2103.13558).

    After every convolution, with output c: y = BN_t(GW_t(c) + PW_t(c)). GW is a 3x3 convolution in groups of 8
    channels, PW a 1x1 convolution in groups of 16, BN the network's own batch normalisation after that convolution:
    92 * C values a task and 2 * C statistics. GW starts at zero and PW as the identity, so the first task starts
    exactly as the backbone; each later task starts at the values of the previous one.

    Args:
        anchor: "first-task": the first task trains the whole network, and then it is fixed; "pretrained": it is the
            backbone as given, fixed from the first task on.

    Differs from the paper:
        weight decay: none here; the authors' code has 0.005 on CIFAR-100 and 0.0005 on Tiny-ImageNet
            (`weight_decay=0.005`), also for the transformations.
        start: the identity, so that a pretrained backbone stays as it is; the authors' code starts the transformations
            at random, since it learns the first task from scratch.
        places: after every convolution; the authors' ResNet-18 has none after the first one.
        loss: the cross entropy alone. The authors' code adds 0.05 times a distance from the features of earlier tasks,
            which helps to infer the task; here the task is given.
        lr: 0.03, limited gradients and eight epochs here; 0.01 and 250 epochs there.
    """

    any_layout = True
    own = (Grouped,)
    continues = True

    def adapt(self, network: nn.Module) -> None:
        for conv in convolutions_for(network, "eft"):
            groupwise, pointwise = Grouped(conv.out_channels, 3, size=8), Grouped(conv.out_channels, 1, size=16)
            nn.init.dirac_(pointwise.weight, groups=pointwise.groups)
            # Children and a hook leave the names of the backbone's own tensors as they were.
            conv.add_module("groupwise", groupwise.to(conv.weight))
            conv.add_module("pointwise", pointwise.to(conv.weight))
            conv.register_forward_hook(_transform)
