"""Backbones compiled by torch.compile."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import nn

from methods.errors import UserError, first_line

# Each method's modules make another graph, and so does a last batch that is smaller: more than torch expects.
_GRAPHS = 256


def check_compiler(device: torch.device) -> None:
    """See that compiling works here.

    Raises:
        UserError: it does not, as where there is no C++ compiler.
    """
    try:
        torch.compile(torch.neg)(torch.ones(2, device=device))
    # Whatever a compiler and its tools complain of.
    except Exception as error:
        raise UserError(f"--compile: torch cannot compile here ({first_line(error)}); leave it out") from error


def compile_backbone(backbone: nn.Module) -> None:
    """Let a backbone, hooks included, be compiled when it is first called; equal ones share the result."""
    torch._dynamo.config.recompile_limit = _GRAPHS
    torch._dynamo.config.accumulated_recompile_limit = _GRAPHS
    backbone.compile(dynamic=False)


def uncompiled() -> AbstractContextManager[object]:
    """The context in which nothing is compiled, so that every operation can be seen."""
    return torch.compiler.set_stance("force_eager")
