"""How a method looks in every figure of every run: this follows from its label alone, not from the other methods."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from methods.names import method_name

Dash = str | tuple[float, tuple[float, ...]]

# Okabe & Ito's palette, safe for colour-blind readers. A grey replaces its yellow, which is hard to see on white.
_VERMILLION, _BLUE, _GREEN, _PINK, _SKY, _ORANGE, _BLACK, _GREY = _COLOURS = (
    "#D55E00",
    "#0072B2",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#000000",
    "#7F7F7F",
)
# More hues, from Paul Tol's palettes. A name that is not in the table does not get them.
_WINE = "#882255"
_TEAL = "#44AA99"
_OLIVE = "#999933"
_INDIGO = "#332288"

# One hue per family; within it, each name has its own dash and marker, so that a figure can be printed in grey.
_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (_VERMILLION, ("clr", "clr-full", "clr-mixed")),
    (_BLUE, ("ewc", "online-ewc", "si", "lwf")),
    (_GREEN, ("er", "derpp", "agem", "er-ace", "gdumb")),
    (_PINK, ("psp", "supsup", "piggyback", "packnet", "hat")),
    (_SKY, ("ccll", "eft", "residual-adapters", "conv-lora", "lora")),
    (_ORANGE, ("bn-only", "confit", "linear-probe", "bpn", "reprogram")),
    (_BLACK, ("joint", "single-task")),
    (_GREY, ("sgd", "sgd-ll", "ncm", "slda", "ranpac")),
    (_WINE, ("icarl", "wa", "bic", "cls-er")),
    (_TEAL, ("norm-only", "bitfit", "ssf", "adapter", "vpt")),
    (_OLIVE, ("l2p", "dualprompt", "coda-prompt")),
    (_INDIGO, ("slca", "aper", "ease", "lae")),
)
_FAMILY_DASHES: tuple[Dash, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2.5)))
_FAMILY_MARKERS = "os^Dv"

# Variants and external methods use these, so that they never look like a known name.
_OTHER_DASHES: tuple[Dash, ...] = (
    (0, (3, 1)),
    (0, (2, 2)),
    (0, (7, 1.2, 2, 1.2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (1, 2)),
    (0, (9, 1.5, 1, 1.5, 1, 1.5)),
    (0, (4, 3)),
)
_OTHER_MARKERS = "PX*<>phd"


@dataclass(frozen=True)
class MethodStyle:
    """How one method is drawn: a Matplotlib colour, line style and marker."""

    colour: str
    dash: Dash
    marker: str


_KNOWN = {
    name: MethodStyle(colour, _FAMILY_DASHES[k], _FAMILY_MARKERS[(family + k) % len(_FAMILY_MARKERS)])
    for family, (colour, names) in enumerate(_FAMILIES)
    for k, name in enumerate(names)
}
# The older name of a method has its colour.
_KNOWN["bn-only"] = replace(_KNOWN["bn-only"], colour=_KNOWN["norm-only"].colour)


def method_style(label: str) -> MethodStyle:
    """The style of a method's label: `ewc`, `ewc:strength=500`, or `ewc (epochs=16)` in a comparison of runs.

    Variants of one name share its colour; a name that is not in the table gets a colour from its hash.
    """
    if label in _KNOWN:
        return _KNOWN[label]
    name = method_name(label)
    colour = _KNOWN[name].colour if name in _KNOWN else _COLOURS[_hash(name) % len(_COLOURS)]
    which, dash = divmod(_hash(label), len(_OTHER_DASHES))
    return MethodStyle(colour, _OTHER_DASHES[dash], _OTHER_MARKERS[which % len(_OTHER_MARKERS)])


# Ways to answer without knowing the task; a rule looks the same in every figure.
_ANSWERS = {
    "joint softmax": MethodStyle(_BLACK, "-", "s"),
    "one head": MethodStyle(_BLACK, "-", "D"),
    "max-softmax": MethodStyle(_SKY, "-", "o"),
    "entropy": MethodStyle(_BLUE, "-", "^"),
    "energy": MethodStyle(_GREEN, "-", "v"),
    "centres": MethodStyle(_VERMILLION, "-", "o"),
    "gmm": MethodStyle(_ORANGE, "-", "D"),
    "mahalanobis": MethodStyle(_PINK, "-", "P"),
}


def answer_style(way: str) -> MethodStyle:
    """The style of a way to answer without knowing the task, as inference.csv calls it."""
    return _ANSWERS.get(way) or method_style(way)


def _hash(text: str) -> int:
    # Python's own hash() differs between processes.
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:8], "big")


#: For what methods store, by kind, as in results/stored.py; the backbone is pale, because every method needs it.
STORED_COLOURS = ("#D4D4D4", _BLUE, _VERMILLION, _ORANGE, _GREEN, _PINK)

TEXT = "#222222"
QUIET = "#767676"
GRID = "#E4E4E4"

#: Matplotlib settings for figures that are 3.4 to 7 inches wide on paper: text of 8 points or more, data in front.
RC: dict[Any, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 9,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "text.color": TEXT,
    # Labels and task names come from other people: a dollar sign in them is just a dollar sign.
    "text.parse_math": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "lines.markeredgewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 200,
    # Text stays text, so that it can be searched, copied and edited; the salt gives the same ids in every run.
    "svg.fonttype": "none",
    "svg.hashsalt": "continual-benchmark",
}
