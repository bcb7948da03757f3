"""What a model card says of the images that a network takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmark.storage.folder import RunFolder
from benchmark.storage.manifest import Manifest
from benchmark.using.card import as_markdown, card_of
from benchmark.using.learned import read_learned


def test_the_card_says_how_the_run_read_its_images(tasked: Path) -> None:
    learned = read_learned(RunFolder(tasked), "clr")
    size = learned.image_size
    squeezed = card_of(learned, [1], 1, False)["input"]["before"]
    assert squeezed == (
        "turn it upright as its EXIF tag says; lay transparent parts on white; resize it to "
        f"{size}x{size}, whatever its shape, with bilinear filtering and antialiasing; the normalisation is inside"
    )
    settings = learned.manifest.settings | {"resize": "crop", "grey_range": [0, 4095]}
    other = replace(learned, manifest=Manifest(learned.manifest | {"settings": settings}))
    said = card_of(other, [1], 1, False)["input"]["before"]
    assert "cut out the largest square in its middle; resize it to" in said
    assert "so that 0 is black and 4095 is white" in said


def test_names_keep_their_meaning_in_the_card_for_people(tasked: Path) -> None:
    card = card_of(read_learned(RunFolder(tasked), "clr"), [1], 1, False)
    task = card["tasks"][0] | {"name": "a|b, *c*", "classes": ["<b>bold<", "Vögel, wild", "cat"]}
    lines = as_markdown(card | {"tasks": [task]}, "").splitlines()
    assert lines[0] == r"# clr: 'a\|b, \*c\*'"
    assert r"- 'a\|b, \*c\*', from logit 0: \<b\>bold\<, 'Vögel, wild', cat" in lines
    (row,) = [line for line in lines if line.startswith("| a")]
    assert row.startswith(r"| a\|b, \*c\* | 3 | ")
