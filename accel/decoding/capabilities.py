"""Capabilities, and groups."""

from __future__ import annotations

from typing import Final

from accel.decoding.context import Context, pointer
from accel.decoding.families import family
from accel.decoding.layouts import array_at
from accel.decoding.numbers import (
    user,
)
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]

_TWO_WORDS: Final = (0x20071026, 0x20080522)


def _capability_header(context: Context, address: int) -> str:
    raw = context.read(address, 8) if address else None
    if raw is None:
        return pointer(address)
    version, pid = int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:], "little", signed=True)
    return f"{{version={family('capability_version').value(version)}, pid={pid}}}"


def _capabilities(low: int, high: int) -> str:
    names = family("capability").names

    def words(value: int, base: int) -> list[str]:
        known = [bit for bit in range(32) if value >> bit & 1 and base + bit in names]
        rest = value & ~sum(1 << bit for bit in known)
        texts = [f"1<<{names[base + bit]}" for bit in known]
        if not known and rest:
            return [f"{rest:#x} /* CAP_??? */"]
        return texts + ([hex(rest)] if rest else [])

    texts = (words(low, 0) if low else []) + (words(high, 32) if high else [])
    return "|".join(texts) or "0"


def _capability_data(context: Context, address: int) -> str:
    """Print the three sets; a newer version has them in two words each."""
    header = context.fetch(context.arguments[0], 8)
    words = 2 if header and int.from_bytes(header[:4], "little") in _TWO_WORDS else 1
    raw = context.fetch(address, 12 * words) if header else None
    if raw is None:
        return pointer(address)
    values = [int.from_bytes(raw[at : at + 4], "little") for at in range(0, 12 * words, 4)]
    values += [0] * (6 - len(values))
    names = ("effective", "permitted", "inheritable")
    texts = [f"{name}={_capabilities(*values[at::3])}" for at, name in enumerate(names)]
    return "{" + ", ".join(texts) + "}"


def _capability_data_out(context: Context, address: int) -> str | None:
    return _capability_data(context, address) if context.leaving else None


def _groups(context: Context, address: int, count: int, bits: int) -> str:
    """Print group ids; more than the kernel can have are not looked at."""
    count &= 0xFFFFFFFF
    if count > 65536:
        return pointer(address)
    show = user(bits)
    return array_at(
        context,
        address,
        count,
        bits // 8,
        lambda c, raw: show(c, int.from_bytes(raw, "little")) or "",
    )


def _gid_bits(context: Context) -> int:
    return 16 if context.i386 else 32


def _groups_in(context: Context, address: int) -> str:
    return _groups(context, address, context.arguments[0], _gid_bits(context))


def _groups_in32(context: Context, address: int) -> str:
    return _groups(context, address, context.arguments[0], 32)


def _groups_out(context: Context, address: int) -> str | None:
    bits = _gid_bits(context)
    return _groups(context, address, context.result or 0, bits) if context.leaving else None


def _groups_out32(context: Context, address: int) -> str | None:
    return _groups(context, address, context.result or 0, 32) if context.leaving else None


SUBJECT: Final = Subject(
    arguments={
        "capget.hdrp": _capability_header,
        "capget.datap": _capability_data_out,
        "capset.hdrp": _capability_header,
        "capset.datap": _capability_data,
        "getgroups.list": _groups_out,
        "setgroups.list": _groups_in,
        "getgroups32.list": _groups_out32,
        "setgroups32.list": _groups_in32,
    },
)
