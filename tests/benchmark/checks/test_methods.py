"""The template passes every check; a copy that breaks a promise is told which one, where, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.checks.base import examine_one
from benchmark.checks.find import targets
from benchmark.checks.methods import METHOD_CHECKS
from benchmark.checks.subject import MethodSubject
from benchmark.checks.tiny import TinyBackbone, TinyTransformer
from methods.configured import configure
from methods.method import STEP_HOOKS, Method

ROOT = Path(__file__).parents[3]
TEMPLATE = ROOT / "examples" / "method.py"
CHECKS = {check.name: check for check in METHOD_CHECKS}

FROZEN_NORM = ('bn: Literal["shared", "frozen"] = "shared"', 'bn: Literal["shared", "frozen"] = "frozen"')
BN_SAID = '        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone\'s.\n'
KEEP = 'self.kept["mean"] = self.mean'
START = "self.mean = torch.zeros(step.model.feature_dim, device=step.device)"
IMPORT, IMPORTS = "import torch\n", "import contextlib\nimport torch\n"
FORWARD = "self.features = step.model.features(step.images)"
ANSWER = "return step.model.answer(self.features)"
ADAPT = '"""Add modules of your own to network.backbone, if there are any."""'
CONDITION = 'if "mean" in self.kept:'
# Without these, batch normalisation has the statistics of each batch.
STATISTICS = "running_mean = network.backbone[1].running_var"
UPDATE = '"""Right after it: the place to put weights right."""'
PENALTY = '(self.features.mean(0) - self.kept["mean"])'

# Check -> what is replaced in the template, and what is said.
BROKEN: list[tuple[str, list[tuple[str, str]], str]] = [
    (
        "its docstring describes it and each option",
        [("        strength: weight of the penalty.\n", "")],
        "does not describe the option 'strength'; write a line 'strength: ...' under 'Args:'",
    ),
    (
        "its docstring describes it and each option",
        [(BN_SAID, f"{BN_SAID}\n    Differs from the paper:\n        Nearly all.\n")],
        "has 'Nearly all.' under 'Differs from the paper:', which is no item; write 'topic: sentence', indented by",
    ),
    (
        "options are stored under their own names",
        [("self.strength = strength", "self.weight = strength")],
        "no attribute 'strength'; store it",
    ),
    (
        "values of options are taken, or refused in words",
        [('raise ValueError(f"strength={strength:g} must not be negative")', "raise ArithmeticError(strength)")],
        "my-method:strength=-1 ends in ArithmeticError: -1.0 in MyMethod",
    ),
    (
        "what tune tries are options and values",
        [('"strength": Range', '"strenght": Range')],
        "search names 'strenght', which is no option; options are ",
    ),
    (
        "what tune tries are options and values",
        [("Range(0.01, 10.0)", "Range(-1.0, 10.0)")],
        "strength=-1 must not be negative",
    ),
    (
        "what tune tries are options and values",
        [("learns_in_steps = True", "learns_in_steps = False")],
        "search names 'lr', which is no option; options are bn, strength",
    ),
    (
        "part says frozen, shared or task of each tensor",
        [('else "shared"', 'else "common"')],
        "the unknown part 'common'",
    ),
    (
        "a hook that it fills is called",
        [("learns_in_steps = True", "learns_in_steps = False")],
        "learns_in_steps is False, so that training_data never runs; use before_training_exp or after_training_exp",
    ),
    (
        "learns three tasks and answers for each",
        [(KEEP, f"{KEEP}.tolist()")],
        "kept holds tensors only",
    ),
    (
        "learns three tasks and answers for each",
        [(PENALTY, "(self.features.mean(0) - self.last)")],
        "no attribute 'last'",
    ),
    (
        "learns something",
        [(ANSWER, "return -step.model.answer(self.features)")],
        "of a task's training images right, where chance is 33 %",
    ),
    (
        "learns something",
        [
            ('else "shared"', 'else "task"'),
            (UPDATE, "[p.grad.zero_() for p in step.trained]"),
            FROZEN_NORM,
            ('"""Right before the optimiser\'s step."""', "[p.grad.zero_() for p in step.trained[:-2]]"),
        ],
        "no tensor of the part 'task' changed",
    ),
    (
        "leaves alone the state before, and the images",
        [(KEEP, f"{KEEP}; step.task_data.images[:1] = 0")],
        "'images' of task-1 were written into; clone() them first",
    ),
    (
        "leaves alone what is frozen",
        [FROZEN_NORM, (UPDATE, "[m.bias.add_(0.1) for m in step.model.modules() if isinstance(m, BatchNorm)]")],
        "'backbone.1.bias' is frozen and was changed; call it 'shared' or 'task'",
    ),
    (
        "everything that crosses a task is in the state",
        [
            (KEEP, "MyMethod.last = self.mean"),
            (CONDITION, 'if hasattr(MyMethod, "last"):'),
            (PENALTY, "(self.features.mean(0) - MyMethod.last)"),
        ],
        "something is kept in the class, in the module or in a default value; put it into self.kept",
    ),
    (
        "everything that crosses a task is in the state",
        [
            (KEEP, "self.last = self.mean.clone()"),
            (CONDITION, 'if hasattr(self, "last"):'),
            (PENALTY, "(self.features.mean(0) - self.last)"),
        ],
        "after_training_exp sets self.last, which is lost: a new instance is made for each task; put it into self.kept",
    ),
    (
        "everything that crosses a task is in the state",
        [
            ("self.bn = bn", "self.bn = bn\n        self.past = []"),
            (KEEP, "self.past.append(self.mean)"),
            (CONDITION, "for mean in self.all_past():"),
            (PENALTY, "(self.features.mean(0) - mean)"),
            ("    def forward", "    def all_past(self):\n        return list(self.past)\n\n    def forward"),
        ],
        "after_training_exp sets self.past, which is lost",
    ),
    (
        "everything that crosses a task is in the state",
        [
            ("self.bn = bn", "self.bn, self.last = bn, None"),
            (KEEP, "self.last = self.mean"),
            (CONDITION, "if self.last is not None:"),
            (PENALTY, "(self.features.mean(0) - self.last)"),
        ],
        "after_training_exp sets self.last, which is lost",
    ),
    (
        "learns three tasks and answers for each",
        [(ANSWER, "step.model.answer(self.features)")],
        "forward gave None, not logits [8, 3], in MyMethod (mine.py, line ",
    ),
    (
        "learns three tasks and answers for each",
        [(ANSWER, f"{ANSWER}[:, :1]")],
        "forward gave [8, 1]; the task has 3 classes, in MyMethod (mine.py, line ",
    ),
    (
        "a fresh instance answers the same",
        [(START, f"{START}; step.model.shift += 0.5")],
        "the network answers otherwise once it is made from the state",
    ),
    (
        "goes on after a stop as without one",
        [
            (KEEP, f"{KEEP}\n        if self.task == 2:\n            MyMethod.second = self.mean"),
            (CONDITION, "if self.task == 3:"),
            (PENALTY, "(self.features.mean(0) - MyMethod.second)"),
        ],
        "is another one after a stop and a start: something was kept elsewhere; put it into self.kept",
    ),
    (
        "isolates_tasks is true to its word",
        [("isolates_tasks = False", "isolates_tasks = True")],
        "isolates_tasks is True, and task 1 answers otherwise after task 2",
    ),
    (
        "an independent task does not know its number",
        [FROZEN_NORM, ("isolates_tasks = False", "isolates_tasks = True"), ('else "shared"', 'else "task"')],
        "depends on the task's place",
    ),
    (
        "the same seed gives the same bytes",
        [(KEEP, "import random; self.kept['mean'] = self.mean + random.random()")],
        "draw random numbers from self.generator only",
    ),
    (
        "another seed gives other bytes",
        [FROZEN_NORM, (KEEP, "self.kept['mean'] = self.mean * 0; [p.zero_() for p in step.model.parameters()]")],
        "another seed gives the very same bytes; draw from self.generator, and set no seed",
    ),
    (
        "operations and bytes are counted",
        [
            (FORWARD, "self.features = torch.zeros(len(step.labels), 5, device=step.device)"),
            (ANSWER, "return step.model.heads.bias.expand(len(step.labels), -1)"),
        ],
        "task 1 costs no operation; its loss must come from step.model",
    ),
    (
        "runs without data, for the same cost",
        [(CONDITION, f"if self.features.sum().item() > -1e9 and {CONDITION.removeprefix('if ')}")],
        "because of before_backward (",
    ),
    (
        "runs without data, for the same cost",
        [(CONDITION, f"if self.features.sum() > -1e9 and {CONDITION.removeprefix('if ')}")],
        "make new tensors on the device of others, and where x.is_meta look at no value",
    ),
    (
        "runs without data, for the same cost",
        [(START, START.replace("device=step.device", ""))],
        "does not run on tensors without values",
    ),
    (
        "runs without data, for the same cost",
        [(KEEP, f"{KEEP}; self.kept['more'] = self.mean[: 4 if self.mean.is_meta else 5]")],
        "'memory-1/more' is [4] of torch.float32 without data and [5] of torch.float32 with data",
    ),
    (
        "runs without data, for the same cost",
        [(ANSWER, f"if not step.images.is_meta:\n            step.model.features(step.images)\n        {ANSWER}")],
        "do the same work in both, in each step",
    ),
    (
        "answers the same in a kept network",
        [(ADAPT, "network.backbone.register_forward_hook(lambda _, images, x, factor=self.task: x * factor)")],
        "answers otherwise in a network that answered for another task before; let switch_task change all that adapt",
    ),
    (
        "an answer does not depend on the other images",
        [(ADAPT, "network.backbone.register_forward_hook(lambda _, images, x: x - x.mean(0))")],
        "images of task 1 are answered otherwise in batches of 1 than all together (logits differ by up to ",
    ),
    (
        "an answer does not depend on the other images",
        [(ADAPT, f"network.backbone[1].{STATISTICS} = None")],
        "answer each image from itself and what was learned, without statistics of its batch",
    ),
    (
        "computes in bfloat16",
        [("self.features.float()", "self.features")],
        "in after_training_iteration (",
    ),
    (
        "runs on a GPU, where a step does not wait",
        [(START, START.replace("device=step.device", ""))],
        "gets tensors on the GPU and, of the shape [5], on the CPU; make tensors on the device of others",
    ),
    (
        "runs on a GPU, where a step does not wait",
        [(CONDITION, f"if self.features.sum().item() > -1e9 and {CONDITION.removeprefix('if ')}")],
        "WaitError: reading a value (.item(), float(), int(), bool() or if) waits for the GPU in each step",
    ),
    (
        "runs on a GPU, where a step does not wait",
        [(FORWARD, f"{FORWARD}\n        with contextlib.suppress(Exception): step.labels.tolist()"), (IMPORT, IMPORTS)],
        "on a GPU it waits in each step: tolist; make tensors on the device of others",
    ),
    (
        "computes in bfloat16",
        [(KEEP, f"{KEEP}; self.kept['logits'] = self.mean - torch.inf")],
        "'memory-2/logits' is not finite in any run; store finite numbers, for example 0 in place of -inf",
    ),
    (
        "copes with parameters without a gradient",
        [(KEEP, f"{KEEP}; self.kept['logits'] = self.mean - torch.inf")],
        "'memory-2/logits' is not finite in any run; store finite numbers, for example 0 in place of -inf",
    ),
    (
        "copes with parameters without a gradient",
        [('"""Right before the optimiser\'s step."""', "[p.grad.mul_(1) for p in step.trained]")],
        "skip parameters whose grad is None",
    ),
    (
        "leaves the rest of the process alone",
        [(KEEP, f"{KEEP}; torch.manual_seed(3); torch.set_default_dtype(torch.float64)")],
        "it changes torch's default type of numbers and torch's seed for everything else in the process",
    ),
]


def told(file: Path, check: str) -> tuple[str, str]:
    """(status, text) of one check of a file's method."""
    (target,) = targets([str(file)])
    finding = examine_one(CHECKS[check], MethodSubject(configure(target.text)))
    return finding.status, finding.text


def test_there_is_a_broken_copy_for_each_check() -> None:
    assert {name for name, _, _ in BROKEN} == CHECKS.keys()


def test_the_template_passes() -> None:
    (target,) = targets([str(TEMPLATE)])
    assert str(target) == "method my-method"
    findings = list(target.findings())
    assert [(finding.check, finding.status, finding.text) for finding in findings] == [(c, "ok", "") for c in CHECKS]


def test_the_template_has_every_hook() -> None:
    text = TEMPLATE.read_text()
    once = ("before_training_exp", "before_training_epoch", "after_training_epoch", "after_training_exp")
    own = ("adapt", "switch_task", "part", "trains", "stored", "restored", "training_data", "forward")
    for hook in (*STEP_HOOKS, *once, *own):
        assert hasattr(Method, hook)
        assert f"    def {hook}(self, " in text
    for_experts = {"name", "bound", "grows_evenly", "left_on_cpu"}
    of_the_harness = {"task", "generator", "task_was_read", "scenario", "logits"}
    for attribute in Method.__annotations__.keys() - for_experts - of_the_harness:
        assert f"\n    {attribute} = " in text


@pytest.mark.parametrize(("check", "changes", "says"), BROKEN)
def test_a_broken_copy(check: str, changes: list[tuple[str, str]], says: str, broken) -> None:
    status, text = told(broken(TEMPLATE, changes), check)
    assert status == "failed"
    assert says in text
    assert "\n" not in text


def test_what_differs_from_a_paper_is_no_option(broken) -> None:
    section = (
        "Differs from the paper:\n        lr: .003, for few epochs.\n        strength: of the mean alone,\n            "
    )
    changed = broken(TEMPLATE, [(BN_SAID, f"{BN_SAID}\n    {section}not of each class.\n")])
    assert told(changed, "its docstring describes it and each option")[0] == "ok"


def test_what_is_set_at_the_end_for_the_end_alone_is_not_lost(broken) -> None:
    """For `stored`, which runs later, for a helper, and for the task itself, which set it before."""
    changes = [
        (KEEP, f"self.done = self.mean + 1; self.mean = self.mean / 1; self.helper(); {KEEP}"),
        (
            "        return tensors\n\n    def restored",
            "        getattr(self, 'done', 0)\n        return tensors\n\n    def restored",
        ),
        ("    def forward", "    def helper(self):\n        return self.done\n\n    def forward"),
    ]
    assert told(broken(TEMPLATE, changes), "everything that crosses a task is in the state") == ("ok", "")


def test_a_method_that_changes_nothing_on_the_network_is_told_so(broken) -> None:
    frozen = [('self.bn if isinstance(module, BatchNorm) else "shared"', '"frozen"')]
    status, text = told(broken(TEMPLATE, frozen), "part says frozen, shared or task of each tensor")
    assert status == "ok"
    assert text.startswith("it finds nothing to change in this backbone: it trains heads alone, as linear-probe does")


def test_a_forward_that_is_not_what_answers_is_noted(broken) -> None:
    shifted = [(ANSWER, "return step.model.answer(self.features - 0.5)")]
    status, text = told(broken(TEMPLATE, shifted), "a fresh instance answers the same")
    assert status == "ok"
    assert text.startswith("NOTE: forward gives other logits than those that answer (they differ by up to ")
    assert text.endswith(
        "it is for training only: what must also act on an answer is a module put into the network by adapt"
    )


def test_it_says_where(broken) -> None:
    """File and line of the method's own code, although torch raises the error."""
    file = broken(
        TEMPLATE,
        [
            (KEEP, "self.helper()"),
            ("    def forward", "    def helper(self):\n        torch.ones(2) @ torch.ones(3)\n\n    def forward"),
        ],
    )
    line = file.read_text().splitlines().index("        torch.ones(2) @ torch.ones(3)") + 1
    _, text = told(file, "learns three tasks and answers for each")
    assert text.startswith(f"in after_training_exp ({file}, line {line}): RuntimeError: ")


def test_it_says_where_a_step_waits(broken) -> None:
    """Whether the GPU is real or not, the line is that of the method."""
    file = broken(TEMPLATE, [(FORWARD, f"{FORWARD}\n        step.labels.tolist()")])
    line = file.read_text().splitlines().index("        step.labels.tolist()") + 1
    _, text = told(file, "runs on a GPU, where a step does not wait")
    assert text.startswith(f"in forward ({file}, line {line}): WaitError: tolist waits for the GPU in each step; ")


def test_what_needs_another_check_is_skipped(broken) -> None:
    (target,) = targets([str(broken(TEMPLATE, [('else "shared"', 'else "common"')]))])
    findings = {finding.check: finding for finding in target.findings()}
    assert list(findings) == list(CHECKS)
    wrong = "part says frozen, shared or task of each tensor"
    assert findings[wrong].status == "failed"
    assert findings["learns something"].status == "skipped"
    assert findings["learns something"].text == f"mend '{wrong}' first"


def test_advice_is_no_failure(broken) -> None:
    """What isolates its tasks and does not say so is told that it may."""
    changes = [FROZEN_NORM, ('else "shared"', 'else "task"')]
    status, text = told(broken(TEMPLATE, changes), "isolates_tasks is true to its word")
    assert status == "ok"
    assert "isolates_tasks = True says it" in text


@pytest.mark.parametrize(
    ("spec", "backbone"), [("sgd", TinyBackbone), ("vpt", TinyTransformer), ("lora", TinyTransformer)]
)
def test_a_method_is_checked_on_the_first_tiny_network_that_it_does_not_refuse(spec, backbone):
    subject = MethodSubject(configure(spec))
    assert type(subject.network().backbone) is backbone
    assert isinstance(subject.network(spare=True).backbone, backbone)
