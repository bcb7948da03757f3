"""The columns of the tables. Each is a record: what it is, how it is computed and how it is shown.

CSV files, the tables that a reader sees, the page and the tables of columns in results/README.md are all made from
these records. A new metric is one entry, at its place in the tables, with a higher `added` than all others. Then
`python scripts/code_tables.py` writes it into the README.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmark.results import answers, costs, metrics
from benchmark.results.answers import Marked
from benchmark.results.costs import Costs
from benchmark.results.metrics import Array

#: How a number is written for a reader; benchmark/report/table.py has a function for each.
Form = Literal["count", "percent", "significant", "ratio", "fine ratio", "bytes", "signed bytes", "flops", "p", "none"]

# What only a reader of results/README.md can look up.
_REFERENCE = re.compile(r" \((?:see )?(?:below|docs/[^)]*)\)")

#: In tables.
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of one or several CSV files.

    Attributes:
        name: its name in the CSV files.
        csv: the files that have it, without ".csv".
        meaning: one line for results/README.md, in Markdown; the page shows it when a reader points at the header.
        headers: table that a reader sees -> the header of the column there.
        header_over_orders: its header in the summary over several orders, if it differs there: "" for none.
        form: how its numbers are written.
        better: which of two values is better, if either is.
        added: a CSV file keeps the order of its columns: a later column has a higher number and comes after all others.
        interval: whether `..._ci95` follows it: half the 95 % confidence interval of the mean.
    """

    name: str
    csv: tuple[str, ...]
    meaning: str
    headers: Mapping[str, str] = field(default_factory=dict)
    header_over_orders: str | None = None
    form: Form = "none"
    better: Literal["higher", "lower"] | None = None
    added: int = 0
    interval: bool = False

    @property
    def ci95(self) -> str | None:
        """The name of the column of its interval, if there is one."""
        return f"{self.name}_ci95" if self.interval else None

    def header(self, table: str, over_orders: bool = False) -> str:
        """Its header in a table that a reader sees; empty if it is not shown there."""
        if table == "summary" and over_orders and self.header_over_orders is not None:
            return self.header_over_orders
        return self.headers.get(table, "")

    @property
    def explanation(self) -> str:
        """Its meaning as plain text, and which values are better; empty if there is nothing to say."""
        if not self.meaning:
            return ""
        text = _REFERENCE.sub("", self.meaning).replace("`", "")
        return f"{text}. {self.better.capitalize()} is better." if self.better else f"{text}."


@dataclass(frozen=True, kw_only=True)
class AccuracyMetric(Column):
    """A number from an accuracy matrix. The table has the mean over blocks of each repetition's value.

    Attributes:
        formula: float [T, T], as in results/metrics.py -> the value of a repetition that finished.
    """

    formula: Callable[[Array], float]


@dataclass(frozen=True, kw_only=True)
class AnswerMetric(Column):
    """A number from the answers to all tasks after the last one. The table has the mean over blocks.

    Attributes:
        formula: the answers to each task -> the value of a repetition that finished.
    """

    formula: Callable[[Sequence[Marked]], float]


@dataclass(frozen=True, kw_only=True)
class CostMetric(Column):
    """What a method stores or computes.

    Attributes:
        formula: the finished cells of a method -> the value.
        measured: whether only a run can measure it; otherwise it follows from the network.
    """

    formula: Callable[[Costs], Any]
    measured: bool = False


#: In the order in which tables show them.
COLUMNS: tuple[Column, ...] = (
    Column(
        name="method",
        csv=("summary", "parameters", "compute"),
        meaning="the label: the specification as it was typed",
    ),
    Column(
        name="seeds",
        csv=("summary", "backbones"),
        meaning="repetitions, seeds in orders, that finished the stream",
        headers={"summary": "Seeds", "backbones": "Seeds"},
        header_over_orders="Runs",
        form="count",
    ),
    Column(
        name="blocks",
        csv=("summary",),
        meaning="how many of these are independent (docs/statistics.md)",
        form="count",
        added=1,
    ),
    Column(
        name="status",
        csv=("summary", "backbones"),
        meaning="succeeded, failed, diverged (a loss was not a finite number) or incomplete",
    ),
    AccuracyMetric(
        name="average_accuracy",
        csv=("summary", "backbones"),
        formula=metrics.average_accuracy,
        meaning="mean over j of R[T, j]. Its curve: mean over j <= i of R[i, j]",
        headers=dict.fromkeys(("summary", "backbones"), "Average accuracy (%)"),
        form="percent",
        better="higher",
        interval=True,
    ),
    AccuracyMetric(
        name="first_task_accuracy",
        csv=("summary",),
        formula=metrics.first_task_accuracy,
        meaning="R[T, 1]. Its curve: R[i, 1]. Over several orders it averages different tasks; see `first_task_drop`",
        headers={"summary": "First-task accuracy (%)"},
        header_over_orders="",
        form="percent",
        better="higher",
        interval=True,
    ),
    AccuracyMetric(
        name="first_task_drop",
        csv=("summary",),
        formula=metrics.first_task_drop,
        meaning="R[1, 1] - R[T, 1], what the first task has lost. Over several orders tables and figures show it in "
        "place of `first_task_accuracy`. Its curve: R[1, 1] - R[i, 1]",
        header_over_orders="First-task drop (pp)",
        form="percent",
        better="lower",
        added=2,
        interval=True,
    ),
    AccuracyMetric(
        name="forgetting",
        csv=("summary",),
        formula=metrics.forgetting,
        meaning="mean over j < T of (max over i in j..T-1 of R[i, j]) - R[T, j]",
        headers={"summary": "Forgetting (pp)"},
        form="percent",
        better="lower",
    ),
    AccuracyMetric(
        name="backward_transfer",
        csv=("summary",),
        formula=metrics.backward_transfer,
        meaning="mean over j < T of R[T, j] - R[j, j]",
        headers={"summary": "Backward transfer (pp)"},
        form="percent",
        better="higher",
    ),
    AccuracyMetric(
        name="average_incremental_accuracy",
        csv=("summary",),
        formula=metrics.average_incremental_accuracy,
        meaning="mean over i of the curve of `average_accuracy`, which is mean over j <= i of R[i, j]. Papers on "
        "class-incremental learning call it average accuracy",
        form="percent",
        better="higher",
        added=5,
        interval=True,
    ),
    AnswerMetric(
        name="expected_calibration_error",
        csv=("summary",),
        formula=answers.mean_calibration_error,
        meaning="mean over tasks, after the last one, of the expected calibration error: mean over the test images of "
        "the difference of accuracy and mean confidence in their bin, one of 15 equally wide bins of confidence. Empty "
        "where answers are missing, as in runs of earlier versions",
        form="percent",
        better="lower",
        added=6,
    ),
    AnswerMetric(
        name="image_weighted_accuracy",
        csv=("summary",),
        formula=answers.image_weighted_accuracy,
        meaning="share of right answers among the test images of all tasks together, after the last task. It differs "
        "from `average_accuracy` where tasks have different numbers of test images. PyCIL and PILOT "
        "report it. Empty where answers are missing, as in runs of earlier versions",
        form="percent",
        better="higher",
        added=7,
    ),
    Column(
        name="answer",
        csv=("summary",),
        meaning="which answers the accuracies of the row are about: task, class, domain, derived or inferred:RULE "
        "(below)",
        added=8,
    ),
    Column(
        name="chance_level",
        csv=("summary",),
        meaning="`average_accuracy` of the best answer that is always the same; one answer for each task where the "
        "task is known. 1 over the number of classes, if all have as many test images. Empty without finished "
        "repetitions",
        form="percent",
        added=9,
    ),
    Column(
        name="at_chance",
        csv=("summary",),
        meaning="whether the one-sided 95 % lower bound of `average_accuracy` is not above `chance_level` "
        "(docs/statistics.md). If the main answer of a method is at chance, the method is not ranked",
        added=9,
    ),
    CostMetric(
        name="backbone_parameters",
        csv=("parameters", "backbones"),
        formula=lambda own: own.backbone["parameters"],
        meaning="parameters of the network as given, without its classifier",
        headers=dict.fromkeys(("storage", "backbones"), "Backbone parameters"),
        form="count",
    ),
    CostMetric(
        name="extra_parameters_per_task",
        csv=("parameters",),
        formula=costs.extra_parameters_per_task,
        meaning="growth of the state per task after the first, without heads and replay, in float32-equivalents "
        "(bytes / 4); with one task, its growth from the start",
        headers={"storage": "Extra parameters per task"},
        form="count",
        better="lower",
    ),
    CostMetric(
        name="extra_parameters_percent",
        csv=("parameters", "summary", "backbones"),
        formula=costs.extra_parameters_percent,
        meaning="`extra_parameters_per_task` as a share of `backbone_parameters`",
        headers={
            "summary": "Extra parameters (% per task)",
            "storage": "Extra (% of the backbone)",
            "backbones": "Extra parameters (% per task)",
        },
        form="significant",
        better="lower",
    ),
    CostMetric(
        name="head_parameters_per_task",
        csv=("parameters",),
        formula=costs.head_parameters_per_task,
        meaning="all heads over the number of tasks",
        headers={"storage": "Head parameters per task"},
        form="count",
    ),
    CostMetric(
        name="frozen_bytes",
        csv=("parameters",),
        formula=lambda own: round(own.size("frozen")),
        meaning="the backbone's tensors that the method refers to and never changes",
        headers={"storage": "Frozen"},
        form="bytes",
    ),
    CostMetric(
        name="shared_bytes",
        csv=("parameters",),
        formula=lambda own: round(own.size("shared")),
        meaning="what all tasks use and later ones overwrite",
        headers={"storage": "Shared"},
        form="bytes",
    ),
    CostMetric(
        name="task_bytes",
        csv=("parameters",),
        formula=lambda own: round(own.size("task")),
        meaning="what belongs to single tasks, heads included, for all tasks together",
        headers={"storage": "Per-task"},
        form="bytes",
    ),
    CostMetric(
        name="memory_bytes",
        csv=("parameters",),
        formula=lambda own: round(own.size("memory")),
        meaning="what is kept so as to go on learning: Fisher information, anchors, stored samples",
        headers={"storage": "Memory"},
        form="bytes",
    ),
    CostMetric(
        name="replay_bytes",
        csv=("parameters",),
        formula=lambda own: round(own.size("replay")),
        meaning="the stored samples within `memory_bytes`",
        headers={"storage": "Replay"},
        form="bytes",
    ),
    CostMetric(
        name="state_bytes",
        csv=("parameters",),
        formula=costs.state_bytes,
        meaning="frozen + shared + task + memory",
        headers={"storage": "State in all"},
        form="bytes",
        better="lower",
    ),
    CostMetric(
        name="stored_bytes",
        csv=("parameters", "summary"),
        formula=costs.stored_bytes,
        meaning="what is stored beyond the backbone after the stream: `state_bytes` less all tensors of the backbone "
        "as given. Heads, stored images, Fisher information and anchors are in it; the backbone itself is not, whether "
        "the method refers to it or overwrites it",
        headers={"summary": "Stored beyond the backbone", "storage": "Beyond the backbone"},
        form="signed bytes",
        better="lower",
        added=3,
    ),
    CostMetric(
        name="stored_percent",
        csv=("parameters", "summary"),
        formula=costs.stored_percent,
        meaning="`stored_bytes` as a share of the backbone's bytes",
        headers={"summary": "Stored (% of the backbone)", "storage": "Beyond (% of the backbone)"},
        form="significant",
        better="lower",
        added=3,
    ),
    CostMetric(
        name="training_flops",
        csv=("compute", "backbones"),
        formula=lambda own: round(own.total("training_flops")),
        meaning="operations of convolutions, matrix products and Cholesky factors over the whole stream, 2 for a "
        "multiplication and addition. One step of a kind stands for the others (see below); the method's work before "
        "and after a task is counted exactly",
        headers=dict.fromkeys(("compute", "backbones"), "Training"),
        form="flops",
        better="lower",
    ),
    CostMetric(
        name="normalized_compute",
        csv=("compute", "summary", "backbones"),
        formula=lambda own: own.total("training_flops") / own.fine_tuning_flops,
        meaning="`training_flops` over those of fine-tuning everything (`sgd`) with the same epochs; known from the "
        "network, so no sgd row is needed",
        headers=dict.fromkeys(("summary", "compute", "backbones"), f"Compute ({TIMES} fine-tuning)"),
        form="ratio",
        better="lower",
    ),
    CostMetric(
        name="training_seconds",
        csv=("compute",),
        formula=lambda own: own.total("training_seconds"),
        meaning="wall-clock time of training when nothing disturbs it: an epoch counts as the fastest epoch that does "
        "the same work, and work before and after the epochs as it was. Without counting operations, and without what "
        "happens once in a process, as loading kernels (see below)",
        headers={"compute": "Training (s)"},
        form="significant",
        better="lower",
        measured=True,
    ),
    CostMetric(
        name="training_spread_seconds",
        csv=("compute",),
        formula=costs.training_spread,
        meaning="how much longer training takes if an epoch counts as the median of those that do the same work: large "
        "where something disturbed it. Empty if no epoch of a task did the same work as another one",
        headers={"compute": "Spread (s)"},
        form="significant",
        measured=True,
        added=4,
    ),
    CostMetric(
        name="normalized_seconds",
        csv=("compute", "summary"),
        formula=lambda own: own.total("training_seconds") / own.fine_tuning_seconds,
        meaning="`training_seconds` over those of the row `sgd` of the same run; without one, over those of the first "
        "row of `sgd` with options, as `sgd:lr=0.1`. Empty without any; the tables then say why",
        headers=dict.fromkeys(("summary", "compute"), f"Time ({TIMES} fine-tuning)"),
        form="ratio",
        better="lower",
        measured=True,
    ),
    CostMetric(
        name="inference_flops_per_image",
        csv=("compute",),
        formula=lambda own: round(costs.inference_flops(own)),
        meaning="operations for an image of the network that answers for the last task learned",
        headers={"compute": "Inference per image"},
        form="flops",
        better="lower",
    ),
    CostMetric(
        name="normalized_inference",
        csv=("compute",),
        formula=lambda own: costs.inference_flops(own) / own.bare_inference,
        meaning="`inference_flops_per_image` over that of the bare backbone with a head",
        headers={"compute": f"Inference ({TIMES} backbone)"},
        form="fine ratio",
        better="lower",
    ),
    CostMetric(
        name="evaluation_seconds",
        csv=("compute",),
        formula=lambda own: own.total("evaluation_seconds"),
        meaning="wall-clock time of the evaluations",
        headers={"compute": "Evaluation (s)"},
        form="significant",
        measured=True,
    ),
    CostMetric(
        name="evaluations",
        csv=("compute",),
        formula=lambda own: round(own.total("evaluations")),
        meaning="evaluations of a task that were made; what nothing has changed since is not evaluated again. Where "
        "nothing but heads is trained, each test image passes once through the backbone, and the heads answer again",
        headers={"compute": "Evaluations"},
        form="count",
        measured=True,
    ),
    CostMetric(
        name="peak_memory_bytes",
        csv=("compute",),
        formula=costs.peak_memory_bytes,
        meaning="the most memory that learning a task took, beyond what was taken before: on a GPU of CUDA what torch "
        "allocated, on Linux the process's resident memory; empty elsewhere",
        headers={"compute": "Peak memory"},
        form="bytes",
        better="lower",
        measured=True,
    ),
    CostMetric(
        name="features_cached",
        csv=("compute",),
        formula=costs.features_cached,
        meaning="True where nothing but the head is trained (`linear-probe`, `sgd-ll`), so that the backbone sees each "
        "training image once per task and the epochs go over its features; its operations and seconds count like all "
        "others. False with `--augment`, since then the images are others in each epoch, and for methods that have no "
        "epochs (`ncm`, `slda`, `ranpac`)",
    ),
)


def _difference(to: str, meaning: str, p: str) -> tuple[Column, Column]:
    """The columns of ranks.csv for the difference to one method; in their headers, {} is its name."""
    return (
        Column(
            name=f"difference_to_{to}",
            csv=("ranks",),
            meaning=meaning,
            headers={f"ranks to {to}": "Difference to {} (pp)"},
            form="percent",
            interval=True,
        ),
        Column(
            name=f"holm_p_to_{to}",
            csv=("ranks",),
            meaning=p,
            headers={f"ranks to {to}": "p of the difference"},
            form="p",
        ),
    )


#: The two tables of ranks that a reader may see.
_RANKED = ("ranks to best", "ranks to reference")

#: The columns of ranks.csv.
RANKS: tuple[Column, ...] = (
    Column(name="method", csv=("ranks",), meaning="the label"),
    Column(name="blocks", csv=("ranks",), meaning="seeds or orders that all these methods finished", form="count"),
    Column(
        name="mean_rank",
        csv=("ranks",),
        meaning="mean over blocks of the method's rank, 1 for the highest accuracy; those of ties are averaged",
        headers=dict.fromkeys(_RANKED, "Mean rank"),
        form="ratio",
        better="lower",
    ),
    Column(
        name="average_accuracy",
        csv=("ranks",),
        meaning="mean over these blocks",
        headers=dict.fromkeys(_RANKED, "Average accuracy (%)"),
        form="percent",
        better="higher",
    ),
    *_difference(
        "best",
        "to the method with the highest `average_accuracy`, and half its 95 % confidence interval, Student's t over "
        "paired differences; empty for that method",
        "that pair's `holm_p`; empty where the pair was not tested, as neither is the reference",
    ),
    *_difference(
        "reference",
        "the same to the method of `--reference`; empty with `--reference all`",
        "that pair's `holm_p`; empty with `--reference all`",
    ),
)

#: The columns of statistics.csv.
PAIRS: tuple[Column, ...] = (
    Column(name="method_a", csv=("statistics",), meaning="one of the two methods"),
    Column(name="method_b", csv=("statistics",), meaning="the other one"),
    Column(name="blocks", csv=("statistics",), meaning="seeds or orders that all these methods finished"),
    Column(name="mean_difference", csv=("statistics",), meaning="mean over blocks of `method_a` minus `method_b`"),
    Column(name="difference_ci95", csv=("statistics",), meaning="half its 95 % confidence interval, as in `ranks.csv`"),
    Column(
        name="wilcoxon_p",
        csv=("statistics",),
        meaning="exact two-sided p of Wilcoxon's signed-rank test, with ties; blocks without a difference are left "
        "out. With each seed in each order, the larger of those over seeds and over orders",
    ),
    Column(name="holm_p", csv=("statistics",), meaning="that p by Holm's correction for all rows"),
    Column(name="significant", csv=("statistics",), meaning="whether `holm_p` is below 0.05"),
)

#: The columns of classes.csv.
CLASSES: tuple[Column, ...] = (
    Column(name="method", csv=("classes",), meaning="the label"),
    Column(name="seed", csv=("classes",), meaning="the seed"),
    Column(name="order", csv=("classes",), meaning="the number of the order; only where there are several"),
    Column(name="task", csv=("classes",), meaning="the place of the task in that order, from 1"),
    Column(name="task_name", csv=("classes",), meaning="the task"),
    Column(name="class", csv=("classes",), meaning="the label of the class within its task, from 0"),
    Column(name="class_name", csv=("classes",), meaning="the class"),
    Column(name="images", csv=("classes",), meaning="the test images of the class"),
    Column(name="recall", csv=("classes",), meaning="share of these images that were answered right", better="higher"),
    Column(
        name="precision",
        csv=("classes",),
        meaning="share of the answers with this class that were right; empty if it was never the answer",
        better="higher",
    ),
    Column(name="f1", csv=("classes",), meaning="harmonic mean of the two; 0 if it was never right", better="higher"),
)

#: The columns of epochs.csv.
EPOCHS: tuple[Column, ...] = (
    Column(name="method", csv=("epochs",), meaning="the label"),
    Column(name="seed", csv=("epochs",), meaning="the seed"),
    Column(name="order", csv=("epochs",), meaning="the number of the order; only where there are several"),
    Column(name="task", csv=("epochs",), meaning="the place of the task in that order, from 1"),
    Column(name="task_name", csv=("epochs",), meaning="the task"),
    Column(
        name="epochs_learned",
        csv=("epochs",),
        meaning="how many epochs the task had: at most those that the method may have, fewer where `patience` ended it",
    ),
    Column(
        name="epoch_kept",
        csv=("epochs",),
        meaning="the epoch whose weights stayed, from 1: the last one, or the best one with `keep=best`",
    ),
    Column(
        name="validation_accuracy",
        csv=("epochs",),
        meaning="share of the task's validation images that the network answered right after that epoch; empty if "
        "nobody looked then",
        better="higher",
    ),
)

#: The columns of inference.csv.
INFERENCE: tuple[Column, ...] = (
    Column(name="method", csv=("inference",), meaning="the label"),
    Column(
        name="rule",
        csv=("inference",),
        meaning="the rule that guesses the task; `joint softmax` where the method itself answers among the classes of "
        "all tasks, `one head` where all tasks have the same classes and share a head",
    ),
    Column(
        name="task_inference_accuracy",
        csv=("inference",),
        meaning="share of test images whose task was guessed right: mean over tasks, after the last one. Of a joint "
        "softmax, the share of images whose answer is a class of their own task",
        headers={"inference": "Task guessed right (%)"},
        form="percent",
        better="higher",
        interval=True,
    ),
    Column(
        name="accuracy_with_oracle",
        csv=("inference",),
        meaning="`average_accuracy` of the same state if the task of each image is known: that of the answer task, or "
        "derived in the scenario class. Empty where one head serves all tasks",
        headers={"inference": "With the oracle (%)"},
        form="percent",
        better="higher",
        interval=True,
    ),
    Column(
        name="accuracy_inferred",
        csv=("inference",),
        meaning="`average_accuracy` if nobody knows the task of an image",
        headers={"inference": "Without (%)"},
        form="percent",
        better="higher",
        interval=True,
    ),
    Column(
        name="gap",
        csv=("inference",),
        meaning="`accuracy_with_oracle` less `accuracy_inferred`, a fraction: what not knowing the task costs",
        headers={"inference": "Gap (pp)"},
        form="percent",
        better="lower",
        interval=True,
    ),
    Column(
        name="kept_bytes",
        csv=("inference",),
        meaning="what the rule keeps after the stream, beyond the state of the method",
        headers={"inference": "Kept by the rule"},
        form="bytes",
        better="lower",
    ),
    Column(
        name="inference_flops_per_image",
        csv=("inference",),
        meaning="all operations that an answer takes after the last task: the passes through the networks that are "
        "asked, and the work of the rule",
        headers={"inference": "Inference per image"},
        form="flops",
        better="lower",
    ),
    Column(
        name="normalized_inference",
        csv=("inference",),
        meaning="`inference_flops_per_image` over that of the bare backbone with a head, as in `compute.csv`",
        headers={"inference": f"Inference ({TIMES} backbone)"},
        form="fine ratio",
        better="lower",
    ),
    Column(
        name="evaluations",
        csv=("inference",),
        meaning="passes over a task's test images that were made for task inference in the whole run, beyond the "
        "`evaluations` of `compute.csv`: mean over the cells of the method. All its rules use the same passes. "
        "Where all rules look at frozen features, a network is asked only about images that are guessed to be of its "
        "task: a pass over a part of the images counts as that part. An answer of the heads alone, where nothing "
        "else is trained, counts as a pass",
        headers={"inference": "Evaluations"},
        form="count",
    ),
    Column(
        name="frozen_evaluations",
        csv=("inference",),
        meaning="passes of the backbone as given over a task's test images, for rules on its features: mean over the "
        "cells of the method. They are made once for each seed and order, for all methods and rules together",
        form="count",
    ),
)


#: The columns of efficiency.csv.
EFFICIENCY: tuple[Column, ...] = (
    Column(name="method", csv=("efficiency",), meaning="the label"),
    Column(name="answer", csv=("efficiency",), meaning="which answers the row is about, as in `summary.csv`"),
    Column(
        name="unbeaten",
        csv=("efficiency",),
        meaning="in what no other method is better: `storage` if none is at least as accurate and stores less (or is "
        "more accurate and stores as little), `compute` the same with `training_flops`, else `no`. Rows that know "
        "the task are compared with each other, and so are rows that do not; methods at chance take no part",
    ),
    Column(
        name="average_accuracy",
        csv=("efficiency",),
        meaning="as in `summary.csv`",
        headers={"efficiency": "Average accuracy (%)"},
        form="percent",
        better="higher",
    ),
    Column(
        name="stored_bytes",
        csv=("efficiency",),
        meaning="as in `summary.csv`: with what a rule of task inference keeps",
        headers={"efficiency": "Stored beyond the backbone"},
        form="signed bytes",
        better="lower",
    ),
    Column(
        name="training_flops",
        csv=("efficiency",),
        meaning="as in `compute.csv`",
        headers={"efficiency": "Training"},
        form="flops",
        better="lower",
    ),
    Column(
        name="points_per_megabyte",
        csv=("efficiency",),
        meaning="percentage points of `average_accuracy` above `chance_level` for each million stored bytes. A method "
        "that stores next to nothing wins by this number, however little it reaches: read `unbeaten` with it",
        headers={"efficiency": "Points per MB"},
        form="significant",
        better="higher",
    ),
    Column(
        name="points_per_teraflop",
        csv=("efficiency",),
        meaning="the same points for each 10^12 operations of training",
        headers={"efficiency": "Points per TFLOP"},
        form="significant",
        better="higher",
    ),
)


#: The columns of reproduction.csv.
REPRODUCTION: tuple[Column, ...] = (
    Column(name="part", csv=("reproduction",), meaning="the part of the protocol; empty if it has one part"),
    Column(name="row", csv=("reproduction",), meaning="the method's name in the protocol"),
    Column(name="method", csv=("reproduction",), meaning="its label here"),
    Column(name="answer", csv=("reproduction",), meaning="which answers the number is about, as in `summary.csv`"),
    Column(
        name="metric",
        csv=("reproduction",),
        meaning="the column of `summary.csv`, `parameters.csv` or `compute.csv` that the number is compared with; all "
        "numbers of the row have its unit",
    ),
    Column(name="published", csv=("reproduction",), meaning="the published number; for the rule `bound`, the bound"),
    Column(name="published_spread", csv=("reproduction",), meaning="what the source prints behind ±, if it does"),
    Column(
        name="spread_is",
        csv=("reproduction",),
        meaning="what that is: `sd`, the standard deviation of the repetitions; `se`, the standard error of their "
        "mean; `ci95`, half its 95 % confidence interval",
    ),
    Column(
        name="published_repetitions",
        csv=("reproduction",),
        meaning="how many runs the published number is the mean of; empty if the source does not say",
    ),
    Column(
        name="ours",
        csv=("reproduction",),
        meaning="our mean over blocks, and half its 95 % confidence interval; empty if no repetition finished",
        interval=True,
    ),
    Column(
        name="our_spread",
        csv=("reproduction",),
        meaning="our spread, of the kind `spread_is`; the standard deviation if the source prints none",
    ),
    Column(name="our_repetitions", csv=("reproduction",), meaning="the number of our blocks"),
    Column(
        name="difference",
        csv=("reproduction",),
        meaning="`ours` less `published`, and half its 95 % confidence interval, half a unit of the last printed digit "
        "included; empty where no spread is known, and for the rules `tolerance` and `bound`",
        interval=True,
    ),
    Column(
        name="verdict",
        csv=("reproduction",),
        meaning="agrees: the difference lies within its interval, or its tolerance; higher or lower: it does not; of a "
        "bound, holds or does not hold; not judged: no spread is known; not run: nothing finished, or "
        "the number is not defined, as forgetting of one task",
    ),
    Column(
        name="rule",
        csv=("reproduction",),
        meaning="what the verdict follows from: `both spreads`, `our spread` or `their spread` (taken for the other's "
        "too), `tolerance`, `bound` or `none`",
    ),
    Column(name="definition", csv=("reproduction",), meaning="what the source measured, in words"),
)


def _all() -> tuple[Column, ...]:
    return (*COLUMNS, *RANKS, *PAIRS, *CLASSES, *EPOCHS, *INFERENCE, *EFFICIENCY, *REPRODUCTION)


def columns_of(csv: str) -> list[Column]:
    """The columns of a CSV file, in its order; intervals do not count as columns here."""
    return sorted((column for column in _all() if csv in column.csv), key=lambda column: column.added)


def names_of(csv: str) -> tuple[str, ...]:
    """The names of a CSV file's columns, in its order, including those of intervals."""
    names = [(column.name, column.ci95) for column in columns_of(csv)]
    return tuple(name for pair in names for name in pair if name is not None)


def shown_in(table: str, over_orders: bool = False) -> list[Column]:
    """The columns that a table shows a reader, in its order."""
    return [column for column in _all() if column.header(table, over_orders)]


def explanation_of(name: str) -> str:
    """What a column of names says, as plain text; empty for a name that no CSV file has."""
    return next((column.explanation for column in _all() if column.name == name), "")
