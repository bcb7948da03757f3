"""The backbone of the example package passes every check; broken copies are told what is wrong."""

from __future__ import annotations

import pytest

from benchmark.backbones import backbones
from benchmark.checks.backbones import BACKBONE_CHECKS, BackboneSubject
from benchmark.checks.base import examine_one
from benchmark.checks.find import targets
from methods.options import parse_spec

CHECKS = {check.name: check for check in BACKBONE_CHECKS}

FLAT, POOL = "nn.Flatten(),", "nn.AdaptiveAvgPool2d(1),"
FIRST = "filters = len(bank(self.directions))"
MODULE = "class Mine(nn.Module):\n    {}\n\n\nclass Gabor(Backbone):"


def own(forward: str, init: str = "pass") -> list[tuple[str, str]]:
    """The last module is of a class of its own with this forward(self, x)."""
    start = f"def __init__(self):\n        super().__init__()\n        {init}\n\n"
    body = f"{start}    def forward(self, x):\n        {forward}"
    return [("class Gabor(Backbone):", MODULE.format(body)), (FLAT, f"{FLAT} Mine(),")]


BROKEN: list[tuple[str, list[tuple[str, str]], str]] = [
    (
        "its docstring describes it and each option",
        [
            (
                '    """Gabor filters and random convolutions: what',
                '    note = """Gabor filters and random convolutions: what',
            )
        ],
        "has no docstring",
    ),
    (
        "options are stored under their own names",
        [
            ("self.features = features", "self.width = features"),
            ("self.features,", "self.width,"),
            ("(self.features)", "(self.width)"),
        ],
        "no attribute 'features'; store it",
    ),
    (
        "values of options are taken, or refused in words",
        [('raise ValueError(f"{name}={value} must be at least 1")', "raise ValueError()")],
        "is refused by Gabor",
    ),
    ("runs without data", own("return x * x.sum().item()"), "Gabor"),
    (
        "has weights, and a normalisation",
        [("std = (0.25, 0.25, 0.25)", "std = (0.25, 0.0, 0.25)")],
        "give three numbers",
    ),
    (
        "has weights, and a normalisation",
        [("first = cast", 'raise FileNotFoundError("gabor.pth")\n        first = cast')],
        "in load (",
    ),
    ("gives features [N, D]", own("return x + x.mean(0)"), "depend on the other images of its batch"),
    ("runs without data", [(FLAT, "")], "features of 2 images are [2, 128, 1, 1]; return [N, D], as by nn.Flatten()"),
    ("gives features [N, D]", own("return x * 0"), "are the same whatever the image is"),
    ("gives features [N, D]", own("return x * float('inf')"), "are not all finite numbers"),
    ("gives features [N, D]", own("return x.double()"), "features are torch.float64; compute in float32"),
    (
        "gives the same features each time",
        own("return torch.nn.functional.dropout(x, training=True)"),
        "draw random numbers only if self.training",
    ),
    (
        "does not change while it answers",
        own("self.seen += 1\n        return x", 'self.register_buffer("seen", torch.zeros(1))'),
        "changes in evaluation mode; change tensors only if self.training",
    ),
    (
        "has the same tensors each time",
        [("first = cast", "torch.seed()\n        modules[3].weight.normal_()\n        first = cast")],
        "'backbone.3.weight' has other values in a second instance",
    ),
    ("can be trained", own("return x.detach()"), "let gradients reach the weights"),
    (
        "runs on a GPU, where a step does not wait",
        own("return x if x.is_meta else x + self.zeros", "self.zeros = torch.zeros(128)"),
        "in Mine.forward (",
    ),
    (
        "runs on a GPU, where a step does not wait",
        own("return x if x.is_meta else x / max(1.0, x.max().item())"),
        "WaitError: reading a value (.item(), float(), int(), bool() or if) waits for the GPU in each step; make ",
    ),
    (
        "leaves the rest of the process alone",
        [(FIRST, f"torch.set_num_threads(7)\n        {FIRST}")],
        "torch's number of threads",
    ),
]
# What is only advised of, and never failed.
ADVISED = {"is in float32", "has layers that methods know"}


def told(file, check: str) -> tuple[str, str]:
    (target,) = targets([str(file)])
    subject = BackboneSubject(parse_spec(target.text), backbones.get(target.text), {})
    finding = examine_one(CHECKS[check], subject)
    return finding.status, finding.text


def test_there_is_a_broken_copy_for_each_check() -> None:
    assert {name for name, _, _ in BROKEN} == CHECKS.keys() - ADVISED


@pytest.mark.parametrize(("check", "changes", "says"), BROKEN)
def test_a_broken_copy(check, changes, says, broken, lab) -> None:
    status, text = told(broken(lab / "gabor.py", changes), check)
    assert status == "failed"
    assert says in text
    assert "\n" not in text


def test_the_examples_backbone_passes(lab) -> None:
    (target,) = targets([str(lab / "gabor.py")])
    assert str(target) == "backbone Gabor"
    assert [(f.check, f.status, f.text) for f in target.findings()] == [(name, "ok", "") for name in CHECKS]


@pytest.mark.parametrize(
    "spec", ["mini", "mini-vit", "resnet18:until=layer1:weights=random", "timm:test_vit:image_size=32"]
)
def test_known_backbones_pass(spec) -> None:
    (target,) = [target for target in targets([spec]) if target.registry is backbones]
    assert [f.status for f in target.findings()] == ["ok"] * len(CHECKS)


@pytest.mark.parametrize(
    ("changes", "check", "says"),
    [
        ([("nn.BatchNorm2d(filters),", "")], "has layers that methods know", ""),
        (
            [("nn.BatchNorm2d(filters),", ""), ("nn.BatchNorm2d(self.features),", "")],
            "has layers that methods know",
            "it has no batch or layer normalisation, which norm-only and others train",
        ),
        ([(FLAT, f"{FLAT}\n        ).double(")], "is in float32", "has weights in float64, here they are float32"),
    ],
)
def test_advice_is_no_failure(changes, check, says, broken, lab) -> None:
    status, text = told(broken(lab / "gabor.py", changes), check)
    assert status == "ok"
    assert says in text
