"""A program as text: one line an instruction, jumps resolved, words and actions by name.

::

      0: ld   arch
      1: jeq  0xc000003e, 3, 2          ; X86_64
      2: ret  RET_TRACE(511)
      3: ld   nr
      4: jeq  257, 5, 6                 ; openat
      5: ret  RET_TRACE(258)
      6: ret  RET_ALLOW

A conditional jump shows the line it goes to when the comparison holds, then the other one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from bpf import data
from bpf import instruction as op
from bpf.action import Action
from bpf.arch import X32_SYSCALL_BIT, Arch
from bpf.instruction import Instruction

__all__ = ["Names", "disassemble"]

#: Names a system call number under an architecture, for the comments; None for an unknown one.
Names: TypeAlias = Callable[[Arch, int], str | None]

_JUMPS: Final = {op.BPF_JEQ: "jeq", op.BPF_JGT: "jgt", op.BPF_JGE: "jge", op.BPF_JSET: "jset"}
_ALU: Final = {
    op.BPF_ADD: "add",
    op.BPF_SUB: "sub",
    op.BPF_MUL: "mul",
    op.BPF_DIV: "div",
    op.BPF_OR: "or",
    op.BPF_AND: "and",
    op.BPF_LSH: "lsh",
    op.BPF_RSH: "rsh",
    op.BPF_XOR: "xor",
}
_LOADS: Final[dict[int, tuple[str, Callable[[int], str]]]] = {
    op.BPF_LD | op.BPF_W | op.BPF_ABS: ("ld", data.field_name),
    op.BPF_LD | op.BPF_W | op.BPF_LEN: ("ld", lambda _: "len"),
    op.BPF_LDX | op.BPF_W | op.BPF_LEN: ("ldx", lambda _: "len"),
    op.BPF_LD | op.BPF_IMM: ("ld", "#{:#x}".format),
    op.BPF_LDX | op.BPF_IMM: ("ldx", "#{:#x}".format),
    op.BPF_LD | op.BPF_MEM: ("ld", "M[{}]".format),
    op.BPF_LDX | op.BPF_MEM: ("ldx", "M[{}]".format),
    op.BPF_ST: ("st", "M[{}]".format),
    op.BPF_STX: ("stx", "M[{}]".format),
    op.BPF_RET | op.BPF_K: ("ret", lambda k: str(Action(k))),
    op.BPF_RET | op.BPF_A: ("ret", lambda _: "A"),
    op.BPF_ALU | op.BPF_NEG: ("neg", lambda _: ""),
    op.BPF_MISC | op.BPF_TAX: ("tax", lambda _: ""),
    op.BPF_MISC | op.BPF_TXA: ("txa", lambda _: ""),
}
#: Where the comment begins, as a column of what follows the line number.
_COMMENT: Final = 32


class _Known(NamedTuple):
    """What is the same on every way to an instruction: the word in A and the architecture."""

    word: int | None = None
    arch: int | None = None


def disassemble(program: Sequence[Instruction], names: Names | None = None) -> str:
    """List ``program``, valid or not; with ``names``, tell which calls its numbers mean."""
    instructions = tuple(program)
    known = _known(instructions)
    return "\n".join(
        f"{pc:4}: {_line(pc, instruction, known.get(pc, _Known()), names)}"
        for pc, instruction in enumerate(instructions)
    )


def _line(pc: int, instruction: Instruction, known: _Known, names: Names | None) -> str:
    code, k = instruction.code, instruction.k
    if code in _LOADS:
        mnemonic, operand = _LOADS[code]
        return f"{mnemonic:4} {operand(k)}".rstrip()
    if code == op.BPF_JMP | op.BPF_JA:
        return f"ja   {pc + 1 + k}"
    source = "x" if code & op.BPF_X else _constant(k, known.word)
    operation = code & op.OP_MASK
    if code & op.CLASS_MASK == op.BPF_JMP and operation in _JUMPS:
        targets = f"{pc + 1 + instruction.jt}, {pc + 1 + instruction.jf}"
        text = f"{_JUMPS[operation]:4} {source}, {targets}"
        comment = _meaning(code, k, known, names)
        return f"{text:{_COMMENT}}; {comment}" if comment else text
    if code & op.CLASS_MASK == op.BPF_ALU and operation in _ALU:
        return f"{_ALU[operation]:4} {source}"
    return f".code {code:#x}, {instruction.jt}, {instruction.jf}, {k:#x}"


def _constant(k: int, word: int | None) -> str:
    return str(k) if word == data.NR and k < X32_SYSCALL_BIT else f"{k:#x}"


def _meaning(code: int, k: int, known: _Known, names: Names | None) -> str | None:
    """Name the architecture or call that ``k`` is compared for equality with."""
    if code != op.BPF_JMP | op.BPF_JEQ | op.BPF_K:
        return None
    if known.word == data.ARCH and k in _ARCHES:
        return _ARCHES[k].name
    if known.word == data.NR and known.arch in _ARCHES and names is not None:
        return names(_ARCHES[known.arch], k)
    return None


_ARCHES: Final[dict[int | None, Arch]] = {arch.value: arch for arch in Arch}


def _known(instructions: tuple[Instruction, ...]) -> dict[int, _Known]:
    """Follow what is known from the start; jumps only go forward, so that one pass is enough."""
    known = {0: _Known()}
    for pc, instruction in enumerate(instructions):
        if pc in known:
            for target, fact in _successors(pc, instruction, known[pc]):
                before = known.get(target, fact)
                known[target] = _Known(
                    fact.word if before.word == fact.word else None,
                    fact.arch if before.arch == fact.arch else None,
                )
    return known


def _successors(pc: int, instruction: Instruction, known: _Known) -> list[tuple[int, _Known]]:
    code, k = instruction.code, instruction.k
    following = pc + 1
    if code & op.CLASS_MASK == op.BPF_RET:
        return []
    if code & op.CLASS_MASK == op.BPF_JMP:
        if code == op.BPF_JMP | op.BPF_JA:
            return [(following + k, known)]
        holds = known
        if code == op.BPF_JMP | op.BPF_JEQ | op.BPF_K and known.word == data.ARCH:
            holds = known._replace(arch=k)
        return [(following + instruction.jt, holds), (following + instruction.jf, known)]
    if (
        code & op.CLASS_MASK in (op.BPF_LDX, op.BPF_ST, op.BPF_STX)
        or code == op.BPF_MISC | op.BPF_TAX
    ):
        return [(following, known)]
    word = k if code == op.BPF_LD | op.BPF_W | op.BPF_ABS else None
    return [(following, known._replace(word=word))]
