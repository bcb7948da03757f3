"""What may be asked of a run."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from benchmark.config import Execution, Settings, Slurm, parse_methods, parse_seeds
from benchmark.planning.estimate import empty_backbone
from benchmark.planning.usable import usable
from methods import methods
from methods.configured import configure
from methods.errors import UserError


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_methods_alone_are_enough():
    settings = Settings(methods=("clr", "ewc:strength=500"))
    assert (settings.stream, settings.backbone, settings.seeds, settings.device) == ("mini", "mini", (0,), "auto")
    assert settings.orders == 1
    assert (settings.epochs, settings.batch_size, settings.lr, settings.tasks) == (8, 32, None, None)


@pytest.mark.parametrize(
    ("seeds", "orders", "repetitions"),
    [
        ((0,), 1, [(0, 0)]),
        ((4, 7), 1, [(4, 0), (7, 0)]),
        ((0,), 2, [(0, 0), (0, 1)]),
        # As many orders as seeds: each seed in an order of its own.
        ((0, 1, 2), 3, [(0, 0), (1, 1), (2, 2)]),
        ((7, 4), 2, [(7, 0), (4, 1)]),
        # Other numbers: each in each.
        ((0, 1), 3, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]),
    ],
)
def test_repetitions(seeds, orders, repetitions):
    assert Settings(methods=("clr",), seeds=seeds, orders=orders).repetitions == repetitions


def test_settings_survive_the_manifest():
    settings = Settings(methods=("clr", "er"), seeds=(4, 7), orders=3, tasks=2, lr=0.1)
    read = json.loads(json.dumps(settings.as_json()))
    assert read["methods"] == ["clr", "er"]
    assert read["seeds"] == [4, 7]
    assert (
        Settings(**{key: tuple(value) if isinstance(value, list) else value for key, value in read.items()}) == settings
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"methods": ()}, "--methods names no method; write for example --methods clr,ewc,er"),
        ({"methods": ("er", "clr", "er")}, "--methods gives 'er' twice; give each specification once"),
        ({"methods": ("clr", "eer")}, "unknown method 'eer': did you mean 'er'? known are clr, "),
        ({"methods": (":x=1",)}, "':x=1' has no name before its first colon"),
        ({"stream": "minni"}, "unknown stream 'minni': did you mean 'mini'? known are mini, folder, "),
        (
            {"stream": "../data/good"},
            "unknown stream '../data/good': your own data are folder:DIR, so write folder:../data/good",
        ),
        (
            {"stream": "x/y.zip:tasks=2"},
            "unknown stream 'x/y.zip:tasks=2': your own data are split-folder:DIR, so write split-folder:x/y.zip",
        ),
        ({"stream": ""}, "'' has no name before its first colon"),
        ({"backbone": "resnet17"}, "unknown backbone 'resnet17': did you mean 'resnet1"),
        ({"tasks": 0}, "--tasks 0 must be at least 1"),
        ({"image_size": 0}, "--image-size 0 must be at least 1"),
        ({"train_images": -3}, "--train-images -3 must be at least 1"),
        ({"test_images": 0}, "--test-images 0 must be at least 1"),
        ({"validation": -1}, "--validation -1 must be from 0 to 50 per cent"),
        ({"validation": 51}, "--validation 51 must be from 0 to 50 per cent"),
        ({"epochs": 0}, "--epochs 0 must be at least 1"),
        ({"batch_size": 0}, "--batch-size 0 must be at least 1"),
        ({"batch_size": 1}, "--batch-size 1 must be at least 2: batch normalisation cannot train on one image"),
        ({"batch_size": 2**63}, "--batch-size 9223372036854775808 must be at most 2147483647"),
        ({"epochs": 10**300}, "--epochs with a number of 301 digits must be at most 2147483647"),
        ({"image_size": 2**31}, "--image-size 2147483648 must be at most 16384"),
        (
            {"grey_range": (1,)},
            "--grey-range=1 must be LOW,HIGH: two numbers, the lower one first, as --grey-range=0,4",
        ),
        ({"grey_range": (0, 1, 2)}, "--grey-range=0,1,2 must be LOW,HIGH"),
        ({"grey_range": (5, 5)}, "--grey-range=5,5 must be LOW,HIGH"),
        ({"grey_range": (5, -5)}, "--grey-range=5,-5 must be LOW,HIGH"),
        ({"grey_range": "0,white"}, "--grey-range=0,white must be LOW,HIGH"),
        ({"grey_range": (0, math.inf)}, "--grey-range=0,inf must be LOW,HIGH"),
        ({"grey_range": (math.nan, 1)}, "--grey-range=nan,1 must be LOW,HIGH"),
        ({"orders": 0}, "--orders 0 must be at least 1"),
        ({"lr": 0.0}, "--lr 0 must be a number above 0"),
        ({"lr": -0.1}, "--lr -0.1 must be a number above 0"),
        ({"lr": math.nan}, "--lr nan must be a number above 0"),
        ({"lr": math.inf}, "--lr inf must be a number above 0"),
        ({"seeds": (-1,)}, "--seeds: -1 is no seed; write a whole number from 0 to 4294967295"),
        ({"seeds": (0, 2**32)}, "--seeds: 4294967296 is no seed; write a whole number from 0 to 4294967295"),
        (
            {"seeds": (10**299,)},
            "--seeds: a number of 300 digits is no seed; write a whole number from 0 to ",
        ),
        (
            {"orders": 10**9},
            "--orders 1000000000: with 1 of --methods and 1 of --seeds they make 1,000,000,000 cells; at most 100,000 ",
        ),
        ({"seeds": tuple(range(1000)), "orders": 1000}, "--orders 1000: with 1 of --methods and 1000 of --seeds th"),
        ({"seeds": (4, 7, 4)}, "--seeds 4,7,4 gives a seed twice; give each once"),
        ({"equal_memory": "clrr"}, "unknown method 'clrr': did you mean 'clr'? known are clr, "),
        ({"equal_compute": "papr"}, "unknown method 'papr': "),
    ],
)
def test_what_is_refused(settings, says):
    assert refusal(Settings, **({"methods": ("clr",)} | settings)).startswith(says)


@pytest.mark.parametrize(
    ("asked", "range_"),
    [((), ()), ("", ()), ("0,4095", (0, 4095)), ("-1000, 1e3,", (-1000, 1000)), ([0, 0.5], (0, 0.5)), ("0,1", (0, 1))],
)
def test_a_range_of_greys_is_two_numbers_or_nothing(asked, range_):
    assert Settings(methods=("clr",), grey_range=asked).grey_range == range_


def test_smallest_values_are_accepted():
    Settings(methods=("clr",), tasks=1, image_size=1, train_images=1, test_images=1, epochs=1, batch_size=2, lr=1e-30)


@pytest.mark.parametrize(
    ("first", "second"),
    [("er:memory=1", "er_memory=1"), ("clr:penalty=a/b", "clr:penalty=a?b"), ("clr:x=A", "clr:x=a")],
)
def test_two_labels_never_share_a_folder(first, second, monkeypatch):
    monkeypatch.setattr("benchmark.config.methods.check", lambda name: None)
    expected = f"--methods: '{first}' and '{second}' would share a folder; run one of them by itself"
    assert refusal(Settings, methods=(first, "sgd", second)) == expected


PAPER = (
    *("clr", "ewc", "online-ewc", "si", "lwf", "er", "derpp"),
    *("supsup", "psp", "ccll", "confit", "eft", "sgd", "sgd-ll"),
)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("clr", ("clr",)),
        ("clr,ewc:strength=500,er:memory=10MB", ("clr", "ewc:strength=500", "er:memory=10MB")),
        (" clr , er ,", ("clr", "er")),
        (",", ()),
        ("", ()),
        ("paper", PAPER),
        ("paper,single-task,joint", (*PAPER, "single-task", "joint")),
        ("paper,er:memory=1000", (*PAPER, "er:memory=1000")),
        (r"clr,mine:words=a\,b:lr=1,er", ("clr", "mine:words=a,b:lr=1", "er")),
        ("joint,er,paper,ewc", ("joint", "er", *(name for name in PAPER if name != "er"))),
    ],
)
def test_a_list_is_separated_by_commas_and_groups_stand_for_their_members(text, items):
    assert parse_methods(text) == items


def works_on_convolutions(name):
    """Whether a method can be used on the default backbone, which is no transformer."""
    try:
        return bool(usable(Settings(methods=[name]), [configure(name)], empty_backbone("mini"), pytest.fail))
    except UserError as error:
        return "cannot be used on this backbone" not in str(error)


def test_all_are_all_methods_that_need_nothing_but_their_name():
    names = parse_methods("all")
    without_oracle = [name for name in methods.names() if "task" not in methods.get(name).scenarios]
    assert {"icarl", "wa", "bic"} <= {*without_oracle}
    others = [name for name in methods.names() if name not in ("avalanche", "bn-only", *without_oracle)]
    assert names == tuple(filter(works_on_convolutions, others))
    assert set(PAPER) < set(names)
    assert parse_methods("paper,all") == (*PAPER, *(name for name in names if name not in PAPER))


def test_the_group_class_answers_where_classes_of_all_tasks_compete():
    names = parse_methods("class")
    assert all("class" in methods.get(name).scenarios for name in names)
    assert {"sgd", "er", "er-ace", "icarl", "gdumb", "wa", "bic", "joint"} <= set(names)


@pytest.mark.parametrize(
    ("group", "members"),
    [
        ("peft", ("norm-only", "bitfit", "ssf", "lora", "adapter", "vpt")),
        ("prompts", ("l2p", "dualprompt", "coda-prompt")),
    ],
)
def test_the_groups_of_methods_beside_a_frozen_backbone(group, members):
    assert parse_methods(group) == tuple(name for name in members)


def test_groups_are_listed_without_importing_their_methods():
    program = "; ".join(
        (
            "import sys",
            "from methods import methods",
            "names = [methods.members(group) for group in methods.groups()]",
            "assert not {'torch', 'avalanche'} & set(sys.modules)",
        )
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_method_of_a_plugin_without_an_answer_where_the_task_is_known_is_not_among_all(monkeypatch):
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))

    @methods.register("competing")
    class Competing:
        scenarios = ("class",)

    assert "competing" not in parse_methods("all")


def test_methods_of_plugins_are_among_all_unless_they_need_an_option(monkeypatch):
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))

    @methods.register("free")
    class Free:
        def __init__(self, x: int = 1): ...

    @methods.register("needy")
    class Needy:
        def __init__(self, x: int): ...

    assert parse_methods("all")[-1] == "free"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("er,clr,er", "--methods gives 'er' twice; give each specification once"),
        ("paper,paper", "--methods gives 'paper' twice; give each specification once"),
        (
            "clr,paper:lr=0.1",
            "--methods: 'paper:lr=0.1' gives options to a group; give them to a method, as in paper,er:memory=1000",
        ),
    ],
)
def test_lists_that_are_refused(text, says):
    assert refusal(parse_methods, text) == says


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("1", (0,)), ("3", (0, 1, 2)), ("4,7", (4, 7)), ("7,4", (7, 4)), ("5,", (5,)), ("0,", (0,)), (" 4 , 7 ", (4, 7))],
)
def test_seeds_are_a_count_or_a_list(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", ",", "0", "-1", "3,-1", "a", "1.5", "1;2", "4,x"])
def test_seeds_that_are_neither_are_refused(text):
    assert refusal(parse_seeds, text) == f"--seeds {text} is neither how many seeds (3) nor a list of them (4,7)"


def test_a_number_that_is_rather_meant_as_a_seed_is_refused():
    assert len(parse_seeds("1000")) == 1000
    assert refusal(parse_seeds, "1234") == "--seeds 1234 is more than 1000 seeds; to name one seed, write 1234,"
    assert parse_seeds("1234,") == (1234,)


@pytest.mark.parametrize(
    ("execution", "says"),
    [
        ({"jobs": 0}, "--jobs 0 must be at least 1"),
        ({"gpus_per_cell": 0.0}, "--gpus-per-cell 0 must be above 0 and at most 1, as 0.25 for four cells on a GPU"),
        ({"gpus_per_cell": 2.0}, "--gpus-per-cell 2 must be above 0 and at most 1, as 0.25 for four cells on a GPU"),
        ({"gpus_per_cell": math.nan}, "--gpus-per-cell nan must be above 0 and at most 1, as 0.25 for four cells on "),
        ({"address": "host:6379"}, "--address host:6379 is that of a Ray cluster; add --executor ray"),
        (
            {"executor": "ray", "address": "ray://host:10001"},
            "--address ray://host:10001 must be HOST:PORT, as `ray start --head` tells it, or auto",
        ),
        ({"executor": "ray", "address": "host:0"}, "--address host:0 must be HOST:PORT, as `ray start --head` tells "),
        ({"executor": "ray", "address": "host:65536"}, "--address host:65536 must be HOST:PORT, as `ray start --head`"),
        ({"executor": "ray", "address": "host:٣"}, "--address host:٣ must be HOST:PORT, as `ray start --head` tells "),
        ({"executor": "ray", "address": ":6379"}, "--address :6379 must be HOST:PORT, as `ray start --head` tells it"),
        ({"executor": "ray", "address": "a b:1"}, "--address a b:1 must be HOST:PORT, as `ray start --head` tells it"),
        ({"executor": "ray", "address": "host"}, "--address host must be HOST:PORT, as `ray start --head` tells it, "),
        (
            {"parallel_tasks": True, "verify_evaluations": True},
            "--verify-evaluations compares evaluations of one task after several others; leave --parallel-tasks out",
        ),
    ],
)
def test_ways_to_run_that_are_refused(monkeypatch, execution, says):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "somewhere")
    assert refusal(Execution, **execution).startswith(says)


def test_ray_is_an_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refusal(Execution, executor="ray") == (
        '--executor ray needs Ray, which is not installed; install it with: pip install ".[ray]"'
    )
    assert Execution().executor == "local"


def test_slurm_is_an_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refusal(Execution, executor="slurm:cluster=local") == (
        '--executor slurm needs submitit, which is not installed; install it with: pip install ".[slurm]"'
    )


@pytest.mark.parametrize(
    ("executor", "says"),
    [
        ("slrm", "--executor slrm: there is no executor 'slrm'; give local, ray or slurm"),
        ("local:jobs=2", "--executor local:jobs=2: local takes no options; write --executor local"),
        ("ray:auto", "--executor ray:auto: ray takes no options; write --executor ray"),
        (":x", "':x' has no name before its first colon; write NAME or NAME:option=value"),
        ("slurm:cluster=moon", "'slurm:cluster=moon': option cluster=moon is not one of slurm, local, debug"),
        (
            "slurm:partitio=gpu",
            "'slurm:partitio=gpu' has no option 'partitio': did you mean 'partition'? valid options of slurm are "
            "cluster, timeout_min, max_num_timeout, ",
        ),
        ("slurm:gpu", "'slurm:gpu': 'gpu' is not of the form option=value; valid options of slurm are cluster, "),
        ("slurm:timeout_min=2h", "'slurm:timeout_min=2h': option timeout_min=2h is not a whole number"),
        ("slurm:timeout_min=0", "'slurm:timeout_min=0': timeout_min 0 must be at least 1"),
        ("slurm:array_parallelism=0", "'slurm:array_parallelism=0': array_parallelism 0 must be at least 1"),
        ("slurm:gpus_per_node=-1", "'slurm:gpus_per_node=-1': gpus_per_node -1 must be at least 0"),
        ("slurm:mem_gb=0", "'slurm:mem_gb=0': mem_gb 0 must be above 0"),
        (
            "slurm:partition=gpu",
            "--executor slurm:partition=gpu: this machine has no sbatch, so it cannot submit jobs to Slurm; run it "
            "where that works, or try it out here with --executor slurm:cluster=local",
        ),
    ],
)
def test_executors_that_are_refused(monkeypatch, executor, says):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "somewhere")
    monkeypatch.setattr("shutil.which", lambda command: None)
    assert refusal(Execution, executor=executor).startswith(says)


def test_options_of_slurm(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "somewhere")
    monkeypatch.setattr("shutil.which", lambda command: f"/usr/bin/{command}")
    execution = Execution(executor="slurm:partition=gpu:gres=gpu:a100:1:mem_gb=1.5:max-num-timeout=0")
    assert execution.slurm == Slurm(partition="gpu", gres="gpu:a100:1", mem_gb=1.5, max_num_timeout=0)
    assert execution.slurm.has_gpu
    assert (execution.elsewhere, execution.may_start_workers) == (True, False)
    assert (Execution().slurm, Execution().elsewhere, Execution().may_start_workers) == (None, False, True)
    assert refusal(Execution, executor="slurm", gpus_per_cell=0.5) == (
        "--gpus-per-cell 0.5: Slurm gives out whole GPUs; leave it out, and write --executor slurm:gpus_per_node=1"
    )


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb", "mlflow"])
def test_trackers_are_extras(monkeypatch, tracker):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refusal(Execution, tracker=tracker) == (
        f"--tracker {tracker} needs the package {tracker}, which is not installed; "
        f'install it with: pip install ".[{tracker}]"'
    )


@pytest.mark.parametrize("address", [None, "auto", "host:6379", "192.0.2.1:6379", "[2001:db8::1]:6379"])
def test_addresses_of_clusters(monkeypatch, address):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "somewhere")
    assert Execution(executor="ray", address=address).address == address
