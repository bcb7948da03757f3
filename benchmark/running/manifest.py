"""manifest.json: the settings, data and machine of a run. It is enough to make every table again."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Collection
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmark.backbones.base import fingerprint
from benchmark.config import Settings, setting_of
from benchmark.learning.operations import backbone_size, inference_operations_per_image, training_operations_per_image
from benchmark.learning.seeds import RULE
from benchmark.planning.preparation import Prepared
from benchmark.planning.scenarios import learned_as
from benchmark.storage.folder import RunFolder
from benchmark.storage.manifest import PENDING, Manifest, key_of
from benchmark.storage.provenance import provenance
from benchmark.streams.base import Task
from benchmark.streams.orders import draw_orders
from methods import Method, methods
from methods.errors import UserError
from methods.options import parse_spec

# The packages of this program.
_OURS = ("methods", "baselines", "benchmark")


def new_manifest(prepared: Prepared, command: list[str]) -> Manifest:
    """Return the manifest of a run that has not begun.

    Raises:
        UserError: the stream has too few tasks for that many orders, or CUDA does not work here.
    """
    settings, stream, backbone = prepared.settings, prepared.stream, prepared.backbone
    orders = draw_orders([task.name for task in stream.tasks], settings.orders)
    # In the scenario "class", the head has the classes of all tasks so far.
    widths = list(accumulate(stream.widths)) if settings.scenario == "class" else list(stream.widths)
    shapes = [(width, task.image_size) for width, task in zip(widths, stream.tasks, strict=True)]
    operations = {
        shape: (training_operations_per_image(backbone, *shape), inference_operations_per_image(backbone, *shape))
        for shape in set(shapes)
    }
    made = provenance(command, prepared.device.type)
    return Manifest(
        {
            "id": uuid.uuid4().hex,
            "status": PENDING,
            "command": made["command"],
            "settings": settings.as_json(),
            "seeds": list(settings.seeds),
            "random_numbers": RULE,
            "orders": orders,
            "reference": settings.methods[0],
            "stream": {"spec": stream.spec, "fingerprint": stream.fingerprint},
            "backbone": {
                "spec": settings.backbone,
                "fingerprint": fingerprint(backbone),
                **backbone_size(backbone),
            },
            "methods": {method.label: method.resolved for method in prepared.methods},
            # Methods without an answer of their own in the run's scenario learn as if the task were known.
            "learned_as": {method.label: learned_as(settings.scenario, method) for method in prepared.methods},
            "tasks": [
                _task(number, task, settings, *operations[shape])
                for number, (task, shape) in enumerate(zip(stream.tasks, shapes, strict=True), 1)
            ],
            "versions": made["versions"],
            "commit": made["commit"],
            "hardware": made["hardware"],
            "started": made["started"],
            "finished": None,
            "cells": _new_cells(settings),
        }
    )


def planned_cells(settings: Settings, run: RunFolder) -> list[dict[str, Any]]:
    """Return the cells of a run, as entries of its manifest. A resumed run has those of its folder, and may gain some.

    Raises:
        UserError: the manifest in the folder cannot be read.
    """
    known = run.read_manifest().cells if run.exists() else []
    keys = set(map(key_of, known))
    return known + [cell for cell in _new_cells(settings) if key_of(cell) not in keys]


def _new_cells(settings: Settings) -> list[dict[str, Any]]:
    return [
        {"method": method, "seed": seed, "order": order, "status": PENDING, "cause": None}
        for method in settings.methods
        for seed, order in settings.repetitions
    ]


def check_same(
    old: dict[str, Any],
    new: dict[str, Any],
    option: str,
    name: object,
    kind: str = "run",
    growing: Collection[str] = (),
) -> None:
    """Refuse to resume with other settings.

    Args:
        old, new: manifests, or their entries "settings", "stream", "backbone" and "random_numbers".
        option, name: the option and its value that name the old run or file, for the message.
        kind: what the old one is: "run" or "file".
        growing: the settings by which the run grows; check_growth compares what they decide.

    Raises:
        UserError: there is a difference; the message names the first.
    """
    if "runs" in old:
        raise UserError(f"{option} {name}: `compare` made that folder of other runs; give another {option}")
    if old.get("kept"):
        raise UserError(
            f"{option} {name}: that folder has the tables of a run and not its cells, so that it cannot go on; give "
            f"another {option}"
        )
    for key in (key for key in new["settings"] if key not in growing):
        before, asked = setting_of(old["settings"], key), new["settings"][key]
        # For a run, check_device compares the devices themselves. A file of an older version may only say "auto".
        if key == "device" and (kind == "run" or before == "auto"):
            continue
        if before != asked and key == "infer" and "methods" in growing:
            raise UserError(
                f"{option} {name}: the methods that are new need --infer {_shown(asked)}, and that {kind} has answered "
                f"with --infer {_shown(before)} after each task; give another {option}"
            )
        if before != asked:
            raise UserError(
                f"{option} {name}: that {kind} exists with --{key.replace('_', '-')} {_shown(before)}, "
                f"not {_shown(asked)}; give the same settings to resume it, or another {option}"
            )
    # The version that came with this setting reads some image files in another way than those before it.
    otherwise = "" if "resize" in old["settings"] else ", or this version reads its images in another way"
    for key in (key for key in ("stream", "backbone") if key not in growing):
        if old[key]["fingerprint"] != new[key]["fingerprint"]:
            raise UserError(
                f"{option} {name}: that {kind} exists, but what {new[key]['spec']} holds has changed since"
                f"{otherwise if key == 'stream' else ''}; "
                f"restore the {key}, or give another {option}"
            )
    if old.get("random_numbers") != new["random_numbers"]:
        raise UserError(
            f"{option} {name}: that {kind} exists, but this version of the program draws other random numbers; "
            f"go on with the version that began it, or give another {option}"
        )
    if kind == "run":
        _check_methods(old, new, option, name)
    # Files of `tune` and manifests of older versions have no budgets.
    if not growing and old.get("budgets", {}) != new.get("budgets", {}):
        raise UserError(
            f"{option} {name}: that {kind} exists, but this version of the program gives its methods other budgets; "
            f"go on with the version that began it, or give another {option}"
        )


def _check_methods(old: dict[str, Any], new: dict[str, Any], option: str, name: object) -> None:
    """Refuse to go on with a version in which a default of a method is another one.

    Manifests of older versions have no methods.
    """
    for label, resolved in new.get("methods", {}).items():
        for part, values in resolved.items():
            before = old.get("methods", {}).get(label, {}).get(part, {})
            changed = next((key for key, value in values.items() if before.get(key, value) != value), None)
            if changed is not None:
                who, remedy = _default_of(label, part)
                raise UserError(
                    f"{option} {name}: that run learned '{label}' with {changed}={_shown(before[changed])}, and "
                    f"{who} has another default, {changed}={_shown(values[changed])}; {remedy}, or give another "
                    f"{option}"
                )


def _default_of(label: str, part: str) -> tuple[str, str]:
    """Whose default of a method's options, or of its recipe, is another one, and how to have the old one again."""
    cls: type[Method] = methods.get(parse_spec(label).name)
    name = "recipe" if part == "recipe" else "__init__"
    definer = next((base for base in cls.__mro__ if name in vars(base)), cls)
    if definer.__module__.partition(".")[0] in _OURS or definer is object:
        return "this version of the program", "go on with the version that began it"
    file = Path(getattr(sys.modules.get(definer.__module__), "__file__", None) or definer.__module__).name
    return f"{file}, which has changed since,", "write the old one there again"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "(none)"
    return "(default)" if value is None else str(value)


def _task(number: int, task: Task, settings: Settings, training: int, inference: int) -> dict[str, Any]:
    """Return a task's entry.

    Args:
        training, inference: operations per image of plain fine-tuning and of the bare backbone.
    """
    return {
        "task": number,
        "task_name": task.name,
        "classes": len(task.classes),
        "train_images": len(task.train),
        "validation_images": len(task.validation),
        "test_images": len(task.test),
        "image_size": task.image_size,
        "fingerprint": task.fingerprint,
        "sgd_flops": training * len(task.train) * settings.epochs,
        "backbone_inference_flops": inference,
    }
