"""What a method keeps is tensors: anything else is refused where it is assigned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from methods import Method
from methods.kept import Kept

ONE = torch.ones(1)


class Named(Method):
    name = "named"


@pytest.fixture
def method() -> Method:
    method = Named()
    method.kept = {"one": ONE}
    return method


def assign(method: Method, name: Any, value: Any) -> None:
    method.kept[name] = value


def merge(method: Method, name: Any, value: Any) -> None:
    method.kept |= {"fine": ONE, name: value}


def update(method: Method, name: Any, value: Any) -> None:
    method.kept.update({name: value})


def set_default(method: Method, name: Any, value: Any) -> None:
    method.kept.setdefault(name, value)


def replace(method: Method, name: Any, value: Any) -> None:
    method.kept = {name: value}


ways = pytest.mark.parametrize("way", [assign, merge, update, set_default, replace])


@ways
@pytest.mark.parametrize(
    ("value", "kind"),
    [(3, "int"), (0.5, "float"), ([ONE], "list"), ({"a": ONE}, "dict"), (None, "NoneType"), ("x", "str")],
)
def test_what_is_no_tensor_is_refused(way: Callable[..., None], method: Method, value: Any, kind: str) -> None:
    with pytest.raises(TypeError) as caught:
        way(method, "count", value)
    message = str(caught.value)
    assert message.startswith(f"named keeps 'count', which is of the type {kind}; kept holds tensors only: ")
    assert "torch.tensor" in message
    assert method.kept["one"] is ONE
    assert "count" not in method.kept


@ways
def test_what_has_no_name_is_refused(way: Callable[..., None], method: Method) -> None:
    with pytest.raises(TypeError, match="named keeps something under 3; names in kept must be text"):
        way(method, 3, ONE)


@ways
def test_tensors_are_kept(way: Callable[..., None], method: Method) -> None:
    for value in (ONE, torch.nn.Parameter(ONE)):
        way(method, "count", value)
        assert isinstance(method.kept, Kept)
    assert method.kept["count"] is (ONE if way is set_default else value)


def test_a_method_without_a_name_is_called_by_its_class() -> None:
    class Unnamed(Method):
        pass

    with pytest.raises(TypeError, match=r"^Unnamed keeps 'x'"):
        Unnamed().kept = {"x": 1}  # type: ignore[dict-item]
