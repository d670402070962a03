"""Memory: mappings and policies."""

from __future__ import annotations

from typing import Final

from accel.decoding.choices import plain_pointer
from accel.decoding.context import Context, Printer, pointer
from accel.decoding.errnos import errno_name
from accel.decoding.families import family
from accel.decoding.flags import flag_set
from accel.decoding.layouts import array_at, number
from accel.decoding.numbers import descriptor, hexadecimal, padded, unsigned
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]

_PAGE: Final = 4096
_MREMAP_MOVES: Final = 3
_MODE_FLAGS: Final = 0xE000


def _page_offset(_: Context, value: int) -> str:
    """Print mmap2's offset, which counts pages, in bytes."""
    return hex(value * _PAGE) if value else "0"


def _new_address(context: Context, value: int) -> str:
    """Print mremap's new address, which only matters if it is fixed."""
    fixed = context.arguments[3] & _MREMAP_MOVES == _MREMAP_MOVES
    return pointer(value) if fixed else ""


def _resident(context: Context, address: int) -> str | None:
    """Print mincore's vector: whether each page is in memory."""
    if not context.leaving:
        return None
    pages = -(-context.arguments[1] // _PAGE)
    return array_at(context, address, pages, 1, lambda _, raw: str(raw[0] & 1))


def _policy(_: Context, value: int) -> str:
    """Print the mode of a memory policy and its flags."""
    flags, mode = value & _MODE_FLAGS, value & ~_MODE_FLAGS
    modes, names = family("mempolicy_mode"), family("mempolicy_mode_flags")
    if not flags:
        return modes.value(mode)
    known = modes.names.get(mode)
    return f"{known}|{names.flags(flags)}" if known else names.flags(value)


def _policy32(context: Context, value: int) -> str:
    return _policy(context, value & 0xFFFFFFFF)


def _nodes_at(context: Context, address: int, bits: int) -> str:
    """Print a set of nodes as the words it consists of."""
    width = 8 * context.word
    count = (bits + width - 2) // width
    if bits and not count:
        return pointer(address)
    show = _word32 if context.i386 else _word64
    return array_at(context, address, count, context.word, show)


def _word64(_: Context, raw: bytes) -> str:
    return padded(int.from_bytes(raw, "little"), 16)


def _word32(_: Context, raw: bytes) -> str:
    return padded(int.from_bytes(raw, "little"), 8)


def _nodes_in(length: int) -> Printer:
    return lambda context, address: _nodes_at(context, address, context.arguments[length])


def _nodes_out(length: int) -> Printer:
    def printer(context: Context, address: int) -> str | None:
        if not context.leaving:
            return None
        return _nodes_at(context, address, context.arguments[length])

    return printer


def _policy_out(context: Context, address: int) -> str | None:
    """Print the policy that get_mempolicy wrote."""
    if not context.leaving:
        return None
    raw = context.fetch(address, 4)
    if raw is None:
        return pointer(address)
    return f"[{family('mempolicy_mode').value(int.from_bytes(raw, 'little'))}]"


def _move_nodes(context: Context, address: int) -> str:
    count = context.arguments[1]
    return array_at(context, address, count, 4, number("i").show)


def _move_status(context: Context, address: int) -> str | None:
    if not context.leaving:
        return None
    return array_at(context, address, context.arguments[1], 4, _page_status)


def _page_status(_: Context, raw: bytes) -> str:
    status = int.from_bytes(raw, "little", signed=True)
    name = errno_name(-status)
    return f"-{name}" if name else str(status)


def _pages(context: Context, address: int) -> str:
    count = context.arguments[1]
    show = number("Q", "I", pointer).show
    return array_at(context, address, count, context.word, show)


SUBJECT: Final = Subject(
    arguments={
        "mmap.offset": hexadecimal(64),
        "mmap2.pgoffset": _page_offset,
        "mremap.new_address": _new_address,
        "mincore.vec": _resident,
        "mbind.mode": _policy,
        "mbind.nodemask": _nodes_in(4),
        "set_mempolicy.mode": _policy32,
        "set_mempolicy.nodemask": _nodes_in(2),
        "get_mempolicy.mode": _policy_out,
        "get_mempolicy.nodemask": _nodes_out(2),
        "migrate_pages.old_nodes": _nodes_in(1),
        "migrate_pages.new_nodes": _nodes_in(1),
        "move_pages.pages": _pages,
        "move_pages.nodes": _move_nodes,
        "move_pages.status": _move_status,
    },
    calls={
        "old_mmap": (
            ("addr", plain_pointer),
            ("length", unsigned(32)),
            ("prot", flag_set("mmap_prot", 32)),
            ("flags", flag_set("mmap_flags", 32)),
            ("fd", descriptor),
            ("offset", hexadecimal(32)),
        ),
    },
)
