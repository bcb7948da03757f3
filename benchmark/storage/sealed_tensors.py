"""Files of tensors that show whether they are undamaged, and what they are of.

They are safetensors files. Their metadata has one entry, because the order of several is not fixed: the JSON object
`about`, whose first entry is the SHA-256 of the file with 64 zeros in place of this checksum.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import safetensors
import safetensors.numpy

from benchmark.files import content_of, write_atomically

#: Name -> values.
Tensors = dict[str, npt.NDArray[Any]]

_ABOUT, _SEAL = "about", "sha256"
_ZEROS = b"0" * 64


def write_tensors(path: Path, tensors: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> None:
    """Write a file atomically.

    Args:
        path: the file.
        tensors: contiguous arrays, by name.
        about: values of JSON that say what they are of.

    Raises:
        StorageError: it cannot be written.
    """
    text = json.dumps({_SEAL: _ZEROS.decode(), **about})
    content = safetensors.numpy.save(dict(tensors), metadata={_ABOUT: text})
    # The metadata stand at the start of the file, so this is the checksum's place.
    write_atomically(path, content.replace(_ZEROS, hashlib.sha256(content).hexdigest().encode(), 1))


def read_sealed(path: Path) -> tuple[Tensors, dict[str, Any]] | None:
    """The tensors in a file, and what it says about them; None if it is missing or damaged.

    Raises:
        VanishedError: it cannot be read.
    """
    content = content_of(path)
    if content is None:
        return None
    try:
        about = json.loads(_metadata(content)[_ABOUT])
        seal = about.pop(_SEAL).encode()
        if hashlib.sha256(content.replace(seal, _ZEROS, 1)).hexdigest().encode() != seal:
            return None
        return safetensors.numpy.load(content), about
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, safetensors.SafetensorError):
        return None


def read_tensors(path: Path, about: Mapping[str, Any]) -> Tensors | None:
    """The tensors in a file; None if it is missing or damaged, or says something else about them.

    Raises:
        VanishedError: it cannot be read.
    """
    found = read_sealed(path)
    return found[0] if found is not None and found[1] == about else None


def _metadata(content: bytes) -> dict[str, str]:
    # A safetensors file begins with the length of its header in 8 bytes, and the header is JSON.
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]
