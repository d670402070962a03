"""A compiled eBPF program as a value: its maps, and the code to run at raw tracepoints."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any, Final

from bpf.value import frozen

__all__ = ["Code", "MapShape", "Object", "read_object"]

#: struct bpf_insn, <linux/bpf.h>: code, registers (destination, source << 4), offset, immediate.
_INSTRUCTION: Final = struct.Struct("=BBhi")
#: BPF_LD | BPF_IMM | BPF_DW, which takes two instructions.
_LOAD_IMMEDIATE: Final = 0x18
_PSEUDO_MAP_FD: Final = 1


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
    """The program of one raw tracepoint, which names maps by their index in the object."""

    tracepoint: str
    instructions: bytes

    def with_descriptors(self, descriptors: dict[int, int]) -> bytes:
        """Name maps by what ``descriptors`` says of the numbers that they are named by here.

        Raise KeyError for one that it does not know.
        """
        code = bytearray(self.instructions)
        at = 0
        while at < len(code):
            operation, registers, offset, immediate = _INSTRUCTION.unpack_from(code, at)
            if operation == _LOAD_IMMEDIATE:
                if registers >> 4 == _PSEUDO_MAP_FD:
                    named = descriptors[immediate]
                    _INSTRUCTION.pack_into(code, at, operation, registers, offset, named)
                at += _INSTRUCTION.size
            at += _INSTRUCTION.size
        return bytes(code)


@frozen
class Object:
    """Maps and programs, which the kernel that they were compiled for can load at any time."""

    maps: tuple[MapShape, ...]
    programs: tuple[Code, ...]

    def to_json(self) -> str:
        """Write what ``read_object`` reads."""
        return json.dumps({
            "maps": [_fields(shape) for shape in self.maps],
            "descriptors": list(range(len(self.maps))),
            "programs": [
                {
                    "tracepoint": code.tracepoint,
                    "code": base64.b64encode(code.instructions).decode(),
                }
                for code in self.programs
            ],
        })  # fmt: skip


def _fields(shape: MapShape) -> dict[str, object]:
    return {name: getattr(shape, name) for name in MapShape.__annotations__}


def read_object(told: Any) -> Object:
    """Read an object from decoded JSON, in which ``descriptors`` are those that its code names.

    Raise ValueError, KeyError or TypeError for anything else.
    """
    maps = tuple(MapShape(**shape) for shape in told["maps"])
    indices = {descriptor: index for index, descriptor in enumerate(told["descriptors"])}
    programs = []
    for one in told["programs"]:
        code = base64.b64decode(one["code"], validate=True)
        if len(code) % _INSTRUCTION.size:
            raise ValueError("a program ends within an instruction")
        code = Code(one["tracepoint"], code).with_descriptors(indices)
        programs.append(Code(one["tracepoint"], code))
    return Object(maps, tuple(programs))
