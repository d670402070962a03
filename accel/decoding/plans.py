"""How a call is printed: a plan for each call, made once from its signature.

Most printers follow from the role and family of an argument (``accel.roles``). The subject modules
(files, times, sockets, ...) know the structs, by family, and the arguments and calls that follow no
rule, by name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from accel import roles, scalars
from accel.abi import Abi
from accel.decoding import (
    descriptors,
    files,
    futexes,
    ioctls,
    iovecs,
    ipc,
    keys,
    memory,
    messages,
    polling,
    prctl,
    process,
    ptraces,
    rings,
    siginfo,
    signals,
    sockaddr,
    sockets,
    system,
    times,
)
from accel.decoding import numbers as n
from accel.decoding import strings as s
from accel.decoding.choices import indirect, nothing, plain_pointer
from accel.decoding.context import Printer
from accel.decoding.flags import enumeration, flag_set
from accel.decoding.layouts import Layout, counted_in, counted_out, number, read_in, read_out
from accel.decoding.subject import Remark, Subject
from accel.roles import Argument, Role

__all__ = ["Plan", "Step", "plan_of"]

_SUBJECTS: Final = tuple(
    module.SUBJECT
    for module in (
        descriptors, files, futexes, ioctls, iovecs, ipc, keys, memory, messages, polling, prctl,
        process, ptraces, rings, siginfo, signals, sockaddr, sockets, system, times,
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """Who prints one argument."""

    name: str
    #: Which register holds it; -1 for an addition that is in none.
    position: int
    printer: Printer


@dataclass(frozen=True, slots=True)
class Plan:
    """How to print one call of one ABI."""

    name: str
    steps: tuple[Step, ...]
    #: What has to look at memory at the entry, though its turn comes at the exit.
    prepare: tuple[Callable[..., None], ...]
    result: Role
    remark: Remark | None


def _merged() -> Subject:
    layouts, arguments, calls, remarks = {}, {}, {}, {}
    for subject in _SUBJECTS:
        layouts |= subject.layouts
        arguments |= subject.arguments
        calls |= subject.calls
        remarks |= subject.remarks
    return Subject(layouts, arguments, calls, remarks)


_TABLES: Final = _merged()


#: Calls that only socketcall(2) knows: {call: (the one it is like, how many arguments)}.
_SUBSETS: Final = {"send": ("sendto", 4), "recv": ("recvfrom", 4)}


@functools.cache
def plan_of(abi: Abi, name: str) -> Plan:
    """Make the plan of a call, once for each; ``old_mmap`` is that of mmap's arguments in memory."""
    actual, count = _SUBSETS.get(name, (name, 6))
    arguments = roles.signature(abi, actual)[:count]
    written = _TABLES.calls.get(name)
    if written is not None:
        names = [argument.name for argument in arguments] or [key for key, _ in written if key]
        steps = [Step(key, names.index(key) if key else -1, printer) for key, printer in written]
    elif not arguments and name.startswith("syscall_"):
        steps = [Step(f"arg{at}", at, n.hexadecimal(64)) for at in range(6)]
    else:
        steps = [
            Step(argument.name, position, _printer(abi, name, arguments, position))
            for position, argument in enumerate(arguments)
        ]
    prepare = tuple(step.printer.prepare for step in steps if hasattr(step.printer, "prepare"))
    shown = name.removeprefix("old_")
    return Plan(shown, tuple(steps), prepare, roles.result(shown), _TABLES.remarks.get(name))


def _printer(abi: Abi, call: str, arguments: tuple[Argument, ...], position: int) -> Printer:
    """Choose the printer of an argument: by its name, else by its role."""
    argument = arguments[position]
    for key in (f"{call}.{argument.name}", f"*.{argument.name}"):
        if key in _TABLES.arguments:
            return _TABLES.arguments[key]
    if argument.role in (Role.LOW, Role.HIGH):
        return _half(abi, arguments, position)
    return _of_value(abi, argument) or _of_pointer(argument)


def _half(abi: Abi, arguments: tuple[Argument, ...], position: int) -> Printer:
    """Print a 64-bit value in two registers at the first of them.

    Where a register is wide enough the first has all of it (preadv, "C library/kernel differences").
    """
    family = arguments[position].family
    halves = {
        argument.role: at
        for at, argument in enumerate(arguments)
        if argument.family == family and argument.role in (Role.LOW, Role.HIGH)
    }
    if position != min(halves.values()):
        return nothing
    return n.pair(halves[Role.LOW], halves[Role.HIGH]) if abi.bits == 32 else n.signed(64)


def _of_value(abi: Abi, argument: Argument) -> Printer | None:
    """Choose the printer of an argument that is not followed."""
    bits = scalars.bits(argument, abi)
    fixed = _FIXED.get(argument.role)
    if fixed is not None:
        return fixed
    match argument.role:
        case Role.FLAGS:
            return flag_set(argument.family, bits)
        case Role.ENUM:
            return enumeration(argument.family, bits)
        case Role.UID | Role.GID:
            return n.user(16 if argument.family == "16" else 32)
        case Role.SIGNED:
            return n.signed(bits)
        case Role.OFFSET:
            return n.offset(abi.bits)
        case Role.UNSIGNED:
            return n.unsigned(bits)
        case Role.HEX:
            return n.hexadecimal(bits)
    return None


_FIXED: Final[dict[Role, Printer]] = {
    Role.FD: n.descriptor,
    Role.DIRFD: n.directory,
    Role.PATH: s.path,
    Role.PATH_OUT: s.path_out,
    Role.STRING: s.string,
    Role.MODE: n.mode,
    Role.SIGNAL: signals.signal_text,
    Role.PID: n.process,
    Role.ADDRESS: plain_pointer,
    Role.DEV: n.device,
    Role.BUFFER_OUT: s.buffer_out,
    Role.FD_SET: plain_pointer,
}


def _of_pointer(argument: Argument) -> Printer:
    """Choose the printer of what an argument points to."""
    length, what = argument.length, _layout(argument.family)
    match argument.role:
        case Role.STRINGS:
            return s.strings if argument.family == "argv" else s.environment
        case Role.BUFFER_IN if length is not None:
            return s.buffer_in(length)
        case Role.IOVEC_IN if length is not None:
            return iovecs.iovec_in(length)
        case Role.IOVEC_OUT if length is not None:
            return iovecs.iovec_out(length)
        case Role.SIGSET_IN:
            return signals.sigset_in(length)
        case Role.SIGSET_OUT:
            return signals.sigset_out(length)
        case Role.SOCKADDR_IN if length is not None:
            return sockaddr.sockaddr_in(length)
        case Role.SOCKADDR_OUT if length is not None:
            return sockaddr.sockaddr_out(length)
    if what is None:
        return plain_pointer
    match argument.role:
        case Role.SCALAR_IN | Role.SCALAR_OUT | Role.SCALAR_INOUT:
            return indirect(what)
        case Role.STRUCT_IN:
            return read_in(what)
        case Role.STRUCT_OUT | Role.STRUCT_INOUT:
            return read_out(what)
        case Role.ARRAY_IN:
            return counted_in(what, length, 2)
        case Role.ARRAY_OUT | Role.ARRAY_INOUT:
            return counted_out(what, length, 2)
    return plain_pointer


def _layout(name: str) -> Layout | None:
    return _TABLES.layouts.get(name) or _NUMBERS.get(name)


def _id(value: int) -> str:
    return "-1" if value == 0xFFFFFFFF else str(value)


def _id16(value: int) -> str:
    return "-1" if value == 0xFFFF else str(value)


_NUMBERS: Final = {
    "fd": Layout("i", None, n.descriptor_text),
    "gid_t": number("I", text=_id),
    "int": number("i"),
    "loff_t": number("Q"),
    "off_t": number("q", "i"),
    "old_gid_t": number("H", text=_id16),
    "old_uid_t": number("H", text=_id16),
    "size_t": number("Q", "I"),
    "timer_t": number("i"),
    "u32": number("I"),
    "u64": number("Q"),
    "uid_t": number("I", text=_id),
    "unsigned int": number("I"),
    "unsigned long": number("Q", "I"),
}
