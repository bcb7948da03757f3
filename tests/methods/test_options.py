"""Specifications, and the constructors they call."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from methods import options
from methods.errors import UserError
from methods.options import (
    Spec,
    check_options,
    construct,
    join_specs,
    option_defaults,
    option_types,
    option_values,
    parse_spec,
    required_options,
    split_specs,
    value_text,
)


class Size:
    def __init__(self, text: str):
        self.text = text

    @classmethod
    def parse(cls, text: str) -> Size:
        if text == "no":
            raise ValueError("is no size")
        return cls(text)


class Thing:
    def __init__(
        self,
        count: int = 1,
        rate: float = 0.5,
        flag: bool = False,
        kind: Literal["a", "b"] = "a",
        maybe: int | None = None,
        text: str = "",
        size: Size = Size("default"),  # noqa: B008
    ):
        if count > 100:
            raise ValueError(f"count={count} is too many")
        self.count, self.rate, self.flag, self.kind = count, rate, flag, kind
        self.maybe, self.text, self.size = maybe, text, size


class Reader:
    def __init__(self, dir: str, order: str = "name"):
        self.dir, self.order = dir, order


class Scale:
    def __init__(self, factor: int | float, *, offset: float, limit: int | float | None = None):
        self.factor, self.offset, self.limit = factor, offset, limit


class Bare:
    pass


def make(text: str, cls: type = Thing):
    return construct(cls, parse_spec(text))


def refusal(text: str, cls: type = Thing) -> str:
    with pytest.raises(UserError) as caught:
        make(text, cls)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "positional", "options"),
    [
        ("ewc", "ewc", "", {}),
        (" ewc ", "ewc", "", {}),
        ("ewc:strength=500", "ewc", "", {"strength": "500"}),
        ("ewc:strength=500:bn=frozen", "ewc", "", {"strength": "500", "bn": "frozen"}),
        ("folder:data/tasks", "folder", "data/tasks", {}),
        ("folder:/a b/c.d", "folder", "/a b/c.d", {}),
        (r"folder:C:\data\tasks", "folder", r"C:\data\tasks", {}),
        (r"folder:C:\data:order=a", "folder", r"C:\data", {"order": "a"}),
        ("folder:data:order=seed:7", "folder", "data", {"order": "seed:7"}),
        ("folder:data:order=seed:7:limit=3", "folder", "data", {"order": "seed:7", "limit": "3"}),
        (
            "net:weights=s3://host:80/x.pth:until=layer3",
            "net",
            "",
            {"weights": "s3://host:80/x.pth", "until": "layer3"},
        ),
        ("m:weight-decay=0.1", "m", "", {"weight_decay": "0.1"}),
        ("m:text=", "m", "", {"text": ""}),
        ("m:text=a=b", "m", "", {"text": "a=b"}),
        ("m:=3", "m", "=3", {}),
        ("m:3=4", "m", "3=4", {}),
        ("m:", "m", "", {}),
    ],
)
def test_a_specification_is_split_where_options_begin(text, name, positional, options):
    spec = parse_spec(text)
    assert spec == Spec(text.strip(), name, positional, options)
    assert (type(spec.text), spec.text) == (str, text.strip())
    assert (spec.name, spec.positional, spec.options) == (name, positional, options)


def test_a_specification_is_parsed_once(monkeypatch):
    spec = parse_spec("folder:data:order=seed:7")
    monkeypatch.setattr(options, "_OPTION_START", None)
    assert parse_spec(spec) is spec
    for same in (copy.deepcopy(spec), pickle.loads(pickle.dumps(spec))):
        assert (same, same.name, same.positional, same.options) == (spec, "folder", "data", {"order": "seed:7"})
    assert json.dumps({spec: [spec]}) == '{"folder:data:order=seed:7": ["folder:data:order=seed:7"]}'


@pytest.mark.parametrize("text", ["", "  ", ":", ":x=1"])
def test_a_specification_begins_with_a_name(text):
    with pytest.raises(UserError, match="has no name before its first colon"):
        parse_spec(text)


@pytest.mark.parametrize("text", ["m:a=1:a=2", "m:weight-decay=1:weight_decay=2"])
def test_an_option_is_given_once(text):
    with pytest.raises(UserError, match=r"gives option '(a|weight_decay)' twice; give it once"):
        parse_spec(text)


def test_nothing_given_means_the_defaults():
    assert option_values(make("thing")) == option_values(Thing())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("count=7", 7),
        ("count=-7", -7),
        ("rate=1e-3", 0.001),
        ("rate=2", 2.0),
        ("flag=true", True),
        ("flag=True", True),
        ("flag=FALSE", False),
        ("kind=b", "b"),
        ("maybe=3", 3),
        ("text=a:b c", "a:b c"),
    ],
)
def test_values_are_converted_to_the_annotated_type(option, value):
    found = option_values(make(f"thing:{option}"))[option.partition("=")[0]]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("0.5", 0.5), ("1e3", 1000.0), ("none", None), ("None", None)])
def test_of_several_types_the_first_that_fits(text, value):
    found = make(f"scale:1:offset=0:limit={text}", Scale).limit
    assert found == value
    assert type(found) is type(value)


def test_of_several_types_the_last_says_what_is_wrong():
    text = "scale:x:offset=0"
    assert refusal(text, Scale) == f"'{text}': option factor=x is not a number"
    text = "scale:none:offset=0"
    assert refusal(text, Scale) == f"'{text}': option factor=none is not a number"


def test_a_type_of_its_own_parses_its_text():
    size = make("thing:size=10MB").size
    assert isinstance(size, Size)
    assert size.text == "10MB"


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("count=1.5", "is not a whole number"),
        ("count=", "is not a whole number"),
        ("maybe=x", "is not a whole number"),
        ("rate=fast", "is not a number"),
        ("rate=nan", "is not a finite number"),
        ("rate=inf", "is not a finite number"),
        ("rate=-inf", "is not a finite number"),
        ("flag=1", "is not true or false"),
        ("flag=yes", "is not true or false"),
        ("kind=c", "is not one of a, b"),
        ("size=no", "is no size"),
    ],
)
def test_what_cannot_be_converted_is_refused(option, says):
    assert refusal(f"thing:{option}") == f"'thing:{option}': option {option} {says}"


def test_unknown_option_names_the_valid_ones_and_suggests():
    valid = "valid options of thing are count, rate, flag, kind, maybe, text, size"
    assert refusal("thing:cuont=3") == f"'thing:cuont=3' has no option 'cuont': did you mean 'count'? {valid}"
    assert refusal("thing:zzz=3") == f"'thing:zzz=3' has no option 'zzz': {valid}"
    assert refusal("bare:x=1", Bare) == "'bare:x=1' has no option 'x': bare takes no options"


def test_options_of_others_are_named_and_suggested_too():
    with pytest.raises(UserError, match=r"did you mean 'optimizer'\? .*, size, optimizer$"):
        construct(Thing, parse_spec("thing:optimiser=adam"), also=["optimizer"])


def test_refusal_of_the_constructor_names_the_specification():
    assert refusal("thing:count=101") == "'thing:count=101': count=101 is too many"


def test_positional_is_the_first_parameter_without_default():
    assert option_values(make("reader:some/dir:order=a", Reader)) == {"dir": "some/dir", "order": "a"}
    assert option_values(make("reader:dir=x", Reader)) == {"dir": "x", "order": "name"}


@pytest.mark.parametrize("text", ["reader", "reader:", "reader:order=a"])
def test_missing_positional_is_asked_for(text):
    assert refusal(text, Reader) == f"'{text}' needs DIR: write reader:DIR"


def test_what_else_is_missing_is_asked_for_by_name():
    assert refusal("scale:2:limit=1", Scale) == "'scale:2:limit=1' needs OFFSET: write scale:2:limit=1:offset=OFFSET"


def test_positional_that_nothing_takes_is_refused():
    valid = "valid options of thing are count, rate, flag, kind, maybe, text, size"
    assert refusal("thing:seven") == f"'thing:seven': 'seven' is not of the form option=value; {valid}"
    assert refusal("bare:7", Bare) == "'bare:7': '7' is not of the form option=value; bare takes no options"


def test_option_types_are_the_annotations():
    assert option_types(Reader) == {"dir": str, "order": str}
    assert option_types(Thing)["maybe"] == int | None
    assert option_types(Bare) == {}


class Cup:
    def __init__(self, drink: Annotated[Literal["tea", "milk"], "it is a cup"] = "tea"):
        self.drink = drink


def test_a_type_may_say_why_it_has_no_other_values():
    check_options(Cup, "cup")
    assert option_types(Cup) == {"drink": Literal["tea", "milk"]}
    assert construct(Cup, parse_spec("cup:drink=milk")).drink == "milk"
    assert refusal("cup:drink=wine", Cup) == (
        "'cup:drink=wine': option drink=wine is not one of tea, milk: it is a cup"
    )


def test_options_have_defaults_or_are_required():
    assert (option_defaults(Reader), required_options(Reader)) == ({"order": "name"}, ["dir"])
    assert (option_defaults(Bare), required_options(Bare)) == ({}, [])
    assert required_options(Thing) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (0.5, "0.5"), (1.0, "1"), (1e-5, "1e-05"), (True, "true"), (False, "false"), ("a", "a")],
)
def test_values_as_a_specification_has_them(value, text):
    assert value_text(value) == text


def test_a_value_is_given_by_its_place_or_by_its_name():
    assert refusal("reader:some/dir:dir=other", Reader) == (
        "'reader:some/dir:dir=other' gives dir twice, as some/dir and as dir=other; give it once"
    )


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("a,b:x=1", ["a", "b:x=1"]),
        (r"a:x=1\,2,b", ["a:x=1,2", "b"]),
        (r"a:x=\,,b", ["a:x=,", "b"]),
        (" a , ,b,", ["a", "b"]),
        ("", []),
    ],
)
def test_a_comma_of_a_value_has_a_backslash(text, specs):
    assert split_specs(text) == specs
    assert split_specs(join_specs(specs)) == specs


def with_option(annotation: Any, default: Any = None) -> type:
    class Made:
        def __init__(self, kind=default):
            self.kind = kind

    if annotation is not None:
        Made.__init__.__annotations__["kind"] = annotation
    return Made


@pytest.mark.parametrize(
    ("annotation", "shown"),
    [
        (Literal[1, 2], "Literal[1, 2]"),
        (Literal["a", 1] | None, "Literal['a', 1] | None"),
        (list[int], "list[int]"),
        (int | Path, "int | pathlib.Path"),
        (Path, "Path"),
        (Any, "Any"),
        (object, "object"),
    ],
)
def test_a_type_that_no_text_can_have_is_refused(annotation, shown):
    with pytest.raises(UserError) as caught:
        check_options(with_option(annotation), "method 'made'")
    message = str(caught.value)
    assert message.startswith("method 'made': option 'kind' has the type ")
    assert "to which no text can be converted; use bool, int, float, str, " in message
    assert shown.rpartition("[")[0] in message


def test_an_option_without_a_type_whose_default_is_no_text_is_refused():
    with pytest.raises(UserError, match=r"^method 'made': option 'kind' has no type; write kind: float$"):
        check_options(with_option(None, 0.5), "method 'made'")
    check_options(with_option(None, "text"), "method 'made'")


def test_a_type_that_is_not_there_is_refused():
    with pytest.raises(UserError, match=r"method 'made': the type of an option is not known .*'Missing'"):
        check_options(with_option("Missing"), "method 'made'")


@pytest.mark.parametrize("cls", [Thing, Reader, Scale, Bare])
def test_types_that_are_converted_are_accepted(cls):
    check_options(cls, "method 'made'")
