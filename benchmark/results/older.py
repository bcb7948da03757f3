"""What runs of older versions did not write into their manifests, and the tables need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.results.tables import labels_of
from methods import methods
from methods.errors import UserError
from methods.options import parse_spec


def completed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest with its bounds, and with the bytes of its backbone, if that can still be built."""
    backbone = manifest["backbone"]
    if "bytes" not in backbone:
        backbone = {**backbone, **_size(backbone["spec"])}
    bounds = manifest.get("bounds")
    if bounds is None:
        bounds = [label for label in labels_of(manifest) if _is_bound(label)]
    return {**manifest, "backbone": backbone, "bounds": bounds}


def _size(spec: str) -> dict[str, int]:
    # Torch is needed here alone.
    from benchmark.learning.operations import backbone_size
    from benchmark.planning.estimate import empty_backbone

    try:
        return backbone_size(empty_backbone(spec))
    except UserError:
        return {}


def _is_bound(label: str) -> bool:
    try:
        # `compare` puts marks behind a specification: "joint (epochs=16)".
        return methods.get(parse_spec(label.partition(" (")[0]).name).bound
    except UserError:
        # A plugin's method, which is not known now.
        return False
