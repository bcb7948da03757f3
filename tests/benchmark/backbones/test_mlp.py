import pytest
import torch
from torch import nn

from benchmark.backbones import backbone_of
from benchmark.backbones.base import Backbone
from methods.errors import UserError


def test_its_layers():
    network = backbone_of("mlp:hidden=7:layers=3:channels=1:size=8").network()
    layers = [layer for layer in network.backbone if isinstance(layer, nn.Linear)]
    assert [list(layer.weight.shape) for layer in layers] == [[7, 64], [7, 7], [7, 7]]
    assert network.feature_dim == 7
    assert network.channels == 1


def test_its_features_by_hand():
    network = backbone_of("mlp:hidden=5:layers=2:size=8").network().double()
    images = torch.randint(256, (3, 1, 8, 8), dtype=torch.uint8)
    (w, b), (v, c) = ((layer.weight, layer.bias) for layer in network.backbone if isinstance(layer, nn.Linear))
    hidden = (images.double().flatten(1) / 255 @ w.T + b).clamp(min=0)
    torch.testing.assert_close(network.features(images), (hidden @ v.T + c).clamp(min=0), rtol=1e-6, atol=1e-9)


def test_colours():
    network = backbone_of("mlp:channels=3:size=8").network()
    assert network.channels == 3
    assert network.features(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).shape == (2, 100)


def test_the_default_is_the_perceptron_of_split_mnist():
    network = backbone_of("mlp").network()
    assert sum(p.numel() for p in network.parameters()) == 784 * 100 + 100 + 100 * 100 + 100


@pytest.mark.parametrize("option", ["hidden=0", "layers=0", "size=7", "channels=2"])
def test_refusals(option):
    with pytest.raises(UserError, match=option.partition("=")[0]):
        backbone_of(f"mlp:{option}")


@pytest.mark.parametrize(
    ("init", "limits"),
    [("torch", (1 / 28, 1 / 100**0.5)), ("xavier", ((6 / (784 + 100)) ** 0.5, (6 / (100 + 100)) ** 0.5))],
)
def test_the_limits_of_random_weights(init, limits):
    layers = [layer for layer in backbone_of(f"mlp:init={init}").network().backbone if isinstance(layer, nn.Linear)]
    for layer, limit in zip(layers, limits, strict=True):
        assert 0.99 * limit < layer.weight.abs().max() <= limit
        assert layer.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.05), "uniform"
        assert bool(layer.bias.any()) == (init == "torch")


def test_weights_of_a_file(tmp_path):
    source = backbone_of("mlp:hidden=4:size=8").network()
    file = tmp_path / "weights.pth"
    torch.save(source.backbone.state_dict(), file)
    loaded = backbone_of(f"mlp:hidden=4:size=8:weights={file}")
    assert loaded.pretraining == "weights.pth"
    with torch.no_grad():
        for parameter in source.parameters():
            parameter += 1
    torch.save(source.backbone.state_dict(), file)
    for name, value in loaded.network().backbone.state_dict().items():
        assert torch.equal(value, source.backbone.state_dict()[name])


def test_only_its_own_size_is_probed():
    class Fixed(Backbone):
        name, mean, std, image_size = "fixed", (0.5,), (0.5,), 12

        def modules(self):
            return nn.Sequential(nn.Flatten(), nn.Linear(144, 3))

        def load(self, modules):
            pass

    assert Fixed().network().feature_dim == 3
