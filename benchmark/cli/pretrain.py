"""`pretrain`: make the weights of an embedded backbone again."""

from __future__ import annotations

import argparse

from benchmark.cli.options import Command, output_file
from benchmark.declaration import Option


def _pretrain(arguments: argparse.Namespace, argv: list[str]) -> int:
    out = output_file(arguments.out or f"{arguments.backbone}.safetensors")

    from benchmark.backbones.mini.pretrain import pretrain

    result = pretrain(out, arguments.backbone)
    print(f"{result.path}: accuracy on new pictures {result.accuracy:.3f}, {result.classes} classes")
    return 0


COMMAND = Command(
    "pretrain",
    "make the weights of an embedded backbone again (minutes)",
    _pretrain,
    (
        Option("backbone", str, "mini", choices=("mini", "mini-vit")),
        Option("out", str, metavar="FILE", help="the file to write; default BACKBONE.safetensors"),
    ),
)
