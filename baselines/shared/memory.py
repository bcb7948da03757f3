"""A memory of past samples: what a method that replays or rehearses needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from methods import MemorySize, Method, Samples, Step
from methods.method import REPLAY
from methods.rows import Rows, sent

DEFAULT_MEMORY = MemorySize(images=500)

#: When images enter a memory: "after" their task, so that it has images of past tasks only, or "during" their task, as
#: soon as a step has them. Replay batches then have images of the present task too, also in the first task.
Fill = Literal["after", "during"]

#: How a step's images pass through the network: "joint", all in one pass, so that batch normalisation sees images of
#: all tasks at once; or "separate", first the minibatch and then each replay batch, each normalised by itself.
Passes = Literal["joint", "separate"]


class Memory:
    """Samples of past tasks in a method's `kept`, a row each under replay.images, replay.labels and replay.tasks.

    They are a uniform sample of all images that were added (reservoir sampling: Vitter, 1985), or, if `balanced`, as
    many images of each class as possible, the same number of all classes. Pixels are stored as they are, labels and
    task numbers in two bytes each. They stay on the CPU, and what is drawn goes to the training device. A memory that
    is filled during a task is on that device itself, so that no step waits for a copy.

    Args:
        method: whose `kept`, `generator` and `task` are used.
        size: its capacity; None to keep everything that is added.
        balanced: see above.
        batch: samples of a replay batch; None for as many as the minibatch has.
        fill: when images enter.

    Raises:
        ValueError: `batch` is not at least 1.
    """

    def __init__(
        self,
        method: Method,
        size: MemorySize | None,
        balanced: bool = False,
        batch: int | None = None,
        fill: Fill = "after",
    ):
        if batch is not None and batch < 1:
            raise ValueError(f"replay_batch={batch} must be at least 1")
        self.method = method
        self.size = size
        self.batch = batch
        self.balanced = balanced
        self._drawn_from: Rows | None = None
        if fill == "after":
            method.left_on_cpu = (*method.left_on_cpu, REPLAY)

    def rows(self) -> dict[str, Tensor]:
        """Everything as it is stored: "images" uint8 [N, C, S, S], "labels" and "tasks" int16 [N], others.

        Do not write into them: they are those of the state.
        """
        kept = self.method.kept
        return {name.removeprefix(REPLAY): rows for name, rows in kept.items() if name.startswith(REPLAY)}

    @property
    def holds_samples(self) -> bool:
        """Whether anything is stored."""
        return REPLAY + "labels" in self.method.kept

    def batch_of(self, step: Step) -> int:
        """The number of samples of a replay batch in this step."""
        return self.batch or len(step.labels)

    def draw(self, step: Step, count: int) -> dict[str, Tensor]:
        """`count` stored samples at random, with replacement.

        Returns:
            name -> rows on the training device: "images" uint8 [count, C, S, S], augmented like the task's own,
            "labels" and "tasks" int64 [count], and what else was stored for each sample.
        """
        stored = self.rows()
        chosen = torch.randint(len(stored["labels"]), (count,), generator=self.method.generator)
        drawn = self._rows_of(stored, step.device).take(chosen)
        images = step.augment_replay(drawn["images"])
        return drawn | {"images": images, "labels": drawn["labels"].long(), "tasks": drawn["tasks"].long()}

    def _rows_of(self, stored: dict[str, Tensor], device: torch.device) -> Rows:
        """Where to draw from; it is the same for all steps as long as nothing that is stored changes."""
        known = self._drawn_from
        if (
            known is None
            or known.tensors.keys() != stored.keys()
            or any(known.tensors[name] is not rows for name, rows in stored.items())
        ):
            known = self._drawn_from = Rows(stored, device)
        return known

    @torch.no_grad()
    def add(
        self,
        data: Samples,
        device: torch.device,
        more: Callable[[Tensor], dict[str, Tensor]] | None = None,
        more_bytes: int = 0,
        beside: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Offer a task's images: some of them enter, and stored ones leave to make room.

        Args:
            data: the images, and labels 0 .. classes-1.
            device: where `more` gets the images.
            more: what else is stored: images that enter [n, C, S, S] -> name -> rows, n of each.
            more_bytes: the size, for one sample, of what is stored by `more` or `beside`.
            beside: name -> rows that are stored of these images, one for each.
        """
        images, labels, rows = data.images, data.labels, self.rows()
        beside = {name: tensor.to(images.device) for name, tensor in (beside or {}).items()}
        if self.size is not None:
            capacity = self.size.capacity(images[0].nbytes + 4 + more_bytes)
            stay, enter = self._choose(labels, rows, capacity)
            if not len(enter) and len(stay) == len(rows["labels"]):
                return
            # Copies of positions that wait for nothing.
            enter = sent(enter, images.device)
            images, labels = images[enter], labels[enter]
            beside = {name: tensor[enter] for name, tensor in beside.items()}
            rows = {name: old[sent(stay, old.device)] for name, old in rows.items()}
        tasks = torch.full_like(labels, self.method.task, dtype=torch.int16)
        new = {"images": images, "labels": labels.to(torch.int16), "tasks": tasks, **beside}
        for name, added in (new | more(images.to(device)) if more else new).items():
            added = added.to(images.device)
            self.method.kept[REPLAY + name] = torch.cat([rows.get(name, added[:0]), added])

    def add_minibatch(self, step: Step, more_bytes: int = 0, **beside: Tensor) -> None:
        """Offer the minibatch's images, as they were before --augment changed them; see `add`.

        Without values this does nothing: one step then stands for all steps of a task, and the method offers all images
        of the task before it.
        """
        if not step.images.is_meta:
            self.add(Samples(step.unchanged_images, step.labels), step.device, more_bytes=more_bytes, beside=beside)

    def _choose(self, labels: Tensor, rows: dict[str, Tensor], capacity: int) -> tuple[Tensor, Tensor]:
        """Which stored samples stay, and which new ones enter."""
        generator, kept = self.method.generator, self.method.kept
        held, count = len(rows.get("labels", ())), len(labels)
        if not self.balanced:
            seen = int(kept.get("seen", 0))
            kept["seen"] = torch.tensor(seen + count)
            return reservoir_step(seen, held, count, capacity, generator)
        if labels.is_meta:
            # Tensors without values: each sample may have its own class, since only the number matters.
            classes = torch.arange(held + count)
        else:
            new = torch.stack([torch.full_like(labels, self.method.task), labels])
            both = [torch.stack([rows["tasks"], rows["labels"]]).to(new), new] if held else [new]
            classes = torch.cat(both, 1).unique(dim=1, return_inverse=True)[1]
        return balanced_step(classes[:held], classes[held:], capacity, generator)

    def answer_with(
        self, step: Step, replayed: dict[str, Tensor], passes: Passes = "joint", batches: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Logits of the minibatch and of replayed samples.

        Args:
            replayed: from `draw`, R samples.
            passes: one pass of all images, or first the minibatch and then each replay batch.
            batches: how many replay batches of the same size the samples are.

        Returns:
            The minibatch's logits [B, classes of the task], and those of the samples [R, widest head], each from its
            own task's head and -inf beyond its classes.
        """
        network, count = step.model, len(step.labels)
        images = [step.images, *replayed["images"].chunk(batches)]
        tasks = torch.cat([torch.full_like(step.labels, self.method.task), replayed["tasks"]])
        parts = [torch.cat(images)] if passes == "joint" else images
        features = [network.features(_as_laid_out(step.images, part)) for part in parts]
        logits = network.heads.own(torch.cat(features), tasks)
        return logits[:count, : network.classes], logits[count:]


def _as_laid_out(images: Tensor, others: Tensor) -> Tensor:
    """`others` in the memory format of `images`, because convolutions are faster on the loop's own."""
    last = images.is_contiguous(memory_format=torch.channels_last)
    return others.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def reservoir_step(
    seen: int, held: int, count: int, capacity: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Reservoir sampling (Vitter, 1985) of `count` new samples at once, so that what is stored stays a uniform sample.

    Args:
        seen: samples offered before; a uniform sample of `held` of them is stored.
        capacity: how many may be stored from now on; not more than before.

    Returns:
        which stored samples stay, and which new ones enter: int64, ascending.
    """
    sample = torch.randperm(seen + count, generator=generator)[:capacity]
    enter = sample[sample >= seen] - seen
    # Now it is known how many old samples stay; any choice of that many stored ones is uniform.
    stay = torch.randperm(held, generator=generator)[: len(sample) - len(enter)]
    return stay.sort().values, enter.sort().values


def balanced_step(stored: Tensor, new: Tensor, capacity: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As `reservoir_step`, but as many samples of each class as possible: their numbers differ by one at most.

    Args:
        stored, new: the class of each sample, int64 from 0.
    """
    classes = torch.cat([stored, new])
    order = torch.randperm(len(classes), generator=generator)
    by_class = order[classes[order].argsort(stable=True)]
    counts = classes.bincount()
    rank = torch.arange(len(classes)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    # One of each class, in a random order of the classes, then a second of each that has two, and so on.
    turn = (rank + torch.rand(len(rank), generator=generator, dtype=torch.float64)).argsort()
    chosen = by_class[turn[:capacity]].sort().values
    return chosen[chosen < len(stored)], chosen[chosen >= len(stored)] - len(stored)
