"""How stops are obtained: one loop, and what differs between the mechanisms.

``seccomp-trace`` installs a filter before the command executes and hears of selected calls only;
``ptrace-syscall`` stops at every call twice, and can attach to a process that already runs.
"""

from accel.mechanisms.contract import Observer, Policy
from accel.mechanisms.ptrace_syscall import PtraceSyscall
from accel.mechanisms.seccomp_trace import SeccompTrace

__all__ = ["Observer", "Policy", "PtraceSyscall", "SeccompTrace"]
