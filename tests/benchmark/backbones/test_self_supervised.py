"""DINO's and SwAV's ResNet-50, from files of the formats that their authors publish."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision.models
from torch import Tensor

from benchmark.backbones import backbone_of
from benchmark.backbones.self_supervised import DINOResNet50, SwAVResNet50
from methods.errors import UserError

#: As they are called where they are published.
FILES = {"dino_resnet50": "dino_resnet50_pretrain.pth", "swav_resnet50": "swav_800ep_pretrain.pth.tar"}
BACKBONES = list(FILES)


def small(until: str = "layer1") -> dict[str, Tensor]:
    """The tensors of a ResNet-50 up to a module, with other values than those that any network starts with."""
    random = torch.Generator().manual_seed(7)
    state = backbone_of(f"resnet50:until={until}").modules().state_dict()
    return {
        name: torch.rand(tensor.shape, generator=random) if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }


def published(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As the file has it: DINO's is the backbone alone; SwAV's was trained on several GPUs and has its heads."""
    if name == "dino_resnet50":
        return state
    heads = {
        "projection_head.0.weight": torch.zeros(20, 8),
        "projection_head.1.running_mean": torch.zeros(20),
        "projection_head.1.num_batches_tracked": torch.tensor(3),
        "prototypes.weight": torch.zeros(30, 4),
    }
    return {f"module.{key}": tensor for key, tensor in (state | heads).items()}


def save(name: str, state: dict[str, Tensor], folder: Path) -> Path:
    path = (
        folder / {"dino_resnet50": "dino_resnet50_pretrain.pth", "swav_resnet50": "swav_800ep_pretrain.pth.tar"}[name]
    )
    torch.save(published(name, state), path)
    return path


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        backbone_of(text).network()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_holds(text: str, state: dict[str, Tensor]) -> None:
    live = backbone_of(text).network().backbone.state_dict()
    assert "layer1.2.bn3.running_var" in live
    assert all(torch.equal(tensor, state[name]) for name, tensor in live.items())


@pytest.mark.parametrize("name", BACKBONES)
def test_files_of_the_published_format(tmp_path, name):
    state = small()
    path = save(name, state, tmp_path)
    assert_holds(f"{name}:until=layer1:weights={path}", state)


@pytest.mark.parametrize("name", BACKBONES)
def test_whole_networks_are_what_torchvision_computes(tmp_path, name):
    torch.manual_seed(3)
    plain = torchvision.models.resnet50().eval()
    plain.fc = torch.nn.Identity()
    path = save(name, plain.state_dict(), tmp_path)
    network = backbone_of(f"{name}:weights={path}").network().eval()
    assert network.feature_dim == 2048
    assert sum(p.numel() for p in network.backbone.parameters()) == 23_508_032
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.no_grad():
        expected = plain((images / 255 - mean) / std)
        torch.testing.assert_close(network.features(images), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", BACKBONES)
def test_the_published_file_is_downloaded_once(tmp_path, monkeypatch, name):
    state = small()
    file, fetched = save(name, state, tmp_path), []

    def download(url: str, path: str, **options: object) -> None:
        fetched.append((url, options))
        shutil.copy(file, path)

    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    for _ in range(2):
        assert_holds(f"{name}:until=layer1", state)
    ((url, options),) = fetched
    assert url.startswith("https://dl.fbaipublicfiles.com/")
    assert url.endswith(file.name)
    assert options["hash_prefix"] is None


def test_a_download_is_compared_with_the_checksum_that_the_user_knows(tmp_path, monkeypatch):
    state = small()
    file = save("dino_resnet50", state, tmp_path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    # torch's own download and check, of a file instead of an address in the network.
    monkeypatch.setattr(DINOResNet50, "url", file.as_uri())
    assert "could not be downloaded (invalid hash value" in refusal("dino_resnet50:until=layer1:sha256=00000000")
    assert not list((tmp_path / "hub" / "checkpoints").iterdir())
    assert_holds(f"dino_resnet50:until=layer1:sha256={digest[:12].upper()}", state)


@pytest.mark.parametrize("digits", [8, 64])
def test_a_local_file_is_compared_with_it_too(tmp_path, digits):
    state = small()
    path = save("swav_resnet50", state, tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    text = f"swav_resnet50:until=layer1:weights={path}"
    assert_holds(f"{text}:sha256={digest[:digits]}", state)
    wrong = "f" * 8 if digest[:8] != "f" * 8 else "0" * 8
    message = refusal(f"{text}:sha256={wrong}")
    assert message == f"--backbone: {path} has the SHA-256 {digest}, not {wrong}; remove or replace it"


@pytest.mark.parametrize("digits", ["1234567", "xyz", "0" * 65])
def test_what_is_no_checksum_is_refused(digits):
    message = refusal(f"dino_resnet50:sha256={digits}")
    assert message.endswith(f"sha256={digits} is not 8 to 64 hexadecimal digits")


def test_without_a_network_a_file_is_asked_for(tmp_path, monkeypatch):
    def unreachable(*arguments: object, **options: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    assert refusal("swav_resnet50") == (
        f"--backbone: {SwAVResNet50.url} could not be downloaded (<urlopen error no route to host>); give a local copy "
        "with swav_resnet50:weights=FILE"
    )


@pytest.mark.parametrize("name", BACKBONES)
def test_files_that_do_not_fit_are_named(tmp_path, name):
    lacking = small()
    del lacking["layer1.0.bn2.weight"]
    path = save(name, lacking, tmp_path)
    assert refusal(f"{name}:until=layer1:weights={path}") == (
        f"--backbone: {path} does not fit: it lacks 'layer1.0.bn2.weight', which the network has"
    )
    assert refusal(f"{name}:until=layer1:weights=nowhere.pth") == "--backbone: there is no weights file nowhere.pth"
    assert refusal(f"{name}:until=layer1:weights=nowhere.pth:sha256=01234567").endswith("no weights file nowhere.pth")


def test_the_heads_of_swav_are_not_those_of_dino(tmp_path):
    path = save("swav_resnet50", small(), tmp_path)
    assert "the network has no 'projection_head.0.weight'" in refusal(f"dino_resnet50:until=layer1:weights={path}")


def test_tables_say_how_it_was_pretrained():
    assert backbone_of("dino_resnet50").pretraining == "DINO"
    assert backbone_of("swav_resnet50:weights=swav.pth.tar").pretraining == "SwAV"
    assert backbone_of("swav_resnet50:weights=random").pretraining == "none"
    assert backbone_of("swav_resnet50:until=layer1:weights=random").network().feature_dim == 256
