"""How stops are obtained: one loop, and what differs between the mechanisms.

``seccomp-trace`` installs a filter before the command executes and hears of selected calls only;
``exit-event`` stops calls that have returned, and needs no filter; ``ptrace-syscall`` stops at
every call twice; ``sysemu`` at every call once, which then does not run; ``observe``, a loop of its
own, stops nothing.
"""

from accel.mechanisms.beginnings import attach, start
from accel.mechanisms.contract import Loop, Observer, Policy
from accel.mechanisms.exit_event import ExitEvent
from accel.mechanisms.ptrace_loop import PtraceLoop
from accel.mechanisms.ptrace_syscall import PtraceSyscall
from accel.mechanisms.seccomp_trace import SeccompTrace
from accel.mechanisms.sysemu import Sysemu

__all__ = [
    "ExitEvent",
    "Loop",
    "Observer",
    "Policy",
    "PtraceLoop",
    "PtraceSyscall",
    "SeccompTrace",
    "Sysemu",
    "attach",
    "start",
]
