"""Segments of i386: struct user_desc and the calls that take it."""

from __future__ import annotations

from typing import Final

from accel.decoding.context import Begun, Context, pointer
from accel.decoding.numbers import (
    padded,
    signed,
    user,
    user_text,
)
from accel.decoding.subject import Subject

__all__ = ["SUBJECT", "user_desc_at"]


def user_desc_at(context: Context, address: int) -> str:
    """Print struct user_desc: a segment of i386."""
    raw = context.fetch(address, 16)
    if raw is None:
        return pointer(address)
    entry, base, limit, bits = (int.from_bytes(raw[at : at + 4], "little") for at in (0, 4, 8, 12))
    texts = [
        f"entry_number={user_text(entry)}",
        f"base_addr={padded(base, 8)}",
        f"limit={padded(limit, 8)}",
        f"seg_32bit={bits & 1}",
        f"contents={bits >> 1 & 3}",
        f"read_exec_only={bits >> 3 & 1}",
        f"limit_in_pages={bits >> 4 & 1}",
        f"seg_not_present={bits >> 5 & 1}",
        f"useable={bits >> 6 & 1}",
        *([] if context.i386 else [f"lm={bits >> 7 & 1}"]),
    ]
    return "{" + ", ".join(texts) + "}"


class _AskedThreadArea:
    """The printer of get_thread_area's segment: the number is asked for, the rest answered."""

    __slots__ = ()

    def __call__(self, context: Context, address: int) -> str | None:
        if not context.leaving:
            raw = context.fetch(address, 4)
            if raw is None:
                return pointer(address)
            context.saved[0] = int.from_bytes(raw, "little")
            return Begun(f"{{entry_number={user(32)(context, context.saved[0])}")
        if 0 not in context.saved:
            return ""
        text = user_desc_at(context, address)
        if not text.startswith("{"):
            return ", ...}"
        number_, _, rest = text.partition(", ")
        now = number_.removeprefix("{entry_number=")
        before = user(32)(context, context.saved[0])
        return ("" if now == before else f" => {now}") + f", {rest}"


def _thread_area_remark(context: Context) -> None:
    raw = context.fetch(context.arguments[0], 16)
    if raw is not None:
        context.note = f"entry_number={int.from_bytes(raw[:4], 'little')}"


def _ldt_entry(context: Context, address: int) -> str:
    """Print what modify_ldt(2) reads: one segment, if the size says so."""
    whole = context.arguments[2] == 16
    return user_desc_at(context, address) if whole else pointer(address)


SUBJECT: Final = Subject(
    arguments={
        "set_thread_area.u_info": user_desc_at,
        "get_thread_area.u_info": _AskedThreadArea(),
        "modify_ldt.func": signed(32),
        "modify_ldt.ptr": _ldt_entry,
    },
    remarks={
        "set_thread_area": _thread_area_remark,
    },
)
