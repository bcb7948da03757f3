"""The subject of checks of streams and backbones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from methods.options import Spec, call, option_values


@dataclass
class Instances:
    """A class and its specification.

    Attributes:
        spec: the specification.
        cls: the class.
        options: the converted options of the specification.
    """

    spec: Spec
    cls: type[Any]
    options: Mapping[str, Any]
    foreign = False

    def make(self) -> Any:
        """Return a fresh instance."""
        return call(self.cls, self.spec, self.options)

    def values(self) -> dict[str, object]:
        return option_values(self.make())
