"""Avalanche's training loop over our batches, with the method as its plugin. It also counts the cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from avalanche.core import BasePlugin
from avalanche.training.plugins import LRSchedulerPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn

from benchmark.images.batches import Batches
from benchmark.images.layout import MemoryFormat
from benchmark.learning.clock import Clock
from benchmark.learning.course import Checkpoints, Course
from benchmark.learning.features import features_in_order
from benchmark.learning.given import refuse_no_logits, refuse_no_loss
from benchmark.learning.precision import computing
from benchmark.learning.step_counts import StepCounts
from benchmark.learning.training import Training, make_optimizer, scheduler, takes_lists
from benchmark.learning.validation import Stopping, Validation
from benchmark.learning.workbench import Workbench
from benchmark.snapshots.snapshot import Snapshot
from methods.data import Samples
from methods.devices import precise
from methods.errors import UserError
from methods.method import fills
from methods.network import Network
from methods.step import Step


class DivergedError(RuntimeError):
    """The training loss or the weights are no longer finite."""


class _NoMetrics:
    """Replaces Avalanche's evaluator, because the program evaluates without it."""

    def get_last_metrics(self) -> dict[str, Any]:
        return {}


class Strategy(SupervisedTemplate, Step):
    """Avalanche's supervised loop on a prepared network, with exact heads and our batches.

    Hooks get it as a `methods.step.Step`. Avalanche's plugins find the names that they know.

    Attributes:
        steps: number of steps so far.
        losses: mean training loss of each epoch.
        epochs_done: number of epochs so far.
        stopping: which epoch was the best on validation images; None if nobody looks at them.
    """

    # Avalanche sets these, but declares no types.
    model: Network
    device: torch.device
    optimizer: torch.optim.Optimizer
    loss: Tensor
    _stop_training: bool

    def __init__(
        self,
        *,
        bench: Workbench,
        task_data: Samples,
        batches: Batches,
        training: Training,
        device: torch.device,
        clock: Clock,
        on_epoch: Callable[[], None],
        augment_replay: Callable[[Tensor], Tensor],
        memory_format: MemoryFormat,
        validation: Validation | None = None,
        checkpoints: Checkpoints | None = None,
        fixed: Sequence[object] = (),
        lasting: Sequence[Tensor] = (),
        chosen: bool = False,
    ):
        trained = [parameter for _, parameter in bench.trainable()]
        optimizer = make_optimizer(trained, training.recipe, device, bench.lr_scales(training.recipe.layer_decay))
        schedule, granularity = scheduler(optimizer, training, len(batches.sizes))
        super().__init__(
            model=bench.network,
            optimizer=optimizer,
            criterion=nn.functional.cross_entropy,
            train_mb_size=training.batch_size,
            train_epochs=training.epochs,
            device=device,
            plugins=[bench.method, LRSchedulerPlugin(schedule, step_granularity=granularity)],
            evaluator=_NoMetrics(),
        )
        self.bench = bench
        self.task_data = task_data
        self.augment_replay = augment_replay
        self._memory_format = memory_format
        self.trained = trained
        self.steps_per_epoch = len(batches.sizes)
        self.counts = StepCounts(clock)
        self._around = 0
        # Whether a step of this epoch, or of any epoch, read the epoch number: then other epochs may cost more or less.
        self._epoch_asked = False
        self._varies = False
        self.steps = 0
        self.losses: list[float] = []
        self._batches = batches
        # Whether the method has chosen other images than the task's, or other labels.
        self._chosen = chosen
        self._training = training
        # Avalanche has a `clock` too: it counts steps.
        self._seconds = clock
        self._on_epoch = on_epoch
        self._hooks = _Hooks(self.plugins)
        # The losses of the epoch's steps stay on the device, so that nothing waits for it before the epoch ends. They
        # are in one tensor: many small tensors scattered over the heap would prevent its reuse.
        dtype = torch.float64 if precise(device) == device else torch.float32
        self._step_losses = torch.zeros(self.steps_per_epoch, dtype=dtype, device=device)
        self._steps_before = 0
        self._validation = validation
        self.stopping = Stopping(training.recipe, len(validation.data)) if validation else None
        self._best: Snapshot | None = None
        self.epochs_done = 0
        self._within_epoch = False
        self._checkpoints = checkpoints
        self._course: Course | None = None
        data = [batches.data, task_data, *([validation.data] if validation else [])]
        self._fixed = (*fixed, *data, bench, training, on_epoch, self._hooks, checkpoints)
        self._lasting = (*lasting, *bench.frozen(), *(part for each in data for part in (each.images, each.labels)))

    @property
    def images(self) -> Tensor:
        images: Tensor = self.mb_x
        return images

    @property
    def unchanged_images(self) -> Tensor:
        return self._batches.unchanged

    @property
    def labels(self) -> Tensor:
        labels: Tensor = self.mb_y
        return labels

    @property
    def logits(self) -> Tensor:
        logits: Tensor = self.mb_output
        return logits

    @property
    def batch_size(self) -> int:
        return self._training.batch_size

    @property
    def epochs(self) -> int:
        return self._training.epochs

    @property
    def epoch(self) -> int:
        self._epoch_asked = True
        return int(self.clock.train_exp_epochs) + 1

    @property
    def steps_done(self) -> int:
        return int(self.clock.train_epoch_iterations)

    @property
    def operations(self) -> int:
        """Floating-point operations so far: steps as StepCounts counts them, work before and after them exactly."""
        validation = self._validation.operations if self._validation else 0
        return self._around + self.counts.operations + validation

    def task_features(self) -> Iterator[tuple[Tensor, Tensor]]:
        precision = self._training.precision
        return features_in_order(self.model, self.task_data, self.device, precision, self._memory_format)

    def shared_parameters(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.bench.trainable() if self.bench.is_shared(name)}

    def _check_plugin_compatibility(self) -> None:
        """Nothing: a run looks for misspelt hooks itself, and helpers of a method may begin like hooks."""

    # The methods below replace Avalanche's data sets, loaders and dynamic models by our own, and measure.

    def train_dataset_adaptation(self, **kwargs: Any) -> None:
        pass

    dataloader: Iterable[tuple[Tensor, Tensor]]

    def make_train_dataloader(self, **kwargs: Any) -> None:
        self.dataloader = self._batches

    def check_model_and_optimizer(self, **kwargs: Any) -> None:
        pass

    def forward(self) -> Tensor:
        if self._batches.data.images.ndim == 2:
            return self.bench.network.answer(self.mb_x)
        return self.bench.method.forward(self)

    def _before_training_exp(self, **kwargs: Any) -> None:
        with self._seconds.counting() as counter:
            super()._before_training_exp(**kwargs)
        self._around += counter.get_total_flops()

    def _after_training_exp(self, **kwargs: Any) -> None:
        # If a step spoils the weights, the loss of the next step shows it. The last step has no next step.
        if self.device.type != "meta" and not nn.utils.get_total_norm(self.trained).isfinite():
            raise DivergedError(
                f"the weights are not finite after task {self.bench.method.task}; a smaller --lr may help"
            )
        self.counts.end()
        with self._seconds.counting() as counter:
            super()._after_training_exp(**kwargs)
        self._around += counter.get_total_flops()

    def _train_exp(self, experience: Any, eval_streams: Any = None, **kwargs: Any) -> None:
        """Go through the epochs, or those that a checkpoint has left."""
        self._begin()
        while self.epochs_done < self.train_epochs and not (self.stopping and self.stopping.ends):
            if not self._within_epoch:
                self._before_training_epoch(**kwargs)
                self._within_epoch = True
            if self._stop_training:
                self._stop_training = False
                break
            self.training_epoch(**kwargs)
            self._after_training_epoch(**kwargs)
        if self._best and self._course and self.stopping and self.stopping.kept != self.epochs_done:
            self._course.return_to(self._best)

    def _begin(self) -> None:
        keeps_best = self.stopping is not None and self._training.recipe.keep == "best" and not self._training.dry
        if not keeps_best and self._checkpoints is None:
            return
        try:
            self._course = Course(self._parts(), self, self._fixed, self._lasting, self.device, self._checkpoints)
        except UserError as error:
            if keeps_best or self._checkpoints is None:
                raise
            self._checkpoints.give_up(str(error))
            return
        with self._seconds.stopped():
            if not self._course.resume():
                return
            assert self._checkpoints is not None
            self._checkpoints.goes_on(self.epochs_done + 1)
            if self._within_epoch:
                self._batches.go_on()
            # The progress of the epochs is shown once more.
            for _ in range(self.epochs_done):
                self._on_epoch()

    def _parts(self) -> dict[str, object]:
        """What the best epoch is kept of: all but what counts the epochs that there were."""
        return {
            "method": self.bench.method,
            "model": self.bench.network,
            "optimizer": self.optimizer,
            "plugins": self.plugins,
            "augment_replay": self.augment_replay,
        }

    def _before_training_epoch(self, **kwargs: Any) -> None:
        super()._before_training_epoch(**kwargs)
        self._steps_before = self.steps
        known = self.counts.begin_epoch(frozenset(name for name, _ in self.bench.trainable()))
        self.dataloader = [] if self._training.dry and known and not self._varies else self._batches
        self._epoch_asked = False

    def training_epoch(self, **kwargs: Any) -> None:
        """Run Avalanche's epoch, but skip hooks that no plugin overrides."""
        for minibatch in self.dataloader:
            self.mbatch = minibatch
            if self._stop_training:
                break
            images = len(self.mb_y)
            stands_for = len(self._batches.data) if self._training.dry else images
            self.counts.make(self._step, self.bench.network, images, stands_for)
            if self._batches.given < self.steps_per_epoch:
                self._store()
        self.counts.end_epoch()
        self._varies |= self._epoch_asked

    def _step(self) -> None:
        hooks = self._hooks
        hooks.call("before_training_iteration", self)
        for parameter in self.trained:
            parameter.grad = None
        with computing(self._training.precision, self.device):
            hooks.call("before_forward", self)
            self.mb_output = self.forward()
            refuse_no_logits(self.bench, self.mb_output, self.mb_y, self._chosen)
            hooks.call("after_forward", self)
            self.loss = self.criterion()
            hooks.call("before_backward", self)
        refuse_no_loss(self.bench.method, self.mb_output, self.loss)
        self.loss.backward()
        hooks.call("after_backward", self)
        hooks.call("before_update", self)
        self.optimizer_step()
        hooks.call("after_update", self)
        hooks.call("after_training_iteration", self)
        self._step_losses[self.steps - self._steps_before] = self.loss.detach()
        self.steps += 1

    def optimizer_step(self) -> None:
        clip = self._training.recipe.clip
        if clip:
            nn.utils.clip_grad_norm_(self.trained, clip, foreach=takes_lists(self.device))
        super().optimizer_step()

    def _after_training_epoch(self, **kwargs: Any) -> None:
        super()._after_training_epoch(**kwargs)
        if not self._step_losses.is_meta:
            losses = self._step_losses.tolist()
            self._step_losses.zero_()
            self.losses.append(sum(losses) / self.steps_per_epoch)
            for step, loss in enumerate(losses, 1):
                if not math.isfinite(loss):
                    raise DivergedError(
                        f"the training loss is {loss} in step {step} of epoch {len(self.losses)} of task "
                        f"{self.bench.method.task}; a smaller --lr may help"
                    )
        self._within_epoch = False
        self.epochs_done += 1
        self._validate()
        with self._seconds.stopped():
            self._on_epoch()
        self._store()

    def _validate(self) -> None:
        """Look at the validation images after an epoch, if the task may end with it."""
        if self._validation is None or self.stopping is None:
            return
        done = self.stopping.learned = self.epochs_done
        if done < self.train_epochs and not self.bench.method.may_end(done, self.train_epochs):
            return
        right = self._validation.right()
        # Without values nobody knows when it stops: what is counted is the most that it may cost.
        if self._training.dry:
            return
        better = self.stopping.look(done, right)
        if better and self._course and self._training.recipe.keep == "best":
            self._best = self._course.snapshot()

    def _store(self) -> None:
        """Store a checkpoint, if it is due."""
        # Only then is the clock stopped, because that waits for a GPU.
        if self._course and self._course.is_due():
            with self._seconds.stopped():
                self._course.store()


class _Hooks:
    """The hooks that plugins override, by event. Empty hooks are left out, because a call costs time too.

    Args:
        plugins: the plugins, in calling order.
    """

    def __init__(self, plugins: Sequence[BasePlugin]):
        self._plugins = plugins
        self._of: dict[str, list[Callable[..., Any]]] = {}

    def call(self, event: str, strategy: Strategy) -> None:
        hooks = self._of.get(event)
        if hooks is None:
            hooks = self._of[event] = [getattr(plugin, event) for plugin in self._plugins if fills(plugin, event)]
        for hook in hooks:
            hook(strategy)
