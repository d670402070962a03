"""Printers of arguments that are numbers: integers, descriptors, modes, ids, devices."""

from __future__ import annotations

from typing import Final

from accel.decoding.context import Context, Printer, hex_text
from accel.decoding.strings import escape

__all__ = [
    "descriptor",
    "descriptor_text",
    "device",
    "device_text",
    "directory",
    "hexadecimal",
    "joined_halves",
    "mode",
    "octal",
    "offset",
    "padded",
    "pair",
    "process",
    "signed",
    "signed32",
    "unsigned",
    "user",
    "user_text",
]

AT_FDCWD: Final = -100
_DELETED: Final = " (deleted)"


def signed32(value: int) -> int:
    """Interpret the low half of a register as an int."""
    value &= 0xFFFFFFFF
    return value - 0x100000000 if value & 0x80000000 else value


def signed64(value: int) -> int:
    """Interpret 64 bits as a signed number."""
    value &= 0xFFFFFFFFFFFFFFFF
    return value - 0x10000000000000000 if value >> 63 else value


def signed(bits: int) -> Printer:
    """Make a printer of signed decimal numbers of ``bits`` bits."""
    mask, sign = (1 << bits) - 1, 1 << (bits - 1)

    def printer(_: Context, value: int) -> str:
        value &= mask
        return str(value - mask - 1 if value & sign else value)

    return printer


def unsigned(bits: int) -> Printer:
    """Make a printer of unsigned decimal numbers of ``bits`` bits."""
    mask = (1 << bits) - 1

    def printer(_: Context, value: int) -> str:
        return str(value & mask)

    return printer


def hexadecimal(bits: int) -> Printer:
    """Make a printer of hexadecimal numbers of ``bits`` bits; zero has no prefix."""
    mask = (1 << bits) - 1

    def printer(_: Context, value: int) -> str:
        value &= mask
        return hex_text(value)

    return printer


def octal(value: int) -> str:
    """Print mode bits with at least three digits: ``0644``, ``000``."""
    return f"0{value:o}".zfill(3) if value else "000"


def padded(value: int, width: int) -> str:
    """Print a hexadecimal number with leading zeros; ``0x`` counts, and zero has none."""
    return f"{value:#0{width}x}" if value else "0" * width


def mode(_: Context, value: int) -> str:
    """Print the mode of a file: 16 bits."""
    return octal(value & 0xFFFF)


def descriptor_text(context: Context, number: int) -> str:
    """Print a descriptor, and where it leads if that was asked for: ``3</etc/passwd>``."""
    lookup = context.options.descriptor_path
    if lookup is None or number < 0:
        return str(number)
    return f"{number}{_place(lookup(context.call.tid, number))}"


def _place(path: str | None) -> str:
    if path is None:
        return ""
    after = ""
    if path.endswith(_DELETED):
        path, after = path.removesuffix(_DELETED), "(deleted)"
    return f"<{escape(path.encode('utf-8', 'surrogateescape'), '<>')}>{after}"


def descriptor(context: Context, value: int) -> str:
    """Print a file descriptor."""
    return descriptor_text(context, signed32(value))


def directory(context: Context, value: int) -> str:
    """Print the descriptor of a directory, or AT_FDCWD."""
    number = signed32(value)
    if number != AT_FDCWD:
        return descriptor_text(context, number)
    lookup = context.options.descriptor_path
    return "AT_FDCWD" + (_place(lookup(context.call.tid, number)) if lookup else "")


def process(_: Context, value: int) -> str:
    """Print a process, thread or group id."""
    return str(signed32(value))


def user_text(value: int, bits: int = 32) -> str:
    """Print a user or group id; all ones means "no change" and is -1."""
    return "-1" if value == (1 << bits) - 1 else str(value)


def user(bits: int) -> Printer:
    """Make a printer of user or group ids of ``bits`` bits."""
    mask = (1 << bits) - 1
    return lambda _, value: user_text(value & mask, bits)


def device_text(value: int) -> str:
    """Print a device number as glibc's makedev(3) would make it."""
    major = value >> 8 & 0xFFF | value >> 32 & 0xFFFFF000
    minor = value & 0xFF | value >> 12 & 0xFFFFFF00
    return f"makedev({hex_text(major)}, {hex_text(minor)})"


def device(_: Context, value: int) -> str:
    """Print a device number, 32 bits wide in calls."""
    return device_text(value & 0xFFFFFFFF)


def offset(bits: int) -> Printer:
    """Make a printer of positions in files: signed."""
    return signed(bits)


def pair(low: int, high: int, *, is_signed: bool = True) -> Printer:
    """Make a printer of a 64-bit value whose halves are the arguments ``low`` and ``high``."""

    def printer(context: Context, _: int) -> str:
        value = joined_halves(context, low, high)
        return str(signed64(value) if is_signed else value)

    return printer


def joined_halves(context: Context, low: int, high: int) -> int:
    """Join the two registers that hold a 64-bit value on i386."""
    return (context.arguments[high] & 0xFFFFFFFF) << 32 | context.arguments[low] & 0xFFFFFFFF
