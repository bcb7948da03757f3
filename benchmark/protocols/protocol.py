"""A published protocol: what is run, and which numbers it must give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.files import user_cache
from benchmark.storage.published import Published, Target
from methods.errors import UserError
from methods.options import join_specs
from methods.paths import given_path

#: Stands in options for the folder of --data.
DATA = "{data}"


@dataclass(frozen=True)
class Data:
    """The data that a part needs.

    Attributes:
        needs: what they are, and their layout in the folder of --data, which is called DIR.
        source: where they can be had.
        files: what must be in that folder.
        download: whether the stream downloads them where --data is not given.
    """

    needs: str
    source: str
    files: tuple[str, ...]
    download: bool = False

    def folder(self, given: str | None, protocol: str) -> str:
        """The folder of the data, after a check that they are there.

        Args:
            given: the value of --data.
            protocol: the protocol's name, for messages.

        Raises:
            UserError: they are missing.
        """
        if given is None:
            if self.download:
                # Where streams put what they download.
                return str(user_cache() / "datasets")
            raise UserError(f"reproduce {protocol} needs --data DIR with {self.needs}; get them from {self.source}")
        folder = given_path("--data", given, home=True)
        for name in self.files:
            if not (folder / name).exists():
                raise UserError(
                    f"--data {given}: there is no {folder / name}; {protocol} needs a folder DIR with {self.needs}; "
                    f"get them from {self.source}"
                )
        return str(folder)


@dataclass(frozen=True)
class Part:
    """One run of a protocol.

    Attributes:
        name: empty if the protocol has one part.
        options: of `run`, by name; {data} stands in them for the folder of --data.
        methods: name of a row -> the specification of its method.
        targets: the published numbers.
        data: the data that it needs; None for a stream without files.
        differs: what it does otherwise than the source, a sentence each.
    """

    name: str
    options: Mapping[str, Any]
    methods: Mapping[str, str]
    targets: tuple[Target, ...]
    data: Data | None
    differs: tuple[str, ...]

    def only(self, rows: frozenset[str]) -> Part:
        """The same with only some of its rows."""
        return replace(
            self,
            methods={row: spec for row, spec in self.methods.items() if row in rows},
            targets=tuple(target for target in self.targets if target.row in rows),
        )

    def run_options(self, data: str) -> dict[str, Any]:
        """The values of `run`'s options.

        Args:
            data: the folder of the data; empty if it needs none.
        """
        filled = {
            name: value.replace(DATA, data) if isinstance(value, str) else value for name, value in self.options.items()
        }
        return filled | {"methods": join_specs(self.methods.values())}


@dataclass(frozen=True)
class Protocol:
    """A published protocol.

    Attributes:
        name: the name of its file, without the ending.
        path: its file.
        title, source: what is reproduced; who published it, and where.
        parts: its runs.
    """

    name: str
    path: Path
    title: str
    source: str
    parts: tuple[Part, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        """The names of its rows, those of all parts."""
        return tuple(dict.fromkeys(row for part in self.parts for row in part.methods))

    def published(self, part: Part, departures: tuple[str, ...]) -> Published:
        """What the run of a part is to reproduce.

        Args:
            part: one of the parts, or one with fewer rows.
            departures: what the run does otherwise than the protocol says.
        """
        return Published(self.name, part.name, self.title, self.source, part.targets, part.differs, departures)
