"""From the text of a specification to a method and its recipe."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from methods import methods
from methods.configured import configure
from methods.errors import UserError
from methods.options import parse_spec
from methods.recipe import Recipe


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        configure(text)
    return str(caught.value)


def test_own_options_and_those_of_the_recipe_may_be_mixed():
    configured = configure("ewc:strength=500:lr=0.1:optimizer=adam")
    assert configured.label == "ewc:strength=500:lr=0.1:optimizer=adam"
    assert configured.make().strength == 500.0
    assert configured.recipe == replace(methods.get("ewc").recipe, lr=0.1, optimizer="adam")


def test_without_options_everything_is_the_methods_own():
    configured = configure("clr")
    assert configured.recipe == methods.get("clr").recipe
    assert configured.make().penalty == methods.get("clr")().penalty


@pytest.mark.parametrize(
    ("text", "lr", "expected"),
    [
        ("clr", 0.25, 0.25),
        ("clr:lr=0.5", 0.25, 0.5),
        ("clr:lr=0.5", None, 0.5),
    ],
)
def test_learning_rate_specification_before_command_line_before_recipe(text, lr, expected, monkeypatch):
    monkeypatch.setattr(methods.get("clr"), "recipe", Recipe(lr=0.75))
    assert configure("clr").recipe.lr == 0.75
    assert configure(text, lr).recipe.lr == expected


def test_command_lines_learning_rate_changes_nothing_else():
    assert configure("clr:schedule=cosine", 0.25).recipe == replace(
        methods.get("clr").recipe, lr=0.25, schedule="cosine"
    )


def test_the_warm_up_of_the_training_is_no_option_of_a_method():
    """lwf has a `warmup` of its own, in which only the new head is trained."""
    configured = configure("lwf:warmup=2:warmup_epochs=1", optimizer="adamw")
    assert configured.make().warmup == 2
    assert (configured.recipe.warmup_epochs, configured.recipe.optimizer) == (1, "adamw")


@pytest.mark.parametrize("learns", [True, False])
def test_a_method_whose_option_has_the_name_of_a_training_option_is_refused(learns, monkeypatch):
    """Else the value would go to the training, and never to the method."""
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))

    @methods.register("slow")
    class Slow(methods.get("sgd")):
        learns_in_steps = learns

        def __init__(self, warmup_epochs: int = 3):
            super().__init__()

    assert refusal("slow:warmup_epochs=2") == refusal("slow")
    assert refusal("slow") == (
        "method 'slow' has an option 'warmup_epochs', which is the name of a training option of all methods; give it "
        "another name"
    )


def test_every_instance_is_a_new_one():
    configured = configure("er:memory=7")
    first, second = configured.make(), configured.make()
    assert first is not second
    assert first.memory.images == second.memory.images == 7


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ewc:lr=0", "'ewc:lr=0': lr=0 must be above 0"),
        ("ewc:lr=nan", "'ewc:lr=nan': option lr=nan is not a finite number"),
        ("ewc:momentum=1", "'ewc:momentum=1': momentum=1 must be at least 0 and below 1"),
        ("ewc:weight-decay=-1", "'ewc:weight-decay=-1': weight_decay=-1 must not be negative"),
        ("ewc:optimizer=rms", "'ewc:optimizer=rms': option optimizer=rms is not one of sgd, adam, adamw, rmsprop"),
        ("ewc:schedule=x", "'ewc:schedule=x': option schedule=x is not one of constant, step, cosine"),
        ("ewc:warmup_epochs=-1", "'ewc:warmup_epochs=-1': warmup_epochs=-1 must not be negative"),
        ("ewc:layer_decay=1.5", "'ewc:layer_decay=1.5': layer_decay=1.5 must be above 0 and at most 1"),
        ("ewc:warmup-epochs=0.5", "'ewc:warmup-epochs=0.5': option warmup_epochs=0.5 is not a whole number"),
        (
            "ewc:warmup=1",
            "'ewc:warmup=1' has no option 'warmup': did you mean 'warmup_epochs'? valid",
        ),
        ("ewc:strength=-1", "'ewc:strength=-1': strength=-1 must not be negative"),
        ("ewc:samples=0", "'ewc:samples=0': samples=0 must be at least 1"),
        ("er:memory=0", "'er:memory=0': option memory=0 is not a memory size"),
        (
            "er:bn=per-task",
            "'er:bn=per-task': option bn=per-task is not one of shared, frozen: one pass serves several tasks",
        ),
        ("clr:penalty=-1", "'clr:penalty=-1': penalty=-1 must not be negative"),
        ("online-ewc:decay=2", "'online-ewc:decay=2': decay=2 must be between 0 and 1"),
    ],
)
def test_values_that_are_refused(text, says):
    assert refusal(text).startswith(says)


def test_misspelt_option_is_answered_with_all_that_are_valid():
    assert refusal("clr:optimiser=adam") == (
        "'clr:optimiser=adam' has no option 'optimiser': did you mean 'optimizer'? "
        "valid options of clr are penalty, optimizer, lr, momentum, weight_decay, clip, schedule, warmup_epochs, "
        "layer_decay, patience, keep"
    )


def test_a_method_may_choose_its_options_by_what_is_given(monkeypatch):
    """The class that `specialised` returns stands for the method, in all that depends on it."""

    class Wide(methods.get("clr")):
        recipe = Recipe(lr=0.125)

        def __init__(self, width: int = 2):
            super().__init__()
            self.width = width

    asked = []
    monkeypatch.setattr(methods.get("clr"), "specialised", lambda spec: asked.append(spec) or Wide)
    configured = configure("clr:width=3")
    assert configured.cls is Wide
    assert configured.make().width == 3
    assert configured.recipe == Wide.recipe
    assert asked == [parse_spec("clr:width=3")]
    assert "valid options of clr are width, optimizer" in refusal("clr:penalty=1")


def test_unknown_method_is_refused():
    assert refusal("ewcc").startswith("unknown method 'ewcc': did you mean 'ewc'? known are clr, ")


def test_what_is_no_method_is_refused(monkeypatch):
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))

    @methods.register("thing")
    class Thing:
        """No method."""

    assert refusal("thing") == "method 'thing' is no subclass of methods.Method; derive it from that class"


@pytest.mark.parametrize("given", ["lr=0.1", "optimizer=adam", "momentum=0", "schedule=step", "weight_decay=1:lr=1"])
def test_without_gradient_steps_there_is_no_recipe(given: str) -> None:
    option = given.partition("=")[0]
    assert refusal(f"slda:{given}") == (
        f"'slda:{given}': slda makes no gradient steps, so that {option} means nothing to it; leave it out"
    )


def test_options_that_mean_nothing_are_not_named() -> None:
    assert refusal("slda:shrinking=0.1").endswith("valid options of slda are shrinkage")
    assert "lr" not in refusal("ncm:shrinkage=0.1").partition(":")[2].replace("shrinkage", "")


def test_the_learning_rate_of_the_other_methods_of_a_run_is_let_pass() -> None:
    configured = configure("slda:shrinkage=0.01", lr=-1.0, optimizer="adam", schedule="step")
    assert configured.make().shrinkage == 0.01
    assert configured.recipe == methods.get("slda").recipe


def test_how_often_it_passes_over_the_images() -> None:
    assert [configure(text).passes(8) for text in ("sgd", "linear-probe", "ncm", "ranpac:width=3")] == [8, 8, 1, 1]


def test_a_manifest_gets_every_option_and_the_recipe_with_their_defaults() -> None:
    found = configure("er:memory=50:lr=0.2", optimizer="adam").resolved
    assert found["options"]["memory"] == "50"
    assert found["options"]["replay_batch"] is None
    assert found["options"]["bn"] == "shared"
    assert found["recipe"]["lr"] == 0.2
    assert found["recipe"]["optimizer"] == "adam"
    assert found["recipe"]["momentum"] == 0.9
    assert json.loads(json.dumps(found)) == found


def test_a_method_without_steps_has_no_recipe_in_a_manifest() -> None:
    assert configure("slda:shrinkage=0.5").resolved == {"options": {"shrinkage": 0.5}, "recipe": {}}
