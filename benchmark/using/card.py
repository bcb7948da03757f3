"""The model card of exported networks: what they are, where they come from, and what they reached."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmark.images.formats.known import FORMATS
from benchmark.report.markdown import markdown_text
from benchmark.storage.answers import DERIVED
from benchmark.using.learned import Learned
from methods.names import listed

#: The name of the card in a program's file, and in a folder.
CARD = "card.json"

Card = dict[str, Any]


def card_of(learned: Learned, places: Sequence[int], values: int, among_all: bool) -> Card:
    """The card of a network, as values of JSON.

    Args:
        learned: what is exported.
        places: the tasks that it answers for.
        values: how many values its tensors have.
        among_all: whether the classes of these tasks compete, so that an answer is a column among all of them.
    """
    method, seed, order = learned.key
    size, channels = learned.image_size, learned.channels
    about = (learned.method.cls.__doc__ or "").strip().partition("\n")[0]
    return {
        "input": {
            "name": "images",
            "shape": ["any number", channels, size, size],
            "dtype": "uint8",
            "values": "0 to 255; channels are red, green, blue" if channels == 3 else "0 to 255; grey",
            "before": _preparation(learned),
        },
        "output": {
            "name": "logits",
            "dtype": "float32",
            "values": "a logit for each class; their softmax is the confidence",
        },
        "tasks": [_task(learned, place, among_all) for place in places],
        "method": method,
        "method_about": about,
        "scenario": learned.cell.scenario,
        "seed": seed,
        "order": order,
        "tasks_learned": learned.state.learned,
        "data": learned.manifest["stream"]["spec"],
        "backbone": learned.manifest.backbone["spec"],
        "values": values,
        "run": learned.manifest["id"],
        "commit": learned.manifest.get("commit"),
        "versions": learned.manifest.get("versions"),
        "licence": {"program": "", "data": "", "backbone_weights": ""},
    }


def _preparation(learned: Learned) -> str:
    """What is done to an image file before the network sees it, as the run did it."""
    size, reading = learned.image_size, learned.reading
    steps = ["turn it upright as its EXIF tag says", "lay transparent parts on white"]
    if reading.grey_range:
        low, high = reading.grey_range
        steps.append(f"scale greys of more than 8 bits so that {low:g} is black and {high:g} is white")
    if learned.channels == 1:
        steps.append("take the luma of its colours (ITU-R 601)")
    if reading.resize == "crop":
        steps.append("cut out the largest square in its middle")
    steps.append(f"resize it to {size}x{size}, whatever its shape, with bilinear filtering and antialiasing")
    return "; ".join([*steps, "the normalisation is inside"])


def _task(learned: Learned, place: int, among_all: bool) -> Card:
    """What is known of a task and its classes."""
    entry, names = learned.tasks[place - 1], learned.class_names[place - 1]
    first = sum(learned.widths[: place - 1]) if among_all else 0
    width = learned.widths[place - 1]
    accuracy, images = _measured(learned, place, among_all)
    return {
        "name": entry["task_name"],
        "first_logit": first,
        "classes": list(names) if names is not None else list(map(str, range(width))),
        "training_images": entry["train_images"],
        "test_images": images,
        "test_accuracy": accuracy,
    }


def _measured(learned: Learned, place: int, among_all: bool) -> tuple[float | None, int]:
    """The accuracy on the test images of a task after the last task learned, and how many images these are."""
    entry = next(each for each in learned.records[-1]["evaluated"] if each["task"] == place)
    derived = learned.cell.scenario == "class" and not among_all
    return entry.get(DERIVED if derived else "accuracy"), entry["images"]


def as_json(card: Card) -> str:
    """The card as text of JSON."""
    return json.dumps(card, indent=1, ensure_ascii=False)


def as_markdown(card: Card, usage: str) -> str:
    """The card for people.

    Args:
        card: see `card_of`.
        usage: Python code that uses the files.
    """
    given, tasks = card["input"], card["tasks"]
    rows = [
        f"| {markdown_text(task['name'])} | {len(task['classes'])} | {task['training_images']:,} | "
        f"{task['test_images']:,} | {_percent(task['test_accuracy'])} |"
        for task in tasks
    ]
    shape = " x ".join(map(str, given["shape"]))
    classes = [
        markdown_text(f"{listed([task['name']])}, from logit {task['first_logit']}: {listed(task['classes'])}")
        for task in tasks
    ]
    missing = "(fill in)"
    licences = [f"- {name.replace('_', ' ')}: {text or missing}" for name, text in card["licence"].items()]
    versions = ", ".join(f"{name} {version}" for name, version in (card["versions"] or {}).items())
    lines = [
        markdown_text(f"# {card['method']}: {listed(task['name'] for task in tasks)}"),
        "",
        f"{card['method_about']} Learned on the stream `{card['data']}`, on the backbone `{card['backbone']}`, with "
        f"seed {card['seed']}, after {card['tasks_learned']} tasks.",
        "",
        "| task | classes | training images | test images | accuracy on them (%) |",
        "| --- | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        "## Use",
        "",
        f"Input: `{given['name']}`, {given['dtype']}, {shape}; {given['values']}. Before: {given['before']}. Formats "
        f"that the run itself reads: {', '.join(FORMATS)}.",
        "",
        f"Output: `{card['output']['name']}`, {card['output']['dtype']}; {card['output']['values']}.",
        "",
        "```python",
        usage.rstrip(),
        "```",
        "",
        "## Classes",
        "",
        *(f"- {line}" for line in classes),
        "",
        "## Origin",
        "",
        f"- size: {card['values']:,} values",
        f"- run: {card['run']}, scenario {card['scenario']}, commit {card['commit']}",
        f"- versions: {versions}",
        "",
        "## Licences",
        "",
        *licences,
        "",
    ]
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"
