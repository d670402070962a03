"""Which rules of a plan are kept by user notification: all, or those that ask for it or need it.

One filter serves both: RET_TRACE stops a call for its tracer, RET_USER_NOTIF tells its listener.
"""

from __future__ import annotations

from typing import Final

from accel.capabilities import check_decision
from accel.errors import SetupError, UnsupportedKernel
from accel.mask import SyscallMask
from accel.plan import Plan, Rule
from bpf.value import replace

__all__ = ["check_notified", "mixed", "notified"]

_NOTE: Final = "nothing is traced: no results are shown, no signals, and no end but the command's"


def notified(draft: Plan) -> Plan:
    """Let every call that is selected come by notification.

    Raise SetupError for rules that this cannot keep, UnsupportedKernel if there can be no listener.
    """
    for rule in draft.rules:
        if rule.decision is not None:
            check_decision("user-notify", rule.decision)
    _support()
    rules = tuple(_by_notify(rule) for rule in draft.rules)
    return replace(draft, rules=rules, mechanism="user-notify", notes=(*draft.notes, _NOTE))


def mixed(draft: Plan, *, attaches: bool) -> Plan:
    """Let those calls come by notification whose rules ask for it, or inject descriptors.

    Where there can be no listener, rules that only ask for it have their calls stop, and a note
    says so. Raise SetupError, UnsupportedKernel as ``notified`` does.
    """
    wanting = [rule.wanted == "user-notify" or _injects(rule) for rule in draft.rules]
    if not any(wanting):
        return draft
    if attaches:
        raise SetupError(
            "a process that runs already cannot be given a filter: no call of it can notify",
            hint="start the command under accel",
        )
    for rule, wants in zip(draft.rules, wanting, strict=True):
        if wants and rule.decision is not None:
            check_decision("user-notify", rule.decision)
        if _injects(rule) and rule.wanted == "seccomp-trace":
            check_decision("seccomp-trace", rule.decision)  # type: ignore[arg-type]  # it injects
    try:
        _support()
    except UnsupportedKernel as error:
        if any(map(_injects, draft.rules)):
            raise
        note = f"calls that were to notify stop instead: {error.args[0]}"
        return replace(draft, notes=(*draft.notes, note))
    rules = tuple(
        _by_notify(rule) if wants else rule
        for rule, wants in zip(draft.rules, wanting, strict=True)
    )
    # What always stops, to hide its placement, must not be decided on there.
    asked = SyscallMask.none()
    for rule in rules:
        asked |= rule.mask if rule.by_notify else SyscallMask.none()
    return replace(draft, rules=rules, always=draft.always - asked)


def check_notified(plan: Plan, *, is_recorded: bool) -> None:
    """Raise SetupError for what cannot be had of calls that come by notification."""
    if plan.is_mixed and is_recorded:
        raise SetupError(
            "calls that come by stops and calls that come by notification cannot be recorded"
            " together",
            hint="let all come by one mechanism, or observe()",
        )
    for index, rule in enumerate(plan.rules):
        if rule.by_notify:
            _check_results(plan, rule)
        if rule.judged or rule.where.reads_memory:
            _check_same(plan, index)


def _check_results(plan: Plan, rule: Rule) -> None:
    may_run = rule.decision is None or rule.decision.call
    wanted = rule.mask & plan.inspected
    if may_run and wanted and rule.action is None:
        raise SetupError(
            f"the results of {_some(wanted)} are to be seen, and a notification shows none",
            hint="use mechanism seccomp-trace or auto, or observe(..., exits=False)",
        )


def _check_same(plan: Plan, index: int) -> None:
    """See that no rule behind one that is judged when its calls come needs another mechanism.

    A call that it lets pass goes to the rules behind it, and can come only once.
    """
    rule = plan.rules[index]
    for other in plan.rules[index + 1 :]:
        common = rule.mask & other.mask
        if not common or other.by_event or rule.by_notify == other.by_notify:
            continue
        is_answered = other.action is not None
        if is_answered:
            continue
        raise SetupError(
            f"{_some(common)}: a rule that looks at tracee memory and one behind it come by"
            " different mechanisms, and a call can come by one",
            hint='give both rules the same mechanism="user-notify" or "seccomp-trace"',
        )


def _some(mask: SyscallMask) -> str:
    text = str(mask)
    return text if len(text) <= 48 else f"{text[:45]}..."


def _injects(rule: Rule) -> bool:
    return rule.decision is not None and rule.decision.injected is not None


def _by_notify(rule: Rule) -> Rule:
    return replace(rule, by_notify=True, recorded=False)


def _support() -> None:
    from accel.mechanisms.listener import support  # noqa: PLC0415 - few want it

    support()
