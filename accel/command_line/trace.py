"""Run a command and stop it only at selected system calls; print them as strace does.

  accel trace -e trace=openat,%network -- wget localhost
  accel trace -c -- make
  accel trace -e trace=openat -e inject=openat:error=ENOENT:when=3+ -- make
  accel trace --json -o trace.jsonl -e trace=execve -- make

Children are always followed. The exit status is the command's; a command that a signal kills ends
accel by the same signal; 2 is a failure of accel itself, 126 and 127 say that the command cannot be
executed or was not found.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Sequence
from typing import TYPE_CHECKING

from accel.arguments import result
from accel.command_line.report import Report, say
from accel.command_line.signals import die_by, ending_signals, wait_for_end
from accel.decision import ERROR_RESULTS, Decision
from accel.errors import RecordingError, SetupError
from accel.mask import SyscallMask
from accel.tracer import Tracer
from accel.writers import Selection
from bpf.value import frozen

if TYPE_CHECKING:
    from accel.injection import Injection
    from accel.oci import Profile

__all__ = ["add_arguments", "prepare", "run"]

#: What -P looks at when no calls are named: those that take a path or a descriptor.
_PATH_CALLS = "%file,%desc"
#: strace's DEFAULT_STRLEN.
_STRING_LIMIT = 32
#: Mechanisms that install a filter.
_FILTERING = ("auto", "seccomp-trace", "user-notify")


#: Options that take a value: (option, its name here, what the value is, type, help).
_VALUES = (
    ("-o", "output", "FILE", str, "write the trace to FILE, not to standard error"),
    ("--record", "record", "FILE", str, "write no lines (but with -o) but records to FILE.parquet,"
     " .arrow, .npy, or .json, which ui.perfetto.dev shows"),
    ("-p", "pid", "PID", int, "attach to a running process: there every call stops twice, but"
     " with --exit-only or -Z"),
    ("-s", "string_limit", "N", int, "show at most N bytes of a string (default: 32)"),
    ("--mechanism", "mechanism", "M", str, "auto, seccomp-trace, user-notify, exit-event, ..."),
    ("--rules", "rules", "FILE", str, "run under a container's seccomp profile, in JSON; traced are"
     " then only calls that -e names, if it allows them"),
    ("--placement", "placement", "P", str, "auto: on one CPU while stops are many; same-cpu; none"),
)  # fmt: skip
#: Options that may be given several times: (option, name, value, help).
_LISTS = (
    ("-e", "expressions", "EXPR", "[trace=]SET: names, %%file, %%network, !SET, /regex, ?name,"
     " numbers; signal=SET: the signals to show; inject=SET:error=E, or retval=V, signal=S,"
     " delay_enter=T, delay_exit=T, with when=N, N+, N+STEP or N..M; fault=SET[:error=E]"),
    ("-P", "paths", "PATH", "show only calls that use PATH"),
)  # fmt: skip
#: Switches: (option, name, help).
_SWITCHES = (
    ("-f", "follow", "accepted: children are always followed"),
    ("-c", "count", "print only a table of calls, errors, stops and time"),
    ("-C", "count_too", "print that table besides the trace"),
    ("-y", "paths_of_fds", "show the path of each descriptor"),
    ("-v", "verbose", "do not abbreviate structures"),
    ("-r", "relative", "begin each line with the time since the last one"),
    ("-T", "durations", "show the time spent in each call"),
    ("-z", "successful", "show only calls that succeeded"),
    ("-Z", "failed", "show only calls that failed"),
    ("--exit-only", "exit_only", "stop at each call once, when it has returned"),
    ("--json", "json", "write JSON Lines, schema 1"),
    ("--dump-filter", "dump_filter", "print the filter, and run nothing"),
)
#: Switches that say more when repeated.
_COUNTS = (
    ("-t", "clock", "begin each line with the time; -tt: microseconds; -ttt: since the epoch"),
    ("-q", "quiet", "say nothing of attaching, nor how calls are heard of; -qq: nor of ends"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options, in strace's spelling."""
    for option, name, value, kind, text in _VALUES:
        parser.add_argument(option, dest=name, metavar=value, type=kind, help=text)
    for option, name, value, text in _LISTS:
        parser.add_argument(
            option, dest=name, metavar=value, action="append", default=[], help=text
        )
    for option, name, text in _SWITCHES:
        parser.add_argument(option, dest=name, action="store_true", help=text)
    for option, name, text in _COUNTS:
        parser.add_argument(option, dest=name, action="count", default=0, help=text)
    parser.set_defaults(string_limit=_STRING_LIMIT, placement="auto", mechanism="auto")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command")


@frozen
class _Expressions:
    """What the -e options say; as in strace, the last of each kind holds, but all injections."""

    mask: SyscallMask | None = None
    signals: frozenset[int] | None = None
    injections: tuple[Injection, ...] = ()


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Trace as the options say; return the exit status."""
    options = parser.parse_args(words)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    _check(parser, options, command)
    tracer, expressions = prepare(options, command)
    if options.dump_filter:
        print(tracer.program)
        return 0
    has_injections = bool(expressions.injections)
    report = Report.open(options, expressions.signals, tracer, has_injections=has_injections)
    with ending_signals() as heard:
        try:
            if options.pid is not None:
                _allow_descriptors()
            tracer.start()
            _allow_descriptors()  # After the command has got the limit that accel had.
        except BaseException:
            report.abandon()
            raise
        for note in () if options.quiet else tracer.plan.notes:
            say(note)
        shows_times = options.durations or options.count or options.count_too
        if shows_times and all(rule.by_event for rule in tracer.plan.rules):
            say("how long calls take is not known: they stop only when they have returned")
        if tracer.plan.mechanism == "ptrace-syscall" and options.pid is not None:
            say(f"process {options.pid} runs already: without a filter every call stops twice")
        try:
            interrupted = wait_for_end(tracer, heard)
        finally:
            tracer.close()
            lost = report.close()
    try:
        tracer.wait()  # Raises what ended the run, if it was not its own end.
    except RecordingError as error:
        say(str(error))
        lost += 1
    return _status(tracer, interrupted, lost=lost + _untold(tracer))


def _untold(tracer: Tracer) -> int:
    """Tell how many calls came faster than they could be told, after saying so."""
    untold = tracer.statistics().lost if tracer.plan.mechanism == "observe" else 0
    if untold:
        say(f"{untold} calls came faster than they could be told: select fewer, or count with -c")
    return untold


def prepare(options: argparse.Namespace, command: list[str]) -> tuple[Tracer, _Expressions]:
    """Make the Tracer that the options describe, and read -e; start nothing. Raise SetupError."""
    expressions = _parse(options.expressions)
    mask = expressions.mask
    if mask is None and options.paths:
        mask = SyscallMask.parse(_PATH_CALLS)
    elif mask is None and not options.rules:
        mask = SyscallMask.all()
    return _tracer(options, command, mask, expressions.injections), expressions


def _profile(path: str) -> Profile:
    """Read a container's seccomp profile; say what of it has no effect."""
    from accel import oci  # noqa: PLC0415 - only for this option

    profile = oci.load(path)
    for note in profile.notes:
        say(f"{path}: {note}")
    return profile


def _tracer(
    options: argparse.Namespace,
    command: list[str],
    mask: SyscallMask | None,
    injections: tuple[Injection, ...],
) -> Tracer:
    """Make the Tracer; for failing calls alone, one that stops at nothing else if it can."""
    profile = _profile(options.rules) if options.rules else None

    def make() -> Tracer:
        tracer = Tracer(
            command,
            mask=mask,
            pid=options.pid,
            close_fds=False,
            placement=options.placement,
            mechanism=options.mechanism,
        )
        if injections:
            _inject(tracer, injections, options.paths)
        if profile is not None:
            tracer.enforce(profile)
        return tracer

    tracer = make()
    failed = (result < 0) & (result >= ERROR_RESULTS.start) if options.failed else None
    if profile is not None or mask is None:
        return tracer
    if options.exit_only:
        tracer.decide(mask, Decision.exit_only(), where=failed)
    elif (
        failed is not None
        and options.mechanism == "auto"
        and not (injections or _needs_entries(options))
    ):
        tracer.decide(mask, Decision.exit_only(), where=failed)
        if not tracer.plan.exit_event:
            return make()
    return tracer


def _allow_descriptors() -> None:
    """Let accel have as many descriptors as it may: an exit event takes one for each thread."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _inject(tracer: Tracer, injections: tuple[Injection, ...], paths: list[str]) -> None:
    """Add the injections, with -P only into calls that use one of the paths."""
    from accel.injection_rules import inject  # noqa: PLC0415 - only for this option

    selection = Selection.of_paths(paths)
    inject(tracer, *injections, selects=selection.shows_call if paths else None)


def _needs_entries(options: argparse.Namespace) -> bool:
    """Whether something is to be shown that only a stop before the call can tell."""
    times = options.durations or options.clock or options.relative
    return bool(times or options.count or options.count_too or options.record)


def _check(
    parser: argparse.ArgumentParser, options: argparse.Namespace, command: list[str]
) -> None:
    if options.pid is None and not command and not options.dump_filter:
        parser.error("nothing to trace: give a command after --, or a process with -p PID")
    if options.pid is not None and command:
        parser.error("give a command or -p PID, not both")
    if options.pid is not None and options.dump_filter:
        parser.error("-p installs no filter: leave --dump-filter or -p out")
    if options.dump_filter and options.mechanism not in _FILTERING:
        parser.error(f"--mechanism {options.mechanism} installs no filter: leave --dump-filter out")
    if options.json and options.count:
        parser.error("-c prints a table, --json prints calls: use -C for both")
    if options.rules and options.exit_only:
        parser.error("--rules decides before calls: leave --exit-only out")
    _check_mechanism(parser, options)
    if options.string_limit < 0:
        parser.error("-s takes a number of bytes, 0 or more")
    if options.dump_filter and not command:
        options.command = command[:] = ["true"]


def _check_mechanism(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.mechanism == "user-notify" and (options.failed or options.successful):
        parser.error("-z and -Z select by results, and a notification shows none")
    if options.mechanism == "observe" and (options.paths_of_fds or options.paths):
        parser.error("-y and -P ask what a descriptor leads to in a stop, and observe has none")


def _parse(expressions: list[str]) -> _Expressions:
    mask: SyscallMask | None = None
    signals: frozenset[int] | None = None
    injections: list[Injection] = []
    for expression in expressions:
        kind, equals, value = expression.partition("=")
        if not equals:
            kind, value = "trace", expression
        if kind in ("trace", "t"):
            mask = SyscallMask.parse(value)
        elif kind in ("signal", "signals", "s"):
            signals = _signals(value)
        elif kind in ("inject", "fault"):
            from accel.injection import Injection  # noqa: PLC0415 - only for this option

            injections.append(Injection.parse(value, fault=kind == "fault"))
        else:
            raise SetupError(
                f"-e {kind}= is not known",
                hint="use -e trace=SET, signal=SET, inject=SET:... or fault=SET",
            )
    return _Expressions(mask, signals, tuple(injections))


def _signals(text: str) -> frozenset[int]:
    """Parse a set of signals: names with or without SIG, numbers, !, all, none."""
    import signal  # noqa: PLC0415 - only for this option

    everything = frozenset(int(number) for number in signal.valid_signals())
    if text.startswith("!"):
        return everything - _signals(text[1:])
    if text in ("all", "none"):
        return everything if text == "all" else frozenset()
    found = set()
    for word in text.split(","):
        name = word.upper().removeprefix("SIG")
        if word.isdigit() and int(word) in everything:
            found.add(int(word))
        elif f"SIG{name}" in signal.Signals.__members__:
            found.add(int(signal.Signals[f"SIG{name}"]))
        else:
            raise SetupError(f"unknown signal {word!r}", hint="list the names with: kill -l")
    return frozenset(found)


def _status(tracer: Tracer, interrupted: int, *, lost: int) -> int:
    """Tell accel's exit status; do not return if it is a death by signal."""
    end = tracer.result
    if end is None:
        return 0  # Detached from a process that goes on.
    if end.returncode < 0:
        die_by(interrupted or -end.returncode)
    return end.returncode or (2 if lost else 0)
