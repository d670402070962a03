"""The tracing mask of 2006 (J. Dike, PTRACE_SYSCALL_MASK), as a filter of today.

A set bit is a traced call, a clear one runs and nobody hears of it; what the bitmap is too short
for is traced. Bit ``n`` is bit ``n % 8`` of byte ``n // 8``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import bpf
from accel.abi import Abi
from accel.errors import FilterError, UnsupportedKernel
from accel.mask import SyscallMask

__all__ = ["from_kmview", "mask_of", "syscall_mask"]

_ARCHS: Final = {Abi.X86_64: bpf.Arch.X86_64, Abi.I386: bpf.Arch.I386}


def syscall_mask(bits: bytes, *, i386: bytes = b"", ret_data: int = 0) -> bpf.Program:
    """Compile the bitmap of PTRACE_SYSCALL_MASK to a filter that stops the traced calls.

    ``bits`` has the numbers of x86_64, ``i386`` those of 32-bit calls. The tracee itself installs
    it (``bpf.install``) before it runs what is to be traced; its tracer needs
    PTRACE_O_TRACESECCOMP, and reads ``ret_data`` with PTRACE_GETEVENTMSG.

    What differs from request 27 of 2006:

    - The mask was the tracer's to change, and gone in a forked child. A filter is inherited, kept
      by execve(2) and never removed; later ones can only add stops. Without a tracer a selected
      call fails with ENOSYS: seccomp(2), SECCOMP_RET_TRACE.
    - A number that no bit stands for, the x32 ABI and any other are traced.
    - A traced call has a seccomp-stop in place of its syscall-entry-stop, and an exit-stop only
      where PTRACE_SYSCALL resumes it.

    Raise FilterError if the bitmap does not fit in a filter, UnsupportedKernel without libseccomp.
    """
    trace = bpf.Action.trace(ret_data)
    masks = {Abi.X86_64: bits, Abi.I386: i386}
    rules = {
        arch: [bpf.Rule(number, bpf.Action.allow()) for number in _untraced(masks[abi])]
        for abi, arch in _ARCHS.items()
    }
    try:
        return bpf.compile(rules, default=trace, unknown_arch=trace, x32=trace)
    except bpf.LibraryMissing as error:
        raise UnsupportedKernel(str(error)) from error
    except bpf.CompileError as error:
        raise FilterError(str(error), hint="clear fewer bits: the rest may stay traced") from error


def mask_of(bits: bytes, *, i386: bytes = b"") -> SyscallMask:
    """Make the SyscallMask that selects the same calls, for a Tracer."""
    masks = {Abi.X86_64: bits, Abi.I386: i386}
    return ~SyscallMask.of(
        (abi, number) for abi, packed in masks.items() for number in _untraced(packed)
    )


def from_kmview(bits: bytes) -> bytes:
    """Turn a bitmap of kmview (2010), in which a set bit is *not* forwarded, into one of 2006."""
    return bytes(~byte & 0xFF for byte in bits)


def _untraced(bits: bytes) -> Iterator[int]:
    return (number for number in range(8 * len(bits)) if not bits[number // 8] >> number % 8 & 1)
