"""The whole of a comparison: check everything, then run, then sum up."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Final

from accel import oci
from accel.audit import KernelStopCount
from accel.compare.comparison import Comparison, summed_up
from accel.compare.configure import constant_calls
from accel.compare.copies import Copies
from accel.compare.inputs import Input
from accel.compare.launcher import Launcher, Selection
from accel.compare.measure import measure
from accel.compare.peers import peers
from accel.compare.progress import Progress
from accel.compare.subjects import MECHANISMS, Absent, Subject, subjects
from accel.errors import AuditUnavailable, SetupError
from accel.mask import SyscallMask
from accel.tracer import Tracer
from bpf.value import frozen, replace

__all__ = ["Request", "compare"]

_NO_CONSTANTS: Final = "the profile answers no call with a constant"
#: Has the compiled loop made, and kept for all runs: not all would have it otherwise.
_COMPILED: Final = {"ACCEL_LOOP": "numba"}


@frozen
class Request:
    """What is to be compared."""

    command: tuple[str, ...]
    #: The selected calls, in the grammar of strace -e trace=.
    calls: str = "all"
    #: A container's seccomp profile, "" for none.
    rules: str = ""
    runs: int = 5
    #: Whether the kernel counts the stops as well.
    is_audited: bool = False
    #: What every run gets a fresh copy of.
    copies: tuple[str, ...] = ()
    #: Mechanisms and other tracers; all if empty.
    only: tuple[str, ...] = ()


@frozen
class _Checked:
    """Who takes part, as far as can be known without running anything."""

    subjects: list[Subject]
    absent: list[Absent]


def compare(
    request: Request,
    stdin: Input,
    progress: Progress,
    say: Callable[[str], None] = lambda _text: None,
) -> Comparison:
    """Run the command natively and under every mechanism, and compare.

    Raise SetupError before anything runs: for an unknown call, a profile that cannot be read, a
    command that cannot be executed, an audit without root. Raise AccelError if native runs end
    differently. ``say`` is told of what has no effect. However this is left, no process of it stays
    behind, and the copied paths are what they were.
    """
    checked = _check(request, say)
    launcher = Launcher(
        Selection(request.command, request.calls, request.rules), stdin, progress.tick
    )
    with contextlib.ExitStack() as stack:
        stack.callback(progress.clear)
        copies = stack.enter_context(Copies(request.copies))
        copies.refresh()  # It may be where commands start.
        notes = _compile_loop(checked.subjects, launcher, progress)
        result = measure(
            checked.subjects,
            request.runs,
            launcher,
            copies,
            progress,
            counter=KernelStopCount if request.is_audited else None,
        )
    result = replace(
        result, absent=(*checked.absent, *result.absent), notes=(*result.notes, *notes)
    )
    return summed_up(
        result, request.command, request.calls, request.runs, is_audited=request.is_audited
    )


def _check(request: Request, say: Callable[[str], None]) -> _Checked:
    mask = SyscallMask.parse(request.calls)
    # Finds the command, and whether the filter has room for the calls.
    Tracer(request.command, mask=mask).check()
    own, absent = subjects(has_rules=bool(request.rules), only=request.only)
    if request.rules:
        profile = oci.load(request.rules)
        for note in profile.notes:
            say(f"{request.rules}: {note}")
        tracer = Tracer(request.command)
        tracer.enforce(profile)
        tracer.check()
        if not constant_calls(profile):
            absent += [Absent(one.name, _NO_CONSTANTS) for one in own if one.decision == "skip()"]
            own = [one for one in own if one.decision != "skip()"]
    others, missing = peers(request.calls)
    names = {one.words[0] for one in others} | {one.name.split()[0] for one in missing}
    _check_names(request.only, names)
    if request.only:
        others = [one for one in others if one.words[0] in request.only]
        missing = [one for one in missing if one.name.split()[0] in request.only]
    if request.is_audited:
        try:
            with KernelStopCount():
                pass
        except AuditUnavailable as error:
            raise SetupError(
                f"--audit: {error}", hint="run as root, or leave --audit out"
            ) from error
    return _Checked([*own, *others], [*absent, *missing])


def _check_names(only: tuple[str, ...], others: set[str]) -> None:
    known = {*MECHANISMS, *(name.partition(":")[0] for name in MECHANISMS), *others}
    for name in only:
        if name not in known:
            raise SetupError(f"--only {name}: not known", hint=f"use {', '.join(sorted(known))}")


def _compile_loop(everybody: list[Subject], launcher: Launcher, progress: Progress) -> list[str]:
    """Have the compiled loop ready for all runs; say so where it cannot be had.

    It takes numba some ten seconds, once for this user and version.
    """
    users = [one for one in everybody if one.tier == "loop"]
    if not users or os.environ.keys() & _COMPILED:
        return []
    progress.begins(users[0], 0, 1)
    problem = launcher.run(users[0], ["true"], _COMPILED).report.problem
    return [f"stops are answered by a loop in Python: {problem}"] if problem else []
