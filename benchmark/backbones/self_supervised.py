"""ResNet-50 with the published weights of methods that learn without labels."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import ClassVar
from urllib.error import URLError

import torch
from torch import nn

from benchmark.backbones import backbones
from benchmark.backbones.base import fill, read_weights
from benchmark.backbones.torchvision_nets import TorchvisionBackbone
from methods.errors import UserError
from methods.paths import given_path


class SelfSupervisedResNet50(TorchvisionBackbone):
    """torchvision's ResNet-50 with published self-supervised weights.

    Args:
        until: the last module to keep, as `layer3`; empty for the whole network.
        weights: "published" (downloaded once), "random", or the path of the published file.
        sha256: the checksum that the file must have, or at least its first 8 digits; empty for any. The authors do not
            publish one.
    """

    architecture = "resnet50"
    #: Where the weights are published, their name in tables, and what else the file holds beside the backbone.
    url: ClassVar[str]
    title: ClassVar[str]
    beside: ClassVar[tuple[str, ...]] = ()

    def __init__(self, until: str = "", weights: str = "published", sha256: str = ""):
        super().__init__(until, weights)
        if sha256 and not re.fullmatch(r"[0-9a-fA-F]{8,64}", sha256):
            raise ValueError(f"sha256={sha256} is not 8 to 64 hexadecimal digits")
        self.sha256 = sha256

    @property
    def pretraining(self) -> str:
        return super().pretraining if self.weights == "random" else self.title

    def load(self, modules: nn.Module) -> None:
        if self.weights == "random":
            return
        path = self._fetched() if self.weights == "published" else given_path("--backbone", self.weights)
        if self.sha256 and path.is_file():
            self._check(path)
        weights = read_weights(str(path), ("published", "random"))
        fill(modules, weights, (*self._left_out, *self.beside), str(path), self.warn)

    def _fetched(self) -> Path:
        """The published file, in the folder where torch keeps all downloaded weights."""
        path = Path(torch.hub.get_dir(), "checkpoints", self.url.rpartition("/")[2])
        if not path.is_file():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                # A file with another checksum is not kept.
                prefix = self.sha256.lower() or None
                torch.hub.download_url_to_file(self.url, str(path), hash_prefix=prefix, progress=False)
            except (URLError, OSError, RuntimeError) as error:
                raise UserError(
                    f"--backbone: {self.url} could not be downloaded ({error}); give a local copy with "
                    f"{self.name}:weights=FILE"
                ) from error
        return path

    def _check(self, path: Path) -> None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(self.sha256.lower()):
            raise UserError(f"--backbone: {path} has the SHA-256 {found}, not {self.sha256}; remove or replace it")


@backbones.register("dino_resnet50")
class DINOResNet50(SelfSupervisedResNet50):
    """ResNet-50 pretrained by DINO on ImageNet-1k without labels (Caron et al., ICCV 2021, arXiv 2104.14294)."""

    url = "https://dl.fbaipublicfiles.com/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth"
    title = "DINO"


@backbones.register("swav_resnet50")
class SwAVResNet50(SelfSupervisedResNet50):
    """ResNet-50 pretrained by SwAV on ImageNet-1k without labels (Caron et al., NeurIPS 2020, arXiv 2006.09882)."""

    url = "https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar"
    title = "SwAV"
    beside = ("projection_head.", "prototypes.")
