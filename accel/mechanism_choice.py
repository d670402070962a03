"""Which mechanism keeps which rule of a plan: what was asked for, where this host allows it.

Costs choose only between ways that tell the same. That leaves out ptrace-syscall for a command,
even if it is to stop at every call: calls through the vsyscall page, those that a filter of the
command's own answers, and children made with CLONE_UNTRACED are not seen alike. Nor is it cheaper
there: its stops go to Python, and where those of a filter do, too, both cost the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import bpf
from accel.capabilities import capabilities, check_decision
from accel.decision import Decision
from accel.errors import SetupError, UnsupportedKernel
from accel.plan import Plan, Rule
from bpf.value import frozen, replace

if TYPE_CHECKING:
    from accel.costs import CostTable
    from accel.mechanisms.exit_events import ExitEvents

__all__ = ["Choice", "choose"]

_EXIT_ONLY: Final = Decision.exit_only()


@frozen
class Choice:
    """A plan whose rules have their mechanism, and what stops those that are ``by_event``."""

    plan: Plan
    exit_events: ExitEvents | None = None


def choose(
    draft: Plan,
    mechanism: str,
    *,
    attaches: bool,
    costs: Callable[[], CostTable] | None = None,
) -> Choice:
    """Give every rule of a draft its mechanism.

    With ``auto``, exit_only() falls back to two stops where no exit event can be had, and a note
    says so, or where they cost less: see ``accel.exit_choice``. ``costs``, else this host's table,
    is asked only where costs decide. Raise SetupError for a mechanism that cannot do what is asked
    for here.
    """
    offered = capabilities(mechanism)
    if not (offered.attaches if attaches else offered.starts):
        raise SetupError(
            f"{mechanism} cannot attach to a process that runs already",
            hint="use mechanism ptrace-syscall, exit-event, or auto",
        )
    if mechanism != "auto":
        return _one(draft, mechanism)
    if any(rule.wanted or _injects(rule) for rule in draft.rules):
        from accel.mixed_plan import mixed  # noqa: PLC0415 - few want it

        draft = mixed(draft, attaches=attaches)
    plan = replace(draft, mechanism="ptrace-syscall" if attaches else "seccomp-trace")
    if not any(rule.decision == _EXIT_ONLY for rule in draft.rules):
        return Choice(plan)
    if attaches and not all(map(_stops_at_exit_alone, draft.rules)):
        note = "not all calls are exit_only(): without a filter every call stops twice"
        return Choice(replace(plan, notes=(*plan.notes, note)))
    return _with_exit_events(plan, attaches=attaches, costs=costs)


def _one(draft: Plan, mechanism: str) -> Choice:
    """Let one mechanism keep all rules."""
    if mechanism.startswith("exit-event"):
        return _exit_events_alone(draft, mechanism)
    if mechanism == "user-notify":
        from accel.mixed_plan import notified  # noqa: PLC0415 - few want it

        return Choice(notified(draft))
    if mechanism == "observe":
        from accel.observation import planned  # noqa: PLC0415 - few want it

        return Choice(planned(draft))
    for rule in draft.rules:
        if rule.decision is not None:
            check_decision(mechanism, rule.decision)
    return Choice(replace(draft, mechanism=mechanism))


def _exit_events_alone(draft: Plan, mechanism: str) -> Choice:
    """Let every call that is selected stop by an exit event."""
    rules = [
        replace(rule, decision=rule.decision or _EXIT_ONLY, recorded=False) for rule in draft.rules
    ]
    for rule in rules:
        assert rule.decision is not None
        check_decision(mechanism, rule.decision)
        if rule.where.reads_memory:
            raise SetupError(
                f"{rule.where}: tracee memory is looked at before the call, {mechanism} has no such"
                " stop",
                hint="use mechanism auto",
            )
    plan = replace(
        draft,
        rules=tuple(_by_event(rule) if rule.decision == _EXIT_ONLY else rule for rule in rules),
        mechanism="exit-event",
    )
    source = mechanism.partition(":")[2]
    return _armed(plan, (source,) if source else ("perf", "ebpf"))


def _with_exit_events(
    plan: Plan, *, attaches: bool, costs: Callable[[], CostTable] | None
) -> Choice:
    """Let the exit_only() rules stop by exit events, if they are to be had and worth it."""
    # Few plans have such rules.
    from accel.costs import current  # noqa: PLC0415
    from accel.exit_choice import candidates  # noqa: PLC0415

    refusals: list[UnsupportedKernel] = []
    for candidate in candidates(plan, attaches=attaches, costs=costs or current):
        plan = candidate.plan
        if not candidate.source:
            break
        try:
            return _armed(plan, (candidate.source,))
        except UnsupportedKernel as error:
            refusals.append(error)
    notes = [
        f"calls that are exit_only() stop twice, and the first is not told: {error}"
        for error in refusals[:1]
    ]
    return Choice(replace(plan, notes=(*plan.notes, *notes)))


def _injects(rule: Rule) -> bool:
    return rule.decision is not None and rule.decision.injected is not None


def _stops_at_exit_alone(rule: Rule) -> bool:
    return rule.decision == _EXIT_ONLY and not rule.where.reads_memory


def _by_event(rule: Rule) -> Rule:
    return replace(rule, by_event=True)


def _perf(selections: Sequence[bpf.ExitSelection]) -> ExitEvents:
    from accel.mechanisms.perf_exit_events import PerfExitEvents  # noqa: PLC0415 - few want them

    return PerfExitEvents(selections)


def _ebpf(selections: Sequence[bpf.ExitSelection]) -> ExitEvents:
    from accel.mechanisms.ebpf_exit_events import EbpfExitEvents  # noqa: PLC0415 - few want them

    return EbpfExitEvents(selections)


_SOURCES: Final[Mapping[str, Callable[[Sequence[bpf.ExitSelection]], ExitEvents]]] = {
    "perf": _perf,
    "ebpf": _ebpf,
}


def _armed(plan: Plan, sources: Sequence[str]) -> Choice:
    """Take the first source of exit events that this host allows; raise UnsupportedKernel."""
    selections = plan.exit_selections()
    reasons = []
    for source in sources:
        try:
            events = _SOURCES[source](selections)
        except UnsupportedKernel as error:
            reasons.append(error)
            continue
        notes = plan.notes
        if source == "perf" and any(rule.by_event and rule.where.all for rule in plan.rules):
            notes += ("perf events do not compare arguments: accel does, at the stop",)
        return Choice(replace(plan, exit_event=f"exit-event:{source}", notes=notes), events)
    raise reasons[0]
