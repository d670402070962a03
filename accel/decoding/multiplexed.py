"""Calls of i386 that pack their arguments in memory, or stand for other calls, as they are printed.

socketcall(2) and ipc(2) are many calls; the old mmap(2) and select(2) take a struct.
"""

from __future__ import annotations

from typing import Final

from accel.call import Call, Memory
from bpf.value import replace

__all__ = ["PACKED", "unpacked"]

#: Calls that may have to be unpacked.
PACKED: Final = frozenset({"ipc", "mmap", "select", "socketcall"})
#: The old calls: how many arguments are in the struct.
_OLD_CALLS: Final = {"mmap": 6, "select": 5}

#: The calls of socketcall, from 1 on, and how many arguments they have in memory.
_SOCKET_CALLS: Final = (
    ("", 0), ("socket", 3), ("bind", 3), ("connect", 3), ("listen", 2), ("accept", 3),
    ("getsockname", 3), ("getpeername", 3), ("socketpair", 4), ("send", 4), ("recv", 4),
    ("sendto", 6), ("recvfrom", 6), ("shutdown", 2), ("setsockopt", 5), ("getsockopt", 5),
    ("sendmsg", 3), ("recvmsg", 3), ("accept4", 4), ("recvmmsg", 5), ("sendmmsg", 4),
)  # fmt: skip

#: The calls of ipc: where each argument of the call behind it is: f(irst), s(econd), ...
_IPC_CALLS: Final = {
    1: ("semop", "fps"),
    2: ("semget", "fst"),
    3: ("semctl", "fstp"),
    4: ("semtimedop", "fps5"),
    11: ("msgsnd", "fpst"),
    12: ("msgrcv", "fps5t"),
    13: ("msgget", "fs"),
    14: ("msgctl", "fsp"),
    21: ("shmat", "fps"),
    22: ("shmdt", "p"),
    23: ("shmget", "fst"),
    24: ("shmctl", "fsp"),
}
_WHERE: Final = {"f": 1, "s": 2, "t": 3, "p": 4, "5": 5}
_SEMCTL, _MSGRCV = 3, 12


def unpacked(call: Call, name: str, memory: Memory) -> tuple[Call, str]:
    """Find the call that is meant, with its arguments in order, and the name of its plan.

    A call that names none, or whose arguments cannot be read, stands for itself.
    """
    if name in _OLD_CALLS:
        values = _old(call, name, memory)
    else:
        values = _socket(call, memory) if name == "socketcall" else _ipc(call, memory)
    if values is None:
        return call, name
    actual, arguments = values
    first, second, third, fourth, fifth, sixth = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    packed = (first, second, third, fourth, fifth, sixth)
    return replace(call, arguments=packed), actual


def _words(raw: bytes) -> list[int]:
    return [int.from_bytes(raw[at : at + 4], "little") for at in range(0, len(raw), 4)]


def _old(call: Call, name: str, memory: Memory) -> tuple[str, list[int]] | None:
    size = 4 * _OLD_CALLS[name]
    raw = memory.read(call.arguments[0], size)
    return (f"old_{name}", _words(raw)) if len(raw) == size else None


def _socket(call: Call, memory: Memory) -> tuple[str, list[int]] | None:
    number = call.arguments[0]
    if not 0 < number < len(_SOCKET_CALLS):
        return None
    name, count = _SOCKET_CALLS[number]
    raw = memory.read(call.arguments[1], 4 * count)
    return (name, _words(raw)) if len(raw) == 4 * count else None


def _ipc(call: Call, memory: Memory) -> tuple[str, list[int]] | None:
    number, version = call.arguments[0] & 0xFFFF, call.arguments[0] >> 16
    if number not in _IPC_CALLS:
        return None
    name, order = _IPC_CALLS[number]
    arguments = [call.arguments[_WHERE[where]] for where in order]
    if number == _SEMCTL or (number == _MSGRCV and not version):
        size = 4 if number == _SEMCTL else 8
        raw = memory.read(call.arguments[4], size)
        if len(raw) < size:
            return None
        if number == _SEMCTL:
            arguments[3:] = _words(raw)
        else:
            arguments[1], arguments[3] = _words(raw)
    return name, arguments
