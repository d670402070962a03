"""The kernel's always-allow cache: which calls skip a filter because it cannot but allow them.

When a filter is installed, Linux 5.11 and later run it in an emulator for every number of both
architectures (seccomp_is_const_allow, kernel/seccomp.c; commit 8e01b51a31a1 "seccomp/cache: Add
'emulator' to check if filter is constant allow"). Calls that it allows knowing nothing but
architecture and number go into a bitmap and never run it again.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Final

from bpf import data
from bpf import instruction as op
from bpf.action import SECCOMP_RET_ALLOW
from bpf.program import Program

__all__ = ["is_constant_allow"]

_TESTS: Final[dict[int, Callable[[int, int], object]]] = {
    op.BPF_JMP | op.BPF_JEQ | op.BPF_K: operator.eq,
    op.BPF_JMP | op.BPF_JGT | op.BPF_K: operator.gt,
    op.BPF_JMP | op.BPF_JGE | op.BPF_K: operator.ge,
    op.BPF_JMP | op.BPF_JSET | op.BPF_K: operator.and_,
}


def is_constant_allow(program: Program, arch: int, number: int) -> bool:
    """Tell whether the kernel's emulator finds that ``program`` always allows a call.

    It knows no more than the kernel's: any instruction beyond loads of nr and arch, comparisons
    with constants, AND with a constant, jumps and constant returns makes it give up. The kernel
    also caches, whatever the filter says, uretprobe and uprobe of x86_64 (335 since 6.14, 336 since
    6.18), and for an earlier filter that does not allow a call, nothing.
    """
    known = {data.NR: number & 0xFFFFFFFF, data.ARCH: arch}
    accumulator = pc = 0
    while pc < len(program):
        instruction = program[pc]
        code, k = instruction.code, instruction.k
        pc += 1
        if code == op.BPF_LD | op.BPF_W | op.BPF_ABS and k in known:
            accumulator = known[k]
        elif code == op.BPF_RET | op.BPF_K:
            return k == SECCOMP_RET_ALLOW
        elif code == op.BPF_JMP | op.BPF_JA:
            pc += k
        elif code in _TESTS:
            pc += instruction.jt if _TESTS[code](accumulator, k) else instruction.jf
        elif code == op.BPF_ALU | op.BPF_AND | op.BPF_K:
            accumulator &= k
        else:
            return False
    return False
