"""The Tracer of a subject: its rules, and who looks at its stops."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from accel.capabilities import MechanismName
from accel.compare.job import Job
from accel.decision import Decision
from accel.mask import SyscallMask
from accel.stops import SyscallEntryStop
from accel.tracer import Tracer
from bpf import Action

if TYPE_CHECKING:
    from accel import oci

__all__ = ["constant_calls", "selected_calls", "tracer_of"]

_DECISIONS = {
    "inspect()": Decision.inspect(),
    "resume()": Decision.resume(),
    "exit_only()": Decision.exit_only(),
}
_FILTERING = "seccomp-trace"


def tracer_of(job: Job) -> Tracer:
    """Make the Tracer of a subject of accel's own; raise SetupError if it cannot be had here."""
    if job.subject.family == "ruled":
        return _ruled(job)
    subject, mask = job.subject, SyscallMask.parse(job.mask)
    tracer = _tracer(job, None if subject.decision == "exit_only()" else mask)
    if subject.tier == "handler":
        tracer.on_entry(mask)(_resume)
    elif subject.tier == "lines":
        _print_lines(tracer)
    elif subject.decision in _DECISIONS:
        tracer.decide(mask, _DECISIONS[subject.decision])
    return tracer


def selected_calls(job: Job) -> SyscallMask:
    """Select the calls that the subject is about: those to look at, or to answer."""
    if job.subject.family == "traced":
        return SyscallMask.parse(job.mask)
    from accel import oci  # noqa: PLC0415 - only for this family

    return constant_calls(oci.load(job.rules))


def constant_calls(profile: oci.Profile) -> SyscallMask:
    """Select the calls that a profile answers with a constant, whatever their arguments."""
    found = SyscallMask.none()
    for rule in profile.rules:
        if _is_constant(rule):
            found |= rule.mask
    return found


def _tracer(job: Job, mask: SyscallMask | None) -> Tracer:
    return Tracer(
        job.argv,
        mask=mask,
        stdin=job.stdin,
        stdout=job.stdout,
        stderr=job.stderr,
        mechanism=cast("MechanismName", job.subject.mechanism),
    )


def _resume(_stop: SyscallEntryStop) -> Decision:
    return Decision.resume()


def _print_lines(tracer: Tracer) -> None:
    """Write what ``accel trace -o /dev/null`` writes."""
    from accel.writers import (  # noqa: PLC0415 - only for this subject
        LineOutput,
        Replay,
        TextFormat,
        TextWriter,
    )

    writer = TextWriter(LineOutput.open(os.devnull), layout=TextFormat(pid_column=True))
    tracer.observe(Replay(writer))


# ------------------------------------------------------------------------- rules with constants


def _ruled(job: Job) -> Tracer:
    """Keep a profile: its constants at the tier of the subject, everything else in the filter.

    The first rule that matches decides, so they are added in their order, each by itself. What is
    neither a constant nor allowed (a call that kills) only a filter can keep: other mechanisms are
    compared without.
    """
    from accel import oci  # noqa: PLC0415 - only for this family

    profile = oci.load(job.rules)
    if job.subject.tier == "kernel":
        tracer = _tracer(job, None)
        tracer.enforce(profile)
        return tracer
    tracer = _tracer(job, constant_calls(profile))
    for rule in profile.rules:
        if _is_constant(rule):
            tracer.decide(rule.mask, Decision.skip(-_errno(rule)), where=rule.where)
        elif rule.action == Action.allow():
            tracer.decide(rule.mask, Decision.allow(), where=rule.where)
        elif job.subject.mechanism == _FILTERING:
            tracer.enforce(oci.Profile((rule,), profile.foreign))
    return tracer


def _errno(rule: oci.FilterRule) -> int:
    return rule.action.data


def _is_constant(rule: oci.FilterRule) -> bool:
    return rule.action.value - rule.action.data == Action.errno(0).value
