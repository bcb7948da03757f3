"""Names in any writing are drawn with another font of the machine, or a sentence says which characters are missing."""

import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from benchmark.cli import main
from benchmark.cli.options import Command
from benchmark.report import fonts
from benchmark.report.fonts import drawing
from methods.errors import Notice

# Matplotlib brings this one too, and it has characters that the usual font lacks.
OTHER = font_manager.findfont("STIXNonUnicode")
USUAL = font_manager.findfont("DejaVu Sans")
(RARE, *_) = sorted(set(FT2Font(OTHER).get_charmap()) - set(FT2Font(USUAL).get_charmap()))
CHINESE = "数字"


def pixels(text):
    figure = Figure(figsize=(1, 0.3), dpi=100)
    figure.text(0, 0.2, text)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 0].copy()


@pytest.fixture
def machine(monkeypatch):
    """machine(*paths): the fonts of a machine."""
    return lambda *paths: monkeypatch.setattr(font_manager, "findSystemFonts", lambda: list(paths))


def test_characters_that_the_usual_font_lacks_come_from_another_one(machine):
    machine(OTHER)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with drawing(["clr", chr(RARE)]):
            drawn = pixels(chr(RARE))
    with mpl.rc_context({"font.family": ["STIXNonUnicode"], "font.size": 8}):
        expected = pixels(chr(RARE))
    assert (drawn < 128).sum() == (expected < 128).sum() > 0


def test_without_such_a_font_one_sentence_says_so(machine):
    machine()
    expected = f"no font of this machine has the characters {CHINESE}, so that the .png"
    with pytest.warns(UserWarning, match=expected) as said, drawing(["clr", CHINESE]):
        pixels(CHINESE)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("text", "fonts"),
    [
        ("中文鳥", "Noto Sans CJK"),
        ("ひらカタ한글", "Noto Sans CJK"),
        ("🐦", "Noto Emoji"),
        ("🐦鳥🦜", "Noto Emoji and Noto Sans CJK"),
        ("ᚠ", "a font that has them"),
        ("ᚠ鳥", "Noto Sans CJK and a font that has the others"),
    ],
)
def test_the_font_to_install_has_the_characters(machine, text, fonts):
    machine()
    with pytest.warns(Notice, match=f"in their place; install {fonts} and run report again"), drawing([text]):
        pass


def test_the_command_line_prints_the_sentence_alone(machine, monkeypatch, capsys):
    machine()

    def draw(arguments, argv):
        with drawing([CHINESE]):
            warnings.warn("of another package", stacklevel=1)
        return 0

    monkeypatch.setattr(main, "_COMMANDS", (Command("draw", "", draw),))
    with pytest.warns(UserWarning, match="of another package") as others:
        assert main.main(["draw"]) == 0
    assert len(others) == 1
    line, *more = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: no font of this machine has the characters {CHINESE}, so")
    assert not more


def test_usual_names_ask_for_no_font(monkeypatch):
    monkeypatch.setattr(fonts, "_machine_fonts", lambda: pytest.fail("asked for"))
    with drawing(["ewc:strength=500", "größer", "дерево", "ψ"]):
        assert mpl.rcParams["font.family"] == ["sans-serif"]


def test_what_is_no_font_is_left_out(machine, tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    machine(str(tmp_path / "broken.ttf"), OTHER)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with drawing([chr(RARE)]):
            assert mpl.rcParams["font.family"][1:] == [FT2Font(OTHER).family_name]
