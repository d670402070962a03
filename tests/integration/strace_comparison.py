"""Run one command alone, under strace and under accel, and tell how the three runs differ.

strace is a tracer that nobody here wrote: where both see the same program, they must see the same
calls. Their logs are compared as multisets of (call, arguments, result), since the order of
processes is the scheduler's; what a run itself makes different (addresses, pids, times, names of
temporary files) is replaced before. Output, exit status and files are compared with the run alone.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import shutil
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "ACCEL",
    "STRACE",
    "Event",
    "Outcome",
    "Scenario",
    "compare_calls",
    "compare_effects",
    "environment",
    "normalise",
    "parse_log",
    "run_alone",
    "run_traced",
]

REPOSITORY = Path(__file__).parents[2]

#: What comes before ``-e trace=SET -o FILE COMMAND``.
STRACE = ("strace", "-f")
ACCEL = (sys.executable, "-m", "accel", "trace")

#: Far above what any command of the tests takes: a run that reaches it hangs.
LIMIT_SECONDS = 120

Substitution = tuple[str, str]


def _nothing(_directory: Path) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Scenario:
    """A command with its surroundings, and what may differ between two runs of it."""

    name: str
    argv: tuple[str, ...]
    #: strace's ``-e trace=``; it selects only calls that depend on nothing but the program.
    mask: str
    #: How the command ends; another end means that it never did what it is here for.
    status: int = 0
    #: Programs that it starts, besides the first.
    needs: tuple[str, ...] = ()
    #: Fills the working directory.
    prepare: Callable[[Path], None] = _nothing
    variables: Mapping[str, str] = field(default_factory=dict)
    #: (pattern, replacement) for what a run makes up: random names, ports. Each needs a reason.
    made_up: tuple[Substitution, ...] = ()
    #: Patterns of log lines that depend on which of two processes runs first. Each needs a reason.
    races: tuple[str, ...] = ()
    #: Patterns of files whose content holds times or inode numbers.
    volatile: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a log: a call with its arguments and result, or a note (signal, exit)."""

    pid: int
    #: Empty for a note.
    call: str
    text: str
    result: str = ""

    def __str__(self) -> str:
        return f"{self.call}({self.text}) = {self.result}" if self.call else self.text


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of a command did; ``log`` is None when it ran alone."""

    returncode: int
    stdout: str
    stderr: str
    #: Path: kind, permissions and content, or target of a link.
    files: Mapping[str, str]
    log: str | None = None


# --------------------------------------------------------------------------------- running


def environment(directory: Path, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make an environment that does not depend on who runs the tests."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
        "HOME": str(directory),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        # The commands get it, too: their environment must be the same in every run.
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
        **(variables or {}),
    }


def run_alone(scenario: Scenario, directory: Path) -> Outcome:
    """Run the command without any tracer."""
    return _run(scenario, directory, scenario.argv)


def run_traced(scenario: Scenario, directory: Path, tracer: Sequence[str]) -> Outcome:
    """Run the command under ``tracer``, which takes strace's options."""
    log = directory / "log"
    log.unlink(missing_ok=True)
    options = ["-e", f"trace={scenario.mask}", "-o", str(log), "--"]
    return _run(scenario, directory, [*tracer, *options, *scenario.argv], log)


def _run(
    scenario: Scenario, directory: Path, command: Sequence[str], log: Path | None = None
) -> Outcome:
    # Always the same path, so that paths and their lengths are the same in every run.
    work = directory / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    scenario.prepare(work)
    done = subprocess.run(
        command,
        cwd=work,
        env=environment(work, scenario.variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    return Outcome(
        returncode=done.returncode,
        stdout=_substitute(_text(done.stdout), scenario.made_up),
        stderr=_substitute(_text(done.stderr), scenario.made_up),
        files=dict(_tree(work, scenario.volatile)),
        log=_text(log.read_bytes()) if log is not None and log.exists() else None,
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _tree(root: Path, volatile: Iterable[str]) -> Iterator[tuple[str, str]]:
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            content = f"-> {path.readlink()}"
        elif not stat.S_ISREG(mode) or any(re.search(pattern, name) for pattern in volatile):
            content = ""
        else:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        yield name, f"{stat.filemode(mode)} {content}"


# --------------------------------------------------------------------------------- reading logs

_LINE = re.compile(r"(\d+)\s+(.*)")
_UNFINISHED = re.compile(r"(\w+)\((.*?) <unfinished \.\.\.>(?:\)\s+= \?)?")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_COMPLETE = re.compile(r"(\w+)\((.*)\)\s+= (.*)")
_SUPERSEDED = re.compile(r"\+\+\+ superseded by execve in pid (\d+) \+\+\+")


def parse_log(log: str) -> list[Event]:
    """Read a log of ``strace -f -o``; a call in two parts becomes one event, where it ended.

    Raise ValueError for a line that is not in that format.
    """
    events: list[Event] = []
    begun: dict[int, tuple[str, str]] = {}
    for line in log.splitlines():
        matched = _LINE.fullmatch(line)
        if matched is None:
            raise ValueError(f"no pid at the start of line {line!r}")
        pid, rest = int(matched[1]), matched[2]
        if rest.startswith(("+++", "---")):
            events += _note(pid, rest, begun)
        elif (part := _RESUMED.fullmatch(rest)) is not None:
            events.append(_resumed(pid, part[1], part[2], begun))
        elif (part := _UNFINISHED.fullmatch(rest)) is not None:
            begun[pid] = (part[1], part[2])
        else:
            events.append(_complete(pid, rest))
    # What was under way when its thread ended without a word.
    events += [Event(pid, call, text, "?") for pid, (call, text) in begun.items()]
    return events


def _complete(pid: int, text: str) -> Event:
    matched = _COMPLETE.fullmatch(text)
    if matched is None:
        raise ValueError(f"neither a call nor a note: {text!r}")
    return Event(pid, *matched.groups())


def _resumed(pid: int, call: str, rest: str, begun: dict[int, tuple[str, str]]) -> Event:
    name, text = begun.pop(pid, ("", ""))
    if name != call:
        raise ValueError(f"{pid} resumes {call}, but what it had begun is {name or 'nothing'}")
    return _complete(pid, f"{call}({text}{rest}")


def _note(pid: int, text: str, begun: dict[int, tuple[str, str]]) -> Iterator[Event]:
    superseded = _SUPERSEDED.fullmatch(text)
    if pid in begun and text.startswith("+++"):
        # The call never returned; whether a tracer says so with "= ?" is its own affair.
        call, arguments = begun.pop(pid)
        yield Event(pid, call, arguments, "?")
    if superseded is not None and int(superseded[1]) in begun:
        begun[pid] = begun.pop(int(superseded[1]))
    yield Event(pid, "", text)


# --------------------------------------------------------------------------------- normalising

_RETURNS_PID = (
    "v?fork|clone3?|wait4|waitpid|getp?pid|gettid|getpgrp|get[ps]g?id|setsid|set_tid_address"
)
_MADE_UP_BY_A_RUN: tuple[Substitution, ...] = (
    # ASLR; shorter numbers are flags and sizes.
    (r"0x[0-9a-f]{6,16}\b", "ADDRESS"),
    # Pids: what calls return, what they take, what signals and notes tell.
    (rf"^((?:{_RETURNS_PID})\(.*\) = )[1-9]\d*$", r"\1PID"),
    (r"^(wait4\(|waitpid\(|waitid\(P_PID, |prlimit64\()-?(?!1\b)[1-9]\d*", r"\1PID"),
    (r"^((?:t?g?kill|[gs]et[ps]g?id|pidfd_open)\(-?)[1-9]\d*", r"\1PID"),
    (r"^((?:tgkill|setpgid)\(PID, )[1-9]\d*", r"\1PID"),
    (r"(TIOC[GS]PGRP, )\[\d+\]", r"\1[PID]"),
    (r"\b(si_pid=|parent_tid=|superseded by execve in pid )\[?\d+\]?", r"\1PID"),
    (r"/proc/\d+\b", "/proc/PID"),
    (r'^getrandom\("[^"]*"', 'getrandom("RANDOM"'),
    # Processor time that a child took.
    (r"\bsi_([us])time=\d+(?: /\* [^*]* \*/)?", r"si_\1time=TIME"),
)


def normalise(events: Iterable[Event], scenario: Scenario) -> Counter[str]:
    """Count the events of a log, without what differs from run to run for good reason."""
    lines = (_substitute(str(event), (*_MADE_UP_BY_A_RUN, *scenario.made_up)) for event in events)
    races = [re.compile(race) for race in scenario.races]
    return Counter(line for line in lines if not any(race.search(line) for race in races))


def _substitute(text: str, substitutions: Iterable[Substitution]) -> str:
    for pattern, replacement in substitutions:
        text = re.sub(pattern, replacement, text)
    return text


# --------------------------------------------------------------------------------- comparing

_SHOWN = 30


def compare_calls(scenario: Scenario, expected: Outcome, actual: Outcome) -> str:
    """Tell how two logs differ, as a small diff; empty if they do not."""
    assert expected.log is not None, f"the reference wrote no log: {expected.stderr}"
    if actual.log is None:
        return f"no log was written: {actual.stderr}"
    before = normalise(parse_log(expected.log), scenario)
    after = normalise(parse_log(actual.log), scenario)
    lines = [f"- {count} x {line}" for line, count in sorted((before - after).items())]
    lines += [f"+ {count} x {line}" for line, count in sorted((after - before).items())]
    if not lines:
        return ""
    # Lines about the same call are easiest to read next to each other.
    lines.sort(key=lambda line: line.split(" x ", 1)[1].split("(", 1)[0])
    head = f"{scenario.name}: {len(lines)} lines differ (- strace, + accel)"
    return "\n".join([head, *lines[:_SHOWN], *(["..."] if len(lines) > _SHOWN else [])])


def compare_effects(alone: Outcome, traced: Outcome) -> str:
    """Tell what a tracer changed in what a command writes and how it ends; empty if nothing."""
    differences: list[str] = []
    if alone.returncode != traced.returncode:
        differences.append(f"exit status: {alone.returncode} alone, {traced.returncode} traced")
    for what, before, after in (
        ("standard output", alone.stdout, traced.stdout),
        ("standard error", alone.stderr, traced.stderr),
    ):
        if before != after:
            lines = difflib.ndiff(before.splitlines(), after.splitlines())
            changed = [line for line in lines if line.startswith(("- ", "+ "))]
            differences += [f"{what}:", *changed[:_SHOWN]]
    differences += [
        f"file {name}: {alone.files.get(name)} alone, {traced.files.get(name)} traced"
        for name in sorted({*alone.files, *traced.files})
        if alone.files.get(name) != traced.files.get(name)
    ]
    return "\n".join(differences[: 2 * _SHOWN])
