"""What a method keeps from one task to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor


class Kept(dict[str, Tensor]):
    """Name -> tensor. A value that is not a tensor is refused when it is assigned, so the mistake is easy to find.

    Args:
        method: the name of the method, for messages.
        tensors: the first content.

    Raises:
        TypeError: a value is not a tensor, or a name is not text.
    """

    def __init__(self, method: str, tensors: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] = ()):
        super().__init__()
        self._method = method
        self.update(tensors)

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        # The method's author may use no type checker.
        given: Any = tensor
        if not isinstance(name, str):
            raise TypeError(f"{self._method} keeps something under {name!r}; names in kept must be text")
        if not isinstance(given, Tensor):
            raise TypeError(
                f"{self._method} keeps {name!r}, which is of the type {type(given).__name__}; kept holds tensors only: "
                "write a number or a list as torch.tensor(...), and several tensors under a name each"
            )
        super().__setitem__(name, tensor)

    def setdefault(self, name: str, tensor: Tensor) -> Tensor:
        if name not in self:
            self[name] = tensor
        return self[name]

    def update(self, *tensors: Any, **more: Tensor) -> None:
        for name, tensor in dict(*tensors, **more).items():
            self[name] = tensor

    def __ior__(self, tensors: Any) -> Kept:  # type: ignore[override, misc]
        self.update(tensors)
        return self
