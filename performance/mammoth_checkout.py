"""A checkout of Mammoth (github.com/aimagelab/mammoth), driven by its own command."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from methods.errors import UserError
from performance.command import Ended, run_command
from performance.split_mnist import BATCH, Speed

#: Files that say that a folder is a checkout.
_SIGNS = ("main.py", "datasets/seq_mnist.py", "backbone/MNISTMLP.py")

# A progress bar at the end of a task's training: the task, iterations, and their mean speed.
_BAR = re.compile(r"Task (\d+) - Epoch \d+: 100%\|[^|]*\| (\d+)/\2 \[[^\]]*?([\d.]+)(it/s|s/it)")
_MISSING = re.compile(r"No module named '([\w.]+)'")


@dataclass(frozen=True)
class Mammoth:
    """A checkout, an interpreter that has the packages it needs, and the images.

    Attributes:
        root: the folder of its main.py.
        python: the interpreter.
        data: the folder with MNIST/raw, as torchvision makes it.
    """

    root: Path
    python: str
    data: Path

    def check(self) -> None:
        """Learn one iteration, after which its files are in the system's memory.

        Raises:
            UserError: the folder is no checkout, the interpreter does not exist or lacks a package, or Mammoth fails.
        """
        missing = [sign for sign in _SIGNS if not (self.root / sign).is_file()]
        if missing:
            raise UserError(
                f"--mammoth {self.root} has no {missing[0]}; give the folder of a checkout of "
                "github.com/aimagelab/mammoth"
            )
        if shutil.which(self.python) is None:
            raise UserError(f"--python {self.python} is not there or cannot be run; give a Python interpreter")
        ended = self._run(["--model", "sgd", "--lr", "0.1", "--stop_after", "1"], iterations=1)
        if ended.status == 0:
            return
        package = _MISSING.search(ended.said)
        if package:
            raise UserError(
                f"--python {self.python} has no package {package[1]}, which the checkout of --mammoth imports; "
                "install it there, or give an interpreter that has it"
            )
        last = (ended.said.strip() or f"exit status {ended.status}").splitlines()[-1]
        raise UserError(
            f"--mammoth {self.root} fails at its first iteration ({last}); its main.py must run with "
            f"--python {self.python}"
        )

    def train(self, options: Sequence[str], iterations: int | None, seed: int) -> Speed:
        """Learn Split-MNIST on the CPU, one epoch per task.

        Args:
            options: of its main.py: the model, its options, the learning rate, and the loader's workers.
            iterations: of each task; None for a whole epoch.

        Raises:
            RuntimeError: it failed, or its progress bars cannot be read; the error has its output.
        """
        ended = self._run([*options, "--seed", str(seed)], iterations)
        # What comes last counts: before, a bar may show the speed of the last moments.
        bars = {int(task): (int(count), _seconds(rate, unit)) for task, count, rate, unit in _BAR.findall(ended.said)}
        later = [bar for task, bar in bars.items() if task > 1]
        if ended.status != 0 or not later:
            raise RuntimeError(f"Mammoth failed with {' '.join(options)}: {ended.said}")
        training = sum(count * seconds for count, seconds in later) / sum(count for count, _ in later)
        return Speed(training, sum(count for count, _ in bars.values()), ended.seconds)

    def _run(self, options: Sequence[str], iterations: int | None) -> Ended:
        with tempfile.TemporaryDirectory() as temporary:
            images = Path(temporary, "MNIST")
            images.mkdir()
            # torchvision looks into the folder that is called as the class.
            for name in ("MNIST", "MyMNIST"):
                (images / name).symlink_to((self.data / "MNIST").absolute(), target_is_directory=True)
            python = Path(shutil.which(self.python) or self.python).absolute()
            command = [str(python), "main.py", "--dataset", "seq-mnist", *options]
            command += ["--batch_size", str(BATCH), "--n_epochs", "1", "--base_path", temporary]
            command += ["--checkpoint_path", temporary]
            if iterations is not None:
                command += ["--fitting_mode", "iters", "--n_iters", str(iterations)]
            return run_command(command, self.root, {**os.environ, "CUDA_VISIBLE_DEVICES": ""})


def _seconds(rate: str, unit: str) -> float:
    """Seconds per iteration: a slow bar shows them, a fast one their inverse."""
    return float(rate) if unit == "s/it" else 1 / float(rate)
