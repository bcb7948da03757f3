import itertools

import pytest

from benchmark.report.labels import shorten_all
from benchmark.report.layout import text_inches

STRENGTHS = [f"ewc:strength={value}:samples=20:bn=frozen" for value in (100, 500)]
GRID = [
    f"ewc:strength={strength}:samples={samples}:bn={bn}"
    for strength, samples, bn in itertools.product((100, 500, 1000), (20, 50), ("frozen", "shared"))
]


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (STRENGTHS, ["100", "500"]),
        ([f"ewc:strength={k}:samples=20:bn=frozen (2 of 4 tasks)" for k in (100, 500)], ["100", "500"]),
        ([STRENGTHS[0], f"{STRENGTHS[1]} (2 of 4 tasks)", "er", "clr"], ["100", "500"]),
        ([f"sketches_of_{what}_in_black_and_white_v2" for what in ("birds", "cars")], ["birds", "cars"]),
        ([f"手写识别数据集第{what}部分训练与测试" for what in "一二"], ["一", "二"]),
    ],
)
@pytest.mark.parametrize("inches", [0.95, 1.13, 1.6])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_what_differs_stays(texts, kept, inches):
    shown = shorten_all(texts, inches)
    for text, own in zip(shown, kept, strict=False):
        assert own in text
        assert text_inches(text) <= inches


@pytest.mark.parametrize(
    "texts",
    [
        GRID,
        [f"{'x' * 40}{k}{'y' * 40}" for k in "ab"],
        [f"er:memory={'q' * k}" for k in range(60, 64)],
        [f"{'A' * 30}{a}{'B' * 30}{b}" for a in "pq" for b in "rs"],
        [f"method-number-{k}-of-many-methods-with-a-name" for k in range(30)],
    ],
)
@pytest.mark.parametrize("inches", [0.95, 1.6, 2.3])
def test_no_two_texts_become_the_same(texts, inches):
    shown = shorten_all(texts, inches)
    assert len(set(shown)) == len(texts)
    assert max(map(text_inches, shown)) <= inches


def test_what_fits_stays_as_it_is():
    assert shorten_all(["clr", "ewc:strength=500", "clr"], 1.6) == ["clr", "ewc:strength=500", "clr"]


def test_an_option_stays_with_its_name_where_there_is_room():
    assert shorten_all(STRENGTHS, 1.6) == ["ewc:strength=100:…", "ewc:strength=500:…"]


def test_a_text_without_relatives_keeps_its_beginning_and_its_end():
    (shown,) = shorten_all(["avalanche:SomeVeryLongPluginName:lambda_reg=1"], 1.5)
    assert shown.startswith("avalanche")
    assert shown.endswith("reg=1")
