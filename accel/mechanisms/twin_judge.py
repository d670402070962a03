"""How the twin of the compiled loop judges a call, by the tables of ``judge_tables``.

The same contract as ``accel._loop_judge``, no shared line: it is that one's oracle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from accel._kernel import memory
from accel.checks import (
    EQUALS,
    FAMILY,
    FROM,
    OF_PATHS,
    PORT,
    SIGNED,
    STARTS,
    UNSIGNED,
)
from accel.mechanisms import judge_tables as t
from accel.records import STRING_LIMIT

__all__ = ["judge"]

_WORD: Final = (1 << 64) - 1
_BIAS: Final = 1 << 63
#: <linux/socket.h>: the families whose addresses have a port.
_WITH_PORT: Final = (2, 10)


def judge(
    tables: t.JudgeTables, tid: int, call: int, ret_data: int, arguments: Sequence[int]
) -> int:
    """Find the answer to a call of which the filter knows no more than RET_DATA; or UNKNOWN.

    ``call`` is its index in the counters, ``arguments`` are unsigned, of its ABI's width.
    """
    at = tables.chains.view[call]
    look = _Look(tid)
    try:
        while at > 0:
            check = tables.check(at)
            if check[t.KIND] in OF_PATHS:
                path = look.path(arguments[check[t.ARGUMENT]])
                holds = path is not None and _path_holds(check[t.KIND], path, tables.text(check))
            else:
                value = _value(check, look, ret_data, arguments)
                holds = value is not None and check[t.LOW] <= value <= check[t.HIGH]
            at = check[t.THEN if holds else t.OTHERWISE]
    except OSError:
        return t.UNKNOWN  # It was killed, or memory cannot be read here in this way.
    return -1 - at if at else t.UNKNOWN


class _Look:
    """Tracee memory as one look finds it: nothing is read twice."""

    def __init__(self, tid: int) -> None:
        self._tid = tid
        self._paths: dict[int, bytes | None] = {}
        self._addresses: dict[int, bytes] = {}

    def path(self, address: int) -> bytes | None:
        """Read a path without its NUL; None where the kernel would find none."""
        if address not in self._paths:
            text, nul, _rest = memory.read(self._tid, address, STRING_LIMIT).partition(b"\0")
            self._paths[address] = text if nul else None
        return self._paths[address]

    def socket_address(self, address: int, size: int) -> bytes:
        """Read what family and port are in, or less."""
        if address not in self._addresses:
            self._addresses[address] = memory.read(self._tid, address, min(size, 4))
        return self._addresses[address]


def _value(
    check: Sequence[int], look: _Look, ret_data: int, arguments: Sequence[int]
) -> int | None:
    """Find the number that a check is about; None if there is none."""
    kind, argument, detail = check[t.KIND], arguments[check[t.ARGUMENT]], check[t.DETAIL]
    if kind == FROM:
        return ret_data
    if kind == UNSIGNED:
        return (argument & detail & _WORD) - _BIAS
    if kind == SIGNED:
        bits = 64 - detail
        return (argument & ((1 << bits) - 1)) - ((argument >> (bits - 1) & 1) << bits)
    size = arguments[detail] & 0xFFFF_FFFF if detail >= 0 else 4
    return _field(kind, look.socket_address(argument, size))


def _path_holds(kind: int, path: bytes, text: bytes) -> bool:
    if kind == EQUALS:
        return path == text
    return path.startswith(text) if kind == STARTS else _is_within(path, text)


def _is_within(path: bytes, root: bytes) -> bool:
    """Tell whether a path is a directory, or below it, by its names alone."""
    if not path.startswith(b"/"):
        return False
    names: list[bytes] = []
    for name in path.split(b"/"):
        if name == b"..":
            del names[-1:]
        elif name not in (b"", b"."):
            names.append(name)
    wanted = [name for name in root.split(b"/") if name]
    return names[: len(wanted)] == wanted


def _field(kind: int, address: bytes) -> int | None:
    family = int.from_bytes(address[:2], "little")
    if kind == FAMILY:
        return family if len(address) >= 2 else None
    assert kind == PORT
    return (
        int.from_bytes(address[2:], "big") if family in _WITH_PORT and len(address) == 4 else None
    )
