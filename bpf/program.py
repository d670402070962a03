"""A filter: a sequence of instructions as one immutable value."""

from __future__ import annotations

from collections.abc import Iterator

from bpf.instruction import Instruction, unpack
from bpf.value import frozen

__all__ = ["Program"]


@frozen
class Program:
    """Instructions of classic BPF; nothing is checked but their encoding (see ``bpf.verify``).

    ``bytes(program)`` is what the kernel, bpf_dbg or ``bwrap --seccomp`` read: 8 bytes for each
    instruction, in the byte order of the machine. ``str(program)`` is its disassembly.
    """

    instructions: tuple[Instruction, ...]
    # Equality and hash are those of the encoding: bytes remember their hash, a tuple does not.
    _packed: bytes

    def __init__(self, instructions: tuple[Instruction, ...]) -> None:
        object.__setattr__(self, "instructions", instructions)
        object.__setattr__(self, "_packed", b"".join(map(bytes, instructions)))

    @classmethod
    def from_bytes(cls, packed: bytes) -> Program:
        """Read ``bytes(program)`` back; raise ValueError if it is no multiple of 8 bytes long."""
        return cls(unpack(packed))

    def __bytes__(self) -> bytes:
        return self._packed

    def __str__(self) -> str:
        from bpf.disassembler import disassemble  # noqa: PLC0415 - few programs are shown

        return disassemble(self.instructions)

    def __repr__(self) -> str:
        return f"<Program of {len(self)} instructions>"

    def __len__(self) -> int:
        return len(self.instructions)

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self.instructions)

    def __getitem__(self, index: int) -> Instruction:
        return self.instructions[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self._packed == other._packed

    def __hash__(self) -> int:
        return hash(self._packed)
