"""The costs of a method: floating-point operations and bytes."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrize

from benchmark.learning.counter import OperationCounter
from benchmark.storage.state import tensor_bytes
from methods.errors import UserError, first_line
from methods.heads import Heads
from methods.network import Network


def training_operations_per_image(pristine: Network, classes: int, image_size: int) -> int:
    """Return the operations of one image's forward and backward pass, if the whole network and a new head are trained.

    This is `sgd`, the unit of normalised compute. It is found on tensors without data; nothing is trained.

    Raises:
        UserError: the backbone cannot take images of that size.
    """
    network = _fine_tuned(pristine, classes)
    images = torch.empty(2, pristine.channels, image_size, image_size, dtype=torch.uint8, device="meta")
    labels = torch.empty(2, dtype=torch.int64, device="meta")
    with OperationCounter() as counter:
        try:
            logits = network(images)
        except RuntimeError as error:
            raise UserError(
                f"--image-size {image_size} does not suit the backbone, try a larger one: {first_line(error)}"
            ) from error
        cross_entropy(logits, labels).backward()
    return counter.get_total_flops() // 2


def _fine_tuned(pristine: Network, classes: int) -> Network:
    """Return a copy without data and with a head. All of it is trained."""
    network = _without_data(pristine)
    network.heads.add("1", classes)
    network.use_head("1", classes)
    return network.train().requires_grad_(True)


def _without_data(network: Network) -> Network:
    """Return a copy on tensors without data; no value is copied."""
    twins: dict[int, Any] = {id(buffer): buffer.to("meta") for buffer in network.buffers()}
    twins |= {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in network.parameters()}
    return copy.deepcopy(network, twins)


def inference_operations_per_image(network: Network, classes: int, image_size: int) -> int:
    """Return the operations of one image's forward pass, with hooks and a head of `classes` units.

    A weight that is computed from other tensors is computed once for all images, as in an evaluation: not counted.
    """
    network = _without_data(network).eval()
    network.heads = Heads(network.feature_dim).to(network.scale)
    network.heads.add("counted", classes)
    network.use_head("counted", classes)
    images = torch.empty(1, network.channels, image_size, image_size, dtype=torch.uint8, device="meta")
    with parametrize.cached(), torch.no_grad():
        for module in network.modules():
            if parametrize.is_parametrized(module):
                for name in cast(nn.ModuleDict, module.parametrizations):
                    getattr(module, name)
        with OperationCounter() as counter:
            network(images)
    return counter.get_total_flops()


def feature_operations_per_image(pristine: Network, image_size: int) -> int:
    """Return the operations of one image's pass through the backbone as given, without a head."""
    network = _without_data(pristine).eval()
    images = torch.empty(1, network.channels, image_size, image_size, dtype=torch.uint8, device="meta")
    with OperationCounter() as counter, torch.no_grad():
        network.features(images)
    return counter.get_total_flops()


def backbone_size(pristine: Network) -> dict[str, int]:
    """Return the given backbone's `parameters`, and the `bytes` of all its tensors, with buffers."""
    return {
        "parameters": sum(p.numel() for p in pristine.backbone.parameters()),
        "bytes": tensor_bytes({name: tensor for name, _, tensor in pristine.tensors()}),
    }
