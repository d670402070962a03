"""Loads eBPF programs into the kernel, and reads and writes their maps.

A program is compiled once on a host: its code is kept, and later processes need neither bcc nor
the time that it takes.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Iterator
from typing import Final

from bpf.errors import ProbesUnavailable
from bpf.probes import bpf_call, object_cache
from bpf.probes.closing import Closing
from bpf.probes.object import MapShape, Object
from bpf.probes.privilege import check_privilege

__all__ = ["LoadedProgram", "Map", "load", "source"]

#: enum bpf_map_type, <linux/bpf.h>: PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH.
_PER_CPU: Final = frozenset({5, 6, 10})
_MISSES: Final = re.compile(r"^recursion_misses:\s*(\d+)$", re.MULTILINE)


def source(*names: str) -> str:
    """Read the parts of a program, which are shipped beside this module."""
    return "".join(_read(os.path.join(os.path.dirname(__file__), name)) + "\n" for name in names)


def load(text: str) -> LoadedProgram:
    """Load a program of raw tracepoints and attach it; compile it, unless that was done before.

    Raise ProbesUnavailable, in one line. Cost: about 1 ms, and 0.7 s the first time on a host.
    """
    check_privilege()
    kept = object_cache.find(text)
    if kept is not None:
        with contextlib.suppress(OSError):
            return LoadedProgram(kept)
    from bpf.probes import compiler  # noqa: PLC0415 - once on a host

    compiled = compiler.compile_object(text)
    object_cache.keep(text, compiled)
    try:
        return LoadedProgram(compiled)
    except OSError as error:
        raise ProbesUnavailable(
            f"the kernel does not take the program: {error}", "ulimit -l; ulimit -n"
        ) from error


class LoadedProgram(Closing):
    """Maps, and programs that run at raw tracepoints until ``close``. Raise OSError."""

    def __init__(self, compiled: Object) -> None:
        self._maps: dict[str, Map] = {}
        self._open: list[int] = []
        try:
            for shape in compiled.maps:
                self._maps[shape.name] = Map(shape)
            descriptors = [one.descriptor for one in self._maps.values()]
            for code in compiled.programs:
                instructions = code.with_descriptors(descriptors)
                program = bpf_call.load_raw_tracepoint(instructions, code.tracepoint)
                self._open.append(program)
                self._open.append(bpf_call.open_raw_tracepoint(program, code.tracepoint))
        except BaseException:
            self.close()
            raise

    def map(self, name: str) -> Map:
        """Return a map; raise KeyError if the program has none of that name."""
        return self._maps[name]

    @property
    def missed(self) -> int:
        """How often a program did not run, as another of its kind had been preempted on that CPU.

        proc(5), /proc/self/fdinfo: recursion_misses, kernel commit 9ed9e9ba2337 (Linux 5.12).
        """
        texts = (_read(f"/proc/self/fdinfo/{descriptor}") for descriptor in self._open)
        return sum(int(number) for text in texts for number in _MISSES.findall(text))

    def close(self) -> None:
        """Detach the programs and free the maps; may be called again."""
        while self._open:
            os.close(self._open.pop())
        while self._maps:
            self._maps.popitem()[1].close()


class Map:
    """A map of a loaded program: keys and values are bytes, as the C program lays them out.

    A value of a per-CPU map has one part for each possible CPU, each of a multiple of 8 bytes.
    Each method takes one bpf(2) call, and raises OSError.
    """

    def __init__(self, shape: MapShape) -> None:
        self.descriptor: Final = bpf_call.create_map(shape)
        self.shape: Final = shape
        part = -(-shape.value_size // 8) * 8
        self._size: Final = part * possible_cpus() if shape.type in _PER_CPU else shape.value_size

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key; None if it has none."""
        return bpf_call.lookup(self.descriptor, key, self._size)

    def sums(self) -> dict[bytes, int]:
        """Add up what the CPUs have for each key: numbers of 64 bits. Two calls a key."""
        words = struct.Struct(f"={self._size // 8}Q")
        return {key: sum(words.unpack(value)) for key, value in self.items()}

    def set(self, key: bytes, value: bytes) -> None:
        """Give a key a value."""
        if len(value) != self._size:
            raise ValueError(f"a value of {self.shape.name} has {self._size} bytes")
        bpf_call.update(self.descriptor, key, value)

    def delete(self, key: bytes) -> bool:
        """Take a key out; False if it is not there."""
        return bpf_call.delete(self.descriptor, key)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Tell keys and values, each key once; what changes meanwhile may be missed."""
        for key in dict.fromkeys(bpf_call.keys(self.descriptor, self.shape.key_size)):
            value = self.get(key)
            if value is not None:
                yield key, value

    def close(self) -> None:
        """Give the map up; the programs that use it keep it."""
        os.close(self.descriptor)


def possible_cpus() -> int:
    """Count the CPUs for which per-CPU maps have room; they are numbered from 0, without gaps."""
    return int(re.findall(r"\d+", _read("/sys/devices/system/cpu/possible"))[-1]) + 1


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()
