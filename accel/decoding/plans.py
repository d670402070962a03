"""How a call is printed: a plan for each call, made once from its signature.

Most printers follow from the role and family of an argument (``accel.roles``). The subject modules
(files, times, sockets, ...) know the structs, by family, and the arguments and calls that follow no
rule, by name.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias, cast

from accel import roles, scalars
from accel.abi import Abi
from accel.call import Call, Memory
from accel.decoding import numbers as n
from accel.decoding import strings as s
from accel.decoding.choices import indirect, nothing, plain_pointer
from accel.decoding.context import Printer
from accel.decoding.flags import enumeration, flag_set
from accel.decoding.layouts import Layout, counted_in, counted_out, number, read_in, read_out
from accel.decoding.results import ResultPrinter, result_printer
from accel.decoding.subject import Remark
from accel.decoding.subjects import argument_of, layout_of, remark_of, steps_of
from accel.roles import Argument, Role
from bpf.value import frozen

__all__ = ["Plan", "Step", "plan_of"]

#: Plans are kept for so many numbers; a hostile tracee could invent more.
_KEPT: Final = 4096

Unpack: TypeAlias = Callable[[Call, str, Memory], tuple[Call, str]]


class Step(NamedTuple):
    """Who prints one argument."""

    name: str
    #: Which register holds it; -1 for an addition that is in none.
    position: int
    printer: Printer


@frozen
class Plan:
    """How to print one call of one ABI."""

    name: str
    steps: tuple[Step, ...]
    #: What has to look at memory at the entry, though its turn comes at the exit.
    prepare: tuple[Callable[..., None], ...]
    result: ResultPrinter
    remark: Remark | None
    #: What finds the call behind it, and its name: of a call whose arguments are in memory.
    unpack: Unpack | None


#: Calls that only socketcall(2) knows: {call: (the one it is like, how many arguments)}.
_SUBSETS: Final = {"send": ("sendto", 4), "recv": ("recvfrom", 4)}


@functools.lru_cache(_KEPT)
def plan_of(abi: Abi, name: str) -> Plan:
    """Make the plan of a call, once; ``old_mmap`` is that of mmap's arguments in memory."""
    actual, count = _SUBSETS.get(name, (name, 6))
    arguments = roles.signature(abi, actual)[:count]
    written = steps_of(name)
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
    unpack = _unpack(name) if abi is Abi.I386 else None
    # Of a call that could not be unpacked only a pointer is known.
    remark = None if unpack is not None else remark_of(name)
    result = result_printer(shown, roles.result(shown))
    return Plan(shown, tuple(steps), prepare, result, remark, unpack)


def _unpack(name: str) -> Unpack | None:
    from accel.decoding import multiplexed  # noqa: PLC0415 - of i386 alone

    return multiplexed.unpacked if name in multiplexed.PACKED else None


def _printer(abi: Abi, call: str, arguments: tuple[Argument, ...], position: int) -> Printer:
    """Choose the printer of an argument: by its name, else by its role."""
    argument = arguments[position]
    printer = argument_of(call, argument.name)
    if printer is not None:
        return printer
    if argument.role in (Role.LOW, Role.HIGH):
        return _half(abi, arguments, position)
    return _of_value(abi, argument) or _of_pointer(argument)


def _half(abi: Abi, arguments: tuple[Argument, ...], position: int) -> Printer:
    """Print a 64-bit value in two registers at the first of them.

    Where a register is wide enough the first has all of it (preadv(2), "C library/kernel
    differences").
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
    """Choose the printer of an argument that is not followed; None for a pointer that is."""
    role, bits = argument.role, scalars.bits(argument, abi)
    if role in _FIXED:
        return _FIXED[role]
    if role is Role.SIGNAL:
        return cast("Printer", _named("signals.signal_text"))
    if role in _OF_WIDTH:
        return _OF_WIDTH[role](bits)
    if role in _OF_FAMILY:
        return _OF_FAMILY[role](argument.family, bits)
    if role in (Role.UID, Role.GID):
        return n.user(16 if argument.family == "16" else 32)
    return n.signed(abi.bits) if role is Role.OFFSET else None


_FIXED: Final[dict[Role, Printer]] = {
    Role.FD: n.descriptor,
    Role.DIRFD: n.directory,
    Role.PATH: s.path,
    Role.PATH_OUT: s.path_out,
    Role.STRING: s.string,
    Role.MODE: n.mode,
    Role.PID: n.process,
    Role.ADDRESS: plain_pointer,
    Role.DEV: n.device,
    Role.BUFFER_OUT: s.buffer_out,
    Role.FD_SET: plain_pointer,
}
_OF_WIDTH: Final[dict[Role, Callable[[int], Printer]]] = {
    Role.SIGNED: n.signed,
    Role.UNSIGNED: n.unsigned,
    Role.HEX: n.hexadecimal,
}
_OF_FAMILY: Final[dict[Role, Callable[[str, int], Printer]]] = {
    Role.FLAGS: flag_set,
    Role.ENUM: enumeration,
}


def _of_pointer(argument: Argument) -> Printer:
    """Choose the printer of what an argument points to."""
    role, length, what = argument.role, argument.length, _layout(argument.family)
    if role is Role.STRINGS:
        return s.strings if argument.family == "argv" else s.environment
    if role in _OF_SET or (role in _COUNTED and length is not None):
        maker = _named(_OF_SET.get(role) or _COUNTED[role])
        return cast("Printer", maker(length))
    if what is None:
        return plain_pointer
    if role in _ARRAYS:
        return _ARRAYS[role](what, length)
    return _OF_LAYOUT[role](what) if role in _OF_LAYOUT else plain_pointer


#: Makers of printers, in modules that are loaded when one is wanted.
_OF_SET: Final = {
    Role.SIGSET_IN: "signals.sigset_in",
    Role.SIGSET_OUT: "signals.sigset_out",
}
_COUNTED: Final = {
    Role.BUFFER_IN: "strings.buffer_in",
    Role.IOVEC_IN: "iovecs.iovec_in",
    Role.IOVEC_OUT: "iovecs.iovec_out",
    Role.SOCKADDR_IN: "sockaddr.sockaddr_in",
    Role.SOCKADDR_OUT: "sockaddr.sockaddr_out",
}
_ARRAYS: Final[dict[Role, Callable[[Layout, int | None], Printer]]] = {
    Role.ARRAY_IN: counted_in,
    Role.ARRAY_OUT: counted_out,
    Role.ARRAY_INOUT: counted_out,
}
_OF_LAYOUT: Final[dict[Role, Callable[[Layout], Printer]]] = {
    Role.SCALAR_IN: indirect,
    Role.SCALAR_OUT: indirect,
    Role.SCALAR_INOUT: indirect,
    Role.STRUCT_IN: read_in,
    Role.STRUCT_OUT: read_out,
    Role.STRUCT_INOUT: read_out,
}


def _named(name: str) -> Any:
    module, _, attribute = name.partition(".")
    return getattr(importlib.import_module(f"accel.decoding.{module}"), attribute)


def _layout(name: str) -> Layout | None:
    return layout_of(name) or _NUMBERS.get(name)


_NUMBERS: Final = {
    "fd": Layout("i", None, n.descriptor_text),
    "gid_t": number("I", text=n.user_text),
    "int": number("i"),
    "loff_t": number("Q"),
    "off_t": number("q", "i"),
    "old_gid_t": number("H", text=lambda value: n.user_text(value, 16)),
    "old_uid_t": number("H", text=lambda value: n.user_text(value, 16)),
    "size_t": number("Q", "I"),
    "timer_t": number("i"),
    "u32": number("I"),
    "u64": number("Q"),
    "uid_t": number("I", text=n.user_text),
    "unsigned int": number("I"),
    "unsigned long": number("Q", "I"),
}
