"""Processes: how they end, what they may use and have used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from accel.decoding.context import Context, pointer
from accel.decoding.families import family
from accel.decoding.flags import persona
from accel.decoding.layouts import Layout, read_at
from accel.decoding.numbers import (
    descriptor_text,
    signed32,
)
from accel.decoding.signal_lines import signal_name
from accel.decoding.subject import Subject
from accel.decoding.times import timeval

__all__ = ["SUBJECT"]

_P_PIDFD: Final = 3


def _status_text(status: int) -> str:
    """Print a wait status by the macros that take it apart."""
    if status & 0xFF == 0x7F:
        signal = status >> 8 & 0xFF
        flag = " | 0x80" if signal & 0x80 else ""
        text = f"{{WIFSTOPPED(s) && WSTOPSIG(s) == {signal_name(signal & 0x7F)}{flag}}}"
        status &= ~(signal << 8 | 0x7F)
    elif status & 0x7F and (status & 0x7F) + 1 & 0x7F > 1:
        dumped = " && WCOREDUMP(s)" if status & 0x80 else ""
        text = f"{{WIFSIGNALED(s) && WTERMSIG(s) == {signal_name(status & 0x7F)}{dumped}}}"
        status &= ~0xFF
    elif status & 0x7F == 0:
        text = f"{{WIFEXITED(s) && WEXITSTATUS(s) == {status >> 8 & 0xFF}}}"
        status &= ~0xFF00
    else:
        return f"[{status:#x}]"
    event, rest = status >> 16, status & 0xFFFF
    if event:
        text += f"|{family('ptrace_event').value(event)}<<16"
    if rest:
        text += f"|{rest:#x}"
    return f"[{text}]"


def _status(context: Context, address: int) -> str | None:
    if not context.leaving:
        return None
    raw = context.fetch(address, 4) if context.result else None
    return pointer(address) if raw is None else _status_text(int.from_bytes(raw, "little"))


def _rusage(context: Context, *values: int) -> str:
    texts = [
        f"ru_utime={timeval.render(context, *values[:2])}",
        f"ru_stime={timeval.render(context, *values[2:4])}",
    ]
    if context.options.abbreviate:
        texts.append("...")
    else:
        texts += [f"ru_{name}={value}" for name, value in zip(_USAGE, values[4:], strict=True)]
    return "{" + ", ".join(texts) + "}"


_USAGE: Final = (
    "maxrss ixrss idrss isrss minflt majflt nswap inblock oublock msgsnd msgrcv nsignals nvcsw "
    "nivcsw"
).split()


_rusage_layout = Layout("qQqQ14Q", "iIiI14I", _rusage)


def _usage_of_child(context: Context, address: int) -> str | None:
    """Print wait4's usage: it is written only if a child was found."""
    if not context.leaving:
        return None
    found = (context.result or 0) > 0
    return read_at(context, address, _rusage_layout) if found else pointer(address)


def _wait_id(context: Context, value: int) -> str:
    identity = signed32(value)
    is_descriptor = context.arguments[0] & 0xFFFFFFFF == _P_PIDFD
    return descriptor_text(context, identity) if is_descriptor else str(identity)


def _limit(infinity: int, name: str) -> Callable[[int], str]:
    def text(value: int) -> str:
        if value == infinity:
            return name
        return f"{value // 1024}*1024" if value > 1024 and value % 1024 == 0 else str(value)

    return text


_limit64 = _limit((1 << 64) - 1, "RLIM64_INFINITY")


_limit32 = _limit((1 << 32) - 1, "RLIM_INFINITY")


def _rlimit64(_: Context, current: int, maximum: int) -> str:
    return f"{{rlim_cur={_limit64(current)}, rlim_max={_limit64(maximum)}}}"


def _rlimit(context: Context, current: int, maximum: int) -> str:
    if not context.i386:
        return _rlimit64(context, current, maximum)
    return f"{{rlim_cur={_limit32(current)}, rlim_max={_limit32(maximum)}}}"


def _personality(context: Context) -> None:
    """Annotate the result of personality(2): the persona until then."""
    if context.result is not None and not context.failed:
        context.radix, context.note = "x", persona(context.result & 0xFFFFFFFF)


SUBJECT: Final = Subject(
    layouts={
        "rlimit": Layout("QQ", "II", _rlimit),
        "old_rlimit": Layout("QQ", "II", _rlimit),
        "rlimit64": Layout("QQ", None, _rlimit64),
        "rusage": _rusage_layout,
    },
    arguments={
        "wait4.wstatus": _status,
        "waitpid.wstatus": _status,
        "wait4.rusage": _usage_of_child,
        "waitid.id": _wait_id,
    },
    remarks={
        "personality": _personality,
    },
)
