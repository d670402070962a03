"""ptrace(2), request by request, under the kernel's names.

Every request but SEIZE needs a tracee that is in a ptrace-stop, and all must come from the thread
that attached. ESRCH at a stop means that the tracee was killed meanwhile: the caller expects it.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Final

from accel._kernel.libc import failure, raw_syscall
from bpf.value import frozen

__all__ = [
    "GROUP_STOP_SIGNALS",
    "Registers",
    "SyscallInfo",
    "cont",
    "detach",
    "get_event_message",
    "get_registers",
    "get_siginfo",
    "get_signal_mask",
    "get_syscall_info",
    "interrupt",
    "listen",
    "parse_syscall_info",
    "peek_siginfo",
    "poke_user",
    "read_syscall_info",
    "resume",
    "seize",
    "set_registers",
    "set_siginfo",
    "set_signal_mask",
    "syscall",
]

_SYS_PTRACE: Final = 101

# <linux/ptrace.h>
PTRACE_POKEUSER: Final = 6
PTRACE_CONT: Final = 7
PTRACE_SINGLESTEP: Final = 9
PTRACE_GETREGS: Final = 12
PTRACE_SETREGS: Final = 13
PTRACE_DETACH: Final = 17
PTRACE_SYSCALL: Final = 24
# <asm/ptrace-abi.h>: x86's own.
PTRACE_SYSEMU: Final = 31
PTRACE_SYSEMU_SINGLESTEP: Final = 32
PTRACE_SINGLEBLOCK: Final = 33
PTRACE_GETEVENTMSG: Final = 0x4201
PTRACE_GETSIGINFO: Final = 0x4202
PTRACE_SETSIGINFO: Final = 0x4203
PTRACE_SEIZE: Final = 0x4206
PTRACE_INTERRUPT: Final = 0x4207
PTRACE_LISTEN: Final = 0x4208
PTRACE_PEEKSIGINFO: Final = 0x4209
PTRACE_GETSIGMASK: Final = 0x420A
PTRACE_SETSIGMASK: Final = 0x420B
PTRACE_GET_SYSCALL_INFO: Final = 0x420E

PTRACE_EVENT_FORK: Final = 1
PTRACE_EVENT_VFORK: Final = 2
PTRACE_EVENT_CLONE: Final = 3
PTRACE_EVENT_EXEC: Final = 4
PTRACE_EVENT_VFORK_DONE: Final = 5
PTRACE_EVENT_EXIT: Final = 6
PTRACE_EVENT_SECCOMP: Final = 7
PTRACE_EVENT_STOP: Final = 128

PTRACE_O_TRACESYSGOOD: Final = 1
PTRACE_O_TRACEFORK: Final = 1 << PTRACE_EVENT_FORK
PTRACE_O_TRACEVFORK: Final = 1 << PTRACE_EVENT_VFORK
PTRACE_O_TRACECLONE: Final = 1 << PTRACE_EVENT_CLONE
PTRACE_O_TRACEEXEC: Final = 1 << PTRACE_EVENT_EXEC
PTRACE_O_TRACEEXIT: Final = 1 << PTRACE_EVENT_EXIT
PTRACE_O_TRACESECCOMP: Final = 1 << PTRACE_EVENT_SECCOMP
PTRACE_O_EXITKILL: Final = 1 << 20

PTRACE_SYSCALL_INFO_NONE: Final = 0
PTRACE_SYSCALL_INFO_ENTRY: Final = 1
PTRACE_SYSCALL_INFO_EXIT: Final = 2
PTRACE_SYSCALL_INFO_SECCOMP: Final = 3

#: The signals whose PTRACE_EVENT_STOP is a group-stop; SIGTRAP's is not. ptrace(2), "Group-stop".
GROUP_STOP_SIGNALS: Final = frozenset({19, 20, 21, 22})  # SIGSTOP SIGTSTP SIGTTIN SIGTTOU


def _ptrace(request: int, tid: int, addr: int, data: int, what: str) -> int:
    result: int = raw_syscall(_SYS_PTRACE, request, tid, addr, data, 0, 0)
    if result == -1:
        raise failure(what)
    return result


def seize(tid: int, options: int) -> None:
    """Attach without stopping the tracee; the calling thread becomes its tracer."""
    _ptrace(PTRACE_SEIZE, tid, 0, options, "PTRACE_SEIZE")


def interrupt(tid: int) -> None:
    """Ask a seized tracee, running or not, for a PTRACE_EVENT_STOP."""
    _ptrace(PTRACE_INTERRUPT, tid, 0, 0, "PTRACE_INTERRUPT")


def resume(request: int, tid: int, signal: int) -> None:
    """Resume by PTRACE_CONT, PTRACE_SYSCALL or another request that does."""
    _ptrace(request, tid, 0, signal, "resume")


def cont(tid: int, signal: int = 0) -> None:
    """Resume until the next event; inject ``signal`` at a signal-delivery-stop."""
    _ptrace(PTRACE_CONT, tid, 0, signal, "PTRACE_CONT")


def syscall(tid: int, signal: int = 0) -> None:
    """Resume until the next system call boundary or event."""
    _ptrace(PTRACE_SYSCALL, tid, 0, signal, "PTRACE_SYSCALL")


def listen(tid: int) -> None:
    """Leave a tracee in its group-stop, yet hear of its end."""
    _ptrace(PTRACE_LISTEN, tid, 0, 0, "PTRACE_LISTEN")


def detach(tid: int, signal: int = 0) -> None:
    """Resume a stopped tracee and let it go."""
    _ptrace(PTRACE_DETACH, tid, 0, signal, "PTRACE_DETACH")


def get_event_message(tid: int) -> int:
    """Read the number that came with a PTRACE_EVENT stop: a tid, an exit status, RET_DATA."""
    message = ctypes.c_ulong()
    _ptrace(PTRACE_GETEVENTMSG, tid, 0, ctypes.addressof(message), "PTRACE_GETEVENTMSG")
    return message.value


@frozen
class SyscallInfo:
    """What PTRACE_GET_SYSCALL_INFO says of a stop (Linux 5.3)."""

    #: PTRACE_SYSCALL_INFO_NONE, _ENTRY, _EXIT or _SECCOMP.
    op: int
    #: The AUDIT_ARCH_* word of the call.
    arch: int
    instruction_pointer: int
    #: At an entry or seccomp stop.
    number: int = -1
    arguments: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)
    #: At a seccomp stop: the 16 bits of SECCOMP_RET_DATA.
    ret_data: int = 0
    #: At an exit stop: the raw signed return value.
    result: int = 0
    #: At an entry or seccomp stop.
    stack_pointer: int = 0


#: Header, then at an entry or seccomp stop: number, arguments, ret_data; at an exit stop: result.
SYSCALL_INFO: Final = struct.Struct("=B3xIQQq6QI")
_INFO_SIZE = 88


def read_syscall_info(tid: int, address: int) -> None:
    """Copy the kernel's struct ptrace_syscall_info, 88 bytes, to ``address``; one ptrace call."""
    _ptrace(PTRACE_GET_SYSCALL_INFO, tid, _INFO_SIZE, address, "PTRACE_GET_SYSCALL_INFO")


def get_syscall_info(tid: int) -> SyscallInfo:
    """Tell which kind of stop this is and what the call is; one ptrace call."""
    buffer = ctypes.create_string_buffer(_INFO_SIZE)
    read_syscall_info(tid, ctypes.addressof(buffer))
    return parse_syscall_info(memoryview(buffer), 0)


def parse_syscall_info(buffer: memoryview, at: int) -> SyscallInfo:
    """Read the struct that the kernel has written."""
    op, arch, ip, sp, number, *arguments, data = SYSCALL_INFO.unpack_from(buffer, at)
    if op == PTRACE_SYSCALL_INFO_EXIT:
        return SyscallInfo(op, arch, ip, result=number)
    if op == PTRACE_SYSCALL_INFO_NONE:
        return SyscallInfo(op, arch, ip)
    data = data if op == PTRACE_SYSCALL_INFO_SECCOMP else 0
    return SyscallInfo(op, arch, ip, number, tuple(arguments), data, stack_pointer=sp)


class Registers(ctypes.Structure):
    """struct user_regs_struct of <sys/user.h> for x86_64; a 32-bit tracee fills it as well."""

    _fields_ = tuple(
        (name, ctypes.c_ulonglong)
        for name in (
            "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp"
            " ss fs_base gs_base ds es fs gs"
        ).split()
    )


def get_registers(tid: int) -> Registers:
    """Read the general registers; one ptrace call."""
    registers = Registers()
    _ptrace(PTRACE_GETREGS, tid, 0, ctypes.addressof(registers), "PTRACE_GETREGS")
    return registers


def set_registers(tid: int, registers: Registers) -> None:
    """Write the general registers; one ptrace call."""
    _ptrace(PTRACE_SETREGS, tid, 0, ctypes.addressof(registers), "PTRACE_SETREGS")


def poke_user(tid: int, register: str, value: int) -> None:
    """Write one general register, by its name in ``Registers``; one ptrace call."""
    offset: int = getattr(Registers, register).offset
    # The word is passed as a signed one.
    word = (value & 0xFFFF_FFFF_FFFF_FFFF ^ 1 << 63) - (1 << 63)
    _ptrace(PTRACE_POKEUSER, tid, offset, word, "PTRACE_POKEUSER")


_SIGINFO_SIZE = 128


def get_siginfo(tid: int) -> bytes:
    """Read the 128 bytes of siginfo_t at a signal-delivery-stop; EINVAL at a group-stop."""
    buffer = ctypes.create_string_buffer(_SIGINFO_SIZE)
    _ptrace(PTRACE_GETSIGINFO, tid, 0, ctypes.addressof(buffer), "PTRACE_GETSIGINFO")
    return buffer.raw


def set_siginfo(tid: int, siginfo: bytes) -> None:
    """Replace the siginfo_t that will be delivered."""
    buffer = ctypes.create_string_buffer(siginfo, _SIGINFO_SIZE)
    _ptrace(PTRACE_SETSIGINFO, tid, 0, ctypes.addressof(buffer), "PTRACE_SETSIGINFO")


#: How many are read at once: few signals queue.
_PEEKED: Final = 64


def peek_siginfo(tid: int) -> list[bytes]:
    """Read the siginfo_t of all signals that are pending for this thread alone; take none away.

    Two ptrace calls, and more where many signals queue.
    """
    found: list[bytes] = []
    buffer = ctypes.create_string_buffer(_PEEKED * _SIGINFO_SIZE)
    # The kernel gives fewer than it is asked for also when this thread has a signal to handle.
    while True:
        # struct ptrace_peeksiginfo_args: off, flags, nr.
        arguments = ctypes.create_string_buffer(struct.pack("=QIi", len(found), 0, _PEEKED), 16)
        addresses = (ctypes.addressof(arguments), ctypes.addressof(buffer))
        count = _ptrace(PTRACE_PEEKSIGINFO, tid, *addresses, "PTRACE_PEEKSIGINFO")
        if not count:
            return found
        raw = buffer.raw
        found += [raw[at * _SIGINFO_SIZE : (at + 1) * _SIGINFO_SIZE] for at in range(count)]


def get_signal_mask(tid: int) -> int:
    """Read which signals a tracee blocks, as bits: 1 << (signal - 1)."""
    mask = ctypes.c_uint64()
    _ptrace(PTRACE_GETSIGMASK, tid, 8, ctypes.addressof(mask), "PTRACE_GETSIGMASK")
    return mask.value


def set_signal_mask(tid: int, mask: int) -> None:
    """Let a tracee block other signals."""
    word = ctypes.c_uint64(mask)
    _ptrace(PTRACE_SETSIGMASK, tid, 8, ctypes.addressof(word), "PTRACE_SETSIGMASK")
