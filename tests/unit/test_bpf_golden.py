"""Golden disassemblies: what a filter looks like is reviewed as text.

After an intended change, ``ACCEL_WRITE_GOLDEN=1 pytest tests/unit/test_bpf_golden.py`` writes the
files anew; the difference is then part of the commit.
"""

import errno
import os
from pathlib import Path

import pytest

import bpf
from accel.abi import Abi
from bpf import Action, Arch, Condition, Rule

GOLDEN = Path(__file__).parents[1] / "golden"
ABIS = {Arch.X86_64: Abi.X86_64, Arch.I386: Abi.I386}


def name(arch, number):
    """Name a call for the comments of a disassembly."""
    return ABIS[arch].names.get(number)


def rules(names, action, *conditions, arches=tuple(Arch)):
    """Make one rule for each of the named calls that an ABI has."""
    return {
        arch: [
            Rule(ABIS[arch].numbers[call], action, conditions)
            for call in names.split()
            if call in ABIS[arch].numbers
        ]
        for arch in arches
    }


SIXTY = (
    "read write open close stat fstat lstat poll lseek mmap mprotect munmap brk ioctl pread64"
    " pwrite64 readv writev access pipe select sched_yield mremap msync mincore madvise dup dup2"
    " pause nanosleep getitimer alarm setitimer getpid sendfile socket connect sendto recvfrom"
    " sendmsg recvmsg shutdown bind listen getsockname getpeername socketpair setsockopt getsockopt"
    " clone fork vfork execve exit wait4 kill uname openat openat2 statx"
)
TRACE = Action.trace(0xAC00)

FILTERS = {
    "one-call": rules("openat", TRACE),
    "three-calls": rules("openat execve exit_group", TRACE),
    "sixty-calls": rules(SIXTY, TRACE),
    "conditions": {
        arch: [
            # An int: its low word only. Then a mask, an ordered long, and several rules for a call.
            *rules("write", Action.allow(), Condition(0, "==", 2, None, 32))[arch],
            *rules("write", TRACE)[arch],
            *rules("openat", TRACE, Condition(2, "!=", 0, 0o100, 32))[arch],
            *rules("mmap", TRACE, Condition(1, ">=", 0x1_0000_2000))[arch],
        ]
        for arch in (Arch.X86_64,)
    },
    "actions-by-abi": {
        **rules("openat getuid socket", TRACE, arches=(Arch.X86_64,)),
        **rules("openat getuid32 socketcall", Action.errno(errno.ENOSYS), arches=(Arch.I386,)),
    },
    "everything": {arch: [Rule(number, TRACE) for number in range(400)] for arch in (Arch.X86_64,)},
}


@pytest.mark.parametrize("title", FILTERS)
def test_a_filter_reads_as_its_golden_file(title):
    """The disassembly of each of these filters is the text that was reviewed."""
    program = bpf.compile(
        FILTERS[title],
        default=Action.allow(),
        unknown_arch=Action.trace(0xFFFF),
        x32=Action.trace(0xFFFE),
    )
    text = bpf.disassemble(program, name) + "\n"
    path = GOLDEN / f"{title}.txt"
    if os.environ.get("ACCEL_WRITE_GOLDEN") == "1":
        path.write_text(text)
    assert text == path.read_text()
