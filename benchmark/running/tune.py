"""Chooses the methods' options on validation images. Test images are never read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import optuna

from benchmark.backbones.base import fingerprint
from benchmark.files import StorageError
from benchmark.learning.answering import Answering
from benchmark.learning.evaluation import evaluate
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.seeds import RULE
from benchmark.learning.strategy import DivergedError
from benchmark.learning.training import Training
from benchmark.planning.preparation import Prepared
from benchmark.progress.events import CellBegan, CellEnded, CellFailed, EpochDone, Listener, TaskBegan, Told, ignore
from benchmark.report.table import EMPTY
from benchmark.report.text import aligned
from benchmark.results.answers import accuracy
from benchmark.running.executors.failures import failure_of
from benchmark.running.manifest import check_same
from benchmark.running.search_space import new_study, plain, search_space
from benchmark.storage.tuned import read_tuned, write_tuned
from benchmark.streams.columns import in_columns
from methods.configured import ConfiguredMethod, configure
from methods.errors import UserError
from methods.options import option_defaults, value_text


@dataclass(frozen=True)
class Trial:
    """One trial of a method's options.

    Attributes:
        params: option -> value, for the searched options.
        accuracies: of each seed that is learned, the average validation accuracy after the last task. A seed that
            diverges has 0, and the seeds after it are not learned.
        diverged: whether the training of a seed diverged.
    """

    params: dict[str, Any]
    accuracies: tuple[float, ...] = ()
    diverged: bool = False

    @property
    def value(self) -> float:
        """The mean of the seeds' accuracies; 0, the worst value, if one of them diverged."""
        return 0.0 if self.diverged else sum(self.accuracies) / len(self.accuracies)

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return {
            "params": self.params,
            "value": self.value,
            "diverged": self.diverged,
            "accuracies": list(self.accuracies),
        }


def _trial(entry: Mapping[str, Any]) -> Trial:
    """Read a trial from the file. Older versions had one seed, so that its accuracy is the value."""
    return Trial(entry["params"], tuple(entry.get("accuracies", [entry["value"]])), entry["diverged"])


class Tuning:
    """The search for the best options of several methods, and its file.

    Args:
        prepared: methods, a stream without test images, and the backbone; each trial learns all its seeds.
        budget: trials of each method.
        path: the file. Its methods, found with the same settings, are kept and not searched again, and its trials of
            other methods are not learned again.

    Raises:
        UserError: the file cannot be used, a task has no validation images, or a method's `search` has an option that
            the method does not have.
    """

    def __init__(self, prepared: Prepared, budget: int, path: Path):
        self.prepared, self.budget, self.path = prepared, budget, path
        blind = next((task.name for task in prepared.stream.tasks if not len(task.validation.labels)), None)
        if blind is not None:
            raise UserError(
                f"--validation {prepared.settings.validation}: options are chosen on validation images, and task "
                f"'{blind}' has none; hold some out, for example --validation 10"
            )
        self._spaces = {method.label: search_space(method) for method in prepared.methods}
        self._content = self._new_content()
        if path.exists():
            old = read_tuned(path, "--out")
            check_same(old, self._content, "--out", path, kind="file")
            self._content = old
        # Files of older versions have no trials of methods that are not done.
        self._unfinished: dict[str, list[dict[str, Any]]] = self._content.setdefault("unfinished", {})
        left_out = [*self._content.get("left_out", ()), *prepared.left_out]
        self._content["left_out"] = list(dict.fromkeys(map(str, left_out)))
        # Write it before learning, so that a file that cannot be written is noticed at once.
        write_tuned(path, self._content)

    @property
    def pending(self) -> list[ConfiguredMethod]:
        """The methods that have options to search and are not in the file."""
        found = self._content["methods"]
        return [m for m in self.prepared.methods if m.label not in found and self._spaces[m.label]]

    def run(self, tell: Listener) -> dict[str, dict[str, Any]]:
        """Tune the methods that the file lacks. Each seed of a trial is in the file when it is learned.

        Returns:
            The entries of the prepared methods in the file; a failed method has no entry.

        Raises:
            UserError: the GPU met an error after which this process cannot use it.
            StorageError: the file cannot be written.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        for text in self.prepared.told:
            tell(Told(text))
        found = self._content["methods"]
        for method in self.prepared.methods:
            if method.label in found:
                continue
            try:
                trials = self._search(method, tell) if self._spaces[method.label] else []
            except StorageError:
                raise
            except Exception as error:  # after any other error, the other methods continue, if they can
                failure = failure_of(error)
                if failure.broken:
                    raise UserError(
                        f"{method.label}: {failure.cause}, after which this process cannot use the GPU any more; the "
                        f"same command goes on after the trials that are in {self.path}, and if the error comes again, "
                        f"leave {method.label} out"
                    ) from error
                tell(CellFailed(method.label, failure.cause))
                continue
            found[method.label] = _entry(method.label, trials)
            self._unfinished.pop(method.label, None)
            write_tuned(self.path, self._content)
        return {method.label: found[method.label] for method in self.prepared.methods if method.label in found}

    def _search(self, method: ConfiguredMethod, tell: Listener) -> list[Trial]:
        """Return all trials of a method; the first one tries its defaults."""
        space = self._spaces[method.label]
        # The sampler asks again for what it asked for before, so that a search goes on where it was interrupted.
        kept = map(_trial, self._unfinished.get(method.label, ()))
        known = {specification(method.label, trial.params): trial for trial in kept}

        def attempt(params: dict[str, Any]) -> Trial:
            text = specification(method.label, params)

            def keep(trial: Trial) -> None:
                known[text] = trial
                self._unfinished[method.label] = [trial.as_json() for trial in known.values()]
                write_tuned(self.path, self._content)

            return self._learn(text, known.get(text, Trial(params)), keep, tell)

        defaults = option_defaults(method.cls) | asdict(method.recipe)
        trials = [attempt({option: plain(defaults.get(option)) for option in space})]
        study = new_study(space, self.budget - 1, self.prepared.settings.seeds[0])
        # Defaults outside of the space are tried too, but the sampler cannot learn from them.
        with suppress(ValueError):
            study.add_trial(
                optuna.trial.create_trial(params=trials[0].params, distributions=space, value=trials[0].value)
            )
        while len(trials) < self.budget:
            asked = study.ask(space)
            trials.append(attempt({option: plain(asked.params[option]) for option in space}))
            study.tell(asked, trials[-1].value)
        return trials

    def _learn(self, text: str, trial: Trial, keep: Callable[[Trial], None], tell: Listener) -> Trial:
        """Learn the stream with the specification `text` and each seed that a trial lacks; `keep` it after each."""
        method, tasks, seeds = configure(text), len(self.prepared.stream), self.prepared.settings.seeds
        left = () if trial.diverged else seeds[len(trial.accuracies) :]
        done = len(seeds) - len(left)
        tell(CellBegan(text, tasks * len(seeds), tasks * done, method.passes(self.prepared.settings.epochs)))
        try:
            for seed in left:
                trial = _with_seed(trial, self.prepared, method, seed, tell)
                keep(trial)
                if trial.diverged:
                    break
        finally:
            tell(CellEnded(text))
        return trial

    def _new_content(self) -> dict[str, Any]:
        settings = self.prepared.settings
        return {
            "settings": {
                "stream": settings.stream,
                "backbone": settings.backbone,
                "scenario": settings.scenario,
                "tuning_tasks": settings.tasks,
                "image_size": settings.image_size,
                "resize": settings.resize,
                "grey_range": list(settings.grey_range),
                "train_images": settings.train_images,
                "validation": settings.validation,
                "epochs": settings.epochs,
                "batch_size": settings.batch_size,
                "augment": list(settings.augment),
                "precision": settings.precision,
                # What "auto" means here: the file must not go on on another device.
                "device": self.prepared.device.type,
                "seeds": list(settings.seeds),
                "budget": self.budget,
            },
            "stream": {
                "spec": settings.stream,
                "fingerprint": self.prepared.stream.fingerprint,
                "tasks": self.prepared.stream.training_fingerprints,
            },
            "backbone": {"spec": settings.backbone, "fingerprint": fingerprint(self.prepared.backbone)},
            "random_numbers": RULE,
            "methods": {},
            "unfinished": {},
            "left_out": [],
        }


def specification(label: str, params: Mapping[str, Any]) -> str:
    """Return a method's specification with these options added."""
    # None is a default that means "not given". It cannot be written in a specification.
    return ":".join([label, *(f"{name}={value_text(value)}" for name, value in params.items() if value is not None)])


def _with_seed(trial: Trial, prepared: Prepared, method: ConfiguredMethod, seed: int, tell: Listener) -> Trial:
    """Return a trial with one more seed."""
    try:
        accuracy = validation_accuracy(prepared, method, seed, tell)
    except DivergedError:
        return replace(trial, accuracies=(*trial.accuracies, 0.0), diverged=True)
    return replace(trial, accuracies=(*trial.accuracies, accuracy))


def validation_accuracy(prepared: Prepared, method: ConfiguredMethod, seed: int, tell: Listener) -> float:
    """Return the average accuracy on the tasks' validation images after all tasks are learned in order, with one seed.

    Raises:
        DivergedError: the loss is no longer finite.
    """
    return average_accuracies(prepared, method, seed, ("validation",), tell)[0]


def average_accuracies(
    prepared: Prepared,
    method: ConfiguredMethod,
    seed: int,
    splits: Sequence[Literal["train", "validation"]],
    tell: Listener = ignore,
) -> list[float]:
    """Return the average accuracy on each of these splits of the tasks after all tasks are learned in order.

    Raises:
        DivergedError: the loss is no longer finite.
    """
    settings, device = prepared.settings, prepared.device
    stream = in_columns(prepared.stream, settings.scenario)
    cell = Cell(
        prepared.backbone,
        method.make,
        stream.most_classes,
        seed,
        device,
        stream.names,
        scenario=settings.scenario,
        widths=stream.widths,
    )
    training = Training(method.recipe, settings.epochs, settings.batch_size, settings.augment, settings.precision)
    state = start(cell)
    for number, task in enumerate(stream.tasks, 1):
        tell(TaskBegan(method.label, number, task.name))
        state = learn(cell, state, task, training, lambda: tell(EpochDone(method.label))).state
    answering, sums = Answering(cell), dict.fromkeys(splits, 0.0)
    for number, task in enumerate(stream.tasks, 1):
        network = answering.network(state, number, len(task.classes))
        for split in splits:
            data = getattr(task, split)
            sums[split] += accuracy(evaluate(network, data, device, settings.precision).classes, data.labels)
    return [total / len(stream.tasks) for total in sums.values()]


def _entry(label: str, trials: list[Trial]) -> dict[str, Any]:
    """Return a method's entry in the file. Without trials, when nothing is searched, the best is the label itself."""
    best = max(trials, key=lambda trial: trial.value, default=None)
    return {
        "best": label if best is None else specification(label, best.params),
        "accuracy": None if best is None else best.value,
        "default_accuracy": trials[0].value if trials else None,
        "trials": [trial.as_json() for trial in trials],
    }


def to_text(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the results as text for a terminal."""
    rows = [
        (label, _percent(entry["default_accuracy"]), _percent(entry["accuracy"]), entry["best"])
        for label, entry in found.items()
    ]
    table = aligned([("Method", "Default", "Tuned", "Best specification"), *rows], right={1, 2})
    rule = "-" * max(map(len, table))
    return "\n".join(["Average accuracy on validation images (%).", "", table[0], rule, *table[1:], ""])


def _percent(share: float | None) -> str:
    return EMPTY if share is None else f"{100 * share:.1f}"
