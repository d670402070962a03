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

__all__ = [
    "MECHANISMS",
    "Capabilities",
    "MechanismName",
    "PlacementName",
    "RuleMechanism",
    "capabilities",
    "check_decision",
    "check_wanted",
]

#: ``auto`` is seccomp-trace together with exit-event, and with user-notify for what that alone can
#: do; in a running process, whichever suffices. exit-event takes perf events where it can, and an
#: eBPF program otherwise.
MechanismName: TypeAlias = Literal[
    "auto",
    "seccomp-trace",
    "user-notify",
    "ptrace-syscall",
    "sysemu",
    "exit-event",
    "exit-event:perf",
    "exit-event:ebpf",
    "observe",
]

#: What one rule can ask for, where the others have another.
RuleMechanism: TypeAlias = Literal["seccomp-trace", "user-notify"]

PlacementName: TypeAlias = Literal["auto", "same-cpu", "none"]

#: Mechanisms by which a tracee gets a descriptor.
_INJECTING: Final = ("auto", "user-notify")
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
    #: {combination: the user notifications that it takes}; those that are missing take none.
    notifications: Mapping[int, int] = MappingProxyType({})


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
            "user-notify", _stops(c1=0, c3=0, c5=0, c7=0), notifications=_stops(c1=1, c3=1),
            privilege="Linux 5.6, and no other listener in its filters",
        ),
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
    if decision.injected is not None and mechanism not in _INJECTING:
        raise SetupError(
            f"mechanism {mechanism} cannot give a tracee a descriptor",
            hint="use mechanism user-notify, or auto",
        )
    if mechanism == "user-notify" and not decision.is_plain:
        raise SetupError(
            f"mechanism user-notify has no stop to send a signal at, or to stay in: {decision}",
            hint="use mechanism seccomp-trace, or auto",
        )
    offered = capabilities(mechanism).stops
    if decision.combination not in offered:
        others = [name for name, one in MECHANISMS.items() if decision.combination in one.stops]
        raise SetupError(
            f"mechanism {mechanism} does not offer {decision} (combination {decision.combination})",
            hint=f"use mechanism {' or '.join(others)}, or auto",
        )


def check_wanted(mechanism: str, wanted: str) -> None:
    """Raise SetupError if a rule cannot have a mechanism of its own, under that of the run."""
    if not wanted or wanted == mechanism:
        return
    known = get_args(RuleMechanism)
    if wanted not in known:
        raise SetupError(
            f"a rule cannot ask for mechanism {wanted!r}", hint=f"use {' or '.join(known)}"
        )
    if mechanism != "auto":
        raise SetupError(
            f"a rule asks for {wanted}, and the Tracer for {mechanism}: only auto mixes them",
            hint="leave mechanism out where the Tracer is made",
        )
