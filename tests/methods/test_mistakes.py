"""A class whose hook is misspelt, or whose constructor leaves out another, is refused; helpers are not."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pytest

from baselines.shared.finetuning import FineTuning
from methods import methods
from methods.errors import UserError
from methods.method import Method
from methods.mistakes import (
    misspelt_hooks,
    read_of_self,
    refuse_forgotten_constructor,
    resembling,
)
from methods.options import required_options


def refusal(cls: type[Method]) -> str:
    with pytest.raises(UserError) as caught:
        refuse_forgotten_constructor(cls(), "method 'mine'")
    return str(caught.value)


@pytest.mark.parametrize("name", methods.names())
def test_nothing_is_said_of_the_methods_of_the_project(name: str) -> None:
    cls = methods.get(name)
    assert [*misspelt_hooks(cls), *resembling(cls)] == []
    if not required_options(cls):
        refuse_forgotten_constructor(cls(), name)


@pytest.mark.parametrize(
    ("name", "meant", "sure"),
    [
        ("before_backwards", "before_backward", True),
        ("after_training_task", "after_training_exp", True),
        ("after_first", "after_forward", False),
        ("after_optimizer_step", None, False),
    ],
)
def test_a_misspelt_hook(name: str, meant: str | None, sure: bool) -> None:
    def misspelt(self, *things):
        """Call what it is called like, as an author would."""
        getattr(super(), name)(*things)

    mine, line = type("Mine", (FineTuning,), {name: misspelt}), misspelt.__code__.co_firstlineno
    (said,) = misspelt_hooks(mine)
    assert said.startswith(f"'{name}' (test_mistakes.py, line {line}) is no hook, and nothing here calls it; ")
    assert (f"did you mean '{meant}'?" if meant else "hooks are before_training_exp, before_training_epoch, ") in said
    assert misspelt_hooks(mine, surely=True) == ([said] if sure else [])
    assert resembling(mine) == []


def test_of_several_the_surely_misspelt_is_named() -> None:
    names = ("after_first", "_before_backward", "before_backwards")
    mine = type("Mine", (FineTuning,), dict.fromkeys(names, lambda self, step: None))
    (said,) = misspelt_hooks(mine, surely=True)
    assert said.startswith("'before_backwards' ")
    assert len(misspelt_hooks(mine)) == 2


def test_hooks_that_only_avalanche_has() -> None:
    """It calls `before_training`; evaluation runs without it."""
    mine = type("Mine", (FineTuning,), dict.fromkeys(("before_training", "after_eval_exp"), lambda self, step: None))
    (said,) = misspelt_hooks(mine)
    assert said.startswith("'after_eval_exp' (test_mistakes.py, line ")
    assert said.endswith(" is never called: evaluation runs without hooks")
    assert misspelt_hooks(mine, surely=True) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("adopt", "adapt"),
        ("parts", "part"),
        ("start_at", "starts_at"),
        ("train_data", "training_data"),
        ("_forward", "forward"),
        ("isolate_tasks", "isolates_tasks"),
        ("train_old_heads", "trains_old_heads"),
        ("scenario_s", "scenarios"),
    ],
)
def test_a_name_that_is_nearly_another_one(name: str, meant: str) -> None:
    (said,) = resembling(type("Mine", (FineTuning,), {name: True}))
    assert said == f"nothing here uses '{name}'; did you mean '{meant}'?"


def test_the_fault_may_be_in_a_class_that_it_is_derived_from() -> None:
    class Base(FineTuning):
        def before_forwards(self, step) -> None: ...

    class Mine(Base):
        """Fills nothing."""

    assert "'before_forwards' (test_mistakes.py, line" in misspelt_hooks(Mine)[0]


def test_helpers_are_no_mistakes() -> None:
    class Mine(FineTuning):
        def before_backward(self, step) -> None:
            self.before_each(step)
            self.adopt(step, *map(self.parts, step))

        def before_each(self, step) -> None: ...

        def adopt(self, step, *others) -> None: ...

        @staticmethod
        def parts(thing) -> None: ...

        @property
        def stores(self) -> int:
            return 1

        @functools.cached_property
        def trained(self) -> int:
            return self.stores + len(getattr(self, "restore", ()))

        def restore(self) -> None: ...

        def after_update(self, step) -> None:
            print(self.trained)

    assert [*misspelt_hooks(Mine), *resembling(Mine)] == []


def test_a_name_that_is_put_together_is_no_reason_to_refuse() -> None:
    class Mine(FineTuning):
        kind = "first"

        def before_backward(self, step) -> None:
            getattr(self, f"after_{self.kind}")(step)

        def after_first(self, step) -> None: ...

    assert "'after_first' (test_mistakes.py, line " in misspelt_hooks(Mine)[0]
    assert misspelt_hooks(Mine, surely=True) == []


def used_by_a_function_of_the_module(method) -> None:
    method.after_all_of_it()


def test_a_helper_may_be_used_anywhere_in_its_file() -> None:
    class Mine(FineTuning):
        def after_all_of_it(self) -> None: ...

    assert misspelt_hooks(Mine) == []


def test_a_constructor_that_forgets_the_one_before() -> None:
    class Mine(FineTuning):
        def __init__(self, strength: float = 1.0):
            self.strength = strength

    line = Mine.__init__.__code__.co_firstlineno
    assert refusal(Mine) == (
        f"method 'mine': Mine.__init__ (test_mistakes.py, line {line}) does not call super().__init__(), so that what "
        "it is derived from is not set up; write that as its first line"
    )

    class Derived(Mine):
        def __init__(self, more: int = 1):
            super().__init__()
            self.more = more

    assert f"Mine.__init__ (test_mistakes.py, line {line}) does not call" in refusal(Derived)


def test_constructors_that_are_right() -> None:
    class ByName(FineTuning):
        def __init__(self, strength: float = 1.0):
            FineTuning.__init__(self)
            self.strength = strength

    class Plain(Method):
        """Method itself sets nothing up."""

        def __init__(self, strength: float = 1.0):
            self.strength = strength

    class ByAnother(FineTuning):
        def __init__(self) -> None:
            self.set_up()

        def set_up(self) -> None:
            FineTuning.__init__(self)

    class Counting(FineTuning):
        def __init__(self, count: int = 0):
            super().__init__()
            self.count = count

    class Alone(Method):
        def __init__(self, strength: float = 1.0):
            self.strength = strength

    class Both(Alone, Counting):
        """Calls each constructor by its name."""

        def __init__(self) -> None:
            Alone.__init__(self)
            Counting.__init__(self)

    @dataclass
    class Data(Method):
        strength: float = 1.0

    @dataclass
    class More(Data):
        count: int = 1

    for cls in (ByName, Plain, ByAnother, Both, Data, More):
        refuse_forgotten_constructor(cls(), "mine")


def test_what_is_read_of_the_instance() -> None:
    def hook(self, step):
        self.first = step.model
        return [self.second for _ in step.images if getattr(self, "third", None) is hasattr(step, "fourth")]

    assert {"second", "third"} <= read_of_self(hook)
    assert not {"model", "images", "fourth", "first"} & read_of_self(hook)
