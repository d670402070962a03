"""strace's lines: ``[pid 42] read(3, "", 4096) = 0``, whole or in two halves.

A call is written when it begins and completed when it returns. When something else must be written
in between, the first half ends with `` <unfinished ...>`` and the second begins with ``<... read
resumed>``, as in strace. Memory is bounded: one entry for each call that is under way.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from accel.decoding import Decoder, Entered, format_exit, format_signal, signal_name
from accel.records import INJECTED, Record
from accel.stops import (
    EventStop,
    Exited,
    GroupStop,
    Killed,
    SignalDeliveryStop,
    Stop,
    SyscallEntryStop,
    SyscallExitStop,
)
from accel.writers.output import LineOutput
from accel.writers.selection import Selection
from bpf.value import frozen

if TYPE_CHECKING:
    from accel.decoding.whole import WholeCalls

__all__ = ["TextFormat", "TextWriter"]

#: Where strace puts the equals sign: -a, DEFAULT_ACOLUMN.
_RESULT_COLUMN = 40
_SECOND = 1_000_000_000


@frozen
class TextFormat:
    """What surrounds the calls on their lines."""

    #: How the time of each line is shown: "", "clock" (-t), "microseconds" (-tt), "epoch" (-ttt)
    #: or "relative" (-r).
    timestamps: str = ""
    #: -T: the time spent in each call.
    durations: bool = False
    #: 0: everything; 1 (-q): nothing of attaching and detaching; 2 (-qq): nor of ends.
    quiet: int = 0
    #: Whether every line begins with its pid, as in a file; else only when there are several.
    pid_column: bool = False
    #: The signals whose delivery is shown; None: all.
    signals: frozenset[int] | None = None


class TextWriter:
    """An observer that writes strace's text."""

    def __init__(
        self,
        output: LineOutput,
        decoder: Decoder | None = None,
        layout: TextFormat | None = None,
        selection: Selection | None = None,
    ) -> None:
        self._output = output
        self._decoder = decoder or Decoder()
        self._layout = layout or TextFormat()
        self._selection = selection or Selection()
        # Asked for every call: whether there is anything to select by.
        self._by_path = bool(self._selection.paths)
        self._by_status = self._selection.by_status
        #: Whether calls may be told whole, and what decodes them, from the first of them on.
        self._may_be_whole = not (
            self._by_path or self._by_status or self._decoder.asks_about_threads
        )
        self._whole: WholeCalls | None = None
        self._entered: dict[int, Entered] = {}
        #: The tid whose line is not complete, and how long that line is.
        self._open = 0
        self._column = 0
        self._tracees: set[int] = set()
        self._timed = bool(self._layout.timestamps)
        self._last_ns = 0
        #: What to add to CLOCK_MONOTONIC to get the time of day.
        self._epoch_ns = time.time_ns() - time.monotonic_ns()

    def __call__(self, stop: Stop, /) -> None:
        """Write what there is to write about a stop."""
        match stop:
            case SyscallEntryStop():
                self._enter(stop)
            case SyscallExitStop():
                self._exit(stop)
            case SignalDeliveryStop():
                if self._layout.signals is None or stop.signal in self._layout.signals:
                    self._line(stop, format_signal(stop.siginfo))
            case GroupStop():
                self._line(stop, f"--- stopped by {signal_name(stop.signal)} ---")
            case EventStop():
                self._event(stop)
            case Exited() | Killed():
                self._end(stop)

    # ------------------------------------------------------------------------- calls

    @property
    def string_limit(self) -> int:
        """How many bytes of a buffer it shows."""
        return self._decoder.string_limit

    def tells_whole_call(self, record: Record) -> bool:
        """Write about a call that has returned, if its record is enough; tell whether it is."""
        if not self._may_be_whole:
            return False
        if self._whole is None:
            # 2 ms, and the calls of many a trace never come.
            from accel.decoding.whole import WholeCalls  # noqa: PLC0415 - see above

            self._whole = WholeCalls(self._decoder)
        call = self._whole.decode(record)
        tid, entered_ns = record.tid, record.entered_ns
        self._tracees.add(tid)
        self._entered.pop(tid, None)
        begun = self._started(tid, entered_ns, f"{call.name}({call.text}")
        result = f"{call.result} (INJECTED)" if record.flags & INJECTED else call.result
        if self._layout.durations:
            result += _duration((record.left_ns or entered_ns) - entered_ns)
        self._output.write(f"{begun}{self._completed(call.rest, result)}")
        return True

    def _enter(self, stop: SyscallEntryStop) -> None:
        tid = stop.call.tid
        self._tracees.add(tid)
        if self._by_path and not self._selection.shows_call(stop):
            return
        self._entered[tid] = entered = self._decoder.enter(stop.call, stop.memory)
        if not self._by_status:
            self._begin(tid, stop.time_ns, f"{entered.name}({entered.text}")
            self._open = tid

    def _exit(self, stop: SyscallExitStop) -> None:
        tid = stop.call.tid
        entered = self._entered.pop(tid, None)
        if stop.alone and (not self._by_path or self._selection.shows_call(stop)):
            self._tracees.add(tid)
            entered = self._decoder.enter(stop.call, stop.memory)
        if entered is None or (self._by_status and not self._selection.shows_exit(stop)):
            return
        left = self._decoder.leave(entered, stop.result, stop.memory)
        rest = left.text
        if stop.result is None and rest:
            # The decoder wanted to see what the call would write.
            rest = " <unfinished ...>"
        if self._by_status or stop.alone:
            self._begin(tid, stop.entered_ns, f"{entered.name}({entered.text}")
        elif self._open != tid:
            self._begin(tid, stop.time_ns, f"<... {entered.name} resumed>")
        after = f"{left.result} (INJECTED)" if stop.injected else left.result
        after += " (DELAYED)" if stop.delayed else ""
        if self._layout.durations and stop.result is not None and not stop.alone:
            after += _duration(stop.time_ns - stop.entered_ns)
        self._output.write(self._completed(rest, after))

    # ------------------------------------------------------------------------- other lines

    def _event(self, stop: EventStop) -> None:
        if stop.event == "attached":
            self._tracees.add(stop.tid)
            self._message(f"Process {stop.tid} attached")
        elif stop.event == "exec":
            self._tracees.add(stop.tid)
        elif stop.event == "detached":
            self._tracees.discard(stop.tid)
            self._entered.pop(stop.tid, None)
            self._message(f"Process {stop.tid} detached")
        elif stop.event == "superseded":
            self._line(stop, f"+++ superseded by execve in pid {stop.message} +++")
            self._renamed(stop.message, stop.tid)

    def _renamed(self, former: int, tid: int) -> None:
        """Follow a thread whose execve(2) gave it the leader's tid."""
        self._tracees.discard(former)
        if former in self._entered:
            self._entered[tid] = self._entered.pop(former)
        if self._open == former:
            self._open = tid

    def _end(self, stop: Exited | Killed) -> None:
        if self._layout.quiet < 2:
            self._line(stop, format_exit(stop.wait_status))
        self._tracees.discard(stop.tid)
        self._entered.pop(stop.tid, None)

    def _message(self, text: str) -> None:
        """Say something about tracing itself: on the terminal only, as strace does."""
        if not self._layout.quiet and not self._layout.pid_column:
            self._interrupt()
            self._output.write(f"accel: {text}\n")

    def _line(
        self, stop: SignalDeliveryStop | GroupStop | EventStop | Exited | Killed, text: str
    ) -> None:
        self._begin(stop.tid, stop.time_ns, f"{text}\n")
        self._column = 0

    # ------------------------------------------------------------------------- lines

    def _begin(self, tid: int, time_ns: int, text: str) -> None:
        self._output.write(self._started(tid, time_ns, text))

    def _started(self, tid: int, time_ns: int, text: str) -> str:
        if self._open:
            self._interrupt()
        line = f"{self._pid(tid)}{self._time(time_ns) if self._timed else ''}{text}"
        self._column = len(line)
        return line

    def _completed(self, rest: str, result: str) -> str:
        self._open = 0
        rest = f"{rest}) ".ljust(_RESULT_COLUMN - self._column)
        return f"{rest}= {result}\n"

    def _interrupt(self) -> None:
        if self._open:
            self._output.write(" <unfinished ...>\n")
            self._open = 0

    def _pid(self, tid: int) -> str:
        if self._layout.pid_column:
            return f"{tid:<5} "
        return f"[pid {tid:>5}] " if len(self._tracees) > 1 else ""

    def _time(self, time_ns: int) -> str:
        style = self._layout.timestamps
        if style == "relative":
            passed = max(0, time_ns - self._last_ns) if self._last_ns else 0
            self._last_ns = time_ns
            return f"{passed // _SECOND:6}.{passed % _SECOND // 1000:06} "
        seconds, rest = divmod(time_ns + self._epoch_ns, _SECOND)
        if style == "epoch":
            return f"{seconds}.{rest // 1000:06} "
        clock = time.strftime("%H:%M:%S", time.localtime(seconds))
        return f"{clock}.{rest // 1000:06} " if style == "microseconds" else f"{clock} "

    def close(self) -> None:
        """Complete a line that was begun; the output stays open."""
        self._interrupt()
        self._output.flush()


def _duration(nanoseconds: int) -> str:
    return f" <{nanoseconds // _SECOND}.{nanoseconds % _SECOND // 1000:06}>"
