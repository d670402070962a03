"""The words of profiles: actions and comparisons, as in libseccomp's <seccomp.h>."""

from __future__ import annotations

from typing import Final

import bpf

__all__ = ["ACTIONS", "OPERATORS", "UNANSWERED"]

#: What the filter answers by itself. The old SCMP_ACT_KILL is the thread's.
ACTIONS: Final = {
    "SCMP_ACT_ALLOW": bpf.Action.allow(),
    "SCMP_ACT_ERRNO": bpf.Action.errno(0),
    "SCMP_ACT_LOG": bpf.Action.log(),
    "SCMP_ACT_TRAP": bpf.Action.trap(),
    "SCMP_ACT_KILL_PROCESS": bpf.Action.kill_process(),
    "SCMP_ACT_KILL_THREAD": bpf.Action.kill_thread(),
    "SCMP_ACT_KILL": bpf.Action.kill_thread(),
}

#: Actions that hand the call to somebody: who it is a profile cannot say.
UNANSWERED: Final = {
    "SCMP_ACT_TRACE": "a tracer of the container runtime's",
    "SCMP_ACT_NOTIFY": "a supervisor of the container runtime's",
}

#: SCMP_CMP_MASKED_EQ, which compares ``argument & value`` with ``valueTwo``, stands apart.
OPERATORS: Final = {
    "SCMP_CMP_NE": "!=",
    "SCMP_CMP_LT": "<",
    "SCMP_CMP_LE": "<=",
    "SCMP_CMP_EQ": "==",
    "SCMP_CMP_GE": ">=",
    "SCMP_CMP_GT": ">",
}
