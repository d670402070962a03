"""Waiting for descriptors: poll, select and epoll."""

from __future__ import annotations

import struct
from typing import Final

from accel.decoding.context import Context, Printer, pointer
from accel.decoding.families import family
from accel.decoding.layouts import Layout, array_at, read_at, read_in
from accel.decoding.numbers import descriptor_text, signed32
from accel.decoding.signals import sigset_at
from accel.decoding.subject import Remark, Steps, Subject
from accel.decoding.times import timespec, timespec_long, timeval

__all__ = ["SUBJECT"]

_EPOLL_CTL_DEL: Final = 2
_FDS_MAX: Final = 1024 * 1024
#: Room for the descriptors that are ready, in characters: strace keeps them in a buffer.
_READY_MAX: Final = 998
_NOTE_MAX: Final = 1024
_POLLFD: Final = struct.Struct("<iHH")

# ---------------------------------------------------------------------------------------- poll


def _pollfd(context: Context, raw: bytes) -> str:
    number, events, _ = _POLLFD.unpack(raw)
    if number < 0:
        return f"{{fd={number}}}"
    asked = family("poll_events").flags(events)
    return f"{{fd={descriptor_text(context, number)}, events={asked}}}"


def _pollfds(context: Context, address: int) -> str:
    count = context.arguments[1] & 0xFFFFFFFF
    return array_at(context, address, count, _POLLFD.size, _pollfd)


def _ready(context: Context) -> str:
    """List the descriptors that have something to tell: ``[{fd=3, revents=POLLIN}]``."""
    address, count = context.arguments[0], context.arguments[1] & 0xFFFFFFFF
    raw = context.memory.read(address, min(count, _FDS_MAX) * _POLLFD.size)
    limit = context.options.string_limit if context.options.abbreviate else count
    texts: list[str] = []
    length = 0
    whole = len(raw) - len(raw) % _POLLFD.size
    for number, _, events in _POLLFD.iter_unpack(raw[:whole]):
        if not events:
            continue
        happened = "|".join(family("poll_events").parts(events))
        text = f"{{fd={number}, revents={happened}}}"
        length += len(text) + 2
        if len(texts) >= limit or length >= _READY_MAX:
            texts.append("...")
            break
        texts.append(text)
    else:
        if whole < count * _POLLFD.size:
            texts.append(hex(address + whole))
    return f"[{', '.join(texts)}]" if texts else ""


def _poll_remark(left: Layout | None) -> Remark:
    def remark(context: Context) -> None:
        if context.failed or context.result is None:
            return
        if context.result == 0:
            context.note = "Timeout"
            return
        if not context.arguments[0] or not context.arguments[1] & 0xFFFFFFFF:
            return
        texts = [_ready(context)]
        if left is not None and context.arguments[2]:
            remaining = f"left {read_at(context, context.arguments[2], left)}"
            fits = len(texts[0]) + len(remaining) + 3 < _NOTE_MAX
            texts.append(remaining if fits else "...")
        context.note = ", ".join(text for text in texts if text)

    return remark


# -------------------------------------------------------------------------------------- select


def _set_size(context: Context, descriptors: int) -> int:
    word = context.word
    return ((descriptors + 7) // 8 + word - 1) // word * word


def _descriptors(value: int) -> int:
    return min(max(signed32(value), 0), _FDS_MAX)


def _members(raw: bytes, count: int) -> list[int]:
    mask = int.from_bytes(raw, "little") & ((1 << count) - 1)
    members = []
    while mask:
        lowest = mask & -mask
        members.append(lowest.bit_length() - 1)
        mask ^= lowest
    return members


def _fd_set(context: Context, address: int) -> str:
    """Print a set of descriptors: ``[3 5]``."""
    count = _descriptors(context.arguments[0])
    size = _set_size(context, count)
    raw = context.fetch(address, size) if size else None
    if raw is None:
        return pointer(address)
    return f"[{' '.join(descriptor_text(context, number) for number in _members(raw, count))}]"


def _select_remark(left: Layout) -> Remark:
    """List the descriptors that are ready, and the time that was left."""

    def remark(context: Context) -> None:
        if context.failed or context.result is None:
            return
        if context.result == 0:
            context.note = "Timeout"
            return
        texts = _selected(context, context.result)
        if context.arguments[4]:
            texts.append(f"left {read_at(context, context.arguments[4], left)}")
        context.note = ", ".join(texts)

    return remark


def _selected(context: Context, ready: int) -> list[str]:
    count = _descriptors(context.arguments[0])
    size = _set_size(context, count)
    texts = []
    for position, word in ((1, "in"), (2, "out"), (3, "except")):
        address = context.arguments[position]
        raw = context.read(address, size) if address and ready > 0 else None
        if raw is None:
            continue
        members = _members(raw, count)[:ready]
        ready -= len(members)
        if members:
            texts.append(f"{word} [{' '.join(map(str, members))}]")
    return texts


def _sigset_argpack(context: Context, address: int) -> str:
    """Print pselect6's last argument: a pointer to a pointer to a set, and its size."""
    raw = context.fetch(address, 2 * context.word)
    if raw is None:
        return pointer(address)
    mask, size = (int.from_bytes(raw[at : at + context.word], "little") for at in (0, context.word))
    return f"{{sigmask={sigset_at(context, mask, size, context.word)}, sigsetsize={size}}}"


def _number(_: Context, value: int) -> str:
    return str(signed32(value))


def _select(timeout: Layout, *more: tuple[str, Printer]) -> Steps:
    return (
        ("nfds", _number),
        ("readfds", _fd_set),
        ("writefds", _fd_set),
        ("exceptfds", _fd_set),
        ("timeout", read_in(timeout)),
        *more,
    )


# --------------------------------------------------------------------------------------- epoll


def _epoll_event(_: Context, events: int, data: int) -> str:
    names = family("epoll_events").flags(events)
    return f"{{events={names}, data={{u32={data & 0xFFFFFFFF}, u64={data}}}}}"


_event: Final = Layout("IQ", None, _epoll_event)


def _changed_event(context: Context, address: int) -> str:
    """Print epoll_ctl's event, which a deletion ignores."""
    deletes = context.arguments[1] & 0xFFFFFFFF == _EPOLL_CTL_DEL
    return pointer(address) if deletes else read_at(context, address, _event)


def _events(context: Context, address: int) -> str | None:
    if not context.leaving:
        return None
    count = (context.result or 0) & 0xFFFFFFFFFFFFFFFF
    return array_at(context, address, count, _event.size(context), _event.show)


_P6: Final = ("sigmask", _sigset_argpack)

SUBJECT: Final = Subject(
    layouts={"epoll_event": _event},
    arguments={
        "*.fds": _pollfds,
        "select.nfds": _number,
        "select.readfds": _fd_set,
        "select.writefds": _fd_set,
        "select.exceptfds": _fd_set,
        "select.timeout": read_in(timeval),
        "epoll_ctl.event": _changed_event,
        "epoll_wait.events": _events,
        "epoll_pwait.events": _events,
        "epoll_pwait2.events": _events,
    },
    calls={
        "old_select": _select(timeval),
        "_newselect": _select(timeval),
        "pselect6": _select(timespec_long, _P6),
        "pselect6_time64": _select(timespec, _P6),
    },
    remarks={
        "poll": _poll_remark(None),
        "ppoll": _poll_remark(timespec_long),
        "ppoll_time64": _poll_remark(timespec),
        "select": _select_remark(timeval),
        "old_select": _select_remark(timeval),
        "_newselect": _select_remark(timeval),
        "pselect6": _select_remark(timespec_long),
        "pselect6_time64": _select_remark(timespec),
    },
)
