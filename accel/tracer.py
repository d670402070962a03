"""Trace one command, or one running process: the public face of the library.

What runs is loaded with the first Tracer: it is most of what accel is, and an import is no run.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from accel.arguments import AnyCondition
from accel.command import PIPE, Command, Redirection, current_signal_mask
from accel.decision import Decision
from accel.errors import AccelError, RecordingError, SetupError, TimeoutExpired
from accel.mask import SyscallMask, mask_of
from accel.results import Result, Statistics
from accel.stops import SyscallExitStop
from bpf.value import replace

if TYPE_CHECKING:
    import bpf
    from accel.assembly import Assembly
    from accel.capabilities import MechanismName, PlacementName, RuleMechanism
    from accel.jit import JitHandler
    from accel.mechanisms.contract import Observer
    from accel.oci.profile import Profile
    from accel.plan import EntryHandler, Plan
    from accel.policy import ExitHandler
    from accel.records import Sink
    from accel.rulebook import WhenFull
    from accel.snapshots import Snapshots
    from accel.tracing_thread import RunThread
    from accel.writers import ArraySink

    Entry = TypeVar("Entry", bound=EntryHandler)
    Exit = TypeVar("Exit", bound=ExitHandler)
    S = TypeVar("S", bound=Sink)

__all__ = ["Tracer"]

Text = str | bytes | os.PathLike[str] | os.PathLike[bytes]

#: The mechanisms that install a filter.
_FILTERS = ("auto", "seccomp-trace")
#: The mechanisms at which no call stops for its affinity to be hidden.
_UNPLACED = ("exit-event", "observe", "user-notify")


class Tracer:
    """Run a command and stop it only at the calls that rules select.

    ``mask`` names the calls to observe, in the grammar of ``strace -e trace=``; ``decide``,
    ``on_entry`` and ``on_exit`` add rules, of which the first that matches a call decides. A Tracer
    is used once. It traces in a thread of its own and reaps no child that it did not start; its
    methods may be called from any thread, ``end`` also from a handler.

    The command starts with the signal mask of the thread that made the Tracer. ``argv``, ``env``,
    ``cwd``, the standard streams, ``close_fds`` and ``pass_fds`` are those of ``subprocess.Popen``;
    ``input`` and ``capture_output`` those of ``subprocess.run``.

    With ``pid`` instead of ``argv`` it attaches to a running process: no filter can be installed
    there, so every call stops twice, unless only exits are asked for; when the Tracer ends, the
    process runs on.

    ``mechanism`` says how stops are obtained (``accel.capabilities``): ``auto`` is a filter for
    most rules, exit events for ``exit_only()``; ``plan`` tells what came of it.

    With ``user-notify`` nothing is traced: calls are answered by notification, without a stop, and
    a debugger can be at work inside. There are no results, no signals, and of ends only that of the
    command is told. If this process dies, so does the command; calls of its descendants that the
    filter selects then fail with ENOSYS.

    ``supervisors`` is how many threads answer user notifications: with more than one each is kept
    on a CPU of its own, which is worth it for a program whose threads make selected calls at once.

    ``placement`` says where tracer and tracees run: ``auto`` keeps them on one CPU while stops are
    frequent and the tracees do not compete for it, which makes a stop several times cheaper, and
    hides that from ``sched_getaffinity(2)``; ``same-cpu`` always does, and hides nothing; ``none``
    never does. A process attached to is placed only by ``same-cpu``.
    """

    def __init__(
        self,
        argv: Sequence[Text] = (),
        *,
        mask: SyscallMask | str | None = None,
        pid: int | None = None,
        env: Mapping[str, str] | Mapping[bytes, bytes] | None = None,
        cwd: Text | None = None,
        stdin: Redirection = None,
        stdout: Redirection = None,
        stderr: Redirection = None,
        input: bytes | None = None,  # noqa: A002 - subprocess's word
        capture_output: bool = False,
        close_fds: bool = True,
        pass_fds: Sequence[int] = (),
        placement: PlacementName = "auto",
        mechanism: MechanismName = "auto",
        supervisors: int = 1,
    ) -> None:
        if isinstance(argv, (str, bytes, os.PathLike)):
            raise TypeError("argv is a list of arguments, as ['ls', '/etc'], not one string")
        if bool(argv) == (pid is not None):
            raise SetupError("nothing to trace" if not argv else "argv and pid exclude each other")
        from accel.assembly import Assembly, Wishes  # noqa: PLC0415 - see the module
        from accel.capture import Capture  # noqa: PLC0415 - as above
        from accel.mechanisms.placement import calls_to_hide  # noqa: PLC0415 - as above
        from accel.rulebook import RuleBook  # noqa: PLC0415 - as above

        if capture_output:
            if stdout is not None or stderr is not None:
                raise ValueError("capture_output excludes stdout and stderr")
            stdout = stderr = PIPE
        if stdin == PIPE or (input is not None and stdin is not None):
            raise ValueError("give the command's input as input=, or a stream as stdin=, not both")
        self.args = tuple(os.fspath(part) for part in argv)
        self.mask = None if mask is None else mask_of(mask)
        self.mechanism = mechanism
        #: How the command ended; None until it has.
        self.result: Result | None = None
        self._pid = pid
        self._popen = (env, cwd, close_fds, tuple(pass_fds))
        self._signal_mask = current_signal_mask()
        self._streams = (stdin, stdout, stderr)
        self._input = input
        to_hide = calls_to_hide(placement)
        if placement == "auto" and (pid is not None or mechanism.startswith(_UNPLACED)):
            # Where nothing hides affinities, they must stay as they are.
            placement = "none"
        if supervisors < 1:
            raise SetupError(f"{supervisors} supervisors", hint="one at least answers")
        wishes = Wishes(placement, supervisors, pid, self._launched_command)
        self._assemble = partial(Assembly, wishes=wishes)
        self._book = RuleBook(
            self.mask,
            to_hide if pid is None and mechanism in _FILTERS else None,
            mechanism,
            attaches=pid is not None,
        )
        self._snapshots: Snapshots | None = None
        self._capture = Capture()
        #: What is run; None before the start.
        self._run: Assembly | None = None
        self._thread: RunThread | None = None
        self._finish_lock = threading.Lock()

    # ------------------------------------------------------------------------- rules

    def decide(
        self,
        mask: SyscallMask | str,
        decision: Decision,
        *,
        where: AnyCondition | None = None,
        mechanism: RuleMechanism | None = None,
    ) -> None:
        """Answer the calls of ``mask`` always with ``decision``; in the filter, where that can.

        ``where`` restricts the rule to calls whose scalar arguments satisfy it, or whose paths and
        socket addresses do: such calls stop to be looked at. With ``exit_only()`` it may also say
        at which results to stop: the others of the rule run without. ``mechanism`` is for this rule
        alone, where that of the Tracer is ``auto``. Raise MaskError, or SetupError for a
        combination that the mechanism does not offer.
        """
        self._not_started()
        self._book.add(mask, where, decision=decision, wanted=mechanism or "")

    def enforce(self, profile: Profile) -> None:
        """Put the command under a container's seccomp profile, see ``accel.oci``.

        The filter keeps it, at no stop; of the calls that it allows, those of the Tracer's ``mask``
        are observed. Rules that were added before decide first. Raise SetupError where no filter is
        installed, MaskError for a condition that does not fit its call.
        """
        self._not_started()
        self._book.enforce(profile)

    def on_entry(
        self,
        mask: SyscallMask | str,
        *,
        where: AnyCondition | None = None,
        jit: bool = False,
        mechanism: RuleMechanism | None = None,
    ) -> Callable[[Entry], Entry]:
        """Decorate the function that answers the calls of ``mask``, at a stop before each.

        It gets the stop and returns a Decision; None lets the call run, with an exit-stop only if
        somebody wants to see the result. It runs in the tracing thread. If it raises, all tracees
        are killed and ``run`` raises HandlerError. Cost: one stop a call. ``mechanism`` is as for
        ``decide``; by ``user-notify``, which costs one notification, it runs in another thread, yet
        never beside another handler, and can inject descriptors.

        With ``jit`` numba compiles the function and the loop calls it, without Python: it takes and
        returns what ``accel.jit`` says, and the decorated name is a ``jit.JitHandler``. Raise
        SetupError, with numba's reason, for a function that it cannot compile.
        """
        wanted = mechanism or ""

        def register(handler: Entry) -> Entry:
            self._not_started()
            if not jit:
                self._book.add(mask, where, handler=handler, wanted=wanted)
                return handler
            compiled = _compiled_handler(handler)
            self._book.add(mask, where, handler=compiled.decide, compiled=compiled, wanted=wanted)
            return cast("Entry", compiled)

        return register

    def on_exit(self, mask: SyscallMask | str, *, jit: bool = False) -> Callable[[Exit], Exit]:
        """Decorate a function that sees the results of the calls of ``mask``.

        It gets the stop and returns the result that the tracee shall see, or None to keep it. Cost:
        two stops a call. ``jit`` is as for ``on_entry``.
        """

        def register(handler: Exit) -> Exit:
            self._not_started()
            if not jit:
                self._book.add_exit(mask, handler)
                return handler
            compiled = _compiled_handler(handler)
            self._book.add_exit(mask, compiled.replace, compiled)
            return cast("Exit", compiled)

        return register

    def observe(self, observer: Observer, *, exits: bool = True, calls: bool = True) -> None:
        """Call ``observer`` with every stop, in the tracing thread; ``exits``: also with results.

        It sees the calls of the Tracer's ``mask`` and all that handlers answered, signals, events
        and ends. While it runs, the tracee waits. What it raises ends the run. Without ``calls`` it
        hears of no call: these are only counted, with ``exits`` also their errors and time, and
        what nobody else looks at costs as little as a stop can.

        An observer that is a ``RecordObserver`` hears of the calls that it ``takes_records_of`` a
        little later, from another thread: their tracees do not wait for it.
        """
        self._not_started()
        self._book.observe(observer, exits=exits, calls=calls)

    @overload
    def record(
        self,
        sink: None = None,
        *,
        exits: bool = True,
        strings: bool = True,
        when_full: WhenFull = "wait",
    ) -> ArraySink: ...

    @overload
    def record(
        self,
        sink: S,
        *,
        exits: bool = True,
        strings: bool = True,
        when_full: WhenFull = "wait",
    ) -> S: ...

    def record(
        self,
        sink: Sink | None = None,
        *,
        exits: bool = True,
        strings: bool = True,
        when_full: WhenFull = "wait",
    ) -> Sink:
        """Hand a record of every call that stops to ``sink``, while the tracees run; return it.

        Without one it is a new ``accel.writers.ArraySink``, whose ``array()`` is a numpy array of
        the first million records.

        Records (``accel.records``) have the time, the thread, the arguments and, with ``exits``,
        the result and its time; with ``strings``, what path and string arguments point to, as it
        was at the stop. They wait in a ring of bounded size; if the sink is slower, tracees wait,
        or, with ``when_full="drop"``, records are lost and ``statistics().lost`` counts them. Cost:
        that of the stops; no Python runs in them. A sink that raises gets no more; the command goes
        on, and ``run`` raises RecordingError at the end.
        """
        self._not_started()
        if sink is None:
            from accel.writers import ArraySink  # noqa: PLC0415 - it needs numpy

            sink = ArraySink()
        self._book.record(sink, exits=exits, strings=strings, when_full=when_full)
        return sink

    def _not_started(self) -> None:
        if self._thread is not None:
            raise RuntimeError("this Tracer has started: add rules and observers before that")

    # ------------------------------------------------------------------------- running

    @property
    def plan(self) -> Plan:
        """The rules in the order in which they are tried, the observed calls last."""
        return self._book.plan

    @property
    def program(self) -> bpf.Program:
        """The filter that this Tracer installs, compiled."""
        return self._book.program

    @property
    def pid(self) -> int:
        """The pid of the command, or of the process attached to; 0 before ``start``."""
        return self._thread.pid if self._thread is not None else 0

    def check(self) -> None:
        """Raise the SetupError that ``start`` would, as far as it can be known; start nothing."""
        if self._pid is None:
            self._command().resolve()
        if self.plan.has_filter:
            _ = self.program
        self._book.check_profile()

    def start(self) -> Self:
        """Start the command and return once it has executed; raise SetupError if it cannot."""
        self._not_started()
        try:
            self._run = self._assemble(self._book)
        except BaseException:
            self._book.close()
            raise
        try:
            self._thread = self._run.thread()
            self._thread.start()
        except BaseException:
            self._capture.abandon()
            raise
        self._capture.start()
        return self

    def _launched_command(self) -> Command:
        """Describe the command with its pipes, which are made here."""
        stdin, stdout, stderr = self._streams
        if self._input is not None:
            stdin = self._capture.source(self._input)
        return replace(
            self._command(),
            stdin=stdin,
            stdout=self._capture.sink("stdout", stdout),
            stderr=self._capture.sink("stderr", stderr),
        )

    def _command(self) -> Command:
        """Describe the command as far as it does not depend on pipes."""
        env, cwd, close_fds, pass_fds = self._popen
        return Command(
            argv=tuple(os.fsencode(part) for part in self.args),
            env=None if env is None else {os.fsencode(k): os.fsencode(v) for k, v in env.items()},
            cwd=None if cwd is None else os.fsencode(cwd),
            close_fds=close_fds,
            pass_fds=pass_fds,
            signal_mask=self._signal_mask,
        )

    def run(self, timeout: float | None = None) -> Result:
        """Run the command to the end of its last process; return how it ended.

        Raise TimeoutExpired after ``timeout`` seconds, HandlerError if a handler raised, SetupError
        if the command cannot start. However this is left, no tracee stays behind.
        """
        try:
            if self._thread is None:
                self.start()
            return self.wait(timeout)
        finally:
            self.close()

    @property
    def is_attached(self) -> bool:
        """Whether this traces a process that ran before, and lets it go at the end."""
        return self._pid is not None

    def join(self) -> None:
        """Wait until the last tracee has ended, however it did; raise nothing of it."""
        if self._thread is not None:
            self._thread.join()

    def wait(self, timeout: float | None = None) -> Result:
        """Wait for the end of a started command; see ``run``.

        Of a process that was let go alive, the result is 0.
        """
        if self._thread is None:
            raise RuntimeError("start() comes before wait()")
        if not self._thread.join(timeout):
            assert timeout is not None
            self.close()
            raise TimeoutExpired(timeout)
        return self._finish()

    def exits(self) -> Iterator[SyscallExitStop]:
        """Run the command and yield every observed call when it has returned, decoded.

        The command runs on meanwhile, until some thousand stops wait to be taken.
        """
        from accel.snapshots import Snapshots  # noqa: PLC0415 - decoding is big

        self._not_started()
        snapshots = self._snapshots = Snapshots()
        self.observe(snapshots)
        self.start()
        closer = threading.Thread(target=self._close_at_end, args=(snapshots,), daemon=True)
        closer.start()
        try:
            yield from snapshots
            self.wait()
        finally:
            self.close()
            closer.join()

    def _close_at_end(self, snapshots: Snapshots) -> None:
        assert self._thread is not None
        self._thread.join()
        snapshots.close()

    def end(self) -> None:
        """Kill the tracees (let them go, if they were attached to); do not wait for it."""
        if self._thread is None or self._run is None:
            return
        if self._snapshots is not None:
            self._snapshots.close()
        if self._thread.is_current:
            self._run.loop.end()
        else:
            self._thread.request(self._run.loop.end)

    def close(self) -> None:
        """End the tracees and reap them; nothing to do if they have ended.

        Of a Tracer that was only planned with, it frees an eBPF program that waits for its start.
        """
        if self._thread is None:
            self._book.close()
            return
        if self._thread.is_inside:
            return
        if not self._thread.join(0):
            self.end()
            self._thread.join()
        self._collect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _finish(self) -> Result:
        assert self._thread is not None
        assert self._run is not None
        result = self._collect()
        self._thread.reraise()
        recorder = self._run.recorder
        if recorder is not None and recorder.error is not None:
            lost = f"{recorder.lost} records are lost: " if recorder.lost else ""
            raise RecordingError(
                f"what was recorded is incomplete: {lost}{recorder.error}"
            ) from recorder.error
        if result is None and not self.is_attached:
            raise AccelError("the command's end was not seen: another thread has reaped it")
        return result or Result(self.args, 0)

    def _collect(self) -> Result | None:
        """Take the result, once."""
        with self._finish_lock:
            status = self._run.loop.status if self._run is not None else None
            if self.result is None and status is not None:
                self.result = Result(
                    args=self.args,
                    returncode=os.waitstatus_to_exitcode(status),
                    stdout=self._capture.finish("stdout"),
                    stderr=self._capture.finish("stderr"),
                )
            return self.result

    # ------------------------------------------------------------------------- figures

    def statistics(self) -> Statistics:
        """Count what the run took so far: stops, notifications and handler calls apart."""
        return self._run.statistics() if self._run is not None else Statistics()


def _compiled_handler(function: Callable[..., Any]) -> JitHandler:
    """Let numba compile a handler; raise SetupError if it cannot, or is not there."""
    try:
        from accel import jit  # noqa: PLC0415 - it imports numba
    except ImportError as error:
        raise SetupError(
            f"jit=True needs numba: {error}", hint="type: pip install 'syscall-accel[loop]'"
        ) from error
    return jit.compile_handler(function)
