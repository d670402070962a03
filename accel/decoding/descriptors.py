"""fcntl(2): its commands, and what they take and return."""

from __future__ import annotations

from typing import Final

from accel.decoding.choices import Table, chosen, named, once_left
from accel.decoding.context import Context
from accel.decoding.families import family
from accel.decoding.flags import flag_set, open_mode
from accel.decoding.layouts import Layout, read_at, read_in, read_out
from accel.decoding.numbers import descriptor, process, signed, signed32
from accel.decoding.signal_lines import signal_name
from accel.decoding.signals import signal_text
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]

_DUPFD, _GETFD, _SETFD, _GETFL, _SETFL, _GETLK, _SETLK, _SETLKW = range(8)
_SETOWN, _GETOWN, _SETSIG, _GETSIG, _GETLK64, _SETLK64, _SETLKW64 = range(8, 15)
_SETOWN_EX, _GETOWN_EX = 15, 16
_OFD_GETLK, _OFD_SETLK, _OFD_SETLKW = 36, 37, 38
_SETLEASE, _GETLEASE, _NOTIFY, _DUPFD_CLOEXEC = 1024, 1025, 1026, 1030
_SETPIPE_SZ, _GETPIPE_SZ, _ADD_SEALS, _GET_SEALS = 1031, 1032, 1033, 1034


def _lock(*, owner: bool, layout: tuple[str, str | None]) -> Layout:
    """Describe struct flock; only F_GETLK tells who holds a lock."""

    def render(_: Context, kind: int, whence: int, start: int, length: int, pid: int) -> str:
        holder = f", l_pid={pid}" if owner else ""
        return (
            f"{{l_type={family('lock_type').value(kind & 0xFFFF)}, "
            f"l_whence={family('whence').value(whence & 0xFFFF)}, "
            f"l_start={start}, l_len={length}{holder}}}"
        )

    return Layout(*layout, render)


_LOCK: Final = ("hh4xqqi4x", "hhiii")
_LOCK64: Final = ("hh4xqqi4x", "hhqqi")


def _owner(_: Context, kind: int, pid: int) -> str:
    return f"{{type={family('owner_type').value(kind & 0xFFFFFFFF)}, pid={pid}}}"


_owner_layout = Layout("ii", None, _owner)


def _open_flags(_: Context, value: int) -> str:
    return open_mode(value & 0xFFFFFFFF)


_COMMANDS: Final[Table] = {
    _DUPFD: (signed(64),),
    _DUPFD_CLOEXEC: (signed(64),),
    _GETFD: (),
    _SETFD: (flag_set("descriptor_flags", 32),),
    _GETFL: (),
    _SETFL: (_open_flags,),
    _GETLK: (read_out(_lock(owner=True, layout=_LOCK)),),
    _SETLK: (read_in(_lock(owner=False, layout=_LOCK)),),
    _SETLKW: (read_in(_lock(owner=False, layout=_LOCK)),),
    _OFD_GETLK: (read_out(_lock(owner=True, layout=_LOCK64)),),
    _OFD_SETLK: (read_in(_lock(owner=False, layout=_LOCK64)),),
    _OFD_SETLKW: (read_in(_lock(owner=False, layout=_LOCK64)),),
    _SETOWN: (process,),
    _GETOWN: (),
    _SETSIG: (signal_text,),
    _GETSIG: (),
    _SETOWN_EX: (read_in(_owner_layout),),
    _GETOWN_EX: (once_left(lambda context, value: read_at(context, value, _owner_layout)),),
    _SETLEASE: (named("lock_type"),),
    _GETLEASE: (),
    _NOTIFY: (flag_set("notify_flags", 64),),
    _SETPIPE_SZ: (signed(64),),
    _GETPIPE_SZ: (),
    _ADD_SEALS: (flag_set("seals", 64),),
    _GET_SEALS: (),
}
_COMMANDS64: Final[Table] = {
    **_COMMANDS,
    _GETLK64: (read_out(_lock(owner=True, layout=_LOCK64)),),
    _SETLK64: (read_in(_lock(owner=False, layout=_LOCK64)),),
    _SETLKW64: (read_in(_lock(owner=False, layout=_LOCK64)),),
}


def _names(name: str, value: int) -> str:
    return "|".join(family(name).parts(value))


def _remark(context: Context) -> None:
    """Say what the number that a command returned means."""
    result = context.result
    command = context.arguments[1] & 0xFFFFFFFF
    if result is None or context.failed:
        return
    if command in (_DUPFD, _DUPFD_CLOEXEC):
        context.radix = "fd"
    elif command == _GETFL:
        context.radix, context.note = "x", f"flags {open_mode(result & 0xFFFFFFFF)}"
    elif command == _GETFD and result:
        context.radix, context.note = "x", f"flags {_names('descriptor_flags', result)}"
    elif command == _GETLEASE:
        context.radix, context.note = "x", family("lock_type").names.get(result, "")
    elif command == _GET_SEALS and result:
        context.radix, context.note = "x", f"seals {_names('seals', result)}"
    elif command == _GETSIG and result:
        name = signal_name(signed32(result))
        context.note = name if name.startswith("SIG") else ""
    elif command == _GETOWN:
        context.radix = "d"


_FIRST: Final = (("fd", descriptor), ("cmd", named("fcntl_command", 32)))

SUBJECT: Final = Subject(
    calls={
        "fcntl": (*_FIRST, *chosen(["arg"], _COMMANDS, 1, 2)),
        "fcntl64": (*_FIRST, *chosen(["arg"], _COMMANDS64, 1, 2)),
    },
    remarks={"fcntl": _remark, "fcntl64": _remark},
)
