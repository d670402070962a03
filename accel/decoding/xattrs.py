"""Extended attributes."""

from __future__ import annotations

from typing import Final

from accel.decoding.context import Context, Printer, pointer
from accel.decoding.strings import (
    buffer_out,
    without_last_nul,
)
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]

_XATTR_MAX: Final = 65536


def _xattr_value(length: int) -> Printer:
    def printer(context: Context, address: int) -> str:
        size = context.arguments[length]
        return pointer(address) if size > _XATTR_MAX else without_last_nul(context, address, size)

    return printer


def _xattr_value_out(context: Context, address: int) -> str | None:
    if not context.leaving:
        return None
    size = (context.result or 0) & 0xFFFFFFFFFFFFFFFF
    if context.failed or size > _XATTR_MAX:
        return pointer(address)
    return without_last_nul(context, address, size)


def _xattr_list(length: int) -> Printer:
    def printer(context: Context, address: int) -> str | None:
        if context.leaving and not context.arguments[length]:
            return pointer(address)
        return buffer_out(context, address)

    return printer


SUBJECT: Final = Subject(
    arguments={
        "setxattr.value": _xattr_value(3),
        "lsetxattr.value": _xattr_value(3),
        "fsetxattr.value": _xattr_value(3),
        "getxattr.value": _xattr_value_out,
        "lgetxattr.value": _xattr_value_out,
        "fgetxattr.value": _xattr_value_out,
        "listxattr.list": _xattr_list(2),
        "llistxattr.list": _xattr_list(2),
        "flistxattr.list": _xattr_list(2),
    },
)
