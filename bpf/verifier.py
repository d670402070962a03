"""The checks that a program passes before the kernel accepts it as a seccomp filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from bpf import data
from bpf import instruction as op
from bpf.errors import InvalidProgram
from bpf.instruction import Instruction
from bpf.program import Program

__all__ = ["verify"]

_LOAD: Final = op.BPF_LD | op.BPF_W | op.BPF_ABS
_RETURNS: Final = frozenset({op.BPF_RET | op.BPF_K, op.BPF_RET | op.BPF_A})
_STORES: Final = frozenset({op.BPF_ST, op.BPF_STX})
_RECALLS: Final = frozenset({op.BPF_LD | op.BPF_MEM, op.BPF_LDX | op.BPF_MEM})
_BRANCHES: Final = frozenset(
    op.BPF_JMP | operation | source
    for operation in (op.BPF_JEQ, op.BPF_JGT, op.BPF_JGE, op.BPF_JSET)
    for source in (op.BPF_K, op.BPF_X)
)
_ARITHMETIC: Final = frozenset(
    op.BPF_ALU | operation | source
    for operation in (
        op.BPF_ADD,
        op.BPF_SUB,
        op.BPF_MUL,
        op.BPF_DIV,
        op.BPF_OR,
        op.BPF_AND,
        op.BPF_LSH,
        op.BPF_RSH,
        op.BPF_XOR,
    )
    for source in (op.BPF_K, op.BPF_X)
)
#: The list of seccomp_check_filter: no packet access, and no BPF_MOD.
_ALLOWED: Final = (
    _RETURNS
    | _STORES
    | _RECALLS
    | _BRANCHES
    | _ARITHMETIC
    | {_LOAD, op.BPF_LD | op.BPF_W | op.BPF_LEN, op.BPF_LDX | op.BPF_W | op.BPF_LEN}
    | {
        op.BPF_LD | op.BPF_IMM,
        op.BPF_LDX | op.BPF_IMM,
        op.BPF_MISC | op.BPF_TAX,
        op.BPF_MISC | op.BPF_TXA,
    }
    | {op.BPF_ALU | op.BPF_NEG, op.BPF_JMP | op.BPF_JA}
)
_SHIFTS: Final = frozenset({op.BPF_ALU | op.BPF_LSH | op.BPF_K, op.BPF_ALU | op.BPF_RSH | op.BPF_K})


def verify(program: Program) -> None:
    """Raise InvalidProgram, with the reason, if the kernel would refuse ``program`` (EINVAL).

    Mirrors bpf_check_classic (net/core/filter.c) and seccomp_check_filter (kernel/seccomp.c), which
    look at unreachable instructions too.
    """
    if not 0 < len(program) <= op.BPF_MAXINSNS:
        raise InvalidProgram(
            f"a program has 1 to {op.BPF_MAXINSNS} instructions, this one has {len(program)}"
        )
    for pc, instruction in enumerate(program):
        for reason in _refusals(instruction, len(program) - pc - 1):
            raise InvalidProgram(f"instruction {pc}: {reason}")
    if program[-1].code not in _RETURNS:
        raise InvalidProgram("the last instruction is no return")
    _check_memory(program)


def _refusals(instruction: Instruction, following: int) -> Iterator[str]:
    """Say what is wrong with one instruction that has ``following`` others behind it."""
    code, k = instruction.code, instruction.k
    if code not in _ALLOWED:
        yield f"code {code:#x} is not allowed in a seccomp filter"
    if code == _LOAD and (k >= data.SIZE or k % 4):
        yield f"offset {k} is no word of struct seccomp_data"
    if code == op.BPF_ALU | op.BPF_DIV | op.BPF_K and k == 0:
        yield "division by zero"
    if code in _SHIFTS and k >= 32:
        yield f"shift by {k} bits"
    if code in _STORES | _RECALLS and k >= op.BPF_MEMWORDS:
        yield f"M[{k}] does not exist"
    if code == op.BPF_JMP | op.BPF_JA and k >= following:
        yield "jump past the end"
    if code in _BRANCHES and max(instruction.jt, instruction.jf) >= following:
        yield "jump past the end"


def _check_memory(program: Iterable[Instruction]) -> None:
    """Refuse a program that may read a word of M that it has not written on the way.

    ``check_load_and_stores``: jumps only go forward, so that one pass sees every way.
    """
    everything = (1 << op.BPF_MEMWORDS) - 1
    at_target: dict[int, int] = {}
    stored = 0
    for pc, instruction in enumerate(program):
        code, following = instruction.code, pc + 1
        stored &= at_target.pop(pc, everything)
        if code in _STORES:
            stored |= 1 << instruction.k
        elif code in _RECALLS and not stored >> instruction.k & 1:
            raise InvalidProgram(f"instruction {pc}: M[{instruction.k}] was not written before")
        elif code & op.CLASS_MASK == op.BPF_JMP:
            jumps = (
                (instruction.k,)
                if code == op.BPF_JMP | op.BPF_JA
                else (instruction.jt, instruction.jf)
            )
            for target in (following + jump for jump in jumps):
                at_target[target] = at_target.get(target, everything) & stored
            # Whatever follows is reached by a jump, or not at all.
            stored = everything
