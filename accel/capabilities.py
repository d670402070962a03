"""What each mechanism offers: combinations and their kernel stops, ABIs, privileges.

Asked before a tracee starts, so that a rule that a mechanism cannot keep is an error there, which
names one that can.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args

from accel.abi import Abi
from accel.decision import Decision
from accel.errors import SetupError
from bpf.value import frozen

__all__ = ["MECHANISMS", "Capabilities", "MechanismName", "capabilities", "check_decision"]

#: ``auto`` is seccomp-trace together with exit-event; in a running process, whichever suffices.
#: exit-event takes perf events where it can, and an eBPF program otherwise.
MechanismName: TypeAlias = Literal[
    "auto",
    "seccomp-trace",
    "ptrace-syscall",
    "sysemu",
    "exit-event",
    "exit-event:perf",
    "exit-event:ebpf",
    "observe",
]

_BOTH: Final = (Abi.X86_64, Abi.I386)


@frozen
class Capabilities:
    """What a mechanism can do with the calls that it is asked for."""

    mechanism: str
    #: {combination: the kernel stops that it takes}; those that are missing are not offered.
    stops: Mapping[int, int]
    #: Whether it takes a command, and whether it takes a process that runs.
    starts: bool = True
    attaches: bool = False
    abis: tuple[Abi, ...] = _BOTH
    #: What it needs beyond the right to trace.
    privilege: str = "none"


def _stops(**of: int) -> Mapping[int, int]:
    return MappingProxyType({int(name.lstrip("c")): count for name, count in of.items()})


_PERF: Final = "CAP_PERFMON, or perf_event_paranoid below 3 and a readable tracefs (64-bit calls)"

_EBPF: Final = "root, python3-bpfcc and kernel headers"

#: Those that stop calls. Combination 4 costs seccomp-trace two stops, of which the first is not
#: told. Who stops at every call cannot let one pass without.
MECHANISMS: Final[Mapping[str, Capabilities]] = MappingProxyType({
    one.mechanism: one
    for one in (
        Capabilities("seccomp-trace", _stops(c0=2, c1=1, c2=2, c3=1, c4=2, c5=0, c6=1, c7=0)),
        Capabilities(
            "exit-event:perf", _stops(c4=1, c5=0), attaches=True, privilege=_PERF
        ),
        Capabilities(
            "exit-event:ebpf", _stops(c4=1, c5=0), attaches=True, privilege=_EBPF
        ),
        Capabilities("sysemu", _stops(c0=4, c1=3, c3=1, c6=1)),
        Capabilities(
            "ptrace-syscall",
            _stops(c0=2, c1=2, c2=2, c3=2, c4=2, c5=2, c6=2, c7=2),
            attaches=True,
        ),
    )
})  # fmt: skip

#: It stops nothing: of combinations 0 and 1 it tells what there is to tell, after the fact.
_OBSERVE: Final = Capabilities("observe", _stops(c0=0, c1=0, c5=0), attaches=True, privilege=_EBPF)


def capabilities(mechanism: str) -> Capabilities:
    """Look a mechanism up; those of ``auto`` are those of seccomp-trace and exit-event together.

    Raise SetupError for a name that is not known.
    """
    names = get_args(MechanismName)
    if mechanism not in names:
        raise SetupError(f"mechanism {mechanism!r} is not known", hint=f"use {', '.join(names)}")
    if mechanism == "exit-event":
        return MECHANISMS["exit-event:perf"]
    if mechanism == "observe":
        return _OBSERVE
    if mechanism == "auto":
        stops = {**MECHANISMS["seccomp-trace"].stops, 4: 1}
        return Capabilities("auto", MappingProxyType(stops), attaches=True)
    return MECHANISMS[mechanism]


def check_decision(mechanism: str, decision: Decision) -> None:
    """Raise SetupError for a decision that a mechanism does not offer; name those that do."""
    offered = capabilities(mechanism).stops
    if decision.combination not in offered:
        others = [name for name, one in MECHANISMS.items() if decision.combination in one.stops]
        raise SetupError(
            f"mechanism {mechanism} does not offer {decision} (combination {decision.combination})",
            hint=f"use mechanism {' or '.join(others)}, or auto",
        )
