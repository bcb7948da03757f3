"""Backbones compiled by torch.compile."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from methods.errors import UserError, first_line
from methods.network import Network

# Each method's modules and each smaller last batch need their own graph. Torch's own limit is too low for that.
_GRAPHS = 256


def check_compiler(device: torch.device) -> None:
    """Check that compiling works here.

    Raises:
        UserError: it does not work, for example because there is no C++ compiler.
    """
    try:
        torch.compile(torch.neg)(torch.ones(2, device=device))
    # A compiler and its tools can raise any error.
    except Exception as error:
        raise UserError(f"--compile: torch cannot compile here ({first_line(error)}); leave it out") from error


def compile_network(network: Network) -> None:
    """Compile a network's backbone with its hooks at its first call; equal backbones share the result."""
    torch._dynamo.config.recompile_limit = _GRAPHS
    torch._dynamo.config.accumulated_recompile_limit = _GRAPHS
    network.compile(dynamic=False)


def uncompiled() -> AbstractContextManager[object]:
    """A context in which nothing is compiled, so that every operation can be counted."""
    return torch.compiler.set_stance("force_eager")
