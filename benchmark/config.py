"""The settings of a run, each declared once, and checked before anything heavy is imported."""

from __future__ import annotations

import importlib.util
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from itertools import product
from typing import Any, Literal

from benchmark.backbones import backbones
from benchmark.declaration import Option, list_items, options_of, setting
from benchmark.files import folder_name
from benchmark.storage.published import Published
from benchmark.storage.tuned import Tuned
from benchmark.streams import MOST_VALIDATION, VALIDATION, check_stream
from benchmark.task_inference.rules import parse_rules
from methods import methods
from methods.errors import UserError
from methods.options import Spec, construct, parse_spec, split_specs
from methods.recipe import Optimizer
from methods.scenarios import Scenario

#: Random changes of training images: the functions of benchmark.images.augment.
AUGMENTATIONS = ("flip", "crop", "resized-crop")

# A larger number was probably meant as a seed.
_MOST_SEEDS = 1000

#: The largest seed that random generators accept.
LARGEST_SEED = 2**32 - 1

# With larger numbers, a computed number of bytes would not fit into 64 bits.
_LARGEST, _LARGEST_SIDE = 2**31 - 1, 2**14

_EXECUTORS = ("local", "ray", "slurm")

# Methods, seeds and orders multiply; with more cells, writing the manifest alone would take minutes.
_MOST_CELLS = 100_000

_FAIR, _SPEED, _WORKERS = "what is equal for all methods", "how it is computed", "how it is spread"

#: Preset -> option -> its value unless a file or the command line gives another.
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


def parse_methods(asked: str | Sequence[str]) -> tuple[Spec, ...]:
    """`paper,er:memory=1000` -> its specifications: a group's name stands for its members.

    A method that is named by two groups, or by a group and the list, appears once, at its first place. Each
    specification knows its group, unless the list names it too.

    Args:
        asked: text separated by commas, or a list. In text, a comma in a value has a backslash before it.

    Raises:
        UserError: the list itself names something twice, or gives options to a group.
    """
    items = split_specs(asked) if isinstance(asked, str) else list(asked)
    _refuse_repeated(items)
    groups = methods.groups()
    for item in items:
        name = item.partition(":")[0]
        if name in groups and item != name:
            raise UserError(
                f"--methods: '{item}' gives options to a group; give them to a method, as in {name},er:memory=1000"
            )
    expanded = ((methods.members(item), item) if item in groups else ([item], "") for item in items)
    specs = (
        parse_spec(text) if text in items else parse_spec(text).of_group(group)
        for texts, group in expanded
        for text in texts
    )
    return tuple(dict.fromkeys(specs))


def _refuse_repeated(texts: Sequence[str]) -> None:
    repeated = sorted({text for text in texts if texts.count(text) > 1})
    if repeated:
        raise UserError(f"--methods gives '{repeated[0]}' twice; give each specification once")


def check_most(option: str, value: int | None) -> None:
    """Raise UserError if an option's number is larger than allowed."""
    most = _LARGEST_SIDE if option == "image_size" else _LARGEST
    if value is not None and value > most:
        text = str(value) if value < 10**20 else f"with a number of {len(str(value))} digits"
        raise UserError(f"--{option.replace('_', '-')} {text} must be at most {most}")


def check_seeds(option: str, seeds: Sequence[int]) -> None:
    """Raise UserError if a seed is not from 0 to LARGEST_SEED."""
    for seed in seeds:
        if not 0 <= seed <= LARGEST_SEED:
            text = str(seed) if abs(seed) < 10**20 else f"a number of {len(str(abs(seed)))} digits"
            raise UserError(f"{option}: {text} is no seed; write a whole number from 0 to {LARGEST_SEED}")


def parse_seeds(asked: str | int | Sequence[int]) -> tuple[int, ...]:
    """`3` means the seeds 0, 1, 2; `4,7` these two.

    Args:
        asked: text, the number of seeds, or a list of seeds.

    Raises:
        UserError: neither a number from 1 to 1000 nor a list of whole numbers from 0.
    """
    listed = not isinstance(asked, (str, int)) or (isinstance(asked, str) and "," in asked)
    text = str(asked) if isinstance(asked, (str, int)) else ",".join(map(str, asked))
    try:
        numbers = tuple(int(item) for item in list_items(text))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 0 or (numbers == (0,) and not listed):
        raise UserError(f"--seeds {text} is neither how many seeds (3) nor a list of them (4,7)")
    if listed:
        return numbers
    if numbers[0] > _MOST_SEEDS:
        raise UserError(f"--seeds {text} is more than {_MOST_SEEDS} seeds; to name one seed, write {text},")
    return tuple(range(numbers[0]))


def parse_augment(asked: str | Sequence[str]) -> tuple[str, ...]:
    """`flip,crop`, or a list -> the changes."""
    return tuple(list_items(asked))


def parse_grey_range(asked: str | Sequence[float]) -> tuple[float, ...]:
    """`0,4095` -> the two numbers; nothing -> nothing.

    Raises:
        UserError: these are not two numbers, the lower one first.
    """
    items = list_items(asked)
    try:
        numbers = tuple(map(float, items))
    except ValueError:
        numbers = ()
    if items and not (len(numbers) == 2 and all(map(math.isfinite, numbers)) and numbers[0] < numbers[1]):
        raise UserError(
            f"--grey-range={','.join(map(str, items))} must be LOW,HIGH: two numbers, the lower one first, as "
            "--grey-range=0,4095"
        )
    return numbers


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's numbers. None means the stream's or the method's default.

    Specifications given as text are parsed here, and never again.

    Attributes:
        methods: specifications, one row each.
        stream, backbone: specifications.
        scenario: who knows the task of a test image; see methods.scenarios.
        infer: the rules that guess the task of a test image; see benchmark.task_inference.rules.
        tasks: the number of the stream's tasks to learn, from the first.
        image_size: height and width in pixels.
        resize: how images of other shapes become squares; see benchmark.images.decode.Reading.
        grey_range: the values that are black and white in images of more than 8 bits a value whose files do not say it.
        train_images, test_images: per task, at most.
        validation: per cent of the training images that are held out, where the stream has no validation images.
        epochs: passes over each task's training images.
        batch_size: images per training step.
        lr, optimizer, schedule: for every method whose specification does not give them; see methods.recipe.Recipe.
        seeds: the seeds of the random numbers.
        orders: the number of task orders; the first is the stream's. See `repetitions`.
        device: "auto", "cpu", "cuda", or "mps" for a GPU of Apple's.
        augment: random changes of the training images, applied in this order; see benchmark.images.augment.
        precision: the precision of convolutions and matrix products; see benchmark.learning.precision.
        compile: whether backbones are compiled by torch.compile.
        memory_format: how images and weights lie in memory; see benchmark.images.layout.
        equal_memory: the specification of a method; replay memories take as many bytes as its state grows by.
        equal_compute: the specification of a method; the others train for the epochs that cost the same as this method.
    """

    methods: tuple[Spec, ...] = setting(
        metavar="LIST",
        read=parse_methods,
        help="comma-separated: NAME[:option=value...], or a group as `all`; see `python -m benchmark methods`",
    )
    stream: Spec = setting("mini", metavar="SPEC", help="NAME[:option=value...], see `python -m benchmark streams`")
    backbone: Spec = setting("mini", metavar="SPEC", help="NAME[:option=value...], see `python -m benchmark backbones`")
    scenario: Scenario = setting("task", help="who knows the task of a test image; see docs/scenarios.md")
    infer: tuple[str, ...] = setting(
        (),
        metavar="LIST",
        read=parse_rules,
        help="answer also where a rule guesses the task: RULE,... or `all`; see docs/scenarios.md",
    )
    tasks: int | None = setting(None, metavar="N", help="only the first N tasks of the stream")
    image_size: int | None = setting(None, metavar="PIXELS", help="resize images to this square")
    resize: Literal["squeeze", "crop"] = setting(
        "squeeze", help="how a picture becomes a square: the whole picture, or the largest square in its middle"
    )
    grey_range: tuple[float, ...] = setting(
        (),
        metavar="LOW,HIGH",
        read=parse_grey_range,
        help="values that are black and white in images of more than 8 bits; default: what the file says",
    )
    train_images: int | None = setting(None, metavar="N", help="per task, balanced, those of --validation too")
    test_images: int | None = setting(None, metavar="N", help="per task, balanced over classes")
    validation: int = setting(
        VALIDATION,
        metavar="PERCENT",
        help="of the training images, held out where the stream gives none; 0: train on all",
    )
    epochs: int = setting(8, metavar="N", help="passes over each task's training images")
    batch_size: int = setting(32, metavar="N", help="images per training step")
    lr: float | None = setting(None, help="initial learning rate of all methods; default: each method's own")
    optimizer: Optimizer | None = setting(None, help="of all methods; default: each method's own")
    schedule: Literal["constant", "step", "cosine"] | None = setting(None, help="of their learning rates, likewise")
    seeds: tuple[int, ...] = setting(
        (0,), metavar="N|LIST", read=parse_seeds, help="how many seeds (3), or which (4,7); default 1"
    )
    orders: int = setting(1, metavar="N", help="task orders, the stream's first")
    device: Literal["auto", "cpu", "cuda", "mps"] = setting("auto", help="auto: a GPU of CUDA if any; mps: Apple's")
    augment: tuple[str, ...] = setting(
        (),
        metavar="LIST",
        group=_SPEED,
        read=parse_augment,
        help=f"random changes of training images: {', '.join(AUGMENTATIONS)}",
    )
    precision: Literal["fp32", "tf32", "bf16"] = setting(
        "fp32", group=_SPEED, help="of convolutions and matrix products; tf32 needs a GPU"
    )
    compile: bool = setting(False, group=_SPEED, help="compile the backbone (torch.compile)")
    memory_format: Literal["channels-last", "contiguous"] = setting(
        "channels-last", group=_SPEED, help="how images and weights lie in memory"
    )
    equal_memory: Spec | None = setting(
        None, metavar="METHOD", group=_FAIR, help="replay memories of the bytes that METHOD adds in all"
    )
    equal_compute: Spec | None = setting(
        None, metavar="METHOD", group=_FAIR, help="epochs that cost as much as METHOD with --epochs"
    )

    def __post_init__(self) -> None:
        if not self.methods:
            raise UserError("--methods names no method; write for example --methods clr,ewc,er")
        _refuse_repeated(self.methods)
        # The class is frozen, so a plain assignment would fail.
        object.__setattr__(self, "methods", tuple(map(parse_spec, self.methods)))
        object.__setattr__(self, "infer", parse_rules(self.infer))
        object.__setattr__(self, "grey_range", parse_grey_range(self.grey_range))
        for option in ("stream", "backbone", "equal_memory", "equal_compute"):
            if getattr(self, option) is not None:
                object.__setattr__(self, option, parse_spec(getattr(self, option)))
        self._check_names()
        self._check_numbers()
        self._check_cells()

    def _check_names(self) -> None:
        """Check that everything that specifications name exists, and that each method can have its own folder."""
        for spec in self.methods:
            methods.check(spec.name)
        folders: dict[str, str] = {}
        for text in self.methods:
            other = folders.setdefault(folder_name(text).casefold(), text)
            if other != text:
                raise UserError(f"--methods: '{other}' and '{text}' would share a folder; run one of them by itself")
        check_stream(self.stream)
        backbones.check(self.backbone.name)
        for method in (self.equal_memory, self.equal_compute):
            if method is not None:
                methods.check(method.name)
        unknown = [name for name in self.augment if name not in AUGMENTATIONS]
        if unknown or len(set(self.augment)) < len(self.augment):
            raise UserError(
                f"--augment {','.join(self.augment)} must be a list of {', '.join(AUGMENTATIONS)}, each at most once"
            )

    def _check_numbers(self) -> None:
        for option in ("tasks", "image_size", "train_images", "test_images", "epochs", "batch_size", "orders"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise UserError(f"--{option.replace('_', '-')} {value} must be at least 1")
            check_most(option, value)
        if self.batch_size < 2:
            raise UserError("--batch-size 1 must be at least 2: batch normalisation cannot train on one image")
        if not 0 <= self.validation <= MOST_VALIDATION:
            raise UserError(f"--validation {self.validation} must be from 0 to {MOST_VALIDATION} per cent")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise UserError(f"--lr {self.lr:g} must be a number above 0")

    def _check_cells(self) -> None:
        """Check the seeds, and that methods, seeds and orders do not make too many cells for a run."""
        check_seeds("--seeds", self.seeds)
        cells = len(self.methods) * len(self.seeds) * self.orders
        if cells > _MOST_CELLS:
            raise UserError(
                f"--orders {self.orders}: with {len(self.methods)} of --methods and {len(self.seeds)} of --seeds they "
                f"make {cells:,} cells; at most {_MOST_CELLS:,} fit into one run"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"--seeds {','.join(map(str, self.seeds))} gives a seed twice; give each once")

    @property
    def repetitions(self) -> list[tuple[int, int]]:
        """(seed, order) of each repetition of a method; each repetition is a cell.

        If there are as many orders as seeds, each seed has its own order, so repetitions share neither and are
        independent. Otherwise each seed learns in each order.
        """
        orders = range(self.orders)
        paired = len(self.seeds) == self.orders
        return list(zip(self.seeds, orders, strict=True) if paired else product(self.seeds, orders))

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe's arguments for methods.configured.configure."""
        return {"lr": self.lr, "optimizer": self.optimizer, "schedule": self.schedule}

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True)
class Slurm:
    """How jobs are submitted to Slurm. The names are those of submitit's parameters, and of sbatch's options.

    Attributes:
        cluster: "slurm"; "local" for processes on this machine, and "debug" for this process, to try it out.
        timeout_min: the longest time of a job, in minutes; submitit would give it 5.
        max_num_timeout: how often a job that ran out of time is queued again.
        signal_delay_s: how long before its time is over a job is told so, in seconds.
        array_parallelism: the number of jobs that Slurm runs at once; None for submitit's default.
        cpus_per_task: the processors of a job, and the threads of its cell.
        gpus_per_node: the GPUs of a job; its cell uses one.
        mem_gb: the RAM of a job; None for the default of the cluster.
        partition, account, qos, constraint, gres, nodelist, exclude: see sbatch; None for the default of the cluster.
    """

    cluster: Literal["slurm", "local", "debug"] = "slurm"
    timeout_min: int = 240
    max_num_timeout: int = 3
    signal_delay_s: int = 90
    array_parallelism: int | None = None
    cpus_per_task: int = 1
    gpus_per_node: int = 0
    mem_gb: float | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gres: str | None = None
    nodelist: str | None = None
    exclude: str | None = None

    def __post_init__(self) -> None:
        least = {"timeout_min": 1, "max_num_timeout": 0, "signal_delay_s": 1, "array_parallelism": 1}
        least |= {"cpus_per_task": 1, "gpus_per_node": 0}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise ValueError(f"{name} {value} must be at least {smallest}")
        if self.mem_gb is not None and self.mem_gb <= 0:
            raise ValueError(f"mem_gb {self.mem_gb:g} must be above 0")

    @property
    def has_gpu(self) -> bool:
        """Whether a job gets a GPU."""
        return self.gpus_per_node > 0 or "gpu" in (self.gres or "")


@dataclass(frozen=True)
class Execution:
    """How a run is done: settings that do not change its numbers.

    Attributes:
        jobs: the number of cells, or independent tasks, that run at once; None for as many as the machine has room for.
        executor: "local" for processes on this machine, "ray", or "slurm" with the options of Slurm.
        address: a Ray cluster's address; None to start one on this machine.
        gpus_per_cell: the share of a GPU that a cell gets; None for a share that fits the cells' size, and with Ray a
            whole GPU.
        parallel_tasks: whether independent tasks of a cell run at once; None: only with several jobs.
        keep_states: whether to keep the shared and memory parts after every task.
        checkpoint_minutes: how often a task is stored while it is learned, so that a killed run goes on in its middle;
            0: after every step; None: never.
        verify_evaluations: whether to repeat known evaluations and compare the results.
        plugins: files that register methods.
        tuned: the file that the methods' options come from.
        reference: the label of the method that the others are compared with, or "all" to compare every two; None for
            the first method, or for the reference of a resumed run.
        tracker: "tensorboard", "wandb" or "mlflow", which also gets curves and tables.
        seconds: whether tables show seconds also if cells ran side by side, and so slowed each other down.
        quiet: whether only warnings and failures are shown while it runs.
        verbose: whether a line is shown for each epoch, in place of bars.
        in_process: whether all cells are learned in this process, because workers cannot import what the run needs.
        reproduces: the published numbers that the results are compared with.
    """

    jobs: int | None = setting(
        None, metavar="N", group=_WORKERS, help="cells at once; default: what threads or GPUs allow"
    )
    executor: Spec = setting(
        "local",
        metavar="NAME",
        group=_WORKERS,
        help="local (processes), ray, or slurm[:option=value...]; see docs/cluster.md",
    )
    address: str | None = setting(
        None, metavar="HOST:PORT", group=_WORKERS, help="of a Ray cluster, or auto; default: one made here"
    )
    gpus_per_cell: float | None = setting(
        None, metavar="SHARE", group=_WORKERS, help="0.25: four cells on a GPU; default: up to four, if they are small"
    )
    parallel_tasks: bool | None = setting(
        None,
        group=_WORKERS,
        help="tasks that do not depend on each other at once, same results; default: where there are several jobs",
    )
    keep_states: bool = setting(False, help="keep the shared and memory parts after every task")
    checkpoint_minutes: float | None = setting(
        None, metavar="N", help="store each task every N minutes while it is learned, to go on in its middle if killed"
    )
    verify_evaluations: bool = setting(False, group=_SPEED, help="evaluate again what is known, and compare")
    plugins: tuple[str, ...] = setting(
        (), name="plugin", metavar="FILE", read=tuple, repeated=True, help="a Python file that registers methods"
    )
    reference: str | None = setting(
        None,
        metavar="METHOD",
        help="test each method against this one, called as in the tables, or `all` for every two; default: the first",
    )
    tracker: Literal["tensorboard", "wandb", "mlflow"] | None = setting(None, help="send curves and tables there")
    seconds: bool = setting(False, help="show seconds in tables also where cells ran side by side")
    quiet: bool = setting(False, help="show no progress, only warnings, failures and tables")
    verbose: bool = setting(False, help="a line for each epoch in place of bars")
    tuned: Tuned | None = None
    in_process: bool = False
    reproduces: Published | None = None

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise UserError(f"--jobs {self.jobs} must be at least 1")
        if self.gpus_per_cell is not None and not 0 < self.gpus_per_cell <= 1:
            raise UserError(
                f"--gpus-per-cell {self.gpus_per_cell:g} must be above 0 and at most 1, as 0.25 for four cells on a GPU"
            )
        if self.checkpoint_minutes is not None and not 0 <= self.checkpoint_minutes < math.inf:
            raise UserError(
                f"--checkpoint-minutes {self.checkpoint_minutes:g} must be a number of minutes from 0, as 10; 0 means "
                "after every step"
            )
        # The class is frozen, so a plain assignment would fail.
        object.__setattr__(self, "executor", parse_spec(self.executor))
        self._check_executor()
        if self.tracker is not None and importlib.util.find_spec(self.tracker) is None:
            raise UserError(
                f"--tracker {self.tracker} needs the package {self.tracker}, which is not installed; "
                f'install it with: pip install ".[{self.tracker}]"'
            )
        if self.quiet and self.verbose:
            raise UserError("--quiet shows no progress and --verbose all of it; give one of them")
        if self.executor != "ray" and self.address is not None:
            raise UserError(f"--address {self.address} is that of a Ray cluster; add --executor ray")
        if self.address not in (None, "auto") and not _is_address(self.address):
            raise UserError(f"--address {self.address} must be HOST:PORT, as `ray start --head` tells it, or auto")
        if self.parallel_tasks and self.verify_evaluations:
            raise UserError(
                "--verify-evaluations compares evaluations of one task after several others; leave --parallel-tasks out"
            )

    def _check_executor(self) -> None:
        """Check that the executor exists, and that this machine has what it needs."""
        name = self.executor.name
        if name not in _EXECUTORS:
            raise UserError(f"--executor {self.executor}: there is no executor '{name}'; give local, ray or slurm")
        if name == "ray" and importlib.util.find_spec("ray") is None:
            raise UserError('--executor ray needs Ray, which is not installed; install it with: pip install ".[ray]"')
        if self.slurm is None:
            if self.executor != name:
                raise UserError(f"--executor {self.executor}: {name} takes no options; write --executor {name}")
            return
        if importlib.util.find_spec("submitit") is None:
            raise UserError(
                '--executor slurm needs submitit, which is not installed; install it with: pip install ".[slurm]"'
            )
        missing = [command for command in ("sbatch", "srun") if shutil.which(command) is None]
        if self.slurm.cluster == "slurm" and missing:
            raise UserError(
                f"--executor {self.executor}: this machine has no {missing[0]}, so it cannot submit jobs to Slurm; run "
                "it where that works, or try it out here with --executor slurm:cluster=local"
            )
        if self.gpus_per_cell is not None:
            raise UserError(
                f"--gpus-per-cell {self.gpus_per_cell:g}: Slurm gives out whole GPUs; leave it out, and write "
                "--executor slurm:gpus_per_node=1"
            )

    @property
    def slurm(self) -> Slurm | None:
        """How jobs are submitted to Slurm; None with another executor.

        Raises:
            UserError: an option is unknown or wrong.
        """
        return construct(Slurm, self.executor) if self.executor.name == "slurm" else None

    @property
    def elsewhere(self) -> bool:
        """Whether other processes than this one and its workers learn. They have devices of their own."""
        return self.executor != "local"

    @property
    def may_start_workers(self) -> bool:
        """Whether the run may use worker processes on this machine."""
        return self.executor == "local" and self.jobs != 1


def _is_address(text: str) -> bool:
    """Whether a text has the form HOST:PORT."""
    match = re.fullmatch(r"([^\s/:]{1,253}|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", text)
    return match is not None and 0 < int(match[2]) < 2**16


@dataclass(frozen=True)
class Place:
    """The place of a run's folder.

    Attributes:
        out: the folder of runs.
        name: the name of the run's folder in it; None to make one from the stream, the backbone and the time.
    """

    out: str = setting("results", metavar="DIR", help="folder of runs")
    name: str | None = setting(
        None, help="the run's folder in DIR; that of an existing run resumes it, or lets it grow"
    )


@dataclass(frozen=True)
class Sources:
    """Sources of options that are not on the command line.

    Attributes:
        config: a file of options by name; see running/config_file.py.
        preset: a name in PRESETS.
        tuned: the file of `tune` that the methods' options come from.
    """

    config: str | None = setting(
        None, metavar="FILE", help="options in TOML, as a run's config.toml; see docs/resume.md"
    )
    preset: Literal["paper"] | None = setting(None, help="many options at once; those that are given win")
    tuned: str | None = setting(None, metavar="FILE", help="take the methods' options that `tune` wrote there")


def setting_of(settings: Mapping[str, Any], name: str) -> Any:
    """A setting of a run, as its manifest has it. Older versions computed as the default of a setting that came later.

    Args:
        settings: the manifest's.
        name: the setting's; None is what a file has that does not know it.
    """
    later = next((field.default for field in fields(Settings) if field.name == name), None)
    return settings.get(name, None if later is MISSING else _plain(later))


def _plain(value: Any) -> Any:
    """A setting as plain text, number or list, for a file."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.text if isinstance(value, Spec) else value


#: The options of `run`, by name.
RUN_OPTIONS: Mapping[str, Option] = {option.name: option for option in options_of(Settings, Execution, Place, Sources)}
