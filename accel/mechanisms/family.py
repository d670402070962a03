"""The processes of a command that nothing traces: found in /proc, and killed by pidfd."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

from accel._kernel import notify

__all__ = ["began_at", "kill_family"]


def began_at(pid: int) -> int:
    """Tell when a process began, in clock ticks since boot; 0 if it is gone. proc(5)."""
    return _parent_and_beginning(pid)[1]


def kill_family(known: Mapping[int, int]) -> None:
    """Kill the processes of ``known`` that still are the ones that began then, and all descendants.

    A process whose parent has ended is init's child, and nobody's descendant here. Cost: reading
    one file of /proc for each process of the host.
    """
    table = {pid: _parent_and_beginning(pid) for pid in _processes()}
    family = [pid for pid, began in known.items() if pid in table and table[pid][1] == began]
    # Parents first, and those that have lived longest: what waits for a child must not go on.
    family.sort(key=lambda pid: table[pid][1])
    for pid in family:  # It grows.
        _kill(pid, table[pid][1])
        family += [
            child
            for child, (parent, _began) in table.items()
            if parent == pid and child not in family
        ]


def _kill(pid: int, began: int) -> None:
    """Kill a process, unless the pid is another's by now."""
    with contextlib.suppress(OSError):
        pidfd = notify.pidfd_open(pid)
        try:
            if began_at(pid) == began:
                notify.kill_by(pidfd)
        finally:
            os.close(pidfd)


def _processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _parent_and_beginning(pid: int) -> tuple[int, int]:
    """Read fields 4 and 22 of stat; zeros if the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[1]), int(fields[19])
