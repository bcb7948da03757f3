"""Options of a run that go together, by name. What the command line says explicitly wins over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Preset -> option -> the value that it has unless the command line says otherwise.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Ge et al., ICCV 2023 (arXiv 2307.11386). CLR's penalty of 1e-5 is the default of its own option.
    "paper": {
        "backbone": "resnet50:weights=IMAGENET1K_V1",
        "image_size": 224,
        "epochs": 60,
        "batch_size": 32,
        "optimizer": "adam",
        "lr": 1e-3,
        "schedule": "step",
    },
}
