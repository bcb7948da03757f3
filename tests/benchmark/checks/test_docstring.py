"""What a docstring says of options and of a paper is read without losing a word."""

from __future__ import annotations

import inspect
import re
from collections import Counter

import pytest

from benchmark.checks.docstring import read_docstring
from methods import methods
from methods.configured import configure

#: Those that need nothing but their name.
NAMES = tuple(name for name in methods.names() if name != "avalanche")

# Of no paper.
PLAIN = {"sgd", "sgd-ll", "linear-probe", "bn-only", "single-task", "joint"}

WHOLE = """One method (Nobody, 2000, arXiv 0001.00001).

    L = CE
      + nothing.

    Args:
        alpha, beta: two weights,
            which differ.
        memory:
            capacity: in images.

    Differs from the paper:
        lr: .003 here, .001 there: eight short epochs.
        labels of a batch: all of them;
          the paper has one.
    """


def test_all_parts_are_read():
    said = read_docstring(WHOLE)
    assert said.paragraphs == ("One method (Nobody, 2000, arXiv 0001.00001).", "L = CE + nothing.")
    assert said.options == (
        ("alpha", "two weights, which differ."),
        ("beta", "two weights, which differ."),
        ("memory", "capacity: in images."),
    )
    assert said.differences == (
        ("lr", ".003 here, .001 there: eight short epochs."),
        ("labels of a batch", "all of them; the paper has one."),
    )
    assert said.stray == ()


@pytest.mark.parametrize(
    ("text", "paragraphs", "options", "differences"),
    [
        ("Only a line.", ("Only a line.",), (), ()),
        ("", (), (), ()),
        ("A.\n\nArgs:\n    a: b.\n\nAfter it.", ("A.", "After it."), (("a", "b."),), ()),
        ("A.\n\nDiffers from the paper:\n    a: b.", ("A.",), (), (("a", "b."),)),
        ("A.\n\nArgs:\n    a: b.\nDiffers from the paper:\n    c: d.", ("A.",), (("a", "b."),), (("c", "d."),)),
        ("A.\n\nDiffers from the paper:\n    c: d.\n\nArgs:\n    a: b.", ("A.",), (("a", "b."),), (("c", "d."),)),
        ("A.\n\nDiffers from the paper:\n    a: b.\n\n    c: d.\n\nZ.", ("A.", "Z."), (), (("a", "b."), ("c", "d."))),
        ("A.\n\nDiffers from the paper:\n    a: b.\n    a: c.", ("A.",), (), (("a", "b."), ("a", "c."))),
        ("A.\n\nDiffers from the paper: much.", ("A.", "Differs from the paper: much."), (), ()),
    ],
)
def test_sections_may_be_missing_and_in_any_order(text, paragraphs, options, differences):
    said = read_docstring(text)
    assert (said.paragraphs, said.options, said.differences, said.stray) == (paragraphs, options, differences, ())


@pytest.mark.parametrize(
    ("lines", "stray"),
    [
        ("    Much is different.", "Much is different."),
        ("  lr: two spaces.", "lr: two spaces."),
        ("        lr: eight spaces.", "lr: eight spaces."),
        ("    lr:", "lr:"),
        ("    lr: .1.\n    and also this", "and also this"),
        ("    - lr", "- lr"),
        ("    fill=:during", "fill=:during"),
    ],
)
def test_what_is_no_item_is_kept_apart(lines, stray):
    assert read_docstring(f"A.\n\nDiffers from the paper:\n{lines}").stray == (stray,)


def own_text(name: str) -> str:
    return inspect.getdoc(configure(name).cls) or ""


@pytest.mark.parametrize("name", NAMES)
def test_no_word_of_a_method_is_lost(name):
    said = read_docstring(own_text(name))
    assert said.stray == ()
    # An entry that names several options says one thing of all.
    entries: dict[str, list[str]] = {}
    for option, meaning in said.options:
        entries.setdefault(meaning, []).append(option)
    parts = [
        *said.paragraphs,
        *(f"{', '.join(options)}: {meaning}" for meaning, options in entries.items()),
        *(f"{topic}: {text}" for topic, text in said.differences),
    ]
    headings = re.compile(r"^(Args|Differs from the paper):$", re.MULTILINE)
    assert Counter(" ".join(parts).split()) == Counter(headings.sub("", own_text(name)).split())


@pytest.mark.parametrize("name", NAMES)
def test_what_differs_stands_in_the_section_and_each_paper_in_the_first_paragraph(name):
    said = read_docstring(own_text(name))
    assert not any(re.match(r"differ\w* from .*paper", text, re.IGNORECASE) for text in said.paragraphs)
    named = re.search(r"\([^()]*\b(19|20)\d\d\b[^()]*\)", said.paragraphs[0])
    assert bool(named) == (name not in PLAIN)
    assert not (said.differences and name in PLAIN)


def test_many_methods_say_what_differs():
    """Known differences of three methods, each from its paper."""
    found = {name: dict(read_docstring(own_text(name)).differences) for name in NAMES}
    assert "`width=10000`" in found["ranpac"]["width"]
    assert "normalises" in found["online-ewc"]["scale"]
    assert "`fill=during`" in found["er"]["memory"]
