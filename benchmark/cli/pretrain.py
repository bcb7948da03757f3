"""`pretrain`: make the weights of the backbone `mini` again."""

from __future__ import annotations

import argparse

from benchmark.cli.options import Command, output_file
from benchmark.declaration import Option


def _pretrain(arguments: argparse.Namespace, argv: list[str]) -> int:
    out = output_file(arguments.out)

    from benchmark.backbones.mini.pretrain import pretrain

    result = pretrain(out)
    print(f"{result.path}: accuracy on new pictures {result.accuracy:.3f}, {result.classes} classes")
    return 0


COMMAND = Command(
    "pretrain",
    "make the weights of the backbone `mini` again (minutes)",
    _pretrain,
    (Option("out", str, "mini.safetensors", metavar="FILE"),),
)
