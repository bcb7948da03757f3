import subprocess
import sys

import pytest
from matplotlib.lines import Line2D

from benchmark.report.style import RC, method_style

FAMILIES = [
    ["clr", "clr-full", "clr-mixed"],
    ["ewc", "online-ewc", "si", "lwf"],
    ["er", "derpp", "agem", "er-ace", "gdumb"],
    ["psp", "supsup", "piggyback", "packnet", "hat"],
    ["ccll", "eft", "residual-adapters", "conv-lora", "lora"],
    ["confit", "linear-probe", "bpn", "reprogram"],
    ["joint", "single-task"],
    ["sgd", "sgd-ll", "ncm", "slda", "ranpac"],
    ["icarl", "wa", "bic", "cls-er"],
    ["norm-only", "bn-only", "bitfit", "ssf", "adapter", "vpt"],
    ["l2p", "dualprompt", "coda-prompt"],
    ["slca", "aper", "ease", "lae"],
]
NAMES = [name for family in FAMILIES for name in family]
OTHERS = ["ewc:strength=500", "er:memory=200", "er:memory=1000", "avalanche:MASPlugin:lambda_reg=1", "my-method"]


def test_no_two_methods_look_the_same():
    assert len({method_style(name) for name in NAMES + OTHERS}) == len(NAMES + OTHERS)


def test_a_family_has_one_hue_of_its_own():
    hues = [{method_style(name).colour for name in family} for family in FAMILIES]
    assert all(len(hue) == 1 for hue in hues)
    assert len(set.union(*hues)) == len(FAMILIES)


@pytest.mark.parametrize("label", ["ewc:strength=500", "ewc (epochs=16)", "ewc:strength=500 (new)"])
def test_variants_share_the_hue_and_nothing_else(label):
    base, variant = method_style("ewc"), method_style(label)
    assert variant.colour == base.colour
    assert variant.dash != base.dash
    assert variant.marker != base.marker


def test_variants_of_an_unknown_name_share_its_hue():
    assert method_style("mine:a=1").colour == method_style("mine:a=2").colour == method_style("mine").colour


@pytest.mark.parametrize("label", NAMES + OTHERS)
def test_matplotlib_accepts_every_style(label):
    look = method_style(label)
    Line2D([], [], color=look.colour, linestyle=look.dash, marker=look.marker)


def test_a_style_is_the_same_in_every_process():
    code = "from benchmark.report.style import method_style; print(method_style('someone-elses:x=1'))"
    command = [sys.executable, "-c", code]
    seen = subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": "7"}).stdout
    assert seen.strip() == str(method_style("someone-elses:x=1"))


def test_no_text_is_below_eight_points():
    assert min(value for key, value in RC.items() if key.endswith(("labelsize", "titlesize", "font.size"))) >= 8
