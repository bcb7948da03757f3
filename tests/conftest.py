"""Small things that many tests need: tiny tasks and networks. Everything on them takes milliseconds."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from benchmark.checks.tiny import three_tasks
from benchmark.checks.tiny import tiny_network as checks_network
from benchmark.learning.learner import Cell
from benchmark.streams.base import Task
from methods.configured import configure
from methods.network import Network
from methods.options import option_values

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers, and the processes they start, would compete for the cores with their own threads.
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes the user's cache folder."""
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("cache")
        patched.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def load_script() -> Callable[[str], ModuleType]:
    """load_script("house") -> scripts/house.py, which is no module of a package."""

    def load(name: str) -> ModuleType:
        path = Path(__file__).parents[1] / "scripts" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"{name}_script", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # A dataclass in a script looks there.
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets and backbones next to a developer's checkout."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets and backbones of ../shared/data are not here")
    return folder


@pytest.fixture(scope="session")
def without_tasks() -> Callable[[str], str]:
    """without_tasks(text): what was printed, less the lines about tasks of the stream and about those learned."""

    def without(text: str) -> str:
        lines = text.splitlines(keepends=True)
        return "".join(line for line in lines if not re.match(r"task \d+ of \d+, |\[\d+:\d\d:\d\d\] ", line))

    return without


@pytest.fixture
def write_mnist() -> Callable[..., None]:
    """write_mnist(folder, per_class): the four idx files; class c is filled with 20 c + split but for a white pixel."""

    def write(folder: Path, per_class: int = 4) -> None:
        folder.mkdir(parents=True)
        labels = np.tile(np.arange(10, dtype=np.uint8), per_class)
        for split, prefix in enumerate(("train", "t10k")):
            images = np.broadcast_to((20 * labels + split)[:, None, None], (len(labels), 28, 28)).astype(np.uint8)
            images[:, 3, 4] = 255
            for kind, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
                header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, dtype=">u4").tobytes()
                (folder / f"{prefix}-{kind}").write_bytes(header + array.tobytes())

    return write


@pytest.fixture(scope="session")
def tiny_tasks() -> tuple[Task, ...]:
    """Three tasks of 3, 2 and 4 classes at 8x8."""
    return three_tasks()


@pytest.fixture
def tiny_network() -> Network:
    """A network on TinyBackbone with random weights, in single precision, without heads."""
    return checks_network()


@pytest.fixture
def make_cell(tiny_network: Network) -> Callable[..., Cell]:
    """make_cell("ewc", strength=3.0) -> a cell of that method, given as a specification, on the tiny network."""

    def make(spec: str, network: Network | None = None, seed: int = 0, **options: object) -> Cell:
        configured = configure(spec)
        values = option_values(configured.make()) | options
        return Cell(network or tiny_network, lambda: configured.cls(**values), 4, seed, torch.device("cpu"))

    return make
