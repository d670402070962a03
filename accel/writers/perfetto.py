"""Recorded calls as a timeline: the JSON that ui.perfetto.dev and chrome://tracing open.

The format is the JSON Array Format of "Trace Event Format" (Google, catapult project):

* a call with an exit-stop is a complete event ("X"), any other an instant ("i") of its thread;
* times are CLOCK_MONOTONIC in microseconds, with three decimals: a double, which readers use, holds
  them exactly for the first hundred days of a machine's uptime;
* ``cat`` is "syscall", "syscall,failed" or "syscall,injected";
* ``args`` has every argument by name. A call of which all is known is printed as strace does; of
  any other, captured strings are quoted and registers hexadecimal: doubles do not hold 64 bits;
* the array may lack its "]": what a killed tracer has written can be opened.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from accel import roles
from accel.decision import ERROR_RESULTS
from accel.decoding import Decoder, errno_name
from accel.decoding.captures import captured_arguments, captured_blocks
from accel.decoding.strings import quote
from accel.records import INJECTED, RETURNED, Batch, Record
from accel.writers.output import LineOutput

__all__ = ["PerfettoWriter"]

#: What a double represents exactly.
_EXACT: Final = 1 << 53
_EXECUTE: Final = frozenset({"execve", "execveat"})


def _command_name(pid: int, tid: int) -> str | None:
    """Tell the name of a thread while it lives: proc_pid_comm(5)."""
    try:
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().removesuffix("\n")
    except OSError:
        return None


class PerfettoWriter:
    """A sink that writes Chrome trace event JSON, event by event.

    ``output`` is a path, or an output that whoever made it closes. ``name_of`` tells the name of a
    thread, by pid and tid; it is asked when a thread is first seen and after each execve(2).
    """

    def __init__(
        self,
        output: str | LineOutput,
        *,
        decoder: Decoder | None = None,
        name_of: Callable[[int, int], str | None] = _command_name,
    ) -> None:
        self._owned = isinstance(output, str)
        self._output = LineOutput.open(output) if isinstance(output, str) else output
        self._decoder = decoder or Decoder()
        self._name_of = name_of
        #: Threads, and processes as (pid, 0), that have been named.
        self._named: set[tuple[int, int]] = set()
        #: What precedes the next event.
        self._before = "[\n"

    def write(self, batch: Batch) -> None:
        """Write an event for each call, after the names of threads not seen before."""
        for record in batch:
            if (record.pid, record.tid) not in self._named:
                self._name(record.pid, record.tid)
            self._event(_timing(record), record, self._arguments(record))
            if record.result == 0 and record.flags & RETURNED and record.name in _EXECUTE:
                self._named -= {(record.pid, 0), (record.pid, record.tid)}

    def close(self) -> None:
        """End the array; raise OSError if any of it could not be written."""
        self._output.write("[]\n" if self._before == "[\n" else "\n]\n")
        if self._owned:
            self._output.close()
        else:
            self._output.flush()
        if self._output.lost:
            raise OSError(errno.EIO, f"{self._output.lost} lines are missing", self._output.name)

    def _name(self, pid: int, tid: int) -> None:
        """Write the metadata of a thread, and of its process if that is new, too."""
        for kind, key, thread in (
            ("process_name", (pid, 0), pid),
            ("thread_name", (pid, tid), tid),
        ):
            if key in self._named:
                continue
            self._named.add(key)
            name = self._name_of(pid, thread)
            if name is not None:
                event = {"name": kind, "ph": "M", "pid": pid, "tid": thread, "args": {"name": name}}
                self._put(json.dumps(event, separators=(",", ":")))

    def _event(self, timing: str, record: Record, arguments: dict[str, Any]) -> None:
        self._put(
            f'{{"name":"{record.name}","cat":"{_category(record)}",{timing},'
            f'"pid":{record.pid},"tid":{record.tid},'
            f'"args":{json.dumps(arguments, separators=(",", ":"))}}}'
        )

    def _put(self, event: str) -> None:
        self._output.write(f"{self._before}{event}")
        self._before = ",\n"

    def _arguments(self, record: Record) -> dict[str, Any]:
        """Collect what is shown of a call when it is selected."""
        known = record.flags & (RETURNED | INJECTED)
        result = record.result if known else None
        shown: dict[str, Any] = dict(self._texts(record, result))
        if result is not None:
            shown["result"] = str(result) if abs(result) > _EXACT else result
            if result in ERROR_RESULTS:
                shown["error"] = errno_name(-result) or str(-result)
        return shown

    def _texts(self, record: Record, result: int | None) -> Iterator[tuple[str, str]]:
        """Print the arguments, by name: as strace does if no more than strings is pointed to."""
        abi, call = record.abi, record.name
        if captured_arguments(abi, call) is None or captured_blocks(abi, call, 0).size:
            signature = roles.signature(abi, call)
            for at, (argument, value) in enumerate(zip(signature, record.arguments, strict=False)):
                raw = record.strings.get(at)
                yield argument.name, hex(value) if raw is None else quote(raw.removesuffix(b"\0"))
            return
        memory = record.memory
        entered = self._decoder.enter(record.call, memory)
        for name, _, text in self._decoder.leave(entered, result, memory).arguments:
            yield name, text


def _timing(record: Record) -> str:
    """Make the fields that say when: from entry- to exit-stop, or only the first."""
    start = _microseconds(record.entered_ns)
    if not record.flags & RETURNED:
        return f'"ph":"i","s":"t","ts":{start}'
    return f'"ph":"X","ts":{start},"dur":{_microseconds(record.left_ns - record.entered_ns)}'


def _microseconds(nanoseconds: int) -> str:
    return f"{nanoseconds // 1000}.{nanoseconds % 1000:03}"


def _category(record: Record) -> str:
    if record.flags & INJECTED:
        return "syscall,injected"
    failed = record.flags & RETURNED and record.result in ERROR_RESULTS
    return "syscall,failed" if failed else "syscall"
