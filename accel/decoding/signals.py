"""Signals: their names, sets of them, what to do about them."""

from __future__ import annotations

from typing import Final

from accel.decoding.choices import AtEntry
from accel.decoding.context import Context, Pointed, Printer, pointer
from accel.decoding.families import family
from accel.decoding.layouts import Layout, read_in
from accel.decoding.numbers import signed32
from accel.decoding.signal_lines import signal_name
from accel.decoding.subject import Remark, Subject
from accel.decoding.times import timespec, timespec_long

__all__ = [
    "SUBJECT",
    "handler",
    "signal_text",
    "sigset_at",
    "sigset_in",
    "sigset_out",
    "sigset_text",
]

#: The kernel's sigset_t, in bytes.
_SIGSET: Final = 8
_SA_RESTORER: Final = 0x04000000


def signal_text(_: Context, value: int) -> str:
    """Print a signal."""
    number = signed32(value)
    return "0" if number == 0 else signal_name(number)


def sigset_text(raw: bytes) -> str:
    """Print a set of signals: ``[INT TERM]``, or ``~[KILL STOP]`` for one with nearly all."""
    bits = len(raw) + 3 & ~3
    mask = int.from_bytes(raw, "little")
    complement = mask.bit_count() >= bits * 8 * 2 // 3
    if complement:
        mask ^= (1 << bits * 8) - 1
    names = []
    while mask:
        number = (mask & -mask).bit_length()
        names.append(signal_name(number)[3:])
        mask &= mask - 1
    return f"{'~' if complement else ''}[{' '.join(names)}]"


def sigset_at(context: Context, address: int, size: int, smallest: int) -> str:
    """Print the set at ``address``, which the call says has ``size`` bytes."""
    if not smallest <= size <= _SIGSET:
        return pointer(address)
    raw = context.fetch(address, size)
    return pointer(address) if raw is None else sigset_text(raw)


def sigset_in(length: int | None) -> Printer:
    """Make a printer of a set that the call reads; the argument at ``length`` counts its bytes."""

    def printer(context: Context, address: int) -> str:
        size = context.word if length is None else context.arguments[length]
        return sigset_at(context, address, size, context.word)

    return Pointed(printer, (_SIGSET, _SIGSET))


def sigset_out(length: int | None) -> Printer:
    """Make a printer of a set that the kernel writes."""
    inner = sigset_in(length)

    def printer(context: Context, address: int) -> str | None:
        return inner(context, address) if context.leaving else None

    return Pointed(printer, (_SIGSET, _SIGSET), written=True)


def _pending(context: Context, address: int) -> str | None:
    """Print the signals that are pending: the kernel writes less than a set if asked to."""
    return sigset_at(context, address, context.arguments[1], 1) if context.leaving else None


_HANDLERS: Final = {(1 << 64) - 1: "SIG_ERR", 0: "SIG_DFL", 1: "SIG_IGN"}


def handler(value: int) -> str:
    """Print what handles a signal."""
    return _HANDLERS.get(value) or pointer(value)


def _action(handles: int, mask: bytes, flags: int, restorer: int) -> str:
    texts = [
        f"sa_handler={handler(handles)}",
        f"sa_mask={sigset_text(mask)}",
        f"sa_flags={family('sigaction_flags').flags(flags & 0xFFFFFFFFFFFFFFFF)}",
    ]
    if flags & _SA_RESTORER:
        texts.append(f"sa_restorer={pointer(restorer)}")
    return "{" + ", ".join(texts) + "}"


def _new_action(_: Context, handles: int, flags: int, restorer: int, mask: bytes) -> str:
    return _action(handles, mask, flags, restorer)


def _old_action(_: Context, handles: int, mask: bytes, flags: int, restorer: int) -> str:
    return _action(handles, mask, flags, restorer)


def _stack(_: Context, address: int, flags: int, size: int) -> str:
    return (
        f"{{ss_sp={pointer(address)}, ss_flags={family('sigaltstack_flags').flags(flags)}, "
        f"ss_size={size}}}"
    )


def _handler_argument(_: Context, value: int) -> str:
    return handler(value)


def _old_handler(context: Context) -> None:
    """Annotate the result of signal(2): the handler until then."""
    if not context.failed and context.result is not None:
        context.radix = "x"
        context.note = _HANDLERS.get(context.result & 0xFFFFFFFFFFFFFFFF, "")


def _mask_argument(_: Context, value: int) -> str:
    return sigset_text((value & 0xFFFFFFFF).to_bytes(4, "little"))


def _old_mask(before: str) -> Remark:
    """Annotate the result of sgetmask(2) and ssetmask(2): the mask until then."""

    def remark(context: Context) -> None:
        if not context.failed and context.result is not None:
            context.radix = "x"
            context.note = before + _mask_argument(context, context.result)

    return remark


def _signal_returned(context: Context) -> None:
    """Annotate the result of sigtimedwait(2): the signal that came."""
    if context.result and not context.failed:
        name = signal_name(context.result)
        context.note = name if name.startswith("SIG") else ""


#: Where the kernel keeps the mask that sigreturn restores, above the stack pointer.
_SAVED_MASK: Final = {"rt_sigreturn": (296, 248), "sigreturn": (80, 80)}
_EXTRA_MASK: Final = 712


def _restored(context: Context, _: int) -> str:
    """Print the mask that returning from a handler restores, found on the stack."""
    stack = context.call.stack_pointer
    if not stack:
        return ""
    offset = _SAVED_MASK[context.call.name][context.i386]
    if context.call.name == "sigreturn":
        low, high = context.read(stack + offset, 4), context.read(stack + _EXTRA_MASK, 4)
        raw = low + high if low is not None and high is not None else None
    else:
        raw = context.read(stack + offset, _SIGSET)
    return hex(stack) if raw is None else f"{{mask={sigset_text(raw)}}}"


SUBJECT: Final = Subject(
    layouts={
        "sigaction": Layout("QQQ8s56x", "III8s56x", _new_action),
        "old_sigaction": Layout("Q8sQQ", "I4sII", _old_action),
        "sigaltstack": Layout("QI4xQ", "III", _stack),
    },
    arguments={
        "rt_sigpending.set": _pending,
        "rt_sigtimedwait.timeout": AtEntry(2, read_in(timespec_long)),
        "rt_sigtimedwait_time64.timeout": AtEntry(2, read_in(timespec)),
        "rt_sigprocmask.set": sigset_in(3),
        "rt_sigtimedwait.set": sigset_in(3),
        "rt_sigtimedwait_time64.set": sigset_in(3),
        "signal.handler": _handler_argument,
        "ssetmask.newmask": _mask_argument,
    },
    calls={
        "rt_sigreturn": (("", _restored),),
        "sigreturn": (("", _restored),),
        "sigsuspend": (("mask", _mask_argument),),
    },
    remarks={
        "rt_sigtimedwait": _signal_returned,
        "rt_sigtimedwait_time64": _signal_returned,
        "sgetmask": _old_mask("mask "),
        "signal": _old_handler,
        "ssetmask": _old_mask("old mask "),
    },
)
