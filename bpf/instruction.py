"""One instruction of classic BPF, and the opcodes it is made of, as in <linux/filter.h>.

Most of the package says ``from bpf import instruction as op`` and spells them ``op.BPF_LD``.
"""

from __future__ import annotations

import struct
from typing import Final

from bpf.action import Action
from bpf.value import frozen

# Instruction classes, <linux/bpf_common.h>.
BPF_LD: Final = 0x00
BPF_LDX: Final = 0x01
BPF_ST: Final = 0x02
BPF_STX: Final = 0x03
BPF_ALU: Final = 0x04
BPF_JMP: Final = 0x05
BPF_RET: Final = 0x06
BPF_MISC: Final = 0x07

# Width and mode of a load; seccomp knows no width but the word.
BPF_W: Final = 0x00
BPF_IMM: Final = 0x00
BPF_ABS: Final = 0x20
BPF_MEM: Final = 0x60
BPF_LEN: Final = 0x80

# Operations of BPF_ALU.
BPF_ADD: Final = 0x00
BPF_SUB: Final = 0x10
BPF_MUL: Final = 0x20
BPF_DIV: Final = 0x30
BPF_OR: Final = 0x40
BPF_AND: Final = 0x50
BPF_LSH: Final = 0x60
BPF_RSH: Final = 0x70
BPF_NEG: Final = 0x80
BPF_XOR: Final = 0xA0

# Operations of BPF_JMP.
BPF_JA: Final = 0x00
BPF_JEQ: Final = 0x10
BPF_JGT: Final = 0x20
BPF_JGE: Final = 0x30
BPF_JSET: Final = 0x40

# Where the second operand comes from: the instruction, the index register, the accumulator.
BPF_K: Final = 0x00
BPF_X: Final = 0x08
BPF_A: Final = 0x10

# Operations of BPF_MISC.
BPF_TAX: Final = 0x00
BPF_TXA: Final = 0x80

#: The parts of a code: BPF_CLASS(), BPF_MODE() of a load, BPF_OP() of all others.
CLASS_MASK: Final = 0x07
MODE_MASK: Final = 0xE0
OP_MASK: Final = 0xF0

#: Instructions in a program, at most; 65,535 would fit in sock_fprog.len.
BPF_MAXINSNS: Final = 4096
#: Words of scratch memory, M[0] to M[15].
BPF_MEMWORDS: Final = 16

#: A conditional jump reaches this far past the next instruction; BPF_JA reaches everything.
MAX_OFFSET: Final = 0xFF

_SOCK_FILTER: Final = struct.Struct("=HBBI")
#: sizeof(struct sock_filter).
SIZE: Final = _SOCK_FILTER.size


@frozen
class Instruction:
    """``struct sock_filter``: code, two offsets, operand; ValueError if one is out of range."""

    code: int
    #: Offsets count from the next instruction, so that 0 means "go on".
    jt: int = 0
    jf: int = 0
    k: int = 0

    def __post_init__(self) -> None:
        fits = (
            0 <= self.code <= 0xFFFF
            and 0 <= self.jt <= MAX_OFFSET
            and 0 <= self.jf <= MAX_OFFSET
            and 0 <= self.k <= 0xFFFFFFFF
        )
        if not fits:
            raise ValueError(f"{self} does not fit in struct sock_filter")

    @property
    def action(self) -> Action | None:
        """The constant that it returns; None if it is no such return."""
        return Action(self.k) if self.code == BPF_RET | BPF_K else None

    def __bytes__(self) -> bytes:
        return _SOCK_FILTER.pack(self.code, self.jt, self.jf, self.k)


def unpack(packed: bytes) -> tuple[Instruction, ...]:
    """Split consecutive ``struct sock_filter``; raise ValueError if the last is incomplete."""
    if len(packed) % SIZE:
        raise ValueError(f"{len(packed)} bytes are no whole number of {SIZE}-byte instructions")
    return tuple(Instruction(*fields) for fields in _SOCK_FILTER.iter_unpack(packed))
