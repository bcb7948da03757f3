"""Streams by name: the sources of the tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from methods.errors import UserError
from methods.options import Spec
from methods.registry import Registry

#: Per cent of a task's training images that are held out where its source has no validation images, and the most.
VALIDATION, MOST_VALIDATION = 10, 50

if TYPE_CHECKING:
    from benchmark.streams.source import StreamSource

streams: Registry[type[StreamSource]] = Registry("stream", entry_points="continual_benchmark.streams")
for _name, _target, _summary in (
    ("mini", "mini.stream:MiniStream", "eight small embedded tasks at 32x32; needs no file and no network"),
    ("folder", "folder:FolderStream", "folder:DIR[:order=a,b,c] - an ImageFolder tree or zip per task"),
    (
        "split-folder",
        "split_folder:SplitFolder",
        "split-folder:DIR[:tasks=10][:order=1993] - one ImageFolder tree or zip, its classes divided among tasks",
    ),
    ("split-cifar10", "torchvision_sets:SplitCIFAR10", "CIFAR-10 split into tasks (downloaded once)"),
    ("split-cifar100", "torchvision_sets:SplitCIFAR100", "CIFAR-100 split into tasks (downloaded once)"),
    ("split-mnist", "torchvision_sets:SplitMNIST", "MNIST split into tasks (downloaded once)"),
    ("split-fashion-mnist", "torchvision_sets:SplitFashionMNIST", "Fashion-MNIST split into tasks (downloaded once)"),
    ("permuted-mnist", "mnist_domains:PermutedMNIST", "MNIST with the pixels of each task in another order; domains"),
    ("rotated-mnist", "mnist_domains:RotatedMNIST", "MNIST with the images of each task turned further; domains"),
    ("skill53", "skill53:Skill53Stream", "skill53:DIR - the 53 data sets of the CLR article"),
    (
        "torchvision",
        "torchvision_list:TorchvisionStream",
        "torchvision:NAME,NAME - whole data sets of torchvision (downloaded once); torchvision:open - 21 of them",
    ),
    ("avalanche", "avalanche_sets:AvalancheStream", "avalanche:NAME - a classic benchmark of Avalanche"),
):
    streams.add_lazy(_name, f"benchmark.streams.{_target}", _summary)


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # the name is too long for a file
        return False


def check_stream(spec: Spec) -> None:
    """Refuse a specification that names no stream.

    Raises:
        UserError: naming the known streams, or how a folder is given.
    """
    # A path is also known by its slash, as it may be misspelt.
    if spec.name not in streams.names() and ("/" in spec.name or _exists(spec.name)):
        kind = "split-folder" if spec.name.lower().endswith(".zip") or "tasks" in spec.options else "folder"
        raise UserError(f"unknown stream '{spec.text}': your own data are {kind}:DIR, so write {kind}:{spec.text}")
    streams.check(spec.name)
