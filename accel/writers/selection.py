"""Which of the selected calls are shown: by success (-z, -Z) and by path (-P)."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from accel.call import Call, Memory
from accel.roles import Role, signature
from accel.scalars import value_of
from accel.stops import SyscallEntryStop, SyscallExitStop, read_string
from bpf.value import frozen

__all__ = ["Selection", "descriptor_path"]

_PATH_MAX = 4096


@frozen
class Selection:
    """Show only calls that succeeded, or failed, or that use one of some paths."""

    successful: bool = False
    failed: bool = False
    paths: frozenset[str] = frozenset()

    @classmethod
    def of_paths(cls, paths: Collection[str]) -> Selection:
        """Select by paths, as they are written and as the current directory completes them."""
        return cls(paths=frozenset({os.path.abspath(path) for path in paths} | {*paths}))

    @property
    def by_status(self) -> bool:
        """Whether a call can only be judged when it has returned."""
        return self.successful or self.failed

    def shows_call(self, stop: SyscallEntryStop | SyscallExitStop) -> bool:
        """Judge a call by what it uses."""
        if not self.paths:
            return True
        return any(path in self.paths for path in _paths(stop.call, stop.memory))

    def shows_exit(self, stop: SyscallExitStop) -> bool:
        """Judge a call by its result; one that never returned has neither succeeded nor failed."""
        if not self.by_status:
            return True
        if stop.result is None:
            return False
        return self.failed if stop.error else self.successful


def _paths(call: Call, memory: Memory) -> Iterator[str]:
    """List the files that the arguments name: by path, or by an open descriptor."""
    for argument, register in zip(signature(call.abi, call.name), call.arguments, strict=False):
        if argument.role is Role.PATH:
            name = os.fsdecode(read_string(memory, register, _PATH_MAX))
            yield name
            yield os.path.realpath(name)
        elif argument.role in (Role.FD, Role.DIRFD):
            path = descriptor_path(call.tid, value_of(argument, call.abi, register))
            if path is not None:
                yield path


def descriptor_path(tid: int, descriptor: int) -> str | None:
    """Tell what a descriptor of a tracee is open on; None if it is not open. One readlink(2)."""
    try:
        return os.readlink(f"/proc/{tid}/fd/{descriptor}")
    except OSError:
        return None
