"""A compiled eBPF program as a value: its maps, and the code to run at raw tracepoints."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from bpf.value import frozen

__all__ = ["Code", "MapShape", "Object", "parse", "read_object"]

#: struct bpf_insn, <linux/bpf.h>: code, registers (destination, source << 4), offset, immediate.
_INSTRUCTION: Final = struct.Struct("=BBhi")
_IMMEDIATE: Final = struct.Struct("=i")
_BEFORE_IMMEDIATE: Final = 4
#: BPF_LD | BPF_IMM | BPF_DW, which takes two instructions.
_LOAD_IMMEDIATE: Final = 0x18
_PSEUDO_MAP_FD: Final = 1
_END: Final = "end"


@frozen
class MapShape:
    """What bpf(2) makes a map of."""

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


@frozen
class Code:
    """The program of one raw tracepoint."""

    tracepoint: str
    instructions: bytes
    #: Where instructions name a map, and its index in the object.
    references: tuple[tuple[int, int], ...]

    def with_descriptors(self, descriptors: Sequence[int]) -> bytes:
        """Name maps by their descriptors, which stand in the order of the object's maps."""
        code = bytearray(self.instructions)
        for at, index in self.references:
            _IMMEDIATE.pack_into(code, at + _BEFORE_IMMEDIATE, descriptors[index])
        return bytes(code)


@frozen
class Object:
    """Maps and programs, which the kernel that they were compiled for can load at any time."""

    maps: tuple[MapShape, ...]
    programs: tuple[Code, ...]

    def text(self) -> str:
        """Write what ``parse`` reads, a line for each map and program."""
        fields = MapShape.__annotations__
        lines = [["map", *(str(getattr(shape, field)) for field in fields)] for shape in self.maps]
        for code in self.programs:
            references = [f"{at}:{index}" for at, index in code.references]
            lines.append(["program", code.tracepoint, code.instructions.hex(), *references])
        return "\n".join(" ".join(line) for line in [*lines, [_END]])


def parse(text: str) -> Object:
    """Read what ``Object.text`` wrote; raise ValueError for anything else.

    Unlike JSON it needs no module that a traced command would have to wait for.
    """
    maps, programs = [], []
    *lines, end = text.split("\n")
    if end != _END:
        raise ValueError("it is cut off")
    for kind, name, *words in map(str.split, lines):
        if kind == "map":
            type_, key_size, value_size, max_entries, flags = map(int, words)
            maps.append(MapShape(name, type_, key_size, value_size, max_entries, flags))
        elif kind == "program":
            instructions = bytes.fromhex(words[0]) if words else b""
            pairs = (word.split(":") for word in words[1:])
            references = tuple((int(at), int(index)) for at, index in pairs)
            programs.append(Code(name, instructions, references))
        else:
            raise ValueError(f"{kind} is neither a map nor a program")
    return _checked(Object(tuple(maps), tuple(programs)))


def read_object(told: Any) -> Object:
    """Read what ``compile_with_bcc`` tells, whose code names maps by their ``descriptors``.

    Raise ValueError, KeyError or TypeError for anything else.
    """
    maps = tuple(MapShape(**shape) for shape in told["maps"])
    indices = {descriptor: index for index, descriptor in enumerate(told["descriptors"])}
    programs = []
    for one in told["programs"]:
        code = bytes.fromhex(one["code"])
        references = tuple((at, indices[named]) for at, named in _descriptors(code))
        # What one compiler's process had as descriptors is not to be kept.
        blank = Code(one["tracepoint"], code, references).with_descriptors([0] * len(maps))
        programs.append(Code(one["tracepoint"], blank, references))
    return _checked(Object(maps, tuple(programs)))


def _checked(compiled: Object) -> Object:
    """Raise ValueError where code is cut, or names a map that is not there."""
    for code in compiled.programs:
        if not code.instructions or len(code.instructions) % _INSTRUCTION.size:
            raise ValueError("a program ends within an instruction")
        for at, index in code.references:
            if at not in range(0, len(code.instructions), _INSTRUCTION.size):
                raise ValueError(f"no instruction is at {at}")
            if index not in range(len(compiled.maps)):
                raise ValueError(f"no map is the {index}th")
    return compiled


def _descriptors(code: bytes) -> list[tuple[int, int]]:
    """Find the instructions that name a map, and by which descriptor."""
    found = []
    at = 0
    while at < len(code) - len(code) % _INSTRUCTION.size:
        operation, registers, _offset, immediate = _INSTRUCTION.unpack_from(code, at)
        if operation == _LOAD_IMMEDIATE:
            if registers >> 4 == _PSEUDO_MAP_FD:
                found.append((at, immediate))
            at += _INSTRUCTION.size
        at += _INSTRUCTION.size
    return found
