"""Other tracers that are installed, and how each is told to trace the same calls."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Final

from accel.abi import Abi
from accel.compare.subjects import COMMAND, Absent, Subject
from accel.mask import SyscallMask

__all__ = ["PEERS", "peers"]

_FILTERING: Final = "strace --seccomp-bpf"
PEERS: Final = ("strace", _FILTERING, "bpftrace", "perf trace")
_QUIET: Final = ("-f", "-qq", "-o", os.devnull)

#: Counts calls by number, of a process and of all that come from it; prints the counts at the end.
_BPFTRACE: Final = """\
BEGIN {{ @tree[cpid] = 1; {selected} }}
tracepoint:sched:sched_process_fork /@tree[args->parent_pid]/ {{ @tree[args->child_pid] = 1; }}
tracepoint:raw_syscalls:sys_enter /@tree[tid]{condition}/ {{ @calls[args->id] = count(); }}
END {{ clear(@tree);{forgotten} }}
"""


def peers(calls: str) -> tuple[list[Subject], list[Absent]]:
    """List the tracers by others that are installed, told to trace ``calls``; and who is not.

    strace reads the set itself, whose grammar it is. ``bpftrace`` counts only, ``perf trace`` and
    strace write lines, to /dev/null. Cost: they are looked for, not run.
    """
    found, absent = [], []
    for name, subject in zip(PEERS, _peers(calls), strict=True):
        if name == _FILTERING and not ~SyscallMask.parse(calls):
            absent.append(Absent(name, "of all calls there are none to let pass"))
        elif shutil.which(subject.words[0]):
            found.append(subject)
        else:
            absent.append(Absent(name, f"{subject.words[0]} is not installed"))
    return found, absent


def _peers(calls: str) -> Iterator[Subject]:
    mask = SyscallMask.parse(calls)
    selection = ("-e", f"trace={calls}")
    yield Subject("strace", "lines", words=("strace", *_QUIET, *selection))
    filtering = ("strace", "--seccomp-bpf", *_QUIET, *selection)
    yield Subject(_FILTERING, "lines", words=filtering)
    counting = ("-q", "-o", os.devnull, "-e", _program(mask), "-c", f"/bin/sh {COMMAND}")
    yield Subject("bpftrace", "counts", words=("bpftrace", *counting), is_transparent=False)
    names = _names(mask)
    words = ("perf", "trace", "-o", os.devnull, *names, "--", COMMAND)
    yield Subject("perf trace", "lines", words=words, is_transparent=False)


def _names(mask: SyscallMask) -> list[str]:
    """Select calls as perf does: by name, after an exclamation mark all others."""
    numbers = (~mask if mask.holds_unnamed else mask).numbers(Abi.X86_64)
    names = ",".join(sorted(Abi.X86_64.call_name(number) for number in numbers))
    return ["-e", f"!{names}" if mask.holds_unnamed else names] if names else []


def _program(mask: SyscallMask) -> str:
    numbers = (~mask if mask.holds_unnamed else mask).numbers(Abi.X86_64)
    if not numbers:
        return _BPFTRACE.format(selected="", condition="", forgotten="")
    return _BPFTRACE.format(
        selected=" ".join(f"@named[{number}] = 1;" for number in sorted(numbers)),
        condition=f" && {'!' if mask.holds_unnamed else ''}@named[args->id]",
        forgotten=" clear(@named);",
    )
