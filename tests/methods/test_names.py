import pytest

from methods import methods
from methods.errors import UserError
from methods.names import check_name, did_you_mean, listed, printable
from methods.options import parse_spec
from methods.registry import Registry

UNSHOWN = [
    "\x00",
    "\x1b",
    "\a",
    "\r",
    "\n",
    "\t",
    "\x7f",
    "\x85",
    "\u2028",
    "\u2029",
    "\u202e",
    "\u2066",
    "\udcff",
    "\uffff",
]
SHOWN = ["=1+1", "+x", "@x", "[red]x", "a b", "ünï", "日本", "👩‍🔬", "naïve,quoted\"'", "a/b", "-", "0"]  # fmt: skip


@pytest.mark.parametrize("sign", UNSHOWN, ids=ascii)
def test_a_name_that_cannot_be_shown_is_refused(sign):
    with pytest.raises(UserError) as refusal:
        check_name("task", f"a{sign}b")
    written = ascii(sign)[1:-1]
    assert str(refusal.value).startswith(f"task 'a{written}b' has the character {written} in its name")
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("name", SHOWN)
def test_other_names_are_as_they_are(name):
    check_name("task", name)
    assert printable(name) == name


@pytest.mark.parametrize("name", ["", None, 3, b"bytes"])
def test_a_name_is_text(name):
    with pytest.raises(UserError, match="a name is text, and not empty"):
        check_name("task", name)


@pytest.mark.parametrize("text", ["er:memory=1\x1b]0;x\x07", "folder:a\rb", "mini\x85x"])
def test_specifications_become_labels_and_are_refused_too(text):
    with pytest.raises(UserError, match="has the character"):
        parse_spec(text)


def test_a_registered_name_is_refused():
    with pytest.raises(UserError, match=r"plugin:Bell: method 'a\\x07' has the character"):
        Registry("method").add_lazy("a\a", "plugin:Bell", "")
    with pytest.raises(UserError, match=r"method 'e\\x1bc' has the character"):
        methods.register("e\x1bc")(type("Escape", (), {}))


def test_names_that_could_be_several_are_quoted_in_a_list():
    assert listed(["a b", "c, d", "it's", '"e"', "f\u2019s", " g"]) == "a b, 'c, d', \"it's\", '\"e\"', f\u2019s, ' g'"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("CLR", "did you mean 'clr'? "),
        ("clrr", "did you mean 'clr'? "),
        ("splitmnist", "did you mean 'SplitMNIST'? "),
        ("04 gray", "did you mean '04 grey'? "),
        ("nothing of that", ""),
    ],
)
def test_the_closest_name_is_found_in_any_case(word, hint):
    assert did_you_mean(word, ["ewc", "clr", "SplitMNIST", "04 grey"]) == hint
