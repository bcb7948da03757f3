"""What this process may use of the machine: as a container allows it, which is less than there is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Where Linux tells of groups of processes, and of the groups of this one.
_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """The processors that this process may use, as many as it is given time of; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(cores, cpu_quota() or cores)


def usable_memory() -> int | None:
    """The bytes of memory that this process may use; None where the system does not tell."""
    if not hasattr(os, "sysconf"):
        return None
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [*_values("", "memory.max"), *_values("memory", "memory.limit_in_bytes")]
    return min([there, *(int(limit) for limit in limits if limit.isdecimal())])


def cpu_quota() -> int | None:
    """So many whole processors' time this process may use, at least 1; None without a limit."""
    shares = [text.split() for text in _values("", "cpu.max")]
    quotas, periods = (_values("cpu", f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    shares += [list(pair) for pair in zip(quotas, periods, strict=False)]
    # Without a limit, the quota is "max" or -1.
    limits = [int(quota) // int(period) for quota, period in shares if quota.isdecimal() and int(period)]
    return max(1, min(limits)) if limits else None


def _values(controller: str, name: str) -> Iterator[str]:
    """What a file says in the groups of this process, each of which limits those in it.

    Args:
        controller: of version 1 of cgroups, which has a tree of groups for each; "" for version 2, which has one tree.
        name: of the file.
    """
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        # In a container, its own group may be at the top of what can be seen, whatever its path is outside.
        paths = [Path(own.lstrip("/")), *Path(own.lstrip("/")).parents]
        for path in dict.fromkeys([*paths, Path()]):
            for top in (_GROUPS / controller,) if controller else (_GROUPS, _GROUPS / "unified"):
                try:
                    yield (top / path / name).read_text().strip()
                except OSError:
                    continue
