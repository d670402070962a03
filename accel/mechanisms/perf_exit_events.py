"""Exit events by perf_event_open(2): numbers and results are compared in the kernel.

The tracepoint sys_exit sends SIGTRAP to the thread that hit it, and writes a sample of its
registers to a ring; see ``accel._kernel.perf``. Which hits count is a filter in text.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import bpf
from accel._kernel import memory, perf, tracefs
from accel.abi import Abi
from accel.errors import UnsupportedKernel
from accel.mechanisms.stop_tables import EVENT_COOKIE

__all__ = ["PerfExitEvents", "condition"]

_RAW: Final = "raw_syscalls/sys_exit"
_INT80: Final = b"\xcd\x80"
#: The kernel reads a page: perf_event_set_filter(), kernel/events/core.c.
_LONGEST: Final = 4096
#: Calls whose tracepoint has another name than the call: SYSCALL_DEFINE in the kernel's source.
_TRACEPOINT_NAMES: Final = {
    "stat": "newstat",
    "fstat": "newfstat",
    "lstat": "newlstat",
    "uname": "newuname",
    "umount2": "umount",
    "sendfile": "sendfile64",
}


class PerfExitEvents:
    """Perf events with sigtrap: one on each thread, for all calls; see ``ExitEvents``.

    Without CAP_PERFMON it is one for each call of each thread, as perf_event_paranoid allows.
    """

    def __init__(self, selections: Sequence[bpf.ExitSelection]) -> None:
        """Raise UnsupportedKernel where perf events cannot be had; arms nothing yet."""
        self._armed: dict[int, perf.TracepointEvents] = {}
        self._lost = 0
        try:
            self._tracepoints = _probed(selections)
        except OSError as error:
            raise UnsupportedKernel(
                f"no perf event stops calls at their exit: {_reason(error)}", hint=_advice(error)
            ) from error

    @property
    def lost(self) -> int:
        """How many selected calls left no sample: the ring was full."""
        # Asked by other threads, too, while this one arms and disarms.
        return self._lost + sum(events.lost for events in tuple(self._armed.values()))

    def arm(self, tid: int, arch: bpf.Arch) -> None:
        """Open the events of a thread; raise OSError. Some ten microseconds."""
        self.disarm(tid)
        tracepoints = self._tracepoints[arch]
        if tracepoints is None:
            raise PermissionError(errno.EPERM, "32-bit code needs CAP_PERFMON")
        if tracepoints:
            self._armed[tid] = perf.TracepointEvents(tid, tracepoints, cookie=EVENT_COOKIE)

    def ring_of(self, tid: int) -> int:
        """Tell where the ring of an armed thread is mapped; 0 if it is not armed."""
        events = self._armed.get(tid)
        return 0 if events is None else events.address

    def disarm(self, tid: int) -> None:
        """Close the events of a thread."""
        events = self._armed.pop(tid, None)
        if events is not None:
            events.close()
            self._lost += events.lost

    def take(self, tid: int) -> list[bpf.ExitSample]:
        """Take the samples of this thread that have come since the last time, in order."""
        events = self._armed.get(tid)
        return [] if events is None else [_sample(sample) for sample in events.samples()]

    def owns(self, _tid: int, siginfo: bytes) -> bool:
        """Tell whether a SIGTRAP comes from here: it carries a cookie."""
        trap = perf.parse_trap(siginfo)
        return trap is not None and trap[0] == EVENT_COOKIE

    def delivered(self, tid: int) -> None:
        """Do nothing: the signal itself says whose it is."""

    def is_late(self, _sample: bpf.ExitSample, siginfo: bytes) -> bool:
        """Tell whether such a SIGTRAP was blocked: its flags say so."""
        trap = perf.parse_trap(siginfo)
        return trap is not None and bool(trap[1] & perf.TRAP_PERF_FLAG_ASYNC)

    def renamed(self, _former: int, _tid: int) -> None:
        """Do nothing: execve(2) has removed its events, and their signals say whose they are."""

    def forget(self, tid: int) -> None:
        """Forget a thread that has ended."""
        self.disarm(tid)

    def close(self) -> None:
        """Close all events."""
        for tid in tuple(self._armed):
            self.disarm(tid)


def _probed(
    selections: Sequence[bpf.ExitSelection],
) -> Mapping[bpf.Arch, list[perf.Tracepoint] | None]:
    """Find tracepoints that this process may use; None for code whose calls they do not show."""
    raw = tracefs.tracepoint_id(_RAW)
    conditions = {arch: condition(selections, arch) for arch in bpf.Arch}
    found = {
        arch: [perf.Tracepoint(raw, text)] if text else [] for arch, text in conditions.items()
    }
    try:
        for tracepoints in found.values():
            for tracepoint in tracepoints:
                perf.TracepointEvents.check(tracepoint)
    except PermissionError:
        # Hits of raw_syscalls count as the kernel's own, of which the unprivileged see none.
        single = list(_single_calls(selections))
        for tracepoint in single[:1]:
            perf.TracepointEvents.check(tracepoint)
        return {bpf.Arch.X86_64: single, bpf.Arch.I386: None if conditions[bpf.Arch.I386] else []}
    return found


def condition(selections: Iterable[bpf.ExitSelection], arch: bpf.Arch) -> str:
    """Write what selects the calls of an architecture, as a filter of raw_syscalls:sys_exit.

    Arguments are not among that tracepoint's fields: who hears of the stop compares them. Empty if
    nothing is selected.
    """
    alternatives = []
    for selection in selections:
        if selection.arch is arch and selection.numbers != frozenset():
            terms = [*_numbers(selection.numbers), *_results(selection)]
            alternatives.append(" && ".join(terms) or "id>=0")
    # Conditions on arguments left several that say the same.
    text = " || ".join(f"({alternative})" for alternative in dict.fromkeys(alternatives))
    # Where it cannot be said so shortly, every call stops: whoever hears of it compares results.
    return text if len(text) < _LONGEST else "id>=0"


def _numbers(numbers: frozenset[int] | None) -> Iterator[str]:
    if numbers is None:
        return
    runs = []
    # Numbers that follow each other differ from their position by the same.
    for _key, group in itertools.groupby(enumerate(sorted(numbers)), lambda at: at[1] - at[0]):
        run = [number for _position, number in group]
        few = " || ".join(f"id=={number}" for number in run)
        runs.append(few if len(run) < 3 else f"(id>={run[0]} && id<={run[-1]})")
    yield f"({' || '.join(runs)})"


def _results(selection: bpf.ExitSelection) -> Iterator[str]:
    for one in selection.result:
        yield f"ret{one.operator}{one.value}"


def _single_calls(selections: Iterable[bpf.ExitSelection]) -> Iterator[perf.Tracepoint]:
    """List the tracepoints of single calls, of 64-bit code: 32-bit code does not hit them.

    What this kernel was built without (finit_module of %desc, often) has none.
    """
    for selection in selections:
        if selection.arch is not bpf.Arch.X86_64:
            continue
        for number in sorted(selection.numbers or ()):
            name = Abi.X86_64.call_name(number)
            event = f"syscalls/sys_exit_{_TRACEPOINT_NAMES.get(name, name)}"
            with contextlib.suppress(FileNotFoundError):
                yield perf.Tracepoint(
                    tracefs.tracepoint_id(event),
                    " && ".join(_results(selection)),
                    excludes_kernel=True,
                )


def _sample(sample: perf.Sample) -> bpf.ExitSample:
    is_32bit = sample.is_32bit or _is_int80(sample)
    return bpf.ExitSample(
        sample.tid,
        bpf.Arch.I386 if is_32bit else bpf.Arch.X86_64,
        sample.number,
        sample.arguments_32bit if is_32bit else sample.arguments,  # type: ignore[arg-type]  # six
        sample.result,
        sample.time_ns,
        sample.instruction_pointer,
        sample.stack_pointer,
    )


def _is_int80(sample: perf.Sample) -> bool:
    """Tell whether 64-bit code has made a call of the 32-bit ABI, whose number is selected, too."""
    if sample.is_by_syscall:
        return False
    with contextlib.suppress(OSError):
        at = sample.instruction_pointer - len(_INT80)
        return memory.read(sample.tid, at, len(_INT80)) == _INT80
    return False


def _reason(error: OSError) -> str:
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error.strerror)


def _advice(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "run as root, or with CAP_PERFMON and a tracefs that can be read"
    if error.errno == errno.EMFILE:
        return "raise the limit of open files: ulimit -n"
    return "this needs Linux 5.13 with CONFIG_FTRACE_SYSCALLS"
