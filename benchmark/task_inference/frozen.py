"""The features of images that the rules see: those of the backbone as given."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.images.layout import MemoryFormat
from benchmark.learning.features import precompute
from benchmark.learning.precision import Precision, arithmetic
from benchmark.task_inference.base import Features
from methods.data import Samples
from methods.errors import UserError
from methods.network import Network


@dataclass(frozen=True)
class FrozenBackbone:
    """A backbone as given, and how it computes.

    Attributes:
        pristine: the network without heads; never changed.
        device: where it computes.
        precision, memory_format: see Settings.
    """

    pristine: Network
    device: torch.device
    precision: Precision = "fp32"
    memory_format: MemoryFormat = "channels-last"

    def features(self, data: Samples, task: str) -> Features:
        """Return the features of images, float32 [N, D], from one pass in evaluation mode.

        Args:
            data: the images.
            task: the name of their task, for messages.

        Raises:
            UserError: some of them are not finite.
        """
        network = copy.deepcopy(self.pristine).to(self.device)
        with arithmetic(self.precision, self.device):
            found = precompute(network, data, self.device, self.precision, memory_format=self.memory_format)
        features: Features = found.data.images.cpu().numpy()
        if not np.isfinite(features).all():
            raise UserError(
                f"--infer: the backbone gives features of '{task}' that are infinite or no numbers, and no task can be "
                "guessed from them; use max-softmax, entropy or energy, or another --backbone"
            )
        return features
