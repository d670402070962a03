"""Every combination of START, CALL and EXIT, by every mechanism, on calls of every kind.

The program tests/programs/combination.c makes one call whose arguments tell it from all others.
``examine`` lets a mechanism answer that call with a combination and says what is wrong: with the
result that the program got, with the call's effect, with what handlers and observers were told, or
with the number of kernel stops. ``python -m tests.conformance`` makes a table of it.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from accel import Abi, Decision, Tracer, arg
from accel.arguments import Condition
from accel.capabilities import MECHANISMS, capabilities
from accel.stops import EventStop, Stop, SyscallEntryStop, SyscallExitStop
from bench.audit import KernelStopCount
from tests.support import compiled

__all__ = ["CALLS", "COMBINATIONS", "Case", "Finding", "cases", "examine"]

#: What a call returns that does not run; no call that runs does.
VALUE: Final = 4242
#: EXDEV, with which no call here fails by itself.
ERRNO: Final = 18

COMBINATIONS: Final = (
    Decision.inspect(),
    Decision.resume(),
    Decision.skip(VALUE, inspect=True),
    Decision.skip(VALUE),
    Decision.exit_only(),
    Decision.allow(),
    Decision.emulate(VALUE),
    Decision.nullify(ERRNO),
)


@dataclass(frozen=True, slots=True)
class Marked:
    """A call of the program: its name, and what marks it."""

    name: str
    where: Condition
    #: Arguments that the tracer must see.
    arguments: Mapping[int, int]
    #: How often it is made, if it runs.
    times: int = 1


#: {what the program is told to do: the call}; READING and the like are its constants.
CALLS: Final[Mapping[str, Marked]] = {
    "getppid": Marked("getppid", arg[0] == 177, {0: 177}),
    "read": Marked("read", arg.fd == 108, {0: 108, 2: 4}),
    "openat": Marked("openat", arg.flags == 0o301, {2: 0o301, 3: 0o640}),
    "write": Marked("write", arg.fd == 109, {0: 109, 2: 4}),
    "failing": Marked("close", arg.fd == 177, {0: 177}),
    # A signal handler interrupts it, and it is made again.
    "blocked-read": Marked("read", arg.fd == 108, {0: 108, 2: 4}, times=2),
    "execve": Marked("execve", arg[2] == 0, {2: 0}),
    "clone": Marked("clone", arg[2] == 177, {0: int(signal.SIGCHLD), 2: 177}),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One cell of the table, on one call."""

    combination: int
    mechanism: str
    abi: Abi
    call: str

    @property
    def is_exec_at_its_exit(self) -> bool:
        """Whether this is the one call whose exit has nothing to tell."""
        return self.call == "execve" and self.combination == 4

    def __str__(self) -> str:
        return f"{self.combination}-{self.mechanism}-{self.abi.value}-{self.call}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: the kernel's stops for one call, and what is wrong, if anything."""

    stops: int
    wrong: tuple[str, ...] = ()
    notifications: int = 0


def cases() -> Iterator[Case]:
    """List all cases of the combinations that the mechanisms claim."""
    for name in ("auto", *MECHANISMS):
        for combination in capabilities(name).stops:
            for abi in capabilities(name).abis:
                for call in CALLS:
                    yield Case(combination, name, abi, call)


def examine(case: Case) -> Finding:
    """Run a case; raise AuditUnavailable where the kernel's stops cannot be counted."""
    marked = CALLS[case.call]
    decision = COMBINATIONS[case.combination]
    told = Told()
    flags = ("-static", "-m32") if case.abi is Abi.I386 else ("-static",)
    with tempfile.TemporaryDirectory() as directory, KernelStopCount() as count:
        path = str(Path(directory) / "made")
        tracer = Tracer(
            [compiled("combination", *flags), case.call, path],
            capture_output=True,
            mechanism=case.mechanism,  # type: ignore[arg-type]  # they are listed
        )
        if decision.start:
            # An observed call stops; to run it unobserved is a constant for the filter.
            tracer.on_entry(marked.name, where=marked.where)(lambda _stop: decision)
        else:
            tracer.decide(marked.name, decision, where=marked.where)
        tracer.observe(told)
        result = tracer.run(timeout=60)
        statistics = tracer.statistics()
    assert result.stdout is not None
    seen = tuple(int(word) for word in result.stdout.split())
    wrong = list(_judge(case, told, result.returncode, seen))
    if count.stops != statistics.stops:
        wrong.append(f"the kernel counted {count.stops} stops, the tracer {statistics.stops}")
    key = marked.name if case.abi is Abi.X86_64 else f"{marked.name}@{case.abi.value}"
    calls = statistics.calls.get(key)
    stops = calls.stops if calls is not None else 0
    times = marked.times if decision.call else 1
    # auto lets an execve stop before, too, since it leaves no arguments to be told after.
    combination = 0 if case.mechanism == "auto" and case.is_exec_at_its_exit else case.combination
    expected = capabilities(case.mechanism).stops[combination] * times
    notifications = calls.notifications if calls is not None else 0
    declared = capabilities(case.mechanism).notifications.get(case.combination, 0) * times
    if notifications != declared or statistics.notifications != declared:
        wrong.append(f"{notifications} notifications instead of {declared}")
    if _is_told_as_event(case):
        stops += told.executed
    if stops != expected:
        wrong.append(f"{stops} stops instead of {expected}")
    return Finding(stops // times, tuple(wrong), notifications // times)


def _is_told_as_event(case: Case) -> bool:
    """Of an execve that has succeeded no argument is left: exit events tell it as an exec."""
    return (
        case.call == "execve" and case.mechanism.startswith("exit-event") and case.combination == 4
    )


class Told:
    """What handlers and observers hear of the marked call."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, ...]] = []
        self.exits: list[tuple[tuple[int, ...], int | None]] = []
        #: How often the program has executed another, after its own start.
        self.executed = -1

    def __call__(self, stop: Stop, /) -> None:
        """Take note."""
        if isinstance(stop, SyscallEntryStop):
            self.entries.append(stop.call.arguments)
        elif isinstance(stop, SyscallExitStop):
            self.exits.append((stop.call.arguments, stop.result))
        elif isinstance(stop, EventStop) and stop.event == "exec":
            self.executed += 1


def _judge(case: Case, told: Told, status: int, seen: tuple[int, ...]) -> Iterator[str]:
    """Tell what is wrong with what was seen and told."""
    if status != 0 or len(seen) != 2:
        yield f"the program ended with {status}, and wrote {seen}"
        return
    yield from _judge_call(COMBINATIONS[case.combination], *seen)
    yield from _judge_telling(case, told)
    results = [result for _arguments, result in told.exits]
    # What was interrupted has another result at first; what has executed has none.
    if results and case.call != "execve" and results[-1] != seen[0]:
        yield f"the tracer was told {results[-1]}, the program {seen[0]}"


def _judge_call(decision: Decision, result: int, ran: int) -> Iterator[str]:
    if ran != decision.call:
        yield "the call did not run" if decision.call else "the call ran"
    if not decision.call and result != (VALUE if decision.value == VALUE else -ERRNO):
        yield f"the program saw {result}"


def _judge_telling(case: Case, told: Told) -> Iterator[str]:
    marked, decision = CALLS[case.call], COMBINATIONS[case.combination]
    times = marked.times if decision.call else 1
    is_seen_before = case.mechanism == "auto" and case.is_exec_at_its_exit
    entries = times if decision.start or is_seen_before else 0
    if len(told.entries) != entries:
        yield f"{len(told.entries)} entries were told instead of {entries}"
    # A skipped call is told to have returned, though nothing stops there.
    exits = times if decision.exit or (decision.start and not decision.call) else 0
    if _is_told_as_event(case):
        exits = 0
    if len(told.exits) != exits:
        yield f"{len(told.exits)} exits were told instead of {exits}"
    for arguments in (*told.entries, *(arguments for arguments, _result in told.exits)):
        for position, value in marked.arguments.items():
            if arguments[position] != value:
                yield f"argument {position} was told to be {arguments[position]:#x}"
    if exits and not decision.call and told.exits[-1][1] != VALUE:
        yield f"the tracer was told {told.exits[-1][1]}"
