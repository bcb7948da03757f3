"""Fair budgets: replay memories as large as another method's state, and epochs with the cost of another method."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmark.config import Settings
from benchmark.planning.estimate import StreamShape, simulate
from benchmark.results.costs import Costs, extra_parameters_per_task
from benchmark.storage.records import Records
from benchmark.streams.base import Stream
from methods.configured import ConfiguredMethod, configure
from methods.errors import UserError
from methods.network import Network


@dataclass(frozen=True)
class Budget:
    """Replaces the memory size of a method's specification and --epochs.

    Attributes:
        memory_bytes: size of its replay memory; None if it has none, or keeps its own size.
        epochs: passes over each task's training images; 1 if the method makes no gradient steps.
        compute_ratio: expected training operations divided by those of the --equal-compute method; None without it.
    """

    memory_bytes: int | None
    epochs: int
    compute_ratio: float | None


def check_budgets(settings: Settings, methods: Sequence[ConfiguredMethod]) -> None:
    """Check that --equal-memory has a replay memory to size.

    Raises:
        UserError: no method has a replay memory, or a specification already sets the size of one.
    """
    if settings.equal_memory is None:
        return
    replaying = [method for method in methods if method.memory_options]
    if not replaying:
        raise UserError(
            f"--equal-memory {settings.equal_memory} sizes replay memories, and none of --methods has one; "
            "add a method that has, as er, or leave it out"
        )
    for method in replaying:
        given = [option for option in method.memory_options if option in method.spec.options]
        if given:
            raise UserError(
                f"--equal-memory {settings.equal_memory} and '{method.label}' both say how large a memory is; "
                f"leave out one of them"
            )


def fair_budgets(
    settings: Settings, methods: Sequence[ConfiguredMethod], stream: Stream, backbone: Network
) -> dict[str, Budget]:
    """Return the budgets for --equal-memory and --equal-compute, found without training.

    The bytes of a memory are the growth of the other method's state over the stream, without heads and stored samples:
    extra_parameters_per_task, times the number of tasks, times four. The epochs are the whole number, at least one,
    whose expected training operations are nearest to those of the other method. A method that trains on features
    computed once keeps --epochs; one without gradient steps has no epochs.

    Returns:
        Label -> budget, for each method; empty if neither option is given.

    Raises:
        UserError: a method named by an option cannot be used, or its state does not grow.
    """
    if settings.equal_memory is None and settings.equal_compute is None:
        return {}
    scales = _Scales(settings, stream, backbone)
    size = scales.memory_bytes(settings.equal_memory) if settings.equal_memory else None
    memory = {method.label: size if method.memory_options else None for method in methods}
    if settings.equal_compute is None:
        return {m.label: Budget(memory[m.label], m.passes(settings.epochs), None) for m in methods}
    target = scales.operations(_sized(configure(settings.equal_compute, **settings.recipe), size), settings.epochs)
    return {
        method.label: Budget(memory[method.label], *scales.epochs_for(_sized(method, size), target))
        for method in methods
    }


def with_budgets(methods: Sequence[ConfiguredMethod], budgets: Mapping[str, Budget]) -> tuple[ConfiguredMethod, ...]:
    """Return the methods with the memory sizes of their budgets."""
    return tuple(_sized(m, budgets[m.label].memory_bytes) if m.label in budgets else m for m in methods)


def _sized(method: ConfiguredMethod, size: int | None) -> ConfiguredMethod:
    return method if size is None else method.with_memory(size)


class _Scales:
    """Estimates the costs of methods on a stream of equal tasks, with the task count and mean task size of the run's.

    Args:
        settings: the run's settings.
        stream, backbone: the run's stream and backbone.
    """

    def __init__(self, settings: Settings, stream: Stream, backbone: Network):
        self._settings = settings
        self._pristine = copy.deepcopy(backbone).to("meta")
        self._shape = StreamShape.of(stream)

    def memory_bytes(self, text: str) -> int:
        """Return the growth of a method's state over the stream, as a size for replay memories.

        Raises:
            UserError: the state does not grow, or grows by less than an image.
        """
        records = self._records(configure(text, **self._settings.recipe), self._settings.epochs)
        size = round(4 * extra_parameters_per_task(Costs([records])) * self._shape.tasks)
        if size <= 0:
            raise UserError(
                f"--equal-memory {text}: beside heads and stored images, the state of {text} does not grow with the "
                "stream; name a method whose state does, as clr"
            )
        side = self._shape.image_size
        if size < self._pristine.channels * side * side:
            raise UserError(
                f"--equal-memory {text}: {text} adds {size} bytes over this stream, less than one image of "
                f"{side}x{side}; name a method that adds more, or choose a smaller --image-size"
            )
        return size

    def operations(self, method: ConfiguredMethod, epochs: int) -> int:
        """Return the training operations of a method over the stream."""
        return _operations(self._records(method, epochs))

    def epochs_for(self, method: ConfiguredMethod, target: int) -> tuple[int, float]:
        """Return the epochs whose cost is nearest to `target` operations, and their cost divided by `target`."""
        asked = method.passes(self._settings.epochs)
        records = self._records(method, asked)
        once = _operations(records)
        # Passes over features computed once cost almost nothing, so thousands of them would be needed. A method
        # without gradient steps makes no more than one.
        if records[-1]["features_cached"] or not method.cls.learns_in_steps:
            return asked, once / target
        # The cost is linear in the epochs: work done once per task does not depend on them, and a method with stages
        # splits both numbers of epochs in the same way.
        twice = self.operations(method, 2 * asked)
        epochs = max(1, round(asked + asked * (target - once) / (twice - once)))
        return epochs, self.operations(method, epochs) / target

    def _records(self, method: ConfiguredMethod, epochs: int) -> Records:
        return simulate(self._pristine, method, replace(self._settings, epochs=epochs), self._shape)


def _operations(records: Records) -> int:
    return sum(record["training_flops"] for record in records)
