"""--preset: options that go together, over which what is written out wins."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from benchmark.backbones import backbone_of
from benchmark.cli.main import main, parse
from benchmark.config import PRESETS, Settings
from benchmark.learning.training import Training, decay, make_optimizer
from benchmark.running.request import requested
from methods.configured import configure
from methods.options import option_values
from methods.recipe import Recipe


def settings_of(command: str) -> Settings:
    return requested(vars(parse(command.split())))[0]


def test_the_paper_is_the_articles_recipe():
    settings = settings_of("run --methods clr,sgd --preset paper")
    assert (settings.epochs, settings.batch_size, settings.image_size, settings.augment) == (60, 32, 224, ())
    assert (settings.lr, settings.optimizer, settings.schedule) == (1e-3, "adam", "step")
    backbone = backbone_of(settings.backbone)
    assert (backbone.name, backbone.pretraining) == ("resnet50", "ImageNet-1k (IMAGENET1K_V1)")
    assert option_values(configure("clr").make()) == {"penalty": 1e-5}


def test_the_documentation_has_its_options():
    text = (Path(__file__).parents[2] / "docs" / "paper.md").read_text()
    rows = dict(re.findall(r"^\| `--([a-z-]+)` \| `?([^`:|]+(?::weights=\w+)?)", text, re.MULTILINE))
    written = {name.replace("-", "_"): value.strip() for name, value in rows.items()}
    assert written == {name: str(value) for name, value in PRESETS["paper"].items()}


def test_its_learning_rate_falls_to_a_tenth_after_each_third():
    settings = settings_of("run --methods clr --preset paper")
    recipe = configure("clr", **settings.recipe).recipe
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer([parameter], recipe, torch.device("cpu"))
    assert isinstance(optimizer, torch.optim.Adam)
    factor = decay(Training(recipe, settings.epochs, settings.batch_size))
    rates = [optimizer.defaults["lr"] * factor(epoch) for epoch in range(60)]
    assert rates == pytest.approx([1e-3] * 20 + [1e-4] * 20 + [1e-5] * 20)


@pytest.mark.parametrize("command", ["run --preset paper --epochs 8 {}", "run --epochs 8 {} --preset paper"])
def test_what_is_written_out_wins_wherever_it_stands_and_even_if_it_is_the_default(command):
    settings = settings_of(command.format("--methods clr --backbone mini --lr 0.5"))
    assert (settings.epochs, settings.backbone, settings.lr) == (8, "mini", 0.5)
    assert (settings.image_size, settings.optimizer) == (224, "adam")


def test_without_a_preset_nothing_changes():
    assert settings_of("run --methods clr") == Settings(methods=("clr",))


def test_options_of_all_methods_give_way_to_those_of_a_specification():
    asked = settings_of("run --methods clr --preset paper").recipe
    default = configure("sgd").recipe
    assert configure("sgd", **asked).recipe == Recipe("adam", 1e-3, clip=default.clip, schedule="step")
    given = configure("sgd:optimizer=sgd:lr=0.1:schedule=constant", **asked).recipe
    assert given == Recipe("sgd", 0.1, clip=default.clip, schedule="constant")
    assert configure("sgd", schedule="step").recipe == Recipe(default.optimizer, default.lr, clip=1.0, schedule="step")


@pytest.mark.parametrize("option", ["--preset paper", "--lr 1", "--optimizer sgd", "--schedule step"])
def test_tuned_methods_have_their_own_recipes(capsys, option):
    assert main(f"run --methods clr --tuned file {option}".split()) == 2
    name = option.split()[0]
    said = f"error: {name} and --tuned both say how the methods are trained; give one of them\n"
    assert capsys.readouterr().err == said


def test_an_unknown_preset_is_answered_with_those_that_are_known(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["run", "--methods", "clr", "--preset", "papers"])
    assert stopped.value.code == 2
    assert "invalid choice: 'papers'" in capsys.readouterr().err
