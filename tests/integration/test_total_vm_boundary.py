"""A kernel in Python: its guests reach nothing of the host, and the host's kernel says so."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pytest

from accel import AccelError, Decision, Stop, Tracer
from examples.total_vm import BUILT_IN, Clock, Console, Machine, from_mapping
from examples.total_vm import machine as machine_module
from examples.total_vm.machine import ENVIRONMENT
from tests.integration.kernel_calls import KernelCalls
from tests.integration.static_guests import LONG_AGO, MECHANISMS, static_busybox
from tests.support import compiled, require

SECONDS = 1_000_000_000
#: Calls that concern nothing but the process that makes them; said here once more, independently.
OWN = frozenset("arch_prctl brk exit exit_group madvise mmap mprotect mremap munmap".split())


@pytest.fixture
def busybox() -> str:
    """Debian's static busybox."""
    return static_busybox()


@pytest.fixture(params=MECHANISMS)
def mechanism(request: pytest.FixtureRequest) -> str | None:
    """How the machine gets its stops."""
    chosen: str | None = request.param
    return chosen


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("script", ["ls / | wc", "(echo a); true", "ls; ls", "x=$(pwd)"])
def test_a_second_process_is_refused_and_the_machine_says_why(busybox: str, script: str) -> None:
    """ENOSYS to the guest, a sentence to whoever runs it."""
    said: list[str] = []
    console = Console()
    machine = Machine(from_mapping(BUILT_IN), console, log=said.append)
    result = machine.run([busybox, "sh", "-c", script], timeout=60)
    assert result.returncode == 2
    assert b"can't fork: Function not implemented" in console.errors
    assert said == ["this machine runs one program, in one process"]


def test_what_is_not_implemented_is_named(busybox: str) -> None:
    """A call that the machine does not know fails, and is told of."""
    said: list[str] = []
    Machine(from_mapping({}), Console(), log=said.append).run([busybox, "free"], timeout=60)
    assert said == ["sysinfo of x86_64 is not implemented"]


# ------------------------------------------------------------------------------- time


#: What a C library asks the kernel if it finds no vDSO.
ASKING = ("clock_gettime", "gettimeofday", "time")


def test_date_shows_the_machines_clock(busybox: str) -> None:
    """Without the vDSO, a static program asks by a system call, and this can be answered."""
    console = Console()
    clock = Clock(LONG_AGO * SECONDS)
    machine = Machine(from_mapping({}), console, clock=clock)
    machine.run([busybox, "date", "+%s %Z"], timeout=60)
    shown = re.fullmatch(rb"(\d+) UTC\n", console.output)
    assert shown
    assert LONG_AGO <= int(shown[1]) <= clock.now_ns() // SECONDS
    assert sum(machine.answered[call] for call in ASKING) == 1


def test_without_hiding_the_vdso_a_program_reads_the_hosts_clock(
    busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: it is that, and nothing else, which makes time the machine's."""
    require("[vdso]" in Path("/proc/self/maps").read_text(), "this kernel gives no vDSO")
    monkeypatch.setattr(machine_module, "hide_vdso", lambda _pid: None)
    console = Console()
    machine = Machine(from_mapping({}), console, clock=Clock(LONG_AGO * SECONDS))
    machine.run([busybox, "date", "+%s"], timeout=60)
    assert int(console.output) > LONG_AGO + 10 * 365 * 86400
    assert not any(machine.answered[call] for call in ASKING)


def test_sleep_puts_the_clock_forward(busybox: str) -> None:
    """A thousand seconds of the machine are none of the host."""
    clock = Clock(0)
    result = Machine(from_mapping({}), Console(), clock=clock).run(
        [busybox, "sleep", "1000"], timeout=60
    )
    assert result.returncode == 0
    assert 1000 <= clock.running_ns() / SECONDS < 1060


# ------------------------------------------------------------------------------- nothing else runs


@pytest.fixture
def escapes() -> str:
    """A static program that tries to get at a file of the host by every door there is."""
    return compiled("escapes", "-static")


@pytest.fixture
def kernel() -> Iterator[KernelCalls]:
    """The kernel's own list of calls."""
    with KernelCalls() as calls:
        yield calls


def run_watched(
    kernel: KernelCalls,
    argv: list[str],
    prepare: Callable[[Tracer], None],
    mechanism: str | None = None,
) -> None:
    """Run ``argv``; the kernel lists its calls from the end of its execve on."""

    def watch(stop: Stop) -> None:
        if getattr(stop, "event", "") == "exec":
            kernel.watch(stop.pid)

    options: dict[str, Any] = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL}
    if mechanism is not None:
        options["mechanism"] = mechanism
    tracer = Tracer(argv, env=ENVIRONMENT, **options)
    tracer.observe(watch, exits=False, calls=False)
    prepare(tracer)
    tracer.run(timeout=60)


READING_AND_WRITING = (
    "read a < /etc/passwd; echo $a > /tmp/written; cd /etc; for f in *; do echo $f; done"
)


def test_the_kernel_runs_no_call_of_the_guest_but_those_on_its_own_memory(
    kernel: KernelCalls, busybox: str, mechanism: str | None
) -> None:
    """Every call that the kernel saw is one that the machine says it has let through."""
    console = Console()
    machine = Machine(from_mapping(BUILT_IN), console)
    run_watched(kernel, [busybox, "sh", "-c", READING_AND_WRITING], machine.attach, mechanism)
    assert console.output == b"group\nmotd\npasswd\n"
    assert machine.answered["openat"] + machine.answered["open"] >= 3
    seen = kernel.names()
    assert seen["exit_group"] == 1
    del machine.passed["execve"]  # How the program was started; the watch begins after it.
    assert seen == machine.passed
    assert seen.keys() <= OWN


def test_the_kernels_list_does_show_calls_that_are_let_through(
    kernel: KernelCalls, busybox: str
) -> None:
    """The control: the same program under a tracer that resumes every call."""
    script = READING_AND_WRITING.replace("/tmp/written", "/dev/null")

    def resume_all(tracer: Tracer) -> None:
        tracer.on_entry("all")(lambda _stop: Decision.resume())

    run_watched(kernel, [busybox, "sh", "-c", script], resume_all)
    seen = kernel.names()
    assert seen["openat"] + seen["open"] >= 3
    assert seen["write"] >= 1
    assert not seen.keys() <= OWN


REFUSED = b"""\
openat -2
open -2
int80 -38
execve -38
fork -38
io_uring_setup -38
mmap -19
madvise 0
unknown -38
fault -14
"""


def test_no_door_leads_to_a_file_of_the_host(
    kernel: KernelCalls, escapes: str, tmp_path: Path, mechanism: str | None
) -> None:
    """Old calls, those of i386, io_uring, files in memory, calls that no kernel has."""
    (tmp_path / "secret").write_text("of the host")
    console = Console()
    machine = Machine(from_mapping(BUILT_IN), console)
    run_watched(kernel, [escapes, str(tmp_path / "secret")], machine.attach, mechanism)
    assert console.output == REFUSED
    assert kernel.names().keys() <= OWN - {"madvise"}


def test_outside_the_machine_these_doors_are_open(escapes: str, tmp_path: Path) -> None:
    """The control: the program does open the file where nobody answers instead of the kernel."""
    (tmp_path / "secret").write_text("of the host")
    done = subprocess.run(
        [escapes, str(tmp_path / "secret")], stdout=subprocess.PIPE, check=True, timeout=60
    )
    results = dict(line.split() for line in done.stdout.splitlines())
    assert int(results[b"openat"]) >= 3
    assert int(results[b"open"]) >= 3


def test_a_call_that_cannot_be_answered_ends_the_guest_before_it_runs(
    kernel: KernelCalls, escapes: str
) -> None:
    """No rule selects x32 calls: accel reports one as a blind spot, and that is the end."""
    console = Console()
    machine = Machine(from_mapping(BUILT_IN), console)
    with pytest.raises(AccelError, match="cannot be contained: it made call 0x40000002"):
        run_watched(kernel, [escapes, "/etc/passwd", "x32"], machine.attach)
    assert console.output == b""
    assert kernel.names().keys() <= OWN
