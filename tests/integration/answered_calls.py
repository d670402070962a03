"""Random system calls with random memory and results, as two tracers print them.

The program tests/programs/answered_calls.c makes any call without executing it: a seccomp notifier
writes what the kernel would have written and returns what it would have returned. So strace and
accel can be shown the same calls, thousands of them, of every kind, whatever this kernel can do.

What the arguments are is decided by their roles, so that most calls make sense: flags are mostly
flags, pointers mostly point to something of the right kind.
"""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from accel import Tracer
from accel.abi import Abi
from accel.decoding import Decoder, Entered
from accel.decoding.families import family
from accel.roles import Argument, Role, signature
from accel.stops import Stop, SyscallEntryStop, SyscallExitStop
from tests.support import compiled

__all__ = ["AnsweredCall", "accel_lines", "program", "random_calls", "strace_lines", "write_script"]

ARENA = 0x20000000
ARENA_SIZE = 0x40000
#: Where buffers, strings and further structs are.
DATA = ARENA + 0x30000
DATA_SIZE = 0x2000
UNMAPPED = 0xDEAD0000
M64 = (1 << 64) - 1

Patch = tuple[int, bytes]

#: Calls that the kernel, or strace, does not leave alone.
SPECIAL = frozenset(
    # strace prints what it remembers; a frame is read from the stack; they never return.
    "restart_syscall rt_sigreturn sigreturn exit exit_group"
    # The kernel kills who is not its trampoline.
    " uretprobe uprobe"
    # strace takes every word as a number.
    " epoll_ctl_old epoll_wait_old vm86".split()
)


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """A call, the memory it finds, what the kernel writes there, and what it returns."""

    name: str
    number: int
    arguments: tuple[int, ...]
    result: int
    before: tuple[Patch, ...] = ()
    after: tuple[Patch, ...] = ()

    def record(self) -> bytes:
        """Pack it as the program reads it."""
        arguments = [argument & M64 for argument in self.arguments]
        head = struct.pack(
            "<7QqII", self.number, *arguments, self.result, len(self.before), len(self.after)
        )
        parts = [head]
        for address, data in (*self.before, *self.after):
            parts += [struct.pack("<II", address - ARENA, len(data)), data]
        return b"".join(parts)


def program(abi: Abi) -> str:
    """Compile the program for an ABI."""
    flags = ("-m32",) if abi is Abi.I386 else ()
    return compiled("answered_calls", "-static", "-no-pie", *flags)


def write_script(path: Path, calls: Sequence[AnsweredCall]) -> None:
    """Write what the program shall do."""
    path.write_bytes(b"".join(call.record() for call in calls))


def strace_lines(command: Sequence[str], log: Path) -> list[str]:
    """Let strace print the calls of the script."""
    subprocess.run(
        ["strace", "-o", str(log), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=120,
    )
    return _scripted(log.read_text(errors="replace").splitlines())


def accel_lines(command: Sequence[str]) -> list[str]:
    """Let accel print the same; it attaches to the program while that waits for its input."""
    decoder = Decoder()
    entered: list[Entered] = []
    lines: list[str] = []

    def observe(stop: Stop, /) -> None:
        if isinstance(stop, SyscallEntryStop):
            entered[:] = [decoder.enter(stop.call, stop.memory)]
        elif isinstance(stop, SyscallExitStop) and entered:
            call = entered.pop()
            left = decoder.leave(call, stop.result, stop.memory)
            # strace aligns the results.
            lines.append(f"{f'{call.name}({call.text}{left.text})':<39} = {left.result}")

    pipe = subprocess.PIPE
    with subprocess.Popen(list(command), stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.read(5) == b"ready"
        with Tracer(pid=process.pid, mask="all") as tracer:
            tracer.observe(observe)
            tracer.start()
            process.stdin.close()
            # Not process.wait(): the tracer has reaped it, and Popen takes that for a success.
            assert tracer.wait(timeout=120).returncode == 0
    return _scripted(lines)


def _scripted(lines: Sequence[str]) -> list[str]:
    """Take the lines between the marks, without those of signals."""
    found = []
    for line in lines:
        if line.startswith('write(-1, "BEGIN"'):
            found = []
        elif line.startswith('write(-1, "END"'):
            return found
        elif not line.startswith(("---", "+++")):
            found.append(line)
    raise AssertionError("the program did not come to its end")


def random_calls(abi: Abi, seed: int, times: int, newest: int) -> list[AnsweredCall]:
    """Make ``times`` calls of every kind up to number ``newest``, the same ones for a seed."""
    return [
        _Maker(random.Random(f"{seed} {name} {turn}"), abi).call(name, number)
        for name, number in abi.numbers.items()
        if name not in SPECIAL and number <= newest
        for turn in range(times)
    ]


class _Maker:
    """Makes one call."""

    def __init__(self, choice: random.Random, abi: Abi) -> None:
        self.random = choice
        self.abi = abi
        self.word = 4 if abi is Abi.I386 else 8
        self.before: list[Patch] = []
        self.after: list[Patch] = []

    def call(self, name: str, number: int) -> AnsweredCall:
        """Make a call of this kind."""
        described = signature(self.abi, name)
        self._put(DATA, self._data())
        values = [self._argument(argument, at) for at, argument in enumerate(described)]
        values += [0] * (6 - len(values))
        for argument in described:
            self._count(argument, values, described)
        mask = (1 << 8 * self.word) - 1
        arguments = tuple(value & mask for value in values)
        return AnsweredCall(
            name, number, arguments, self._result(), tuple(self.before), tuple(self.after)
        )

    def _put(self, address: int, data: bytes, *, after: bool = False) -> None:
        if address >= ARENA and address + len(data) <= ARENA + ARENA_SIZE:
            (self.after if after else self.before).append((address, data))

    # ------------------------------------------------------------------ memory

    def _word(self, size: int) -> int:
        """Invent a field of a struct."""
        kind = self.random.random()
        if kind < 0.4:
            value = self.random.choice((0, 0, 0, 1, 2, 3, 4, 5, 8, 16, 33, 100, 1000, 4096))
        elif kind < 0.5:
            value = self.random.getrandbits(16)
        elif kind < 0.7:
            value = DATA + 4 * self.random.randrange(DATA_SIZE // 8)
        elif kind < 0.75:
            value = M64
        else:
            value = self.random.getrandbits(64 if kind > 0.85 else 32)
        return value & ((1 << 8 * size) - 1)

    def _struct(self, size: int) -> bytes:
        """Invent a struct, of ints, of longs, or of a mixture."""
        sizes = self.random.choice(((4,), (self.word,), (8,), (2, 4, 4, self.word, self.word)))
        data = b""
        while len(data) < size:
            width = self.random.choice(sizes)
            data += self._word(width).to_bytes(width, "little")
        return data[:size]

    def _text(self, length: int) -> bytes:
        """Invent text: readable, or with everything that has to be escaped."""
        if self.random.random() < 0.6:
            alphabet = b"abcdefghijklmnopqrstuvwxyz/._-0123456789"
        else:
            alphabet = b'\n\t"\\078\x01\x1f\x7f\x80\xffA \x0b\x0c\r\x07\x08'
        return bytes(self.random.choice(alphabet) for _ in range(length))

    def _data(self) -> bytes:
        if self.random.random() < 0.5:
            return self._struct(DATA_SIZE)
        return ((self._text(60) + b"\0" + self._struct(64)) * 70)[:DATA_SIZE]

    def _strings(self, address: int) -> bytes:
        """Invent an array of strings; the strings follow at some distance."""
        at = address + 0x800
        pointers = []
        for _ in range(self.random.choice((0, 1, 2, 5, 31, 32, 33, 40))):
            string = self._text(self.random.choice((0, 1, 5, 40))) + b"\0"
            self._put(at, string)
            pointers.append(at)
            at += len(string)
        if self.random.random() < 0.05:
            pointers.append(UNMAPPED)
        return b"".join(p.to_bytes(self.word, "little") for p in (*pointers, 0))

    def _buffers(self) -> bytes:
        parts = []
        for _ in range(40):
            base = self.random.choice((0, DATA, DATA + 64, UNMAPPED))
            size = self.random.choice((0, 1, 5, 10, 33, 100))
            parts += [base.to_bytes(self.word, "little"), size.to_bytes(self.word, "little")]
        return b"".join(parts)

    def _pointed(self, role: Role, address: int) -> bytes:
        if role in (Role.PATH, Role.STRING, Role.PATH_OUT):
            end = b"\0" if self.random.random() < 0.97 else b""
            return self._text(self.random.choice((0, 1, 3, 31, 32, 33, 40, 300))) + end
        if role is Role.STRINGS:
            return self._strings(address)
        if role in (Role.IOVEC_IN, Role.IOVEC_OUT):
            return self._buffers()
        if role in (Role.BUFFER_IN, Role.BUFFER_OUT):
            return self._text(self.random.choice((33, 64, 100)))
        return self._struct(self.random.choice((16, 64, 256, 512)))

    # --------------------------------------------------------------- arguments

    def _pointer(self, role: Role, position: int) -> int:
        """Invent a pointer: to something, to nothing, or to the last bytes that are mapped."""
        kind = self.random.random()
        if kind < 0.1:
            return 0 if kind < 0.06 else UNMAPPED
        end = ARENA + ARENA_SIZE
        address = ARENA + 0x1000 + position * 0x4000
        if kind < 0.14:
            address = end - self.random.choice((1, 2, 3, 4, 8, 12, 16, 24, 32, 64))
        elif kind < 0.4:
            address += self.random.choice((0, 1, 2, 4))
        self._put(address, self._pointed(role, address)[: end - address])
        if self.random.random() < 0.3:
            shift, size = self.random.choice((0, 4, 8, 16, 32)), self.random.choice((4, 8, 64))
            self._put(address + shift, self._struct(size), after=True)
        return address

    def _named(self, argument: Argument) -> int:
        """Invent flags, or a value that has a name."""
        values = [value for _, value in family(argument.family).members]
        if not values or self.random.random() < 0.08:
            return self.random.getrandbits(self.random.choice((3, 8, 16, 32)))
        if argument.role is Role.ENUM:
            return self.random.choice(values)
        flags = 0
        for value in self.random.sample(values, min(len(values), self.random.randrange(4))):
            flags |= value
        return flags | (1 << self.random.randrange(32) if self.random.random() < 0.1 else 0)

    def _argument(self, argument: Argument, position: int) -> int:
        role = argument.role
        if role in (Role.FLAGS, Role.ENUM):
            value = self._named(argument)
        elif role in _VALUES:
            value = self.random.choice(_VALUES[role])
        elif role in (Role.DEV, Role.HEX):
            value = self.random.choice((0, 1, 0x1000, self.random.getrandbits(32)))
            if role is Role.HEX and self.random.random() < 0.5:
                value = self._pointer(role, position)
        else:
            return self._pointer(role, position)
        if self.random.random() < 0.04:
            # The kernel ignores the upper half of what is an int.
            value = value & 0xFFFFFFFF | self.random.getrandbits(32) << 32
        return value

    def _count(self, argument: Argument, values: list[int], described: Sequence[Argument]) -> None:
        """Let most counts of bytes and elements be plausible."""
        if argument.length is None or self.random.random() < 0.2:
            return
        count = self.random.choice((0, 1, 2, 3, 8, 8, 8, 10, 16, 31, 32, 33, 64, 100, 128))
        if described[argument.length].role.is_pointer:
            self._put(values[argument.length], count.to_bytes(4, "little"))
        else:
            values[argument.length] = count

    def _result(self) -> int:
        kind = self.random.random()
        if kind < 0.45:
            return 0
        if kind < 0.75:
            return self.random.choice((1, 1, 2, 3, 4, 5, 8, 16, 24, 31, 32, 33, 64, 100))
        if kind < 0.97:
            errors = (1, 2, 4, 7, 9, 11, 14, 22, 32, 35, 38, 75, 95, 110, 512, 513, 514, 516)
            return -self.random.choice(errors)
        return self.random.choice((1 << 20, 1 << 31, -5000, (1 << 47) + 4096))


_SIZES = (0, 1, 2, 3, 4, 5, 8, 12, 16, 20, 24, 28, 31, 32, 33, 40, 48, 56, 64, 88, 100, 112, 120,
          128, 200, 1000, 4096, 65536, 1 << 31, (1 << 32) - 1, M64)  # fmt: skip
_VALUES = {
    Role.FD: (0, 1, 2, 3, 5, 9, -1, 100),
    Role.DIRFD: (-100, 3, 0, -1),
    Role.MODE: (0, 1, 0o644, 0o7777, 0o100644, 0o20600, 0o60777, 0o140777, 0o170000, 0xFFFF),
    Role.SIGNAL: (0, 1, 2, 9, 15, 17, 31, 32, 33, 34, 64, 65, -1),
    Role.PID: (0, 1, -1, 123, 99999),
    Role.UID: (0, 1000, -1, 0xFFFF, 65534, 0x12345),
    Role.GID: (0, 1000, -1, 0xFFFF, 65534, 0x12345),
    Role.SIGNED: _SIZES,
    Role.UNSIGNED: _SIZES,
    Role.OFFSET: (0, 1, 4096, -1, 1 << 31, 1 << 32, -5),
    Role.LOW: (0, 1, 4096, -1, 1 << 31, -5),
    Role.HIGH: (0, 1, 4096, -1, 1 << 31, -5),
}
