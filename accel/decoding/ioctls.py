"""ioctl(2): requests by name, and the arguments of the common ones."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import Final

from accel.decoding.choices import Table, indirect, nothing, once_left
from accel.decoding.context import Context, Printer, hex_text, pointer
from accel.decoding.families import family
from accel.decoding.layouts import Layout, number, read_in, read_out
from accel.decoding.numbers import descriptor
from accel.decoding.sockaddr import sockaddr_text
from accel.decoding.strings import bytes_at, quote
from accel.decoding.subject import Subject
from accel.decoding.terminals import TERMINAL

__all__ = ["SUBJECT"]

# ------------------------------------------------------------------------------------ requests

#: Requests whose number holds a size or an index: {(direction, type, number): name}.
_SIZED: Final = {
    (2, 0x45, 0x06): "EVIOCGNAME", (2, 0x45, 0x07): "EVIOCGPHYS", (2, 0x45, 0x08): "EVIOCGUNIQ",
    (2, 0x45, 0x09): "EVIOCGPROP", (2, 0x45, 0x0A): "EVIOCGMTSLOTS", (2, 0x45, 0x18): "EVIOCGKEY",
    (2, 0x45, 0x19): "EVIOCGLED", (2, 0x45, 0x1A): "EVIOCGSND", (2, 0x45, 0x1B): "EVIOCGSW",
    (2, 0x48, 0x04): "HIDIOCGRAWNAME", (2, 0x48, 0x05): "HIDIOCGRAWPHYS",
    (2, 0x48, 0x06): "HIDIOCSFEATURE", (2, 0x48, 0x08): "HIDIOCGRAWUNIQ",
    (2, 0x48, 0x12): "HIDIOCGPHYS", (3, 0x48, 0x06): "HIDIOCSFEATURE",
    (3, 0x48, 0x07): "HIDIOCGFEATURE", (2, 0x55, 0x2C): "UI_GET_SYSNAME",
    (2, 0x6A, 0x13): "JSIOCGNAME", (1, 0x6B, 0x00): "SPI_IOC_MESSAGE",
}  # fmt: skip
_DIRECTIONS: Final = ("_IOC_NONE", "_IOC_WRITE", "_IOC_READ", "_IOC_READ|_IOC_WRITE")


@functools.cache
def _requests() -> dict[int, str]:
    """Join the names of requests that several drivers share."""
    names: dict[int, list[str]] = {}
    for name, value in family("ioctl_request").members:
        names.setdefault(value, []).append(name)
    return {value: " or ".join(sorted(group)) for value, group in names.items()}


@functools.lru_cache(maxsize=1024)
def request_name(code: int) -> str:
    """Name a request: ``TCGETS``, ``EVIOCGNAME(256)``, ``_IOC(_IOC_READ, 0x54, 0x30, 0x4)``."""
    direction, size, kind, index = code >> 30, code >> 16 & 0x3FFF, code >> 8 & 0xFF, code & 0xFF
    sized = _SIZED.get((direction, kind, index))
    if sized:
        return f"{sized}({size})"
    name = _requests().get(code)
    if name:
        return name
    parts = (hex_text(part) for part in (kind, index, size))
    return f"_IOC({_DIRECTIONS[direction]}, {', '.join(parts)})"


def _request(_: Context, value: int) -> str:
    return request_name(value & 0xFFFFFFFF)


# ----------------------------------------------------------------------------------- arguments


def _read_int(context: Context, address: int) -> str:
    raw = context.fetch(address, 4)
    return pointer(address) if raw is None else f"[{int.from_bytes(raw, 'little', signed=True)}]"


_int_out = once_left(_read_int)
_uint_out = indirect(number("I"))
_size_out = indirect(number("Q", "I"))
_u64_out = indirect(number("Q"))


def _flags_in(name: str) -> Callable[[Context, int], str]:
    def printer(context: Context, address: int) -> str:
        raw = context.fetch(address, 4)
        if raw is None:
            return pointer(address)
        return f"[{family(name).flags(int.from_bytes(raw, 'little'))}]"

    return printer


_inode_flags = _flags_in("inode_flags")


def _clone_range(_: Context, source: int, start: int, length: int, target: int) -> str:
    return f"{{src_fd={source}, src_offset={start}, src_length={length}, dest_offset={target}}}"


def _xattr(_: Context, flags: int, extent: int, extents: int, project: int, cow: int) -> str:
    return (
        f"{{fsx_xflags={family('inode_xflags').flags(flags)}, fsx_extsize={extent}, "
        f"fsx_nextents={extents}, fsx_projid={project}, fsx_cowextsize={cow}}}"
    )


_xattr_layout = Layout("IIIII8x", None, _xattr)


def _label(context: Context, address: int) -> str:
    return bytes_at(context, address, 256)


# ---------------------------------------------------------------------------------- interfaces

_NAME: Final = 16


def _interface(field: str, show: Callable[[bytes], str]) -> Callable[[Context, int], str]:
    """Print struct ifreq: the name of an interface, and one member of a union."""

    def printer(context: Context, address: int) -> str:
        size = 32 if context.i386 else 40
        raw = context.fetch(address, size)
        if raw is None:
            return pointer(address)
        name = quote(raw[:_NAME].partition(b"\0")[0])
        return f"{{ifr_name={name}, {field}={show(raw[_NAME:])}}}"

    return printer


def _asks(field: str, show: Callable[[bytes], str]) -> Printer:
    """Print struct ifreq of a question: the name at the entry, the answer at the exit."""
    answer = _interface(field, show)

    def printer(context: Context, address: int) -> str | None:
        if not context.leaving:
            return None
        if not context.failed:
            return answer(context, address)
        raw = context.read(address, _NAME) if address else None
        if raw is None:
            return pointer(address)
        return f"{{ifr_name={quote(raw.partition(bytes(1))[0])}}}"

    return printer


def _int(raw: bytes) -> str:
    return str(struct.unpack_from("<i", raw)[0])


def _address(raw: bytes) -> str:
    return sockaddr_text(raw[:16])


def _interface_flags(raw: bytes) -> str:
    return family("interface_flags").flags(struct.unpack_from("<H", raw)[0])


def _mac(raw: bytes) -> str:
    (kind,) = struct.unpack_from("<H", raw)
    octets = ":".join(f"{byte:02x}" for byte in raw[2:8])
    return f"{{sa_family={family('arp_hardware').value(kind)}, sa_data={octets}}}"


def _index_asked(context: Context, address: int) -> str | None:
    """Print struct ifreq of SIOCGIFNAME: the index, and the name that it has."""
    if not context.leaving:
        return None
    raw = context.read(address, 20) if address else None
    if raw is None:
        return pointer(address)
    index = struct.unpack_from("<i", raw, _NAME)[0]
    if context.failed:
        return f"{{ifr_ifindex={index}}}"
    return f"{{ifr_ifindex={index}, ifr_name={quote(raw[:_NAME].partition(bytes(1))[0])}}}"


_REQUESTS: Final[Table] = {
    **TERMINAL,
    0x541B: (_int_out,),  # FIONREAD
    0x5421: (_read_int,),  # FIONBIO
    0x5452: (_read_int,),  # FIOASYNC
    0x5450: (nothing,),  # FIONCLEX
    0x5451: (nothing,),  # FIOCLEX
    0x40049409: (descriptor,),  # FICLONE
    0x4020940D: (read_in(Layout("qQQQ", None, _clone_range)),),  # FICLONERANGE
    0x80086601: (once_left(_inode_flags),),  # FS_IOC_GETFLAGS
    0x40086602: (_inode_flags,),  # FS_IOC_SETFLAGS
    0x80046601: (once_left(_inode_flags),),  # FS_IOC32_GETFLAGS
    0x40046602: (_inode_flags,),  # FS_IOC32_SETFLAGS
    0x801C581F: (read_out(_xattr_layout),),  # FS_IOC_FSGETXATTR
    0x401C5820: (read_in(_xattr_layout),),  # FS_IOC_FSSETXATTR
    0x1260: (_size_out,),  # BLKGETSIZE
    0x1268: (_int_out,),  # BLKSSZGET
    0x80081272: (_u64_out,),  # BLKGETSIZE64
    0x127B: (_uint_out,),  # BLKPBSZGET
    0x8901: (_read_int,),  # FIOSETOWN
    0x8902: (_read_int,),  # SIOCSPGRP
    0x8903: (_int_out,),  # FIOGETOWN
    0x8904: (_int_out,),  # SIOCGPGRP
    0x8905: (_int_out,),  # SIOCATMARK
    0x8910: (_index_asked,),  # SIOCGIFNAME
    0x8913: (_asks("ifr_flags", _interface_flags),),  # SIOCGIFFLAGS
    0x8914: (_interface("ifr_flags", _interface_flags),),  # SIOCSIFFLAGS
    0x8915: (_asks("ifr_addr", _address),),  # SIOCGIFADDR
    0x8916: (_interface("ifr_addr", _address),),  # SIOCSIFADDR
    0x8917: (_asks("ifr_dstaddr", _address),),  # SIOCGIFDSTADDR
    0x8918: (_interface("ifr_dstaddr", _address),),  # SIOCSIFDSTADDR
    0x8919: (_asks("ifr_broadaddr", _address),),  # SIOCGIFBRDADDR
    0x891A: (_interface("ifr_broadaddr", _address),),  # SIOCSIFBRDADDR
    0x891B: (_asks("ifr_netmask", _address),),  # SIOCGIFNETMASK
    0x891C: (_interface("ifr_netmask", _address),),  # SIOCSIFNETMASK
    0x891D: (_asks("ifr_metric", _int),),  # SIOCGIFMETRIC
    0x891E: (_interface("ifr_metric", _int),),  # SIOCSIFMETRIC
    0x8921: (_asks("ifr_mtu", _int),),  # SIOCGIFMTU
    0x8922: (_interface("ifr_mtu", _int),),  # SIOCSIFMTU
    0x8924: (_interface("ifr_hwaddr", _mac),),  # SIOCSIFHWADDR
    0x8927: (_asks("ifr_hwaddr", _mac),),  # SIOCGIFHWADDR
    0x8933: (_asks("ifr_ifindex", _int),),  # SIOCGIFINDEX
    0x8942: (_asks("ifr_qlen", _int),),  # SIOCGIFTXQLEN
    0x8943: (_interface("ifr_qlen", _int),),  # SIOCSIFTXQLEN
}


def _argument(context: Context, value: int) -> str | None:
    """Print the argument of a request; of an unknown one when the call has returned."""
    printers = _REQUESTS.get(context.arguments[1] & 0xFFFFFFFF)
    if printers is not None:
        return printers[0](context, value)
    if not context.leaving:
        return None
    return hex_text(value)


SUBJECT: Final = Subject(
    calls={"ioctl": (("fd", descriptor), ("request", _request), ("arg", _argument))},
)
