"""The questions that a stream can be asked: who knows the task of a test image. This imports nothing heavy."""

from __future__ import annotations

from typing import Literal

#: "task": the task is known, and the answer is one of its classes;
#: "class": nobody knows the task, and the answer is one of the classes of all tasks so far;
#: "domain": all tasks have the same classes, and nobody needs to know the task.
Scenario = Literal["task", "class", "domain"]

#: The logits in the training loss of the scenario "class":
#: "seen": those of the classes of all tasks so far;
#: "current": those of the new task's classes; an image of an earlier task, replayed, has those of all tasks so far;
#: "all": those of the classes of all tasks of the stream, also of tasks that are yet to come.
Logits = Literal["seen", "current", "all"]
