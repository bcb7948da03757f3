"""From `ewc:strength=500:lr=0.01` to instances of a method and the recipe that trains it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from methods import methods
from methods.errors import UserError
from methods.method import Method, Recipe
from methods.options import Spec, arguments, construct, parse_spec


@dataclass(frozen=True)
class ConfiguredMethod:
    """A method with its options.

    Attributes:
        label: the specification as typed; the name of its row.
        recipe: optimiser and schedule: the method's own, less what the user said.
        cls: the method's class.
        grows_evenly: see Method.
    """

    label: str
    recipe: Recipe
    cls: type[Method]
    _options: Spec

    @property
    def grows_evenly(self) -> bool:
        return self.cls.grows_evenly

    def make(self) -> Method:
        """A fresh instance."""
        return construct(self.cls, self._options)


def configure(text: str, lr: float | None = None) -> ConfiguredMethod:
    """Resolve a method's specification; beside its own options it may set the recipe's (lr, optimizer, ...).

    Args:
        text: the specification.
        lr: learning rate for methods whose specification does not give one.

    Raises:
        UserError: no such method or option, or a value that is refused.
    """
    spec = parse_spec(text)
    cls = methods.get(spec.name)
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise UserError(f"method '{spec.name}' is no subclass of methods.Method; derive it from that class")
    cls = cls.specialised(spec)
    of_recipe = [field.name for field in fields(Recipe)]
    own = {key: value for key, value in spec.options.items() if key not in of_recipe}
    training = {key: value for key, value in spec.options.items() if key in of_recipe}
    given = arguments(Recipe, Spec(spec.text, spec.name, "", training))
    options = Spec(spec.text, spec.name, spec.positional, own)
    construct(cls, options, also=of_recipe)
    base = cls.recipe if lr is None else replace(cls.recipe, lr=lr)
    try:
        recipe = replace(base, **given)
    except ValueError as error:
        raise UserError(f"'{text}': {error}") from None
    return ConfiguredMethod(spec.text, recipe, cls, options)
