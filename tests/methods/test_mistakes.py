"""A class whose hook is misspelt, or whose constructor leaves out another, is refused; helpers are not."""

from __future__ import annotations

import functools

import pytest

from baselines.shared.finetuning import FineTuning
from methods import methods
from methods.errors import UserError
from methods.method import Method
from methods.mistakes import refuse_mistakes


def refusal(cls: type[Method]) -> str:
    with pytest.raises(UserError) as caught:
        refuse_mistakes(cls, "method 'mine'")
    return str(caught.value)


@pytest.mark.parametrize("name", methods.names())
def test_no_method_of_the_project_is_refused(name: str) -> None:
    refuse_mistakes(methods.get(name), name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("before_backwards", "before_backward"),
        ("after_training_task", "after_training_exp"),
        ("before_training", None),
        ("before_eval_exp", "before_training_exp"),
        ("after_optimizer_step", None),
        ("adopt", "adapt"),
        ("parts", "part"),
        ("start_at", "starts_at"),
        ("train_data", "training_data"),
        ("_forward", "forward"),
    ],
)
def test_a_misspelt_function(name: str, meant: str | None) -> None:
    if name == "before_training":
        # Avalanche calls it, so that it works.
        refuse_mistakes(type("Mine", (FineTuning,), {name: lambda self, step: None}), "mine")
        return

    def misspelt(self, *things):
        """Call what it is called like, as an author would."""
        getattr(super(), name)(*things)

    line = misspelt.__code__.co_firstlineno
    said = refusal(type("Mine", (FineTuning,), {name: misspelt}))
    what = "is no hook, so that it never runs" if name.startswith(("before", "after")) else "nothing uses"
    assert said.startswith("method 'mine': ")
    assert what in said
    assert f"'{name}' (test_mistakes.py, line {line})" in said
    assert (f"did you mean '{meant}'?" if meant else "hooks are before_training_exp, before_training_epoch, ") in said


@pytest.mark.parametrize(
    ("name", "meant"),
    [("isolate_tasks", "isolates_tasks"), ("train_old_heads", "trains_old_heads"), ("scenario_s", "scenarios")],
)
def test_a_misspelt_setting(name: str, meant: str) -> None:
    said = refusal(type("Mine", (FineTuning,), {name: True}))
    assert said.startswith(f"method 'mine': nothing uses '{name}'; did you mean '{meant}'?")


def test_the_fault_may_be_in_a_class_that_it_is_derived_from() -> None:
    class Base(FineTuning):
        def before_forwards(self, step) -> None: ...

    class Mine(Base):
        """Fills nothing."""

    assert "'before_forwards' (test_mistakes.py, line" in refusal(Mine)


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

    refuse_mistakes(Mine, "mine")


def used_by_a_function_of_the_module(method) -> None:
    method.after_all_of_it()


def test_a_helper_may_be_used_anywhere_in_its_file() -> None:
    class Mine(FineTuning):
        def after_all_of_it(self) -> None: ...

    refuse_mistakes(Mine, "mine")


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

    for cls in (ByName, Plain):
        refuse_mistakes(cls, "mine")
