"""Runs a program on one system call as the kernel would: the oracle of every test of a filter."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Final

from bpf import instruction as op
from bpf.action import Action
from bpf.data import SIZE, SeccompData
from bpf.instruction import Instruction
from bpf.program import Program
from bpf.verifier import verify

__all__ = ["evaluate"]

_WORD: Final = 0xFFFFFFFF
#: What dividing by an index register of 0 ends the program with: SECCOMP_RET_KILL_THREAD.
_DIVIDED_BY_ZERO: Final = 0

_ALU: Final[dict[int, Callable[[int, int], int]]] = {
    op.BPF_ADD: operator.add,
    op.BPF_SUB: operator.sub,
    op.BPF_MUL: operator.mul,
    op.BPF_DIV: operator.floordiv,
    op.BPF_OR: operator.or_,
    op.BPF_AND: operator.and_,
    op.BPF_XOR: operator.xor,
    # Of an index register only the low five bits count, as for the processor's own shifts.
    op.BPF_LSH: lambda a, b: a << (b & 31),
    op.BPF_RSH: lambda a, b: a >> (b & 31),
    op.BPF_NEG: lambda a, _: -a,
}
_TESTS: Final[dict[int, Callable[[int, int], object]]] = {
    op.BPF_JEQ: operator.eq,
    op.BPF_JGT: operator.gt,
    op.BPF_JGE: operator.ge,
    op.BPF_JSET: operator.and_,
}


def evaluate(program: Program, call: SeccompData) -> Action:
    """Return what ``program`` answers to ``call``; raise InvalidProgram if it is not valid."""
    _verify_once(program)
    return Action(_Machine(call).run(program))


@functools.lru_cache(maxsize=256)
def _verify_once(program: Program) -> None:
    verify(program)


class _Machine:
    """The registers and the memory of classic BPF, and the call that a filter looks at."""

    __slots__ = ("a", "memory", "words", "x")

    def __init__(self, call: SeccompData) -> None:
        self.words = call.words()
        self.memory = [0] * op.BPF_MEMWORDS
        self.a = self.x = 0

    def run(self, program: Program) -> int:
        """Execute a verified program: it never leaves its instructions, and it returns."""
        pc = 0
        while True:
            instruction = program[pc]
            code, k = instruction.code, instruction.k
            pc += 1
            match code & op.CLASS_MASK:
                case op.BPF_RET:
                    return self.a if code & op.BPF_A else k
                case op.BPF_JMP:
                    pc += self._jump(instruction)
                case op.BPF_ALU:
                    operand = self.x if code & op.BPF_X else k
                    operation = code & op.OP_MASK
                    if operation == op.BPF_DIV and operand == 0:
                        return _DIVIDED_BY_ZERO
                    self.a = _ALU[operation](self.a, operand) & _WORD
                case _:
                    self._move(code, k)

    def _jump(self, instruction: Instruction) -> int:
        code, k = instruction.code, instruction.k
        if code == op.BPF_JMP | op.BPF_JA:
            return k
        holds = _TESTS[code & op.OP_MASK](self.a, self.x if code & op.BPF_X else k)
        return instruction.jt if holds else instruction.jf

    def _move(self, code: int, k: int) -> None:
        match code & op.CLASS_MASK:
            case op.BPF_LD:
                self.a = self._loaded(code, k)
            case op.BPF_LDX:
                self.x = self._loaded(code, k)
            case op.BPF_ST:
                self.memory[k] = self.a
            case op.BPF_STX:
                self.memory[k] = self.x
            case _ if code == op.BPF_MISC | op.BPF_TXA:
                self.a = self.x
            case _:
                self.x = self.a

    def _loaded(self, code: int, k: int) -> int:
        match code & op.MODE_MASK:
            case op.BPF_ABS:
                return self.words[k // 4]
            case op.BPF_MEM:
                return self.memory[k]
            case op.BPF_LEN:
                return SIZE
            case _:
                return k
