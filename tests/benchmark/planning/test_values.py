"""A hook that looks at a value, which there is none of without data: one sentence, and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import main
from methods import methods

PLUGIN = '''
import torch
from torch import nn

from methods import Method, methods


@methods.register("looks")
class Looks(Method):
    """Looks at a value."""

    def adapt(self, network):
        {adapt}

    def part(self, module, name):
        return "shared"

    def before_backward(self, step):
        {before_backward}

    def after_training_exp(self, step):
        {after_training_exp}
'''

BODIES = {
    "item": ("before_backward", "self.last = step.loss.item()"),
    "float": ("before_backward", "self.last = float(step.loss)"),
    "if": ("before_backward", "if step.loss > 0: pass"),
    "mask": ("before_backward", "step.images[step.labels == 0]"),
    "list": ("after_training_exp", "step.task_data.labels.tolist()"),
    "numpy": ("after_training_exp", "step.task_data.labels.numpy()"),
    "to the processor": ("after_training_exp", 'step.model.heads.bias.detach().to("cpu")'),
    "made elsewhere": (
        "before_backward",
        "step.loss += (torch.ones(5, 3) @ step.model.features(step.images)[:3]).sum()",
    ),
    "network": ("adapt", "if next(network.backbone.parameters()).sum() > 0: pass"),
}


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(methods, "_entries", methods.entries())
    monkeypatch.chdir(tmp_path)


def write(**bodies: str) -> None:
    hooks = dict.fromkeys(("adapt", "before_backward", "after_training_exp"), "pass")
    Path("mine.py").write_text(PLUGIN.format(**(hooks | bodies)))


def line_of(text: str) -> int:
    return Path("mine.py").read_text().splitlines().index(f"        {text}") + 1


def refusal(arguments: str, capsys: pytest.CaptureFixture) -> str:
    assert main([*arguments.split(), "--plugin", "mine.py"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if line.startswith(("error: ", "Traceback"))] == said[-1:]
    return said[-1]


@pytest.mark.parametrize("body", BODIES)
def test_it_names_the_method_the_hook_and_the_remedy(body: str, capsys: pytest.CaptureFixture) -> None:
    hook, text = BODIES[body]
    write(**{hook: text})
    said = refusal("cost --methods looks --tasks 2 --images 8 --image-size 32", capsys)
    assert said.startswith(
        "error: method 'looks' does not run on tensors without values, as `cost`, `methods NAME` and "
    )
    where = "what a hook made" if body == "made elsewhere" else f"{hook} (mine.py, line {line_of(text)})"
    assert f"because of {where}: " in said
    assert said.endswith("; make new tensors on the device of others, and where x.is_meta look at no value")


@pytest.mark.parametrize(
    "command",
    [
        "methods looks",
        "run --methods sgd,looks --equal-compute sgd",
        "run --methods er --equal-memory looks",
    ],
)
def test_other_commands_say_the_same(command: str, capsys: pytest.CaptureFixture) -> None:
    write(before_backward="self.last = step.loss.item()")
    small = " --tasks 1 --epochs 1 --train-images 20 --test-images 20" if command.startswith("run") else ""
    where = f"because of before_backward (mine.py, line {line_of('self.last = step.loss.item()')})"
    assert where in refusal(command + small, capsys)


def test_a_module_of_the_method(capsys: pytest.CaptureFixture) -> None:
    """What the method adds to the network is its own code too."""
    text = "network.backbone.register_forward_hook(lambda m, a, y: y * float(y.sum() * 0 + 1))"
    write(adapt=text)
    assert f"(mine.py, line {line_of(text)})" in refusal(
        "cost --methods looks --tasks 2 --images 8 --image-size 32", capsys
    )


def test_what_leaves_it_out_without_values_is_told_its_cost(capsys: pytest.CaptureFixture) -> None:
    write(before_backward="self.last = 0.0 if step.loss.is_meta else step.loss.item()")
    arguments = "cost --plugin mine.py --methods looks --tasks 2 --images 8 --image-size 32"
    assert main(arguments.split()) == 0
    assert "looks" in capsys.readouterr().out
