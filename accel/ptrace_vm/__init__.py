"""PTRACE_VM and its relatives, proposed from 2006 to 2008, on the kernel of today.

For tracees that the caller attached to, from the thread that did; no ``Tracer`` is involved. None
of the proposals was merged. On a kernel without them ``addr`` of PTRACE_SYSCALL is ignored, and
request 33, once PTRACE_SYSVM, is PTRACE_SINGLEBLOCK: only requests that the kernel has are made.

Below, S is a seccomp-stop, N a syscall-entry-stop, X an exit-stop, T a SIGTRAP behind the call's
instruction. The last column lists the kernel's stops of one call; (X) is one that nobody sees. To
skip a call is to give it number -1 and rax its result.

============================== =========================================================== ========
the thread's words             today                                                       stops
============================== =========================================================== ========
PTRACE_SYSCALL                 ``resume(tid, Request.SYSCALL)`` at N and X                 N X
  of selected calls            the same at S, ``Request.CONT`` at X                        S X
PTRACE_SYSCALL, SKIPEXIT       at N: ``Session.resume``, PTRACE_SYSCALL                    N (X)
  of selected calls            at S: ``resume``, PTRACE_CONT                               S
PTRACE_SYSCALL, SKIPCALL       at N: ``Session.resume`` skips, PTRACE_SYSCALL              N (X)
  of selected calls            at S: ``resume`` skips, PTRACE_CONT                         S
SKIPCALL without SKIPEXIT      at N or S: ``resume`` skips, PTRACE_SYSCALL                 N X, S X
PTRACE_CONT with tags          at N or S: PTRACE_CONT                                      N, S
PTRACE_SINGLESTEP with tags    at N or S: PTRACE_SINGLESTEP                                N T, S T
PTRACE_BLOCKSTEP with tags     at N or S: PTRACE_SINGLEBLOCK                               N T, S T
PTRACE_SYSEMU with tags        at N or S: PTRACE_SYSEMU; then N of the next call,          N, S
                               whichever it is, which does not run
PTRACE_SYSEMU_SINGLESTEP       at N or S: the same; no T, but a stop one instruction       N, S
                               later, or N if that is a call, which does not run
PTRACE_SYSEMU_BLOCKSTEP        never existed
PTRACE_SYSVM of 2006           ``sysvm(tid, tags)``: PTRACE_SYSCALL with tags              as there
PTRACE_VM_TEST                 ``sysvm(tid, Dialect2006.PTRACE_VM_TEST)``                  none
PTRACE_VM_SKIPSTART            a filter decides; ``decision(tags)`` says it to a Tracer    0 to 2
PTRACE_VM_TRACESTART           the opposite, in ``Events``
PTRACE_SYSCALL_MASK of 2006    ``syscall_mask(bits)`` makes a filter                       0, S
"numbered 0, 1, 2"             ``Numbered``
============================== =========================================================== ========

What must differ from the proposals:

- After S the next stop is S of the next *selected* call. Between calls resume with CONT: after
  PTRACE_SYSCALL a selected call has three stops, N S X.
- At N a skipped call is judged by the tracee's filters, as number 0xffffffff; at S it is not. Where
  a tracee may have a filter, S is the place to skip.
- Tags at a stop that has no call to decide on are refused. The patches took them: User-Mode Linux
  gave them at every stop.
- The two PTRACE_SYSEMU requests take the next call for one to report and not to run. If the kernel
  restarts a call that was let run, that is the same call again (a cgroup that is frozen and thawed
  does so without any stop): it never runs. They are safe with SKIPCALL, which nothing restarts.
- SKIPEXIT leaves T in place. In the patch of 2008 it left T out as well, on x86; of the requests of
  today PTRACE_SYSEMU_SINGLESTEP does.
- A total virtual machine, which skips every call, needs neither filter nor Session: at each N
  ``resume(tid, Request.SYSEMU, Dialect2008.PTRACE_VM_SKIPCALL, value=...)``, one stop a call.
"""

from accel.errors import NotStopped, StopError, TagError, TraceeDied, UnknownTag
from accel.ptrace_vm.bitmap import from_kmview, mask_of, syscall_mask
from accel.ptrace_vm.requests import Request, resume, sysvm
from accel.ptrace_vm.session import Session
from accel.ptrace_vm.tags import (
    Dialect,
    Dialect2006,
    Dialect2008,
    Events,
    Numbered,
    decision,
    read_tags,
)

__all__ = [
    "Dialect",
    "Dialect2006",
    "Dialect2008",
    "Events",
    "NotStopped",
    "Numbered",
    "Request",
    "Session",
    "StopError",
    "TagError",
    "TraceeDied",
    "UnknownTag",
    "decision",
    "from_kmview",
    "mask_of",
    "read_tags",
    "resume",
    "syscall_mask",
    "sysvm",
]
