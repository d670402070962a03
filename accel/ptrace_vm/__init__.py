"""PTRACE_VM and its relatives, proposed from 2006 to 2008, on the kernel of today.

For tracees that the caller attached to, from the thread that did; no ``Tracer`` is involved. None
of the proposals was merged. On a kernel without them ``addr`` of PTRACE_SYSCALL is ignored, and
their request numbers now mean something else (33, PTRACE_SYSVM, is PTRACE_SINGLEBLOCK): only
requests that the kernel has are made. "Stops" are kernel stops of one call; S is a seccomp-stop, N
a syscall-entry-stop, X the exit-stop.

================================ ========================================================= =======
the thread's words               today                                                     stops
================================ ========================================================= =======
PTRACE_SYSCALL                   ``resume(tid, Request.SYSCALL)``                          N X
  selected by a filter           the same at S, and ``Request.CONT`` at X                  S X
PTRACE_SYSCALL, SKIPEXIT         at S: PTRACE_CONT                                         S
  without a filter               at N: a ``Session``, which hides X                        N (X)
PTRACE_SYSCALL, SKIPCALL         at S: number -1, rax, PTRACE_CONT                         S
  without a filter               at N: the same with PTRACE_SYSCALL, and a ``Session``     N (X)
SKIPCALL of 2006, no SKIPEXIT    at S or N: number -1, rax, PTRACE_SYSCALL                 S X, N X
PTRACE_CONT, with any tags       at S or N: number -1 and rax if skipped, PTRACE_CONT      S, N
PTRACE_SINGLESTEP, likewise      and a SIGTRAP behind the call's instruction               S, N
PTRACE_BLOCKSTEP, likewise       PTRACE_SINGLEBLOCK; the same SIGTRAP                      S, N
PTRACE_SYSEMU, likewise          no X, and then N of *any* next call, which does not run   S, N
PTRACE_SYSEMU_SINGLESTEP         no SIGTRAP behind the call, but an instruction later      S, N
PTRACE_SYSEMU_BLOCKSTEP          never existed
PTRACE_SYSVM of 2006             ``sysvm(tid, tags)``: PTRACE_SYSCALL with tags            as above
PTRACE_VM_TEST                   ``sysvm(tid, Dialect2006.PTRACE_VM_TEST)``                none
PTRACE_VM_SKIPSTART / TRACESTART a filter's decision; ``decision(tags)`` names it          0, 1, 2
PTRACE_SYSCALL_MASK of 2006      ``syscall_mask(bits)``: a filter                          S, or 0
"numbered 0, 1, 2"               ``Numbered``                                              as above
================================ ========================================================= =======

Where this must differ from what was proposed:

- After S the next stop is that of the next *selected* call. Between calls resume with CONT: after
  PTRACE_SYSCALL a selected call has three stops, N S X.
- At N a skipped call has number -1, which all filters of the tracee judge as 0xffffffff. At S they
  do not judge it again. S is the right place to skip.
- Tags at a stop without a call to decide on had no effect in the patches; here they are refused.
- The patch of 2008 let SKIPEXIT also leave out the SIGTRAP of PTRACE_SINGLESTEP behind the call.
  Today PTRACE_SYSEMU_SINGLESTEP alone does: use it with SKIPCALL.
- A total virtual machine, which skips every call, needs no filter: ``resume(tid, Request.SYSEMU,
  SKIPCALL, value=...)`` at each N, one stop a call.
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
