"""The plugin interface of methods, their registry, and CLR with its variants.

A method is registered by name::

    from methods import Method, methods

    @methods.register("my-method")
    class MyMethod(Method):
        ...

`Method` and `Recipe` are loaded on first use, because they import torch and Avalanche.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from methods.errors import UserError
from methods.registry import Registry

if TYPE_CHECKING:
    from methods.method import BatchNorm, Method, Part, Recipe

__all__ = ["BatchNorm", "Method", "Part", "Recipe", "UserError", "methods"]

methods: Registry[type[Method]] = Registry("method", entry_points="continual_benchmark.methods")
for _name, _target, _summary in (
    ("clr", "methods.clr:CLR", "frozen backbone; per-task 3x3 depthwise kernels after the k>1 convs, BN and head"),
    ("clr-full", "methods.clr:CLRFull", "CLR with a 3x3 kernel after every conv"),
    ("clr-mixed", "methods.clr:CLRMixed", "CLR with 3x3 kernels after k>1 convs and 1x1 ones after 1x1 convs"),
    ("sgd", "baselines.sgd:SGD", "fine-tune everything, a head per task: no defence against forgetting"),
    ("sgd-ll", "baselines.sgd_ll:SGDLastLayer", "frozen backbone, one shared linear head that every task fine-tunes"),
    ("linear-probe", "baselines.linear_probe:LinearProbe", "frozen backbone, a linear head per task"),
    ("bn-only", "baselines.bn_only:BNOnly", "frozen convolutions, batch normalisation and head per task"),
    ("ewc", "baselines.ewc:EWC", "elastic weight consolidation, Fisher and anchor kept for each task"),
    ("online-ewc", "baselines.online_ewc:OnlineEWC", "elastic weight consolidation with one running Fisher"),
    ("er", "baselines.er:ER", "experience replay from a reservoir of past images"),
):
    methods.add_lazy(_name, _target, _summary)


def __getattr__(name: str) -> Any:
    if name in ("BatchNorm", "Method", "Part", "Recipe"):
        from methods import method

        return getattr(method, name)
    raise AttributeError(f"module 'methods' has no attribute {name!r}")
