"""A total virtual machine in miniature: a kernel in Python for unmodified static programs.

User-Mode Linux is a Linux kernel that runs as a process. Its guests are processes of the host, and
none of their system calls may reach the host. PTRACE_SYSEMU was made for it: the next call is left
out and reported once, where PTRACE_SYSCALL reports it twice and needs a harmless call in its place.

This does the same with a small kernel. Files live in memory (``vfs``, ``descriptors``), time is the
machine's own (``clock``), there is one process (``process_calls``). Each call stops once and is
answered by a method marked ``@syscall``: its result becomes a Decision to skip the call. The host
runs only what concerns the guest's own memory and registers, ``memory_calls.PASSED``.

    $ python -m examples.total_vm -- sh -c 'for i in 1 2 3; do echo $i; done; exit 4'
    1
    2
    3
    $ python -m examples.total_vm -- sort -n /root/numbers
    1
    9
    10
    100
    $ python -m examples.total_vm -- uname -n
    total-vm

Limits: one process of one thread; no signal handlers; permissions are shown, not enforced; programs
must be static, as no file can be mapped. The vDSO is hidden (``boot``), but what else is no system
call cannot be answered: rdtsc, cpuid, the host's choice of addresses and of AT_RANDOM. The program
itself is a file of the host, the last that the host opens for it.
"""

from .clock import Clock
from .console import Console
from .machine import Machine
from .memory_calls import PASSED
from .process_calls import Identity
from .trees import BUILT_IN, copy_of, from_mapping
from .vfs import VirtualFileSystem

__all__ = [
    "BUILT_IN",
    "PASSED",
    "Clock",
    "Console",
    "Identity",
    "Machine",
    "VirtualFileSystem",
    "copy_of",
    "from_mapping",
]
