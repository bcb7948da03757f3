"""Names, and what they are looked up in."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from benchmark.backbones import backbones
from benchmark.backbones.base import Backbone
from benchmark.streams import streams
from benchmark.streams.source import StreamSource
from methods import Method, methods
from methods.errors import UserError
from methods.registry import Registry, load_plugin


@pytest.fixture
def registry() -> Registry:
    return Registry("thing")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """module(name, source): a module that can be imported while the test runs."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)

    yield write
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def refusal(call, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_lazy_entry_is_imported_when_it_is_first_got(registry, module):
    module("lazy_entry", "class Thing:\n    pass\n")
    registry.add_lazy("one", "lazy_entry:Thing", "the only one")
    assert registry.names() == ["one"]
    assert registry.summary("one") == "the only one"
    registry.check("one")
    assert "lazy_entry" not in sys.modules
    cls = registry.get("one")
    assert cls is sys.modules["lazy_entry"].Thing
    assert cls.name == "one"
    assert registry.get("one") is cls


def test_names_keep_the_order_in_which_they_came(registry):
    for name in ("b", "c", "a"):
        registry.add_lazy(name, f"m:{name}", "")
    assert registry.names() == ["b", "c", "a"]


def test_registered_class_is_known_by_its_name_and_first_line(registry):
    @registry.register("new")
    class New:
        """What it is.

        More about it.
        """

    assert registry.get("new") is New
    assert New.name == "new"
    assert registry.summary("new") == "What it is."


def test_unknown_name_lists_what_is_known_and_suggests(registry):
    registry.add_lazy("online-ewc", "m:A", "")
    registry.add_lazy("er", "m:B", "")
    for call in (registry.check, registry.get, registry.summary):
        expected = "unknown thing 'online_ewc': did you mean 'online-ewc'? known are online-ewc, er"
        assert refusal(call, "online_ewc") == expected
    assert refusal(registry.check, "zzz") == "unknown thing 'zzz': known are online-ewc, er"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("CLR", "clr"),
        ("Er-Ace", "er-ace"),
        ("PAPER", "paper"),
        ("Elastic Weight Consolidation", "ewc"),
        ("learning  without Forgetting", "lwf"),
        ("Synaptic Intelligence", "si"),
    ],
)
def test_capitals_and_full_names_of_methods_are_understood(written, meant):
    assert f"unknown method '{written}': did you mean '{meant}'? known are " in refusal(methods.check, written)


def test_a_name_belongs_to_one_target(registry):
    registry.add_lazy("one", "m:A", "")
    registry.add_lazy("one", "m:A", "again")
    expected = "thing 'one' is already defined by m:A; m:B needs another name"
    assert refusal(registry.add_lazy, "one", "m:B", "") == expected
    assert "already defined by m:A" in refusal(registry.register("one"), Backbone)
    assert registry.names() == ["one"]


def test_a_class_has_one_name(registry, module):
    class Twice:
        pass

    registry.register("one")(Twice)
    registry.register("one")(Twice)
    expected = (
        "thing 'two' is the class Twice, which is already 'one'; a class has one name: derive another one from it"
    )
    assert refusal(registry.register("two"), Twice) == expected
    assert Twice.name == "one"
    assert registry.names() == ["one"]
    registry.register("two")(type("Derived", (Twice,), {}))
    assert Twice.name == "one"

    module("lazy_entry", "class Thing:\n    pass\n")
    registry.add_lazy("three", "lazy_entry:Thing", "")
    registry.add_lazy("four", "lazy_entry:Thing", "")
    assert registry.get("three").name == "three"
    assert "which is already 'three'" in refusal(registry.get, "four")
    assert registry.get("three").name == "three"


def test_an_option_that_cannot_be_given_is_refused_when_the_class_is_registered(registry, module):
    class Listed:
        def __init__(self, sizes: list[int] = ()): ...

    assert refusal(registry.register("listed"), Listed).startswith(
        "thing 'listed': option 'sizes' has the type list[int]"
    )
    assert registry.names() == []
    module("lazy_entry", "class Thing:\n    def __init__(self, x: bytes = b''): ...\n")
    registry.add_lazy("lazy", "lazy_entry:Thing", "")
    assert refusal(registry.get, "lazy").startswith("thing 'lazy': option 'x' has the type bytes")


def test_a_group_stands_for_its_members(registry, module):
    module("lazy_entry", "raise ImportError('too early')\n")
    for name in ("a", "b", "c"):
        registry.add_lazy(name, f"lazy_entry:{name}", "")
    registry.add_group("some", "two of them", members=("c", "a"))
    registry.add_group("most", "all but one", without=("b",))
    assert registry.groups() == ["some", "most"]
    assert registry.summary("some") == "two of them"
    assert registry.members("some") == ["c", "a"]
    assert registry.members("most") == ["a", "c"]
    assert registry.names() == ["a", "b", "c"]
    registry.add_group("light", "those that weigh little", accepts=lambda cls: cls.weight < 2)
    assert registry.members("light") == ["a", "b", "c"]
    for name, own in (("d", 1), ("e", 2)):
        registry.register(name)(type(name, (), {"weight": own}))
    assert registry.members("light") == ["a", "b", "c", "d"]
    registry._groups.pop("light")
    for name in ("d", "e"):
        registry._entries.pop(name)
    assert refusal(registry.check, "zzz") == "unknown thing 'zzz': known are a, b, c; groups are some, most"


def test_nothing_can_have_the_name_of_a_group(registry):
    registry.add_group("most", "all of them")
    expected = "thing 'most' would have the name of a group; m:A needs another name"
    assert refusal(registry.add_lazy, "most", "m:A", "") == expected
    assert "would have the name of a group" in refusal(registry.register("most"), Backbone)
    assert registry.names() == []


@pytest.mark.parametrize("group", methods.groups())
def test_every_member_of_a_group_can_be_constructed_by_its_name(group):
    for name in methods.members(group):
        methods.get(name)()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f(:", "SyntaxError"),
        ("raise RuntimeError('first\\nsecond')", "RuntimeError: first"),
        ("", "has no attribute 'Thing'"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(registry, module, source, says):
    module("broken_entry", source)
    registry.add_lazy("one", "broken_entry:Thing", "")
    message = refusal(registry.get, "one")
    assert message.startswith("thing 'one' cannot be loaded from broken_entry:Thing: ")
    assert says in message


def test_installed_packages_add_entries(module, monkeypatch):
    module("some_package", "class Theirs:\n    pass\n")
    point = metadata.EntryPoint("theirs", "some_package:Theirs", "a.group")
    asked = []
    monkeypatch.setattr(metadata, "entry_points", lambda group: asked.append(group) or [point])
    registry = Registry("thing", entry_points="a.group")
    registry.add_lazy("ours", "m:A", "")
    assert asked == []
    assert registry.names() == ["ours", "theirs"]
    assert registry.summary("theirs") == "from the installed package some_package"
    assert "some_package" not in sys.modules
    assert registry.get("theirs") is sys.modules["some_package"].Theirs
    assert asked == ["a.group"], "looked for once"


def test_installed_package_cannot_take_a_name_that_is_taken(monkeypatch):
    points = [metadata.EntryPoint(name, "some_package:Theirs", "a.group") for name in ("ours", "more")]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points)
    registry = Registry("thing", entry_points="a.group")
    registry.add_lazy("ours", "m:A", "")
    expected = "thing 'ours' is already defined by m:A; some_package:Theirs needs another name, and is left out"
    assert registry.complaints() == [expected]
    assert registry.names() == ["ours", "more"], "the rest works"


def test_plugin_file_registers(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from methods import registry\nregistry.marker = 'was here'\n")
    from methods import registry

    try:
        load_plugin(str(file))
        assert registry.marker == "was here"
        assert "plugin_mine" in sys.modules
    finally:
        sys.modules.pop("plugin_mine", None)
        vars(registry).pop("marker", None)


@pytest.mark.parametrize(
    ("name", "source", "says"),
    [
        ("missing.py", None, "--plugin: there is no file {path}"),
        ("notes.txt", "", "--plugin: {path} is not a Python file; its name must end in .py"),
        ("bad.py", "import no_such_module", "--plugin: {path} does not import: ModuleNotFoundError: No module named"),
        ("bad.py", "def f(:", "--plugin: {path} does not import: SyntaxError: invalid syntax"),
        ("bad.py", "raise KeyError('a\\nb')", "--plugin: {path} does not import: KeyError: "),
        ("bad.py", "import sys; sys.exit(3)", "--plugin: {path} does not import: SystemExit: 3"),
        ("bad.py", "from methods import UserError; raise UserError('own sentence')", "own sentence"),
    ],
)
def test_plugin_that_cannot_be_used_is_one_sentence(tmp_path, name, source, says):
    path = tmp_path / name
    if source is not None:
        path.write_text(source)
    try:
        assert refusal(load_plugin, str(path)).startswith(says.format(path=path))
    finally:
        sys.modules.pop("plugin_bad", None)


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"bad.py": "x = 1\n\n\ny = x / 0\n"}, "ZeroDivisionError: division by zero (bad.py, line 4)"),
        ({"bad.py": "def f():\n    return {}['a']\n\nf()\n"}, "KeyError: 'a' (bad.py, line 2)"),
        ({"bad.py": "import json\njson.loads('{')\n"}, " (bad.py, line 2)"),
        ({"bad.py": "import helps\n", "helps.py": "\nnot_there\n"}, " (helps.py, line 2)"),
        ({"bad.py": "\ndef f(:\n"}, "SyntaxError: invalid syntax (bad.py, line 2)"),
    ],
)
def test_an_error_while_a_plugin_is_imported_has_its_line(tmp_path, monkeypatch, files, place):
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert refusal(load_plugin, str(tmp_path / "bad.py")).endswith(place)


def test_a_plugin_that_registers_nothing_is_named_where_a_name_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr("methods.registry._PLUGINS", {})
    monkeypatch.setattr(methods, "_entries", methods.entries())
    for name, above in (("silent", ""), ("speaks", '@methods.register("speaks")\n')):
        text = f"from methods import Method, methods\n\n{above}class Mine(Method):\n    'Mine.'\n"
        (tmp_path / f"{name}.py").write_text(text)
    try:
        load_plugin(str(tmp_path / "speaks.py"))
        load_plugin(str(tmp_path / "speaks.py"))
        assert "registers nothing" not in refusal(methods.get, "Mine")
        load_plugin(str(tmp_path / "silent.py"))
        assert refusal(methods.get, "Mine").endswith(
            f'; {tmp_path / "silent.py"} registers nothing: write @methods.register("NAME") above the class'
        )
    finally:
        for name in ("silent", "speaks"):
            sys.modules.pop(f"plugin_{name}", None)


@pytest.mark.parametrize("name", methods.names())
def test_every_method_resolves_and_says_what_it_is(name):
    cls = methods.get(name)
    assert issubclass(cls, Method)
    assert cls.name == name
    assert inspect.cleandoc(cls.__dict__["__doc__"])
    assert methods.summary(name)


@pytest.mark.parametrize(("registry", "base"), [(streams, StreamSource), (backbones, Backbone)])
def test_every_stream_and_backbone_resolves(registry, base):
    for name in registry.names():
        cls = registry.get(name)
        assert issubclass(cls, base)
        assert not inspect.isabstract(cls)
        assert cls.name == name
        assert registry.summary(name)


def test_listing_names_imports_neither_torch_nor_avalanche():
    code = (
        "import sys\n"
        "from methods import methods\n"
        "from benchmark.streams import streams\n"
        "from benchmark.backbones import backbones\n"
        "from benchmark.config import parse_methods\n"
        "names = [r.summary(n) for r in (methods, streams, backbones) for n in r.names()]\n"
        "names += parse_methods('all')\n"
        "assert len(names) > 50\n"
        "print([name for name in ('torch', 'torchvision', 'avalanche', 'numpy') if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (result.stdout, result.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([" ", "a b ", "a,b", "a:b"], "is no name of a method; give it one without"),
        (["\ttab", "bell\a", "esc\x1b[0m", "caf\udce9"], "which no table or terminal can show"),
        ([""], "a name is text, and not empty"),
    ],
)
def test_what_can_be_no_name_is_refused(names, says):
    registry = Registry("method")
    for name in names:
        refused(registry, name, says)


def refused(registry: Registry[type], name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        registry.register(name)(type("Mine", (), {}))
    assert registry.names() == []


@pytest.mark.parametrize("name", ["..", "=1+1", "[red]x", "größer", "x/y", 300 * "x"])
def test_a_name_may_be_odd(name):
    registry = Registry("method")
    registry.register(name)(type("Mine", (), {}))
    assert registry.names() == [name]


def test_documentation_is_read_without_importing_the_class(tmp_path, monkeypatch):
    package = tmp_path / "documented_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    documented = '    """Mine (Me, 2020),\n    in two lines.\n\n    More.\n    """\n'
    text = f'raise RuntimeError("imported")\n\n\nclass Mine:\n{documented}'
    (package / "mine.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry("method")
    registry.add_lazy("mine", "documented_package.mine:Mine", "mine")
    registry.add_lazy("gone", "documented_package.gone:Gone", "gone")
    registry.add_lazy("lost", "no_such_package.gone:Gone", "lost")
    assert registry.documentation("mine") == "Mine (Me, 2020), in two lines."
    assert registry.documentation("gone") == registry.documentation("lost") == ""

    @registry.register("loaded")
    class Loaded:
        """Loaded, in
        two lines.

        More.
        """

    assert registry.documentation("loaded") == "Loaded, in two lines."
