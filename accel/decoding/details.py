"""What strace prints in another width, sign or base than the C type of an argument says."""

from __future__ import annotations

from typing import Final

from accel.decoding.choices import (
    indirect,
    plain_pointer,
)
from accel.decoding.context import Context, pointer
from accel.decoding.families import family
from accel.decoding.flags import flag_set
from accel.decoding.layouts import number
from accel.decoding.numbers import (
    hexadecimal,
    pair,
    signed,
    signed32,
    unsigned,
)
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]

_hex: Final = hexadecimal(64)


_hex32: Final = hexadecimal(32)


def _plain_result(context: Context) -> None:
    """Print an id as the number that the register holds."""
    context.radix = "d"


def _socket_call(_: Context, value: int) -> str:
    return family("socketcall_call").names.get(value) or str(signed32(value))


def _ipc_call(_: Context, value: int) -> str:
    """Print the call of ipc(2), and its version if there is one."""
    version, call = value >> 16 & 0xFFFF, value & 0xFFFF
    name = family("ipc_call").names.get(call) or str(call)
    return f"{version}<<16|{name}" if version else name


def _last_descriptor(_: Context, value: int) -> str:
    return str(value & 0xFFFFFFFF)


SUBJECT: Final = Subject(
    arguments={
        "set_tid_address.tidptr": _hex,
        "close_range.last": _last_descriptor,
        "copy_file_range.flags": unsigned(32),
        "pidfd_send_signal.flags": _hex32,
        "process_vm_readv.flags": unsigned(64),
        "process_vm_writev.flags": unsigned(64),
        "readlink.bufsiz": unsigned(64),
        "readlinkat.bufsiz": unsigned(64),
        "sysfs.option": _hex,
        "sysfs.arg1": _hex,
        "sysfs.arg2": _hex,
        "ioperm.from": _hex,
        "ioperm.num": _hex,
        "rseq.rseq": _hex,
        "rseq.rseq_len": _hex,
        "rseq.flags": _hex,
        "rseq.sig": _hex,
        "statx.flags": flag_set("statx_flags", 32),
        "faccessat2.flags": flag_set("faccessat_flags", 32),
        "ftruncate.length": unsigned(64),
        "ftruncate64.length_low": pair(1, 2, is_signed=False),
        "truncate64.length_low": pair(1, 2, is_signed=False),
        "lookup_dcookie.cookie_low": pair(0, 1, is_signed=False),
        "truncate.length": unsigned(64),
        "get_robust_list.head_ptr": indirect(number("Q", "I", pointer)),
        "iopl.level": signed(32),
        "olduname.buf": _hex,
        "oldolduname.buf": _hex,
        "vm86old.info": _hex,
        "socketcall.call": _socket_call,
        "socketcall.args": plain_pointer,
        "ipc.call": _ipc_call,
        "ipc.first": _hex,
        "ipc.second": _hex,
        "ipc.third": _hex,
        "ipc.ptr": _hex,
        "ipc.fifth": _hex,
        "vm86.cmd": _hex,
        "vm86.arg": _hex,
        "close_range.first": _last_descriptor,
    },
    remarks={
        "open_by_handle_at": _plain_result,
        "set_tid_address": _plain_result,
        "setsid": _plain_result,
    },
)
