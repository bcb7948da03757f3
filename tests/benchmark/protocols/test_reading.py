"""The files of protocols: those that are shipped, and those that are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark.config import RUN_OPTIONS
from benchmark.protocols import find_protocol, protocol_names
from benchmark.protocols.answers import check_methods
from benchmark.protocols.reading import read_protocol
from benchmark.running.request import requested_settings
from methods.errors import UserError

GOOD = """
title = "Made up"
source = "nobody"
[run]
stream = "mini"
scenario = "class"
seeds = 2
[methods]
plain = "sgd"
replay = "er:memory=10"
[defaults]
repetitions = 3
[[targets]]
method = "plain"
value = 12.30
sd = 1.50
[[targets]]
method = "replay"
answer = "derived"
value = 45
tolerance = 1.5
repetitions = 1
[[targets]]
method = "replay"
metric = "extra_parameters_percent"
below = 0.6
"""


def read(tmp_path: Path, text: str):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return read_protocol(path)


def test_a_file_is_read_with_its_numbers_as_printed(tmp_path: Path):
    protocol = read(tmp_path, GOOD)
    assert (protocol.name, protocol.title, protocol.source, protocol.rows) == (
        "mine",
        "Made up",
        "nobody",
        ("plain", "replay"),
    )
    (part,) = protocol.parts
    assert part.run_options("")["methods"] == "sgd,er:memory=10"
    first, second, third = part.targets
    assert (first.value, first.digits, first.spread, first.spread_is, first.repetitions) == (0.123, 2, 0.015, "sd", 3)
    assert (first.method, first.answer, first.metric) == ("sgd", "class", "average_accuracy")
    assert (second.value, second.digits, second.tolerance, second.answer) == (0.45, 0, 0.015, "derived")
    assert (third.value, third.bound, third.answer) == (0.6, True, "")


def test_parts_have_what_is_said_for_all_and_what_is_their_own(tmp_path: Path):
    shared = (
        'title = "t"\nsource = "s"\ndiffers = ["a"]\n[run]\nstream = "mini"\nepochs = 2\n[methods]\nplain = "sgd"\n'
    )
    own = """
[parts.task]
targets = [{method = "plain", value = 1}]
[parts.class]
differs = ["b"]
targets = [{method = "plain", value = 2}, {method = "er", value = 3}]
[parts.class.run]
scenario = "class"
epochs = 3
[parts.class.methods]
plain = "sgd:lr=0.1"
er = "er"
"""
    task, of_class = read(tmp_path, shared + own).parts
    assert (task.name, task.options["epochs"], task.methods, task.differs) == ("task", 2, {"plain": "sgd"}, ("a",))
    assert (of_class.options["epochs"], of_class.methods) == (3, {"plain": "sgd:lr=0.1", "er": "er"})
    assert of_class.differs == ("a", "b")
    assert [target.answer for target in of_class.targets] == ["class", "class"]
    assert [part.only(frozenset(["er"])).targets for part in (task, of_class)] == [(), of_class.targets[1:]]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('title = "Made up"\n', "", "'title' is missing; it must be text in quotes"),
        ('"nobody"', "5", "source = 5 must be text in quotes"),
        ("[run]", "[runs]", "'runs' is unknown: did you mean 'run'? valid are title, source, parts, run"),
        ('"Made up"', '"Made', "the file is damaged, or is not TOML"),
        ("seeds = 2", "epoch = 2", "[run] has an unknown option 'epoch': did you mean 'epochs'?"),
        ("seeds = 2", 'epochs = "two"', '[run]: epochs = "two" must be a whole number'),
        ("seeds = 2", 'name = "x"', "[run] has an unknown option 'name'"),
        ("seeds = 2", 'infer = "guess"', "[run]: "),
        ('"class"', '"klass"', '[run]: scenario = "klass" must be one of task, class, domain'),
        ('"mini"', '"mini{data}"', "[run] and [data] do not fit: options with {data}"),
        ('"sgd"', '"sdg"', "[methods]: plain: unknown method 'sdg': did you mean 'sgd'?"),
        ('"sgd"', '"all"', "[methods]: plain: 'all' is a group; name one method"),
        ('"sgd"', '"er:memory=10"', '[methods]: plain and replay are both "er:memory=10"'),
        ('"sgd"', "1", "[methods]: plain = 1 must be text in quotes"),
        ('method = "plain"', 'method = "plian"', "[targets 1]: method = \"plian\" is unknown: did you mean 'plain'?"),
        ("value = 12.30", "valeu = 12.30", "[targets 1]: 'valeu' is unknown: did you mean 'value'?"),
        ("value = 12.30", 'value = "12.30"', '[targets 1]: value = "12.30" must be a number'),
        ("value = 12.30", "value = nan", "[targets 1]: value = nan must be a number"),
        ("value = 12.30\n", "", "[targets 1]: give one of value, the published number, and below"),
        ("sd = 1.50", "sd = -1.50", "[targets 1]: sd = -1.5 must not be negative"),
        ("sd = 1.50", "sd = 1.50\nse = 1", "[targets 1]: sd and se exclude each other"),
        ("sd = 1.50", "sd = 1.50\ntolerance = 1", "[targets 1]: sd and tolerance exclude each other"),
        ("sd = 1.50", "sd = 1.50\nrepetitions = 1", "[targets 1]: sd is a spread, which 1 repetition does not have"),
        ("repetitions = 3", "repetitions = 0", "repetitions = 0 must be at least 1"),
        ("repetitions = 3", "repetitions = 3.5", "[defaults]: repetitions = 3.5 must be a whole number"),
        ('"derived"', '"task"', '[targets 2]: answer = "task" is unknown: known are class, derived'),
        ("extra_parameters_percent", "training_seconds", '[targets 3]: metric = "training_seconds" is unknown'),
        ("[methods]", "[parts.a]\ntargets = [1]\n[methods]", "[parts.a.targets 4]: 1 must be a table"),
        ("value = 12.30", f"value = 1{'0' * 400}", "[targets 1]: value = 1000"),
        ("repetitions = 3", f"repetitions = 1{'0' * 400}", "[defaults]: repetitions = 1000"),
        ("below = 0.6", "below = 0.6\ntolerance = 1", "[targets 3]: below and tolerance exclude each other"),
        (
            'method = "replay"\nanswer = "derived"',
            'method = "plain"',
            "[targets 2]: it is about the same number as target 1",
        ),
        ('"sgd"', '" er:memory=10 "', '[methods]: plain and replay are both "er:memory=10"'),
        ("[methods]", '[parts.".."]\n[methods]', "[parts...]: the name of a part is a folder's"),
    ],
)
def test_a_broken_file_is_refused_in_a_sentence(tmp_path: Path, old: str, new: str, says: str):
    assert old in GOOD
    with pytest.raises(UserError) as refused:
        read(tmp_path, GOOD.replace(old, new, 1))
    message = str(refused.value)
    assert says in message
    assert message.startswith(f"reproduce {tmp_path / 'mine.toml'}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "value", "digits"),
    [
        ("45", 0.45, 0),
        ("45.0", 0.45, 1),
        ("0.00001", 1e-7, 5),
        ("4.5e1", 0.45, 0),
        ("4.50E-1", 0.0045, 3),
        ("1.5e22", 1.5e20, -21),
        ("1_0.2_5", 0.1025, 2),
    ],
)
def test_a_number_is_read_as_it_is_printed(tmp_path: Path, text: str, value: float, digits: int):
    """1.5e22 has no digit after the point, and only two before it are known: it is exact to half of 10^21."""
    first = read(tmp_path, GOOD.replace("12.30", text)).parts[0].targets[0]
    assert (first.value, first.digits) == (value, digits)


def test_two_sources_of_one_number_may_differ_in_their_definition(tmp_path: Path):
    other = '[[targets]]\nmethod = "plain"\nvalue = 13.1\ndefinition = "by the authors\' code"\n'
    assert [each.value for each in read(tmp_path, GOOD + other).parts[0].targets] == [0.123, 0.45, 0.6, 0.131]


def test_a_method_has_the_label_that_it_has_in_the_run(tmp_path: Path):
    (part,) = read(tmp_path, GOOD.replace('"er:memory=10"', '" er:memory=10 "')).parts
    settings, _ = requested_settings({n: o.default for n, o in RUN_OPTIONS.items()} | part.run_options(""))
    assert [each.method for each in part.targets] == ["sgd", "er:memory=10", "er:memory=10"]
    assert settings.methods == ("sgd", "er:memory=10")


def test_what_is_no_protocol_is_refused(tmp_path: Path):
    with pytest.raises(
        UserError, match="there is no protocol 'mammoth-split-mist': did you mean 'mammoth-split-mnist'"
    ):
        find_protocol("mammoth-split-mist")
    with pytest.raises(UserError, match=r"there is no file .*no\.toml; give the name of a protocol, or its file"):
        find_protocol(str(tmp_path / "no.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UserError, match=r"folder\.toml is a folder; give the file of a protocol"):
        find_protocol(str(tmp_path / "folder.toml"))


@pytest.mark.parametrize("name", protocol_names())
def test_what_is_shipped_can_be_run(name: str):
    """Its options and its methods are known here, and each number has a source."""
    protocol = find_protocol(name)
    defaults = {option: each.default for option, each in RUN_OPTIONS.items()}
    for part in protocol.parts:
        settings, _ = requested_settings(defaults | part.run_options("DIR"))
        check_methods(settings, protocol.published(part, ()))
        assert part.targets
        assert {target.method for target in part.targets} == set(settings.methods)
        if part.data is None:
            assert "DIR" not in settings.stream


def test_mammoths_numbers_are_those_of_its_table():
    """As the authors' code printed them: class, and task."""
    (part,) = find_protocol("mammoth-split-mnist").parts
    found = {(each.row, each.answer): (each.value, each.spread) for each in part.targets}
    assert found[("derpp", "class")] == (0.8319, 0.0140)
    assert found[("si", "derived")] == (0.9716, 0.0103)
    assert len(found) == 12
    assert {each.repetitions for each in part.targets} == {3}
    assert (part.options["seeds"], part.options["batch_size"], part.options["validation"]) == ([0, 1, 2], 10, 0)


def test_the_file_in_the_documentation_is_a_protocol(tmp_path: Path):
    text = (Path(__file__).parents[3] / "docs" / "reproduce.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (part,) = read(tmp_path, example).parts
    assert part.run_options("there")["stream"] == "split-mnist:root=there"
    assert [(each.row, each.metric, each.answer) for each in part.targets] == [
        ("plain", "average_accuracy", "class"),
        ("replay", "average_incremental_accuracy", "derived"),
    ]
    assert [each.repetitions for each in part.targets] == [10, 10]
