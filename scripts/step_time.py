"""Does a training step take longer the more tasks there are? Seconds per step at task 30 over task 2, per method.

    python scripts/step_time.py [SPEC ...]

Learns 29 tiny tasks with each method (default: all), then times the steps of task 2 and of task 30 in turn, several
times, from the states before them; the fastest of each is compared. A step is everything from the batch to the updated
weights; a method's work before and after a task is left out. The first epoch is left out too, since in it the
operations are counted.
"""

from __future__ import annotations

import argparse
import time

import torch

from benchmark.backbones.mini.backbone import MiniBackbone
from benchmark.config import parse_methods
from benchmark.images.labelled import LabelledImages
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.configured import configure

TASKS, CLASSES, IMAGES, BATCH, REPETITIONS = 30, 5, 128, 16, 7


def tiny_task(number: int) -> Task:
    """A task of noise: the time of a step does not depend on what the images show."""
    random = torch.Generator().manual_seed(number)
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), generator=random, dtype=torch.uint8)
    data = LabelledImages(images, torch.randint(0, CLASSES, (IMAGES,), generator=random))
    return Task(f"task-{number}", tuple(map(str, range(CLASSES))), data, data, data)


def seconds_per_step(cell: Cell, state: State, task: Task, how: Training) -> float:
    """Seconds per step of the epochs after the first."""
    ends: list[float] = []
    steps = learn(cell, state, task, how, lambda: ends.append(time.perf_counter())).steps
    return (ends[-1] - ends[0]) / (steps * (how.epochs - 1) / how.epochs)


def measure(text: str, tasks: list[Task]) -> tuple[float, float]:
    """Seconds per step at the second and at the last task."""
    method = configure(text)
    cell = Cell(MiniBackbone().network(), method.make, CLASSES, seed=0, device=torch.device("cpu"))
    short, timed = Training(method.recipe, 1, BATCH), Training(method.recipe, 3, BATCH)
    states = [start(cell)]
    for task in tasks[:-1]:
        states.append(learn(cell, states[-1], task, short).state)
    early, late = [], []
    for _ in range(REPETITIONS):
        early.append(seconds_per_step(cell, states[1], tasks[1], timed))
        late.append(seconds_per_step(cell, states[-1], tasks[-1], timed))
    return min(early), min(late)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="*", metavar="SPEC", help="for example er:memory=200")
    asked = parse_methods(",".join(parser.parse_args().specs) or "all")
    specs = [text for text in asked if configure(text).cls.learns_in_steps]
    tasks = [tiny_task(number) for number in range(1, TASKS + 1)]
    print(f"{'method':24} {'task 2, ms':>10} {f'task {TASKS}, ms':>11} {'ratio':>6}")
    for text in specs:
        early, late = measure(text, tasks)
        print(f"{text:24} {1000 * early:10.2f} {1000 * late:11.2f} {late / early:6.2f}", flush=True)


if __name__ == "__main__":
    main()
