from __future__ import annotations

import numpy as np
import torch

from benchmark.backbones import backbone_of
from methods.registry import load_plugin
from performance.split_mnist import PLUGIN


def test_the_features_are_those_of_two_layers_on_one_channel() -> None:
    load_plugin(str(PLUGIN))
    network = backbone_of("perceptron").network()
    grey = torch.arange(2 * 784, dtype=torch.int64).remainder(256).to(torch.uint8).view(2, 1, 28, 28)
    first, second = (layer for layer in network.backbone if isinstance(layer, torch.nn.Linear))
    values = grey.view(2, 784).numpy() / 127.5 - 1
    for layer in (first, second):
        weight, bias = (tensor.detach().double().numpy() for tensor in (layer.weight, layer.bias))
        values = np.maximum(values @ weight.T + bias, 0)
    features = network.features(grey.expand(2, 3, 28, 28)).detach()
    assert features.shape == (2, 100)
    assert np.allclose(features.numpy(), values, atol=1e-5)
