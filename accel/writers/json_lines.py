r"""JSON Lines: one object a line, all with ``"schema": 1`` and a ``"type"``.

==============  ====================================================================================
type            fields besides schema, type, tid, pid and time
==============  ====================================================================================
``syscall``     abi, number, name, arguments, result, error, duration_ns, injected
``signal``      signal, name, text
``group_stop``  signal, name
``event``       event, message, detail
``exited``      status
``killed``      signal, name, core_dumped
==============  ====================================================================================

No number is lost by a reader that has only doubles: registers are hexadecimal strings, ``time``
(seconds since the epoch, nine decimals) is a string, and a result beyond 2**53 is one, too.
``duration_ns`` is null for a call that stopped only when it had returned.
``arguments`` is a list of {name, raw, text}; text is strace's, in which every byte that is not
printable ASCII is escaped. ``result`` is null for a call that never returned.
"""

from __future__ import annotations

import time
from typing import Any, Final

from accel.decoding import Decoder, Entered, format_signal, signal_name
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

__all__ = ["JsonWriter"]

_SCHEMA: Final = 1
#: What a double, and so many a JSON reader, represents exactly.
_EXACT: Final = 1 << 53
_SECOND: Final = 1_000_000_000


class JsonWriter:
    """An observer that writes JSON Lines."""

    def __init__(
        self, output: LineOutput, decoder: Decoder | None = None, selection: Selection | None = None
    ) -> None:
        self._output = output
        self._decoder = decoder or Decoder()
        self._selection = selection or Selection()
        self._entered: dict[int, Entered] = {}
        self._epoch_ns = time.time_ns() - time.monotonic_ns()

    @property
    def string_limit(self) -> int:
        """How many bytes of a buffer it shows."""
        return self._decoder.string_limit

    def __call__(self, stop: Stop, /) -> None:
        """Write one line about a stop; calls are written when they have returned."""
        match stop:
            case SyscallEntryStop():
                if self._selection.shows_call(stop):
                    self._entered[stop.tid] = self._decoder.enter(stop.call, stop.memory)
            case SyscallExitStop():
                entered = self._entered.pop(stop.tid, None)
                if stop.alone and self._selection.shows_call(stop):
                    entered = self._decoder.enter(stop.call, stop.memory)
                if entered is not None and self._selection.shows_exit(stop):
                    self._write("syscall", stop, **self._call(stop, entered))
            case EventStop():
                if stop.event == "superseded" and stop.message in self._entered:
                    self._entered[stop.tid] = self._entered.pop(stop.message)
                detail = {"event": stop.event, "message": stop.message, "detail": stop.detail}
                self._write("event", stop, **detail)
            case Exited():
                self._write("exited", stop, status=stop.status)
            case SignalDeliveryStop() | GroupStop() | Killed():
                self._signal(stop)

    def _signal(self, stop: SignalDeliveryStop | GroupStop | Killed) -> None:
        fields: dict[str, Any] = {"signal": stop.signal, "name": signal_name(stop.signal)}
        if isinstance(stop, SignalDeliveryStop):
            self._write("signal", stop, **fields, text=format_signal(stop.siginfo))
        elif isinstance(stop, GroupStop):
            self._write("group_stop", stop, **fields)
        else:
            self._write("killed", stop, **fields, core_dumped=stop.core_dumped)

    def _call(self, stop: SyscallExitStop, entered: Entered) -> dict[str, Any]:
        left = self._decoder.leave(entered, stop.result, stop.memory)
        return {
            "abi": stop.abi.value,
            "number": stop.number,
            "name": stop.name,
            "arguments": [
                {"name": name, "raw": f"{raw:#x}", "text": text}
                for name, raw, text in left.arguments
            ],
            "result": _lossless(stop.result),
            "error": left.error,
            "duration_ns": None if stop.alone else stop.time_ns - stop.entered_ns,
            "injected": stop.injected,
        }

    def _write(self, kind: str, stop: Stop, **fields: Any) -> None:
        import json  # noqa: PLC0415 - 1 ms that a trace in text need not wait for

        seconds, rest = divmod(stop.time_ns + self._epoch_ns, _SECOND)
        record = {
            "schema": _SCHEMA,
            "type": kind,
            "time": f"{seconds}.{rest:09}",
            "pid": stop.pid,
            "tid": stop.tid,
            **fields,
        }
        self._output.write(json.dumps(record, separators=(",", ":")) + "\n")

    def close(self) -> None:
        """Hand everything to the kernel; the output stays open."""
        self._output.flush()


def _lossless(value: int | None) -> int | str | None:
    return str(value) if value is not None and abs(value) > _EXACT else value
