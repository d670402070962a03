"""Making processes: clone(2) and clone3(2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from accel.decoding.context import Begun, Context, Printer, hex_text, pointer
from accel.decoding.families import family
from accel.decoding.layouts import array_at, number
from accel.decoding.numbers import (
    descriptor_text,
)
from accel.decoding.segments import user_desc_at
from accel.decoding.signal_lines import signal_name
from accel.decoding.structs import tail
from accel.decoding.subject import Steps, Subject

__all__ = ["SUBJECT"]

_CSIGNAL: Final = 0xFF


_CLONE_PIDFD, _CLONE_SETTLS = 0x1000, 0x80000


_CLONE_PARENT_SETTID, _CLONE_CHILD_CLEARTID, _CLONE_CHILD_SETTID = 0x100000, 0x200000, 0x1000000


_CLONE_INTO_CGROUP: Final = 0x200000000


_INT_MAX: Final = 0x7FFFFFFF


_pid = number("i", text=str)


def _labelled(label: str, printer: Callable[[Context, int], str | None]) -> Printer:
    """Print an argument with its name before it, unless there is nothing to print."""

    def labelled(context: Context, value: int) -> str | None:
        text = printer(context, value)
        return f"{label}={text}" if text else text

    return labelled


def _address(_: Context, value: int) -> str:
    return pointer(value)


def _clone_flags(_: Context, value: int) -> str:
    """Print the flags and the signal that the child sends when it dies, in one word."""
    signal, flags = value & _CSIGNAL, value & ~_CSIGNAL
    if not flags:
        return signal_name(signal)
    text = family("clone_flags").flags(flags)
    return f"{text}|{signal_name(signal)}" if signal else text


def _when(bits: int, printer: Printer) -> Printer:
    """Print an argument of clone(2) at the exit, if the flags use it."""

    def conditional(context: Context, value: int) -> str | None:
        if not context.arguments[0] & bits:
            return ""
        return printer(context, value) if context.leaving else None

    return conditional


def _parent_tid(context: Context, address: int) -> str:
    raw = context.fetch(address, 4)
    if raw is None:
        return pointer(address)
    value = int.from_bytes(raw, "little", signed=True)
    is_tid = context.arguments[0] & _CLONE_PARENT_SETTID
    return f"[{value if is_tid else descriptor_text(context, value)}]"


def _thread_area(context: Context, address: int) -> str:
    """Print where thread-local storage is: on i386 a descriptor of a segment says so."""
    return user_desc_at(context, address) if context.i386 else pointer(address)


_CLONE: Final[Steps] = (
    ("stack", _labelled("child_stack", _address)),
    ("flags", _labelled("flags", _clone_flags)),
    (
        "parent_tid",
        _labelled("parent_tid", _when(_CLONE_PARENT_SETTID | _CLONE_PIDFD, _parent_tid)),
    ),
    ("tls", _labelled("tls", _when(_CLONE_SETTLS, _thread_area))),
    (
        "child_tid",
        _labelled("child_tidptr", _when(_CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID, _address)),
    ),
)


_CLONE_ARGS: Final = (
    "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls",
    "set_tid", "set_tid_size", "cgroup",
)  # fmt: skip


_CLONE_ARGS_MIN: Final = 64


_CGROUP: Final = 80
_SET_TID_MAX: Final = 32


def _clone3(context: Context, address: int) -> str | None:
    """Print struct clone_args, and what the kernel then wrote where it says."""
    size = context.arguments[1]
    known = min(size, 8 * len(_CLONE_ARGS))
    if context.leaving:
        return _clone3_results(context, address, known)
    raw = context.fetch(address, known) if known >= _CLONE_ARGS_MIN else None
    if raw is None:
        return pointer(address)
    args = _clone_args(raw)
    flags = args["flags"]
    text = "{" + ", ".join(_clone3_texts(context, args) + tail(context, address, known, size)) + "}"
    if flags & (_CLONE_PIDFD | _CLONE_PARENT_SETTID) or size > known:
        return Begun(text)
    return text


def _clone_args(raw: bytes) -> dict[str, int]:
    padded = raw.ljust(8 * len(_CLONE_ARGS), b"\0")
    return {
        name: int.from_bytes(padded[8 * at : 8 * at + 8], "little")
        for at, name in enumerate(_CLONE_ARGS)
    }


def _clone3_texts(context: Context, args: dict[str, int]) -> list[str]:
    flags = args["flags"]
    names, rest = family("clone_flags").split(flags)
    if rest:
        names += (
            family("clone3_flags").parts(rest) if names else [family("clone3_flags").flags(rest)]
        )
    texts = [f"flags={'|'.join(names) or '0'}"]
    for name, bits in (
        ("pidfd", _CLONE_PIDFD),
        ("child_tid", _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID),
        ("parent_tid", _CLONE_PARENT_SETTID),
    ):
        if flags & bits:
            texts.append(f"{name}={pointer(args[name])}")
    signal = args["exit_signal"]
    texts.append(f"exit_signal={signal_name(signal) if signal < _INT_MAX else signal}")
    texts.append(f"stack={pointer(args['stack'])}")
    texts.append(f"stack_size={hex_text(args['stack_size'])}")
    if flags & _CLONE_SETTLS:
        texts.append(f"tls={_thread_area(context, args['tls'])}")
    if args["set_tid"] or args["set_tid_size"]:
        texts += [f"set_tid={_set_tid(context, args)}", f"set_tid_size={args['set_tid_size']}"]
    if args["cgroup"] or (flags & _CLONE_INTO_CGROUP and context.arguments[1] > _CGROUP):
        texts.append(f"cgroup={args['cgroup']}")
    return texts


def _set_tid(context: Context, args: dict[str, int]) -> str:
    count = args["set_tid_size"]
    if not 0 < count <= _SET_TID_MAX:
        return pointer(args["set_tid"])
    return array_at(context, args["set_tid"], count, 4, _pid.show)


def _clone3_results(context: Context, address: int, known: int) -> str:
    if context.failed:
        return ""
    raw = context.read(address, known)
    if raw is None:
        return f" => {pointer(address)}"
    args = _clone_args(raw)
    texts = []
    if args["flags"] & _CLONE_PIDFD:
        texts.append(f"pidfd={_indirect_int(context, args['pidfd'])}")
    if args["flags"] & _CLONE_PARENT_SETTID:
        texts.append(f"parent_tid={_indirect_int(context, args['parent_tid'])}")
    texts += tail(context, address, known, context.arguments[1])
    return " => {" + ", ".join(texts) + "}" if texts else ""


def _indirect_int(context: Context, address: int) -> str:
    raw = context.fetch(address, 4)
    return pointer(address) if raw is None else f"[{int.from_bytes(raw, 'little', signed=True)}]"


SUBJECT: Final = Subject(
    arguments={
        "clone3.cl_args": _clone3,
    },
    calls={
        "clone": _CLONE,
    },
)
