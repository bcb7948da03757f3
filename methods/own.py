"""Attributes of a method that differ from task to task."""

from __future__ import annotations

from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class TasksOwn(Generic[T]):
    """An attribute with another value for each task. Reading it sets the method's `task_was_read` to True.

    So it is known whether a network that `adapt` has changed is the same for all tasks.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, method: None, owner: type) -> Self: ...
    @overload
    def __get__(self, method: object, owner: type) -> T: ...
    def __get__(self, method: Any, owner: type) -> Self | T:
        if method is None:
            return self
        method.task_was_read = True
        try:
            value: T = vars(method)[self._name]
        except KeyError:
            raise AttributeError(f"{owner.__name__} has no {self._name} yet", name=self._name, obj=method) from None
        return value

    def __set__(self, method: object, value: T) -> None:
        vars(method)[self._name] = value
