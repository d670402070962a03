"""Exit-only by signal, with real tracees: one stop for each selected call, and what it was."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from accel._kernel import ptrace
from accel._kernel.ptrace import Registers
from accel._kernel.wait import WSTOPPED_EVENT_SHIFT, wait_any
from bpf import Arch, Condition, ProbesUnavailable
from bpf.exit_selection import ExitSample, ExitSelection, ResultCondition
from bpf.probes import ExitSignals, compiler
from bpf.probes.object import Object, parse
from bpf.value import replace
from tests.support import compiled, require, require_program

ROOT = Path(__file__).parents[2]
#: x86_64: lseek, getpid, getppid, getpgid, execve, close. i386: lseek, getppid.
LSEEK, GETPID, GETPPID, GETPGID, EXECVE, CLOSE = 8, 39, 110, 121, 59, 3
I386_LSEEK, I386_GETPPID = 19, 64
X32 = 0x40000000
EBADF = -9
RING_SAMPLES = 64 * 4096 // (8 + 96)
SI_KERNEL = 0x80

EVERYTHING = tuple(ExitSelection(arch, None) for arch in Arch)


class Call(NamedTuple):
    """What tests/programs/exit_calls.c is told to do."""

    number: int
    arguments: tuple[int, ...] = ()
    compat: bool = False

    def pack(self) -> bytes:
        words = self.arguments + (0,) * (6 - len(self.arguments))
        return struct.pack("=Ii6Q", self.compat, self.number, *words)


@dataclass
class Seen:
    """What the tracer of a program saw."""

    #: For each signal-delivery-stop of SIGTRAP: the samples that were there.
    stops: list[list[ExitSample]] = field(default_factory=list)
    #: What the calls returned, as the program saw it.
    results: tuple[int, ...] = ()

    @property
    def samples(self) -> list[ExitSample]:
        return [sample for stop in self.stops for sample in stop]


def signals(*selections: ExitSelection) -> ExitSignals:
    """Attach the program, or skip where that cannot be."""
    try:
        return ExitSignals(selections)
    except ProbesUnavailable as error:
        require(False, str(error))
        raise


def selecting(*numbers: int, arch: Arch = Arch.X86_64) -> ExitSelection:
    return ExitSelection(arch, frozenset(numbers))


@contextlib.contextmanager
def started(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program with two pipes; if anything fails it does not stay, stopped, behind."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        try:
            yield program
        except BaseException:
            program.kill()
            raise


def stops_of(program: subprocess.Popen[bytes]) -> Iterator[tuple[int, int]]:
    """Tell (tid, status) of each stop until ``program`` ends; resume with no signal after each."""
    while True:
        tid, status = wait_any()
        if os.WIFSTOPPED(status):
            yield tid, status
            ptrace.cont(tid)
        elif tid == program.pid:
            program.returncode = os.waitstatus_to_exitcode(status)
            return


def is_trap(status: int) -> bool:
    """Tell a signal-delivery-stop of SIGTRAP from the stops of events."""
    return os.WSTOPSIG(status) == signal.SIGTRAP and not status >> WSTOPPED_EVENT_SHIFT


def run(
    sent: ExitSignals,
    calls: Sequence[Call],
    *flags: str,
    trap: str = "default",
    look: Callable[[int], object] = lambda _tid: None,
    take: bool = True,
    also: Sequence[ExitSignals] = (),
) -> Seen:
    """Let exit_calls make ``calls`` while it is armed; ``look`` at each stop."""
    seen = Seen()
    command = [compiled("exit_calls", *flags), trap]
    with started(command) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.read(1) == b"\0"
        ptrace.seize(program.pid, ptrace.PTRACE_O_EXITKILL)
        for each in (sent, *also):
            each.arm(program.pid)
        program.stdin.write(b"".join(call.pack() for call in calls))
        program.stdin.close()
        for tid, status in stops_of(program):
            if is_trap(status):
                seen.stops.append(sent.take() if take else [])
                look(tid)
        assert program.returncode == 0
        seen.results = struct.unpack(f"={len(calls)}q", program.stdout.read())
    return seen


# ------------------------------------------------------------------------------- stops


def test_each_selected_call_stops_once_and_its_sample_is_there_before() -> None:
    """Twenty selected among twice as many others: twenty stops, each with one sample."""
    calls = [Call(GETPPID), Call(GETPID), Call(GETPGID, (0,))] * 20
    with signals(selecting(GETPPID)) as sent:
        seen = run(sent, calls)
        assert [len(stop) for stop in seen.stops] == [1] * 20
        assert {sample.number for sample in seen.samples} == {GETPPID}
        assert {sample.result for sample in seen.samples} == {os.getpid()}
        assert (sent.take(), sent.lost) == ([], 0)


def test_a_sample_is_the_whole_call() -> None:
    """Six arguments, the result, the thread, the time of the return, and where it was made."""
    arguments = (77, 11, 22, 33, 44, (1 << 64) - 1)
    places: list[tuple[int, int, int]] = []

    def note(tid: int) -> None:
        registers = ptrace.get_registers(tid)
        places.append((tid, registers.rip, registers.rsp))

    with signals(selecting(LSEEK)) as sent:
        before = time.monotonic_ns()
        (sample,) = run(sent, [Call(LSEEK, arguments)], look=note).samples
        after = time.monotonic_ns()
    ((tid, ip, sp),) = places
    expected = ExitSample(tid, Arch.X86_64, LSEEK, arguments, EBADF, sample.time_ns, ip, sp)
    assert sample == expected
    assert before < sample.time_ns < after


def test_the_stop_shows_the_exit_of_the_call_and_its_result_can_be_changed() -> None:
    """The registers are those of the call, and what the tracer writes is what the program gets."""
    found: list[tuple[int, int, int]] = []

    def replace_result(tid: int) -> None:
        registers: Registers = ptrace.get_registers(tid)
        (signo, _errno, code) = struct.unpack_from("=3i", ptrace.get_siginfo(tid))
        assert (signo, code) == (signal.SIGTRAP, SI_KERNEL)
        found.append((registers.orig_rax, registers.rax, registers.rdi))
        registers.rax = 4242
        ptrace.set_registers(tid, registers)

    with signals(selecting(LSEEK)) as sent:
        seen = run(sent, [Call(LSEEK, (77,))], look=replace_result)
    assert found == [(LSEEK, (1 << 64) + EBADF, 77)]
    assert seen.results == (4242,)


def test_only_failing_calls_stop() -> None:
    """The kernel judges the result; a call that succeeds costs no stop."""
    calls = [Call(GETPGID, (pid,)) for pid in (0, 0x7FFFFFFF, 0, 0x7FFFFFFE)]
    failed = ExitSelection(Arch.X86_64, frozenset({GETPGID}), (ResultCondition("<", 0),))
    with signals(failed) as sent:
        seen = run(sent, calls)
    assert [sample.arguments[0] for sample in seen.samples] == [0x7FFFFFFF, 0x7FFFFFFE]
    assert len(seen.stops) == 2


def test_an_int_is_compared_without_what_is_above_it() -> None:
    """Rubbish in the upper half hides no call; compared as a long, it does."""
    dirty = 0xDEADBEEF_0000004D
    calls = [Call(LSEEK, (77,)), Call(LSEEK, (dirty,)), Call(LSEEK, (78,))]
    for width, expected in ((32, [77, dirty]), (64, [77])):
        condition = Condition(0, "==", 77, None, width)
        with signals(ExitSelection(Arch.X86_64, None, (), (condition,))) as sent:
            seen = run(sent, calls)
        assert [s.arguments[0] for s in seen.samples if s.number == LSEEK] == expected


def test_an_ignored_sigtrap_stops_all_the_same() -> None:
    """A tracee's disposition of SIGTRAP is nothing to its tracer."""
    with signals(selecting(GETPPID)) as sent:
        assert len(run(sent, [Call(GETPPID)] * 3, trap="ignored").stops) == 3


def test_a_blocked_sigtrap_stops_later_once_and_loses_no_sample() -> None:
    """All calls meanwhile are there, in order, at the one stop when it is unblocked."""
    calls = [Call(LSEEK, (77, number)) for number in range(50)]
    with signals(selecting(LSEEK)) as sent:
        seen = run(sent, calls, trap="blocked")
    assert len(seen.stops) == 1
    assert [sample.arguments[1] for sample in seen.samples] == list(range(50))
    times = [sample.time_ns for sample in seen.samples]
    assert times == sorted(times)


def test_what_a_full_ring_does_not_take_is_counted_and_does_not_stop() -> None:
    """Nobody takes: a signal without a sample would pass for the program's own, and kill it."""
    more = 20
    with signals(selecting(GETPPID)) as sent:
        seen = run(sent, [Call(GETPPID)] * (RING_SAMPLES + more), take=False)
        assert len(seen.stops) == RING_SAMPLES
        assert len(sent.take()) == RING_SAMPLES
        assert sent.lost == more
    assert sent.lost == more


def test_the_ring_goes_round() -> None:
    """More samples than it holds, taken in time, are all right: none is torn at its end."""
    calls = [Call(LSEEK, (77, number)) for number in range(RING_SAMPLES + 100)]
    with signals(selecting(LSEEK)) as sent:
        seen = run(sent, calls)
        assert [sample.arguments[1] for sample in seen.samples] == list(range(len(calls)))
        assert sent.lost == 0


# ------------------------------------------------------------------------------- architectures


def test_a_32_bit_program_is_seen_as_i386() -> None:
    """Numbers and six arguments are of its own table; errors are negative."""
    calls = [Call(I386_LSEEK, (77, 11, 22, 33, 44, 55)), Call(I386_GETPPID)]
    with signals(
        ExitSelection(Arch.I386, frozenset({I386_LSEEK}), (ResultCondition("==", EBADF),)),
        selecting(I386_GETPPID),  # of x86_64: another call
    ) as sent:
        seen = run(sent, calls, "-m32")
    (sample,) = seen.samples
    assert len(seen.stops) == 1
    assert (sample.arch, sample.number, sample.result) == (Arch.I386, I386_LSEEK, EBADF)
    assert sample.arguments == (77, 11, 22, 33, 44, 55)


def test_int_0x80_of_64_bit_code_is_seen_as_i386() -> None:
    """The number alone would say semget; the instruction tells."""
    calls = [Call(I386_GETPPID, (1, 0xDEADBEEF_00000002, 3, 4, 5), compat=True)]
    with signals(selecting(I386_GETPPID), selecting(I386_GETPPID, arch=Arch.I386)) as sent:
        seen = run(sent, calls)
    (sample,) = seen.samples
    assert (sample.arch, sample.result) == (Arch.I386, os.getpid())
    assert sample.arguments[:5] == (1, 2, 3, 4, 5)


def test_a_call_of_x32_has_its_bit() -> None:
    """It is of x86_64's table; where the kernel has no x32 it fails, and is selected too."""
    with signals(selecting(X32 | GETPPID), selecting(I386_GETPPID, arch=Arch.I386)) as sent:
        seen = run(sent, [Call(X32 | GETPPID), Call(GETPPID)])
    assert [(s.arch, s.number) for s in seen.samples] == [(Arch.X86_64, X32 | GETPPID)]


# ------------------------------------------------------------------------------- the model


WORDS = (
    0,
    1,
    76,
    77,
    78,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    0x1_0000_004D,
    (1 << 64) - 1,
    1 << 63,
)
CALLS = {
    False: (LSEEK, GETPID, GETPPID, GETPGID, 1000, X32 | GETPPID),
    True: (I386_LSEEK, I386_GETPPID, 20, 132, 1000),
}


def random_selection(rng: random.Random) -> ExitSelection:
    """Make up a selection that holds for some of the calls below."""
    arch = rng.choice(list(Arch))
    pool = CALLS[arch == Arch.I386]
    numbers = rng.choice([None, frozenset(rng.sample(pool, rng.randint(0, len(pool))))])
    operators = ("==", "!=", "<", "<=", ">", ">=")
    results = (0, 1, EBADF, -38, -3, os.getpid(), (1 << 63) - 1, -1 << 63)
    conditions = []
    for _ in range(rng.choice([0, 1, 1, 2])):
        width = rng.choice([32, 64])
        words = [word for word in WORDS if word < 1 << width]
        mask = rng.choice([None, *words])
        index = rng.randrange(3)
        conditions.append(Condition(index, rng.choice(operators), rng.choice(words), mask, width))
    result = [
        ResultCondition(rng.choice(operators), rng.choice(results))
        for _ in range(rng.choice([0, 0, 1, 2]))
    ]
    return ExitSelection(arch, numbers, tuple(result), tuple(conditions))


@pytest.mark.parametrize("seed", range(8))
def test_the_kernel_selects_what_the_model_does(seed: int) -> None:
    """Of all calls of a program, as one instance sees them, another takes those that hold."""
    rng = random.Random(seed)
    selections = [random_selection(rng) for _ in range(rng.randint(1, 6))]
    calls = []
    for _ in range(150):
        compat = rng.random() < 0.4
        arguments = tuple(rng.choice(WORDS[2:]) for _ in range(3))
        calls.append(Call(rng.choice(CALLS[compat]), arguments, compat))
    with signals(*EVERYTHING) as everything, signals(*selections) as some:
        seen = run(everything, calls, also=[some])
        selected = some.take()

    def facts(sample: ExitSample) -> tuple[object, ...]:
        return (sample.arch, sample.number, sample.arguments, sample.result)

    made = [facts(sample) for sample in seen.samples]
    assert [facts(sample) for sample in selected] == [
        fact
        for fact in made
        if any(each.holds(*fact) for each in selections)  # type: ignore[arg-type]
    ]
    word = {True: 0xFFFFFFFF, False: (1 << 64) - 1}
    expected = [
        (call.number, tuple(argument & word[call.compat] for argument in call.arguments), result)
        for call, result in zip(calls, seen.results, strict=True)
    ]
    first = next(at for at, fact in enumerate(made) if fact[1] == calls[0].number)
    there = [(number, args[:3], result) for _arch, number, args, result in made[first:]]  # type: ignore[index]
    assert there[: len(expected)] == expected


def test_each_of_400_numbers_can_have_its_own_condition() -> None:
    """The verifier takes a large set, and the right case is found."""
    selections = [
        ExitSelection(Arch.X86_64, frozenset({number}), (ResultCondition("!=", number),))
        for number in range(400)
    ]
    with signals(*selections) as sent:
        seen = run(sent, [Call(GETPPID), Call(LSEEK, (77,)), Call(399)])
    assert [(s.number, s.result) for s in seen.samples if s.number in (GETPPID, LSEEK)] == [
        (GETPPID, os.getpid()),
        (LSEEK, EBADF),
    ]
    assert 399 in {sample.number for sample in seen.samples}


# ------------------------------------------------------------------------------- arming


def test_who_is_not_armed_runs_on_untouched() -> None:
    """This very process makes the call that kills whoever gets the signal untraced."""
    with signals(*EVERYTHING) as sent:
        assert subprocess.run(["true"], check=False).returncode == 0
        assert sent.take() == []


def test_a_disarmed_thread_stops_no_more() -> None:
    """Disarmed at its third stop, it makes its other calls in peace; nobody minds a second time."""
    stops: list[int] = []
    with signals(selecting(GETPPID)) as sent:

        def disarm_at_third(tid: int) -> None:
            stops.append(tid)
            if len(stops) == 3:
                sent.disarm(tid)
                sent.disarm(tid)

        assert len(run(sent, [Call(GETPPID)] * 10, look=disarm_at_third).stops) == 3


def test_the_end_of_a_thread_disarms_it() -> None:
    """Its tid may be that of a stranger soon."""
    with signals(selecting(GETPPID)) as sent:
        run(sent, [Call(GETPPID)])
        assert not list(sent._armed.items())


def test_a_thread_that_executes_a_program_stays_armed_under_its_new_tid() -> None:
    """execve(2) of a thread that is not the leader gives it the leader's tid."""
    start = [require_program("sh"), "-c", 'read _; exec "$0"', compiled("exec_from_thread")]
    options = ptrace.PTRACE_O_EXITKILL | ptrace.PTRACE_O_TRACECLONE | ptrace.PTRACE_O_TRACEEXEC
    samples: list[ExitSample] = []
    with (
        signals(selecting(EXECVE, GETPPID)) as sent,
        started(start) as program,
    ):
        assert program.stdin is not None
        ptrace.seize(program.pid, options)
        sent.arm(program.pid)
        program.stdin.write(b"\n")
        program.stdin.close()
        stopped = set()
        for tid, status in stops_of(program):
            if status >> WSTOPPED_EVENT_SHIFT == ptrace.PTRACE_EVENT_STOP and tid not in stopped:
                sent.arm(tid)
            stopped.add(tid)
            samples += sent.take()
        assert program.returncode == 7
        assert not list(sent._armed.items())
    made = [(sample.tid, sample.number) for sample in samples]
    assert made[-2:] == [(program.pid, EXECVE), (program.pid, GETPPID)]


# ------------------------------------------------------------------------------- loading


def test_a_program_is_compiled_once_on_a_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes later needs neither bcc nor headers; one that was spoilt is made again."""
    signals(selecting(GETPPID)).close()
    compiled_texts: list[str] = []
    compile_object = compiler.compile_object

    def count(text: str) -> Object:
        compiled_texts.append(text)
        return compile_object(text)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compiler, "compile_object", count)
    for _ in range(2):
        with signals(selecting(GETPPID)) as sent:
            assert len(run(sent, [Call(GETPPID)] * 3).stops) == 3
    assert len(compiled_texts) == 1
    [file] = (tmp_path / "accel").glob("probe-*")
    version, _, text = file.read_text().partition("\n")
    kept = parse(text)
    nothing = replace(kept.programs[0], instructions=bytes(8), references=())
    text = replace(kept, programs=(nothing, *kept.programs[1:])).text()
    file.write_text(f"{version}\n{text}")
    with signals(selecting(GETPPID)) as sent:
        assert len(run(sent, [Call(GETPPID)] * 3).stops) == 3
    assert len(compiled_texts) == 2


def test_nothing_is_printed_and_nothing_of_the_process_is_changed(tmp_path: Path) -> None:
    """Warnings are errors; the working directory, the environment and sys.path are as before."""
    signals(selecting(GETPPID)).close()
    program = (
        "import os, sys\n"
        "from bpf import Arch\n"
        "from bpf.exit_selection import ExitSelection\n"
        "from bpf.probes import ExitSignals\n"
        "assert 'bcc' not in sys.modules\n"
        "before = os.getcwd(), dict(os.environ), list(sys.path)\n"
        "sent = ExitSignals([ExitSelection(Arch.X86_64, None)])\n"
        "sent.close(); sent.close()\n"
        "assert before == (os.getcwd(), dict(os.environ), sys.path)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_privilege_one_line_says_what_to_do(tmp_path: Path) -> None:
    """Root without capabilities is not root."""
    signals(selecting(GETPPID)).close()
    program = (
        "from bpf import ProbesUnavailable\n"
        "from bpf.probes import ExitSignals\n"
        "try: ExitSignals([])\n"
        "except ProbesUnavailable as error: print(error)\n"
    )
    done = subprocess.run(
        [require_program("setpriv"), "--bounding-set=-all", sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("eBPF programs need root; run as root\n", "")


def test_a_program_that_does_not_compile_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the compiler says goes to stderr, what failed is raised."""
    signals(selecting(GETPPID)).close()
    monkeypatch.setattr("bpf.probes.exit_signal.source", lambda *_names: "no C")
    with pytest.raises(ProbesUnavailable, match="does not compile"):
        ExitSignals([])
