"""From `ewc:strength=500:lr=0.01` to instances of a method and the recipe that trains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from methods import methods
from methods.errors import UserError
from methods.memory import MemorySize
from methods.method import Method
from methods.mistakes import refuse_forgotten_constructor
from methods.options import Spec, arguments, call, option_defaults, option_types, parse_spec
from methods.recipe import Range, Recipe, rates_for


@dataclass(frozen=True)
class ConfiguredMethod:
    """A method with its options.

    Attributes:
        spec: the specification.
        recipe: optimiser and schedule: what the user said, else the method's own.
        cls: the method's class.
        options: its own, as keyword arguments of the class.
        grows_evenly: see Method.
    """

    spec: Spec
    recipe: Recipe
    cls: type[Method]
    options: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The specification as typed; the name of its row."""
        return self.spec.text

    @property
    def grows_evenly(self) -> bool:
        return self.cls.grows_evenly

    @property
    def search(self) -> Mapping[str, Range | tuple[Any, ...]]:
        """Option -> the values that `tune` tries: the class's, and learning rates for the optimiser that is used."""
        rates = self.cls.search.get("lr")
        if not isinstance(rates, Range):
            return self.cls.search
        return {**self.cls.search, "lr": rates_for(rates, self.cls.recipe.optimizer, self.recipe.optimizer)}

    @property
    def resolved(self) -> dict[str, dict[str, Any]]:
        """Its options and its recipe with all defaults, as a manifest keeps them; without steps the recipe is empty."""
        options = {**option_defaults(self.cls), **self.options}
        recipe = asdict(self.recipe) if self.cls.learns_in_steps else {}
        return {"options": {name: _kept(value) for name, value in options.items()}, "recipe": recipe}

    def make(self) -> Method:
        """A fresh instance."""
        return self.cls(**self.options)

    def passes(self, epochs: int) -> int:
        """How often it passes over a task's training images: `epochs` times, or once if it makes no gradient steps."""
        return epochs if self.cls.learns_in_steps else 1

    @property
    def memory_options(self) -> list[str]:
        """The options that say how large the method's replay memory is; empty if it has none."""
        return [name for name, annotation in option_types(self.cls).items() if annotation is MemorySize]

    def with_memory(self, size: int) -> ConfiguredMethod:
        """The same method with a replay memory of `size` bytes; its label stays."""
        return replace(self, options={**self.options, **dict.fromkeys(self.memory_options, MemorySize(bytes=size))})


def _kept(value: Any) -> Any:
    """A value as JSON has it."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def configure(
    text: str, lr: float | None = None, optimizer: str | None = None, schedule: str | None = None
) -> ConfiguredMethod:
    """Resolve a method's specification, which may also set the recipe's options (lr, optimizer, ...).

    Args:
        text: the specification; it is not parsed again if it is a Spec.
        lr, optimizer, schedule: used if the specification does not give them; the method's own if None.

    Raises:
        UserError: no such method or option, a value that is refused, or a constructor that leaves out another one.
    """
    spec = parse_spec(text)
    cls = methods.get(spec.name)
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise UserError(f"method '{spec.name}' is no subclass of methods.Method; derive it from that class")
    cls = cls.specialised(spec)
    of_recipe = [field.name for field in fields(Recipe)]
    if taken := [option for option in option_types(cls) if option in of_recipe]:
        raise UserError(
            f"method '{spec.name}' has an option '{taken[0]}', which is the name of a training option of all methods; "
            "give it another name"
        )
    if not cls.learns_in_steps:
        _refuse(of_recipe, spec)
        of_recipe = []
    own = {key: value for key, value in spec.options.items() if key not in of_recipe}
    training = {key: value for key, value in spec.options.items() if key in of_recipe}
    given = arguments(Recipe, Spec(spec.text, spec.name, "", training))
    options = Spec(spec.text, spec.name, spec.positional, own)
    values = arguments(cls, options, also=of_recipe)
    # One instance, to check that the class accepts the options.
    refuse_forgotten_constructor(call(cls, options, values), f"method '{spec.name}'")
    # --lr and its like are for those methods of a run that make steps.
    asked: dict[str, Any] = {"lr": lr, "optimizer": optimizer, "schedule": schedule} if cls.learns_in_steps else {}
    try:
        recipe = replace(cls.recipe, **{key: value for key, value in asked.items() if value is not None} | given)
    except ValueError as error:
        raise UserError(f"'{text}': {error}") from None
    return ConfiguredMethod(spec, recipe, cls, values)


def _refuse(of_recipe: Sequence[str], spec: Spec) -> None:
    given = [option for option in spec.options if option in of_recipe]
    if given:
        raise UserError(
            f"'{spec.text}': {spec.name} makes no gradient steps, so that {given[0]} means nothing to it; leave it out"
        )
