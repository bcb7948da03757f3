"""Published protocols by name: a data file each, beside this one. `python -m benchmark reproduce` runs them."""

from __future__ import annotations

from pathlib import Path

from benchmark.protocols.protocol import Protocol
from benchmark.protocols.reading import read_protocol
from methods.errors import UserError
from methods.names import did_you_mean
from methods.paths import given_path

_FOLDER = Path(__file__).parent
_ENDING = ".toml"


def protocol_names() -> list[str]:
    """The names of the protocols that are shipped."""
    return sorted(path.stem for path in _FOLDER.glob(f"*{_ENDING}"))


def find_protocol(asked: str) -> Protocol:
    """A protocol by its name, or by the path of its file, which ends in .toml.

    Raises:
        UserError: there is none, or its file cannot be used.
    """
    if asked.endswith(_ENDING):
        return read_protocol(given_path("reproduce", asked))
    known = protocol_names()
    if asked not in known:
        hint = did_you_mean(asked, known)
        raise UserError(
            f"reproduce: there is no protocol '{asked}': {hint}known are {', '.join(known)}; the name of a file of "
            f"your own ends in {_ENDING}"
        )
    return read_protocol(_FOLDER / f"{asked}{_ENDING}")
