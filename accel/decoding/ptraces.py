"""ptrace(2) of the tracee: requests, and what they read and write."""

from __future__ import annotations

import struct
from typing import Final

from accel.decoding.choices import Table, chosen, indirect, named, once_left, plain_pointer
from accel.decoding.context import Begun, Context, Printer, hex_text, pointer
from accel.decoding.families import family
from accel.decoding.flags import flag_set
from accel.decoding.layouts import array_at, number, read_at
from accel.decoding.numbers import process, unsigned
from accel.decoding.siginfo import SIZE, siginfo
from accel.decoding.signals import signal_text, sigset_at
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]

_UNSIGNED: Final = unsigned(64)
_word_out = indirect(number("Q", "I", lambda value: hex(value) if value else "NULL"))
_long_out = indirect(number("Q", "I"))
_options = flag_set("ptrace_options", 64)
_regset = named("ptrace_regset", 32)


def _siginfo_in(context: Context, address: int) -> str:
    return read_at(context, address, siginfo)


def _siginfo_array(context: Context, address: int) -> str:
    count = (context.result or 0) & 0xFFFFFFFFFFFFFFFF
    return array_at(context, address, count, SIZE, siginfo.show)


def _mask(context: Context, address: int) -> str:
    return sigset_at(context, address, context.arguments[2], context.word)


def _user_offset(context: Context, value: int) -> str:
    """Print an offset in struct user by the register that is there."""
    names = _USER32 if context.i386 else _USER64
    index, rest = divmod(value, context.word)
    if not rest and index < len(names):
        return f"{context.word}*{names[index]}"
    return hex_text(value)


_USER64: Final = (
    "R15 R14 R13 R12 RBP RBX R11 R10 R9 R8 RAX RCX RDX RSI RDI ORIG_RAX RIP CS EFLAGS RSP SS "
    "FS_BASE GS_BASE DS ES FS GS"
).split()
_USER32: Final = "EBX ECX EDX ESI EDI EBP EAX DS ES FS GS ORIG_EAX EIP CS EFL UESP SS".split()


class _RegisterSet:
    """The printer of the iovec of PTRACE_GETREGSET and SETREGSET: where, and how many bytes."""

    __slots__ = ("_reads",)

    def __init__(self, *, reads: bool) -> None:
        #: Whether the call reads the registers, and not writes them.
        self._reads = reads

    def __call__(self, context: Context, address: int) -> str | None:
        layout = struct.Struct("<II" if context.i386 else "<QQ")
        raw = context.read(address, layout.size) if address else None
        before = context.saved.get(3)
        if raw is None or (context.leaving and before is None):
            return (
                pointer(address)
                if not context.leaving
                else "}"
                if self._reads
                else pointer(address)
            )
        base, length = layout.unpack(raw)
        if not context.leaving:
            context.saved[3] = length
            return Begun(f"{{iov_base={pointer(base)}, iov_len={length}") if self._reads else None
        changed = "" if length == before else f" => {length}"
        if self._reads:
            return changed + "}"
        return f"{{iov_base={pointer(base)}, iov_len={before}{changed}}}"


def _info(context: Context, address: int) -> str:
    """Print struct ptrace_syscall_info as far as the kernel wrote it."""
    size = min(context.result or 0, context.arguments[2], 88)
    raw = context.fetch(address, size) if size > 0 else None
    if raw is None:
        return pointer(address)
    raw = raw.ljust(88, b"\0")
    kind, arch, ip, sp = struct.unpack_from("<B3xIQQ", raw)
    texts = [
        f"op={family('ptrace_syscall_info').value(kind)}",
        f"arch={family('audit_arch').value(arch)}",
        f"instruction_pointer={pointer(ip)}",
        f"stack_pointer={pointer(sp)}",
    ]
    if kind in (1, 3):
        number_, *arguments = struct.unpack_from("<7Q", raw, 24)
        values = ", ".join(hex_text(value) for value in arguments)
        word = "entry" if kind == 1 else "seccomp"
        more = f", ret_data={struct.unpack_from('<I', raw, 80)[0]:#x}" if kind == 3 else ""
        texts.append(f"{word}={{nr={number_}, args=[{values}]{more}}}")
    elif kind == 2:
        value, is_error = struct.unpack_from("<qB", raw, 24)
        texts.append(f"exit={{rval={value}, is_error={is_error}}}")
    return "{" + ", ".join(texts) + "}"


def _peek(context: Context, address: int) -> str:
    """Print struct ptrace_peeksiginfo_args: which signals of the queue to look at."""
    raw = context.fetch(address, 16)
    if raw is None:
        return pointer(address)
    offset, flags, count = struct.unpack("<QIi", raw)
    names = family("ptrace_peek_flags").flags(flags)
    return f"{{off={offset}, flags={names}, nr={count}}}"


_skip: Final[Printer] = lambda _, __: ""  # noqa: E731 - a printer of nothing
_p: Final = plain_pointer
_signalled: Final = (process, _p, signal_text)

#: The arguments after the request: pid, addr, data.
_REQUESTS: Final[Table] = {
    0: (),  # TRACEME
    1: (process, _p, _word_out),  # PEEKTEXT
    2: (process, _p, _word_out),  # PEEKDATA
    3: (process, _user_offset, _word_out),  # PEEKUSER
    6: (process, _user_offset, _p),  # POKEUSER
    7: _signalled,  # CONT
    8: (process,),  # KILL
    9: _signalled,  # SINGLESTEP
    12: (process, _skip, once_left(plain_pointer)),  # GETREGS
    13: (process, _skip, _p),  # SETREGS
    14: (process, _skip, once_left(plain_pointer)),  # GETFPREGS
    15: (process, _skip, _p),  # SETFPREGS
    16: (process,),  # ATTACH
    17: _signalled,  # DETACH
    21: (process, _p, _options),  # OLDSETOPTIONS
    24: _signalled,  # SYSCALL
    31: _signalled,  # SYSEMU
    32: _signalled,  # SYSEMU_SINGLESTEP
    33: _signalled,  # SINGLEBLOCK
    0x4200: (process, _p, _options),  # SETOPTIONS
    0x4201: (process, _p, _long_out),  # GETEVENTMSG
    0x4202: (process, _p, once_left(_siginfo_in)),  # GETSIGINFO
    0x4203: (process, _p, _siginfo_in),  # SETSIGINFO
    0x4204: (process, _regset, _RegisterSet(reads=False)),  # GETREGSET
    0x4205: (process, _regset, _RegisterSet(reads=True)),  # SETREGSET
    0x4206: (process, _p, _options),  # SEIZE
    0x4207: (process,),  # INTERRUPT
    0x4208: (process,),  # LISTEN
    0x4209: (process, _peek, once_left(_siginfo_array)),  # PEEKSIGINFO
    0x420A: (process, _UNSIGNED, once_left(_mask)),  # GETSIGMASK
    0x420B: (process, _UNSIGNED, _mask),  # SETSIGMASK
    0x420C: (process, _UNSIGNED, once_left(plain_pointer)),  # SECCOMP_GET_FILTER
    0x420E: (process, _UNSIGNED, once_left(_info)),  # GET_SYSCALL_INFO
}

SUBJECT: Final = Subject(
    calls={
        "ptrace": (
            ("request", named("ptrace_request")),
            *chosen(
                ["pid", "addr", "data"],
                _REQUESTS,
                0,
                1,
                mask=0xFFFFFFFFFFFFFFFF,
                default=(process, _p, _p),
            ),
        ),
    },
)
