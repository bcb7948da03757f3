from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.machine import limits
from benchmark.machine.limits import cpu_quota, usable_cores, usable_memory


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no such limit")
def test_only_cores_that_the_process_may_use_count():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_elsewhere_all_of_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


@pytest.fixture
def grouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """grouped("0::/a/b", {"a/memory.max": "100"}) -> this process is in that group; of the machine's 1000 bytes."""

    def put(own: str, files: dict[str, str]) -> None:
        (tmp_path / "own").write_text(own + "\n")
        for name, text in files.items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        monkeypatch.setattr(limits, "_OWN", tmp_path / "own")
        monkeypatch.setattr(limits, "_GROUPS", tmp_path / "groups")
        monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 100}.__getitem__, raising=False)
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)

    return put


UNLIMITED = str(0x7FFFFFFFFFFFF000)


@pytest.mark.parametrize(
    ("own", "files", "memory", "quota"),
    [
        ("0::/", {}, 1000, None),
        # Version 2: in a container, at the top; elsewhere each group limits those in it.
        ("0::/", {"memory.max": "300", "cpu.max": "250000 100000"}, 300, 2),
        ("0::/", {"memory.max": "max", "cpu.max": "max 100000"}, 1000, None),
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "200", "a/cpu.max": "50000 100000"}, 200, 1),
        ("0::/a/b", {"a/b/memory.max": "100", "a/memory.max": "200", "a/b/cpu.max": "3000 1000"}, 100, 3),
        ("0::/a/b", {"a/memory.max": "5000", "a/cpu.max": "90 10", "a/b/cpu.max": "70 10"}, 1000, 7),
        # Version 1: its path is that outside of the container.
        ("4:memory:/docker/x\n2:cpu,cpuacct:/docker/x", {"memory/memory.limit_in_bytes": "400"}, 400, None),
        (
            "4:memory:/x",
            {"memory/x/memory.limit_in_bytes": "400", "memory/memory.limit_in_bytes": UNLIMITED},
            400,
            None,
        ),
        (
            "2:cpu,cpuacct:/x",
            {"cpu/x/cpu.cfs_quota_us": "400000", "cpu/x/cpu.cfs_period_us": "100000", "cpu/cpu.cfs_quota_us": "-1"},
            1000,
            4,
        ),
        ("2:cpu,cpuacct:/x", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, 1000, None),
    ],
)
def test_a_container_allows_less_than_there_is(
    grouped: Callable[..., None], own: str, files: dict[str, str], memory: int, quota: int | None
):
    grouped(own, files)
    assert usable_memory() == memory
    assert cpu_quota() == quota
    assert usable_cores() == min(8, quota or 8)


def test_without_groups_the_machine_counts(grouped: Callable[..., None], monkeypatch: pytest.MonkeyPatch):
    grouped("0::/", {"memory.max": "300"})
    monkeypatch.setattr(limits, "_OWN", Path("nowhere"))
    assert (usable_memory(), cpu_quota()) == (1000, None)
