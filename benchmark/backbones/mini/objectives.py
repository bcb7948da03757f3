"""What the embedded backbones learn from labelled pictures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmark.backbones.mini.network import WEIGHTS, MiniResNet
from benchmark.backbones.mini.vit import MiniViT

_LABEL_SMOOTHING = 0.1


class Labels(nn.Module):
    """A network with a classifier, which learns the labels of pictures.

    Args:
        network: normalised images [N, 3, 32, 32] -> features [N, D].
        features: D.
        classes: number of labels.
    """

    def __init__(self, network: nn.Module, features: int, classes: int):
        super().__init__()
        self.network = network
        self.head = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [N, 3, 32, 32] -> logits [N, classes]."""
        return self.head(self.network(images))

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Normalised images [N, 3, 32, 32] and labels int64 [N] -> the loss to minimise, a scalar."""
        return self.label_loss(self(images), labels)

    def label_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits [N, classes] and labels int64 [N] -> their cross-entropy with smoothed labels, a scalar."""
        return F.cross_entropy(logits, labels, label_smoothing=_LABEL_SMOOTHING)


class LabelsAndTeacher(Labels):
    """A MiniViT that learns the labels, and to predict what the pretrained MiniResNet computes on the same pictures.

    In short trials a small transformer learned nothing from the labels alone (see docs/mini.md): no edges. So it
    gets hints (FitNets: Romero et al., 2015, arXiv 1412.6550). After its second block the tokens predict the teacher's
    `layer2`, whose 8x8 positions are the patches; at the end they predict `layer3`, and the class token the teacher's
    features, each by a linear layer that is thrown away afterwards.
    """

    #: The factor of a hint's mean squared error, beside a cross-entropy.
    weight = 3.0
    hinted_block = 2

    network: MiniViT

    def __init__(self, network: MiniViT, features: int, classes: int):
        super().__init__(network, features, classes)
        teacher = MiniResNet()
        teacher.load_state_dict(load_file(WEIGHTS), strict=True)
        # Hidden from torch, so that the teacher is neither trained nor put into training mode.
        self._teacher = (teacher.eval(),)
        layer2, layer3 = (int(getattr(teacher, name)[-1].bn2.num_features) for name in ("layer2", "layer3"))
        self.predict_layer2 = nn.Linear(features, layer2)
        self.predict_layer3 = nn.Linear(features, layer3)
        self.predict_features = nn.Linear(features, MiniResNet.features)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        early, tokens = self._tokens(images)
        patches, feature = tokens[:, 1:], tokens[:, 0]
        layer2, layer3, features = self._targets(images)
        hints = (
            F.mse_loss(self.predict_layer2(F.layer_norm(early[:, 1:], early.shape[2:])), layer2)
            + F.mse_loss(self.predict_layer3(patches), layer3)
            + F.mse_loss(self.predict_features(feature), features)
        )
        return self.label_loss(self.head(feature), labels) + self.weight * hints

    def _tokens(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens after the hinted block, and after the last normalisation: [N, 1 + 64, D] each."""
        encoder = self.network.encoder
        tokens = self.network._process_input(images)
        tokens = torch.cat([self.network.class_token.expand(len(images), -1, -1), tokens], 1) + encoder.pos_embedding
        early = encoder.layers[: self.hinted_block](tokens)
        return early, encoder.ln(encoder.layers[self.hinted_block :](early))

    @torch.no_grad()
    def _targets(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The teacher's `layer2` and `layer3` [N, 64, C] at the patches, and its features [N, C], standardised."""
        (teacher,) = self._teacher
        layer2 = teacher.layer2(teacher.layer1(teacher.relu(teacher.bn1(teacher.conv1(images)))))
        layer3 = teacher.layer3(layer2)
        features = teacher.avgpool(layer3).flatten(1)
        # Each channel of a batch gets mean 0 and variance 1, so that no channel counts more than another.
        layer2, layer3, features = (F.batch_norm(x, None, None, training=True) for x in (layer2, layer3, features))
        layer3 = F.interpolate(layer3, size=layer2.shape[2:])
        return layer2.flatten(2).transpose(1, 2), layer3.flatten(2).transpose(1, 2), features
