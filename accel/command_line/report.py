"""What ``accel trace`` writes, and where: chosen by its options, closed however the run ends."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from accel import writers
from accel.decoding import Decoder
from accel.errors import AccelError, SetupError
from accel.mask import SyscallMask
from accel.records import STRING_LIMIT, Record
from accel.stops import EventStop, Stop, SyscallEntryStop, SyscallExitStop
from accel.tracer import Tracer
from accel.writers import LineOutput, Replay, Selection, TextFormat, TextWriter
from accel.writers.selection import descriptor_path

if TYPE_CHECKING:
    from accel.writers import JsonWriter, Unreturned

__all__ = ["BlindSpots", "Report", "say"]


def say(text: str) -> None:
    """Say one line on standard error, about tracing itself."""
    print(f"accel: {text}", file=sys.stderr, flush=True)


class Report:
    """The writers of one run."""

    def __init__(
        self,
        tracer: Tracer,
        output: LineOutput,
        writer: TextWriter | JsonWriter | None,
        *,
        counts: bool,
        record: str | None,
        unreturned: Unreturned | None = None,
    ) -> None:
        self._tracer = tracer
        self._output = output
        self._writer = writer
        self._counts = counts
        self._record = record
        self._unreturned = unreturned

    @classmethod
    def open(
        cls,
        options: argparse.Namespace,
        signals: frozenset[int] | None,
        tracer: Tracer,
        *,
        has_injections: bool = False,
    ) -> Report:
        """Open what the options name and let it observe; raise SetupError if that fails.

        The tracer is checked when all that observes is known, which is part of its plan, and before
        a file of records loses what it held.
        """
        path = options.output
        try:
            output = LineOutput.open(path) if path else LineOutput.standard_error()
        except OSError as error:
            raise SetupError(
                f"cannot write {path}: {error.strerror}", hint="name another file with -o"
            ) from error
        has_lines = not options.count and (path or not options.record)
        writer = _writer(options, signals, output) if has_lines else None
        unreturned = None
        if writer is not None:
            # An injection stops calls that nobody asked to see.
            shown = tracer.mask if has_injections else None
            guarded = _Guarded(writer, output, shown)
            if options.mechanism == "user-notify":
                unreturned = writers.Unreturned(guarded)
                tracer.observe(unreturned, exits=False)
            else:
                tracer.observe(Replay(guarded) if _can_wait(options) else guarded)
        # Even a table alone needs results, where there are any: it counts errors.
        tracer.observe(BlindSpots(), calls=False, exits=options.mechanism != "user-notify")
        try:
            tracer.check()
            if options.record:
                tracer.record(writers.record_writer(options.record))
        except BaseException:
            output.abandon()
            raise
        counts = options.count or options.count_too
        return cls(
            tracer, output, writer, counts=counts, record=options.record, unreturned=unreturned
        )

    def close(self) -> int:
        """Write what is left; return how many lines were lost, after saying so."""
        if self._unreturned is not None:
            self._unreturned.finish()
        if self._writer is not None:
            self._writer.close()
        if self._counts:
            self._output.write(writers.summary(self._tracer.statistics()))
        self._output.close()
        if self._output.lost:
            say(f"{self._output.lost} lines of the trace could not be written")
        return self._output.lost

    def abandon(self) -> None:
        """Leave no trace: the run could not begin."""
        self._output.abandon()
        if self._record:
            os.unlink(self._record)


def _writer(
    options: argparse.Namespace, signals: frozenset[int] | None, output: LineOutput
) -> TextWriter | JsonWriter:
    decoder = Decoder(
        string_limit=options.string_limit,
        descriptor_path=descriptor_path if options.paths_of_fds else None,
        abbreviate=not options.verbose,
    )
    paths = Selection.of_paths(options.paths).paths
    selection = Selection(options.successful, options.failed, paths)
    if options.json:
        return writers.JsonWriter(output, decoder, selection)
    clocks = ("", "clock", "microseconds", "epoch")
    layout = TextFormat(
        timestamps="relative" if options.relative else clocks[min(options.clock, 3)],
        durations=options.durations,
        quiet=options.quiet,
        pid_column=options.output is not None,
        signals=signals,
    )
    return TextWriter(output, decoder, layout, selection)


def _can_wait(options: argparse.Namespace) -> bool:
    """Whether lines may be made after the stop: in a file, and of what the stop alone told.

    On a terminal they stand between the lines of the command. What a descriptor leads to can be
    asked only while the tracee is stopped. Of longer strings the beginning alone is recorded.
    """
    is_cut = options.string_limit >= STRING_LIMIT
    return bool(options.output) and not (options.paths_of_fds or options.paths or is_cut)


class _Guarded:
    """Keeps a defect of a writer from the command: it loses its line, and that is said.

    It also keeps calls from the writer that are not in the mask, if there is one.
    """

    def __init__(
        self,
        writer: TextWriter | JsonWriter,
        output: LineOutput,
        mask: SyscallMask | None = None,
    ) -> None:
        self._writer = writer
        self._tells_whole_call = getattr(writer, "tells_whole_call", None)
        #: How many bytes of a buffer it shows.
        self.string_limit = writer.string_limit
        self._output = output
        self._mask = mask
        self._said: set[str] = set()

    def __call__(self, stop: Stop, /) -> None:
        if self._hides(stop):
            return
        try:
            self._writer(stop)
        except AccelError:
            raise
        except Exception as error:  # noqa: BLE001 - tracing must never break the tracee
            self._lose(getattr(stop, "name", type(stop).__name__), error)

    def tells_whole_call(self, record: Record) -> bool:
        """Let the writer tell of a call at once, if it can."""
        if self._mask is not None and record.call not in self._mask:
            return True
        try:
            return self._tells_whole_call is not None and self._tells_whole_call(record)
        except AccelError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._lose(record.name, error)
            return True

    def _lose(self, what: str, error: Exception) -> None:
        self._output.lost += 1
        text = f"cannot write about {what}: {error!r}; please report this"
        if text not in self._said:
            self._said.add(text)
            say(text)

    def _hides(self, stop: Stop) -> bool:
        if self._mask is None or not isinstance(stop, SyscallEntryStop | SyscallExitStop):
            return False
        return stop.call not in self._mask


class BlindSpots:
    """Says once for each process what tracing cannot see of it."""

    def __init__(self) -> None:
        self._said: set[tuple[int, str]] = set()

    def __call__(self, stop: Stop, /) -> None:
        """Say it, if it is that."""
        if not isinstance(stop, EventStop) or stop.event != "blind-spot":
            return
        if (stop.pid, stop.detail) not in self._said:
            self._said.add((stop.pid, stop.detail))
            say(f"process {stop.pid} is not fully seen: {stop.detail}")
