"""Compare continual-learning methods on one stream of tasks.

From Python::

    from benchmark import load_results, run

    results = run(methods=["clr", "ewc", "er"], epochs=2)
    results.summary

Both are loaded on first use, because they import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.api import Results, load_results, run
    from methods.errors import UserError

__all__ = ["Results", "UserError", "load_results", "run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from benchmark import api

        return getattr(api, name)
    raise AttributeError(f"module 'benchmark' has no attribute {name!r}")
