"""The streams of the example package pass every check; broken copies are told what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.checks.base import examine_one
from benchmark.checks.find import targets
from benchmark.checks.instance import Instances
from benchmark.checks.streams import STREAM_CHECKS, StreamSubject
from benchmark.streams import streams
from methods.options import parse_spec

CHECKS = {check.name: check for check in STREAM_CHECKS}

NAME, CLASSES = 'f"gratings-{task}"', 'f"{180 * label / self.classes:g} degrees"'
RESULT = "return ArrayImages(pixels.clip(0, 255).astype(np.uint8), labels.tolist())"
SUB = "class Mine(ArrayImages):\n    def {}\n\n\nclass Gratings(StreamSource):"
LOOK, DRAWS = "look = np.random.RandomState(task)", "draws = np.random.RandomState([task, per_class])"


def own(method: str) -> list[tuple[str, str]]:
    """The pictures are of a class of their own that has this method."""
    return [("class Gratings(StreamSource):", SUB.format(method)), (RESULT, RESULT.replace("ArrayImages", "Mine"))]


BROKEN: list[tuple[str, list[tuple[str, str]], str]] = [
    (
        "its docstring describes it and each option",
        [("        tasks: how many.\n", "        task: how many.\n")],
        "does not describe the option 'tasks'",
    ),
    (
        "options are stored under their own names",
        [("self.tasks = tasks", "self.tasks = tasks + 1")],
        "store options as they are given",
    ),
    (
        "values of options are taken, or refused in words",
        [('raise ValueError(f"tasks={tasks} must be at least 1")', "raise KeyError(tasks)")],
        "Gratings:tasks=0 ends in KeyError: 0",
    ),
    (
        "gives its tasks",
        [("return [\n", "return []\n        return [\n")],
        "gives []; return a list of at least one RawTask",
    ),
    ("gives its tasks", [("SIZE\n\n    def", "0\n\n    def")], "is 0; give a whole number from 8, in pixels"),
    (
        "gives no more tasks than are asked for",
        [("self.tasks if limit is None else min(limit, self.tasks)", "self.tasks")],
        "raw_tasks(2) gives 5 tasks; return only the first `limit`",
    ),
    ("tasks and classes have names of their own", [(NAME, '"gratings"')], "two tasks are called 'gratings'"),
    ("tasks and classes have names of their own", [(CLASSES, '"degrees"')], "are called 'degrees'"),
    ("tasks and classes have names of their own", [(NAME, 'f"a\\a{task}"')], "which no table or terminal can show"),
    (
        "labels are numbers of classes, and each class has images",
        [("labels.tolist()", "(labels + 1).tolist()")],
        "the training images of gratings-1 have the label 4; labels are whole numbers from 0 to 3",
    ),
    (
        "labels are numbers of classes, and each class has images",
        [("labels.tolist()", "(labels * 0).tolist()")],
        "have none of class '45 degrees'",
    ),
    (
        "reads its images",
        own("read(self, index):\n        return self.images[index]"),
        "gives ndarray; return a PIL image",
    ),
    (
        "reads its images",
        own("read(self, index):\n        return super().read(np.random.randint(len(self.labels)))"),
        "gives another image each time; draw nothing there",
    ),
    ("the same tasks each time", [(DRAWS, "draws = np.random.RandomState()")], "are others in a second instance"),
    ("the same tasks each time", [(NAME, 'f"{task} {np.random.random()}"')], "names task"),
    (
        "identity tells images apart",
        own('identity(self, indices):\n        return "mine"'),
        "is also that of other images",
    ),
    (
        "identity tells images apart",
        own('identity(self, indices):\n        return f"{id(self)}"'),
        "is another one in a second instance",
    ),
    (
        "parts can be sent to other processes",
        own("part(self, indices):\n        return self"),
        "part of the training images of gratings-1 reads other images than the whole",
    ),
    (
        "leaves the rest of the process alone",
        [(LOOK, f"np.random.seed(task)\n    {LOOK}")],
        "it changes NumPy's random state",
    ),
]
# What is only advised of, and never failed.
ADVISED = {"training and test images are apart"}


def told(file, check: str) -> tuple[str, str]:
    (target,) = targets([str(file)])
    subject = StreamSubject(parse_spec(target.text), streams.get(target.text), {})
    finding = examine_one(CHECKS[check], subject)
    return finding.status, finding.text


def test_there_is_a_broken_copy_for_each_check() -> None:
    assert {name for name, _, _ in BROKEN} == CHECKS.keys() - ADVISED


@pytest.mark.parametrize(("check", "changes", "says"), BROKEN)
def test_a_broken_copy(check, changes, says, broken, lab) -> None:
    status, text = told(broken(lab / "gratings.py", changes), check)
    assert status == "failed"
    assert says in text
    assert "\n" not in text


def test_a_seed_is_noticed_wherever_the_random_state_was(broken, lab) -> None:
    """Something else in the process may have set the same seed just before."""
    check, changes, says = BROKEN[-1]
    file = broken(lab / "gratings.py", changes)
    for _ in range(2):
        np.random.seed(2)
        status, text = told(file, check)
        assert (status, says in text) == ("failed", True)


def test_the_examples_stream_passes(lab) -> None:
    (target,) = targets([str(lab / "gratings.py")])
    assert str(target) == "stream Gratings"
    assert [(f.check, f.status, f.text) for f in target.findings()] == [(name, "ok", "") for name in CHECKS]


def test_the_embedded_stream_passes() -> None:
    (target,) = [target for target in targets(["mini"]) if target.registry is streams]
    assert [(f.status, f.text) for f in target.findings()] == [("ok", "")] * len(CHECKS)


def test_folders_pass(tmp_path) -> None:
    from PIL import Image

    random = np.random.RandomState(0)
    for task in ("a", "b"):
        for split in ("train", "test"):
            for name in ("cat", "dog"):
                folder = tmp_path / "tasks" / task / split / name
                folder.mkdir(parents=True)
                for number in range(3):
                    Image.fromarray(random.randint(0, 256, (9, 9, 3)).astype(np.uint8)).save(folder / f"{number}.png")
    (target,) = targets([f"folder:{tmp_path / 'tasks'}"])
    assert [(f.status, f.text) for f in target.findings()] == [("ok", "")] * len(CHECKS)


@pytest.mark.parametrize(
    ("changes", "check", "says"),
    [
        (
            own("identity(self, indices):\n        return None"),
            "identity tells images apart",
            "decodes the images again",
        ),
        ([("[task, per_class]", "[task]"), ("(TRAIN, TEST)", "(TEST, TEST)")], *ADVISED, "are training images too"),
    ],
)
def test_advice_is_no_failure(changes, check, says, broken, lab) -> None:
    status, text = told(broken(lab / "gratings.py", changes), check)
    assert status == "ok"
    assert says in text


def test_an_option_that_is_needed(broken, lab) -> None:
    """It is asked for, and given after the name."""
    file = broken(lab / "gratings.py", [("tasks: int = 5", "tasks: int")])
    (target,) = targets([str(file)])
    (finding,) = target.findings()
    assert finding.text == "'Gratings' needs TASKS: write Gratings:TASKS"
    (target,) = targets([str(file), "Gratings:3"])
    assert {finding.status for finding in target.findings()} == {"ok"}


def test_instances_have_their_options() -> None:
    subject = Instances(parse_spec("mini"), streams.get("mini"), {})
    assert isinstance(subject.make(), streams.get("mini"))
