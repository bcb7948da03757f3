"""The rooms of the project, what they import, and what is wrong with that: `python scripts/house.py [FOLDER]`.

A room is a folder of methods/, baselines/ or benchmark/, or a file at the top of benchmark/. An arrow is an import,
anywhere in a file, including imports for type checkers. A room's floor is one above the highest room that it
imports. The exit status is 1 if an arrow goes up, if files or rooms import each other in a circle, or if too many
files are at the top.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

#: From the ground up. A room may import the rooms of its own line and of lines above it.
FLOORS = (
    ("methods", "benchmark.progress", "benchmark.workers"),
    ("benchmark.files", "benchmark.declaration", "benchmark.machine", "benchmark.snapshots"),
    ("benchmark.storage",),
    ("benchmark.images.formats",),
    ("benchmark.images",),
    ("baselines.shared", "baselines.avalanche", "benchmark.backbones", "benchmark.streams"),
    ("baselines", "benchmark.backbones.mini", "benchmark.streams.mini"),
    ("benchmark.learning",),
    ("benchmark.task_inference",),
    ("benchmark.config",),
    ("benchmark.results",),
    ("benchmark.report", "benchmark.trackers"),
    ("benchmark.planning",),
    ("benchmark.using",),
    ("benchmark.checks.pretended",),
    ("benchmark.checks",),
    ("benchmark.running.executors",),
    ("benchmark.running",),
    ("benchmark.protocols",),
    ("benchmark.cli", "benchmark.api"),
    ("benchmark.__main__", "benchmark"),
)

#: The most files, of any kind, at the top of benchmark/.
MOST_FILES = 8

Arrows = Mapping[str, set[str]]


@dataclass(frozen=True)
class House:
    """What imports what.

    Attributes:
        files: module -> the modules of this project that it imports.
        rooms: room -> the rooms that it imports.
        why: two rooms -> the modules that make the arrow.
        top: names of the files at the top of benchmark/.
    """

    files: Arrows
    rooms: Arrows
    why: Mapping[tuple[str, str], list[tuple[str, str]]]
    top: tuple[str, ...]

    def upward(self) -> list[tuple[str, str]]:
        """The arrows that go up, or that start or end at a room without a floor."""
        floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
        return [
            (room, other)
            for room, others in sorted(self.rooms.items())
            for other in sorted(others)
            if room not in floor or other not in floor or floor[other] > floor[room]
        ]

    def complaints(self) -> list[str]:
        """What is wrong, one sentence each."""
        found = [f"{' and '.join(circle)} import each other" for circle in circles(self.files)]
        found += [f"{' and '.join(circle)} import each other" for circle in circles(self.rooms)]
        for room, other in self.upward():
            importer, imported = self.why[room, other][0]
            found.append(f"{room} must not import {other}, as {importer} does with {imported}")
        if len(self.top) > MOST_FILES:
            found.append(f"{len(self.top)} files lie at the top of benchmark/, more than {MOST_FILES}")
        return found


def house(root: Path) -> House:
    """The house in a folder."""
    modules = dict(_modules(root))
    files = {module: set(_imported(module, path, modules)) for module, path in modules.items()}
    rooms: dict[str, set[str]] = {_room(module, path, root): set() for module, path in modules.items()}
    why = defaultdict(list)
    for module, others in sorted(files.items()):
        for other in sorted(others):
            arrow = _room(module, modules[module], root), _room(other, modules[other], root)
            if arrow[0] != arrow[1]:
                rooms[arrow[0]].add(arrow[1])
                why[arrow].append((module, other))
    top = tuple(sorted(path.name for path in (root / "benchmark").iterdir() if path.is_file()))
    return House(files, rooms, why, top)


def _modules(root: Path) -> Iterator[tuple[str, Path]]:
    for package in ("methods", "baselines", "benchmark"):
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _room(module: str, path: Path, root: Path) -> str:
    folder = ".".join(path.parent.relative_to(root).parts)
    return module if folder == "benchmark" else folder


def _imported(module: str, path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            # What is imported from a module is a module too, or is inside one.
            while name and name not in modules:
                name = name.rpartition(".")[0]
            if name and name != module:
                yield name


def circles(arrows: Arrows) -> list[list[str]]:
    """Groups in which each member reaches every other along arrows."""
    reached = {start: _reachable(start, arrows) for start in arrows}
    groups = {frozenset(b for b in reached[a] if a in reached[b]) for a in arrows if a in reached[a]}
    return sorted(map(sorted, groups))


def _reachable(start: str, arrows: Arrows) -> set[str]:
    found: set[str] = set()
    waiting = list(arrows[start])
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += arrows[each]
    return found


def floors(rooms: Arrows) -> dict[str, int]:
    """Room -> its current floor, if there are no circles."""
    found: dict[str, int] = {}
    for room in TopologicalSorter(rooms).static_order():
        found[room] = 1 + max((found[other] for other in rooms[room]), default=-1)
    return found


def main(arguments: Iterable[str]) -> int:
    """Print the house and return the exit status."""
    built = house(Path(next(iter(arguments), Path(__file__).parents[1])))
    round_trips = circles(built.rooms)
    if not round_trips:
        for room, floor in sorted(floors(built.rooms).items(), key=lambda item: item[::-1]):
            print(f"{floor:2} {room}: {', '.join(sorted(built.rooms[room])) or '-'}")
    arrows = sum(map(len, built.rooms.values()))
    print(f"{len(built.rooms)} rooms, {arrows} arrows, {len(built.upward())} of them upward, ", end="")
    print(f"{len(circles(built.files))} circles of files and {len(round_trips)} of rooms")
    print(f"{len(built.top)} files at the top of benchmark/: {', '.join(built.top)}")
    complaints = built.complaints()
    print(*complaints, sep="\n" if complaints else "")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
