"""Seccomp user notifications, seccomp_unotify(2): the ioctls of a listener, and how to get one.

Notification and answer are in memory of this process, laid out as the kernel has them:
<linux/seccomp.h>. Every call may find that the notification is void, since its thread was killed
or, before it was received, interrupted: ENOENT.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from typing import Final

from accel._kernel.libc import raw_syscall, syscall

__all__ = [
    "ADDFD_SEND",
    "CONTINUE",
    "FLAG_NEW_LISTENER",
    "FLAG_WAIT_KILLABLE_RECV",
    "IOCTL_ADDFD",
    "IOCTL_ID_VALID",
    "IOCTL_RECV",
    "IOCTL_SEND",
    "IOCTL_SET_FLAGS",
    "NOTIFICATION",
    "RESPONSE",
    "SYNC_WAKE_UP",
    "add_descriptor",
    "is_thread_of",
    "is_valid",
    "kill_by",
    "pidfd_open",
    "receive",
    "sealed_file",
    "send",
    "set_sync_wake_up",
    "take_descriptor",
]

_SYS_IOCTL, _SYS_TGKILL, _SYS_PIDFD_SEND_SIGNAL = 16, 234, 424
_SYS_PIDFD_OPEN, _SYS_PIDFD_GETFD = 434, 438

# <linux/seccomp.h>
FLAG_NEW_LISTENER: Final = 1 << 3
FLAG_WAIT_KILLABLE_RECV: Final = 1 << 5
IOCTL_RECV: Final = 0xC050_2100
IOCTL_SEND: Final = 0xC018_2101
IOCTL_ID_VALID: Final = 0x4008_2102
IOCTL_ADDFD: Final = 0x4018_2103
#: Its argument is the flags, not a pointer to them, whatever its number says:
#: seccomp_notify_set_flags() in kernel/seccomp.c.
IOCTL_SET_FLAGS: Final = 0x4008_2104
SYNC_WAKE_UP: Final = 1
CONTINUE: Final = 1
ADDFD_SEND: Final = 2

#: struct seccomp_notif: id, tid, flags, and struct seccomp_data: number, arch, ip, arguments.
NOTIFICATION: Final = struct.Struct("=QIIiI7Q")
#: struct seccomp_notif_resp: id, value, error (negative), flags.
RESPONSE: Final = struct.Struct("=QqiI")
#: struct seccomp_notif_addfd: id, flags, srcfd, newfd, newfd_flags.
_ADDFD: Final = struct.Struct("=Q4I")


def receive(listener: int, address: int) -> None:
    """Wait for a notification and write it to ``address``, where zeros must be.

    Raise OSError: ENOENT when the one that was waited for is void; since Linux 6.11 also when no
    process is left under the filter, where older kernels wait for ever.
    """
    syscall(_SYS_IOCTL, listener, IOCTL_RECV, address, what="SECCOMP_IOCTL_NOTIF_RECV")


def send(listener: int, address: int) -> bool:
    """Answer with the response at ``address``; False if the notification is void."""
    return _reaches(listener, IOCTL_SEND, address, "SECCOMP_IOCTL_NOTIF_SEND")


def is_valid(listener: int, notification: int) -> bool:
    """Tell whether the thread of a notification still waits for its answer. One ioctl(2)."""
    cell = ctypes.c_uint64(notification)
    address = ctypes.addressof(cell)
    return _reaches(listener, IOCTL_ID_VALID, address, "SECCOMP_IOCTL_NOTIF_ID_VALID")


def _reaches(listener: int, request: int, address: int, what: str) -> bool:
    try:
        syscall(_SYS_IOCTL, listener, request, address, what=what)
    except FileNotFoundError:
        return False
    return True


def add_descriptor(
    listener: int, notification: int, descriptor: int, *, cloexec: bool, answers: bool
) -> int:
    """Copy a descriptor into the notifying process; return its number there.

    With ``answers`` the call returns that number at once: SECCOMP_ADDFD_FLAG_SEND, Linux 5.14;
    EINVAL before. Raise OSError: ENOENT if the notification is void, EMFILE if that process has too
    many descriptors, EBADF if this one has none of that number.
    """
    flags = ADDFD_SEND if answers else 0
    packed = _ADDFD.pack(notification, flags, descriptor, 0, os.O_CLOEXEC if cloexec else 0)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    what = "SECCOMP_IOCTL_NOTIF_ADDFD"
    return syscall(_SYS_IOCTL, listener, IOCTL_ADDFD, ctypes.addressof(buffer), what=what)


def set_sync_wake_up(listener: int) -> None:
    """Let notification and answer wake the other side on the same CPU; raise OSError before 6.6."""
    what = "SECCOMP_IOCTL_NOTIF_SET_FLAGS"
    syscall(_SYS_IOCTL, listener, IOCTL_SET_FLAGS, SYNC_WAKE_UP, what=what)


def pidfd_open(pid: int) -> int:
    """Open a descriptor that stands for a process, and is readable when that has ended."""
    return syscall(_SYS_PIDFD_OPEN, pid, 0, what="pidfd_open")


def take_descriptor(pidfd: int, descriptor: int) -> int:
    """Copy a descriptor of another process, which this one must be allowed to trace."""
    return syscall(_SYS_PIDFD_GETFD, pidfd, descriptor, 0, what="pidfd_getfd")


def kill_by(pidfd: int) -> None:
    """Send SIGKILL to the process that ``pidfd`` stands for, and to no other."""
    syscall(_SYS_PIDFD_SEND_SIGNAL, pidfd, int(signal.SIGKILL), 0, 0, what="pidfd_send_signal")


def is_thread_of(pid: int, tid: int) -> bool:
    """Tell whether ``tid`` is a thread of process ``pid`` now. One tgkill(2), of no signal."""
    result: int = raw_syscall(_SYS_TGKILL, pid, tid, 0, 0, 0, 0)
    return result == 0 or ctypes.get_errno() == errno.EPERM


def sealed_file(content: bytes) -> int:
    """Make an anonymous file that nobody can change; return its descriptor. Five system calls."""
    descriptor = os.memfd_create("accel", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        _seal(descriptor)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _seal(descriptor: int) -> None:
    import fcntl  # noqa: PLC0415 - few want files

    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
