"""Observing real programs at no stop: the same calls as a tracer sees, and no loss untold."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from accel import Decision, Tracer, roles
from accel.errors import CommandError, PtraceUnavailable, SetupError, TimeoutExpired
from accel.mechanisms import observe
from accel.records import RETURNED, Batch, Record
from accel.roles import Role, signature
from accel.stops import EventStop, Exited, Killed, SignalDeliveryStop, Stop, SyscallExitStop
from bpf import ProbesUnavailable
from bpf.probes.observe import Observation, Wanted
from tests.support import compiled, require, require_program

ACCEL = [sys.executable, "-m", "accel"]
SIGKILL = 9


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    """Skip where eBPF programs cannot run."""
    try:
        Observation(Wanted({})).close()
    except ProbesUnavailable as error:
        require(False, str(error))


class Kept:
    """A sink that keeps every record."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, batch: Batch) -> None:
        self.records += batch

    def close(self) -> None:
        pass


def told(command: Sequence[str], mask: str = "all", **options: object) -> list[Stop]:
    """Observe a command; return all that was told, calls at their exits alone."""
    stops: list[Stop] = []
    tracer = Tracer(command, mask=mask, mechanism="observe", stdout=-3, stderr=-3, **options)
    tracer.observe(stops.append)
    tracer.run(timeout=60)
    return stops


# ------------------------------------------------------------------------------- the same calls


def calls_of(command: Sequence[str], mechanism: str) -> tuple[Counter[object], object, int]:
    """Record a command, from when it runs at fixed addresses; return its calls, and the counts."""
    fixed = [require_program("setarch"), "-R", *command]
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    tracer = Tracer(
        fixed, mask="all", mechanism=mechanism, stdout=-3, stderr=-3, env=environment  # type: ignore[arg-type]
    )  # fmt: skip
    records = tracer.record(Kept()).records
    status = tracer.run(timeout=60).returncode
    records.sort(key=lambda record: record.entered_ns)
    executed = [at for at, record in enumerate(records) if record.name == "execve"]
    records = records[executed[1] + 1 :]
    threads = {record.tid: at for at, record in reversed(list(enumerate(records)))}
    names = {tid: f"thread {at}" for at, tid in enumerate(sorted(threads, key=threads.__getitem__))}

    def named(role: Role, value: int) -> object:
        return names.get(value, value) if role is Role.PID else value

    def seen(record: Record) -> object:
        described = signature(record.abi, record.name)
        arguments = [
            named(argument.role, raw)
            for argument, raw in zip(described, record.arguments, strict=False)
        ]
        # What the kernel interrupted for a signal depends on when that came.
        is_restored = record.name.endswith("sigreturn")
        result = None if is_restored else named(roles.result(record.name), record.result)
        strings = sorted(record.strings.items())
        return (
            names[record.tid], record.abi, record.name, tuple(arguments), result, tuple(strings),
            record.flags & RETURNED, record.rule,
        )  # fmt: skip

    counted = {
        name: (one.calls, one.errors)
        for name, one in tracer.statistics().calls.items()
        if not name.startswith("rt_sigreturn")
    }
    return Counter(map(seen, records)), counted, status


@pytest.mark.parametrize(
    "command",
    [
        ["ls", "-lR", "/etc/ssl"],
        ["find", "/usr/share/doc", "-maxdepth", "1"],
        [sys.executable, "-I", "-S", "-B", "-c", "import json"],
        ["sh", "-c", "ls /; cat /etc/hostname; (exit 3); true"],
    ],
    ids=lambda command: Path(command[0]).name,
)
def test_real_programs_make_the_calls_that_a_tracer_sees(command: list[str]) -> None:
    """Arguments, strings, results and counts; of forked processes, too."""
    require_program(command[0])
    assert calls_of(command, "observe") == calls_of(command, "seccomp-trace")


@pytest.mark.parametrize("flags", [(), ("-m32",)], ids=["x86_64", "i386"])
def test_both_abis_make_the_calls_that_a_tracer_sees(
    flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that handles a signal, forks, and fails at some calls; also with 32 bits."""
    program = compiled("files", *flags)
    seen = []
    for mechanism in ("observe", "seccomp-trace"):
        # At a path of the same length, so that addresses on the stack are the same.
        place = tmp_path / f"{len(seen)}"
        place.mkdir()
        monkeypatch.chdir(place)
        seen.append(calls_of([program, "here"], mechanism))
    assert seen[0] == seen[1]


def test_lines_are_the_tracers(tmp_path: Path) -> None:
    """In the same order, with every word, where strings are all that arguments point to."""
    program = compiled("files")
    lines = []
    for mechanism in ("observe", "seccomp-trace"):
        place = tmp_path / mechanism
        place.mkdir()
        log = tmp_path / f"{mechanism}.log"
        command = ["setarch", "-R", program, "here"]
        mask = "trace=openat,mkdir,rename,unlink,rmdir,symlink,link,chmod,exit_group,close,dup2"
        subprocess.run(
            [*ACCEL, "trace", "--mechanism", mechanism, "-e", mask, "-o", log, *command],
            capture_output=True, text=True, check=False, timeout=60, cwd=place,
        )  # fmt: skip
        # Without a tracer the kernel drops the SIGCHLD that the program ignores.
        shown = [line for line in log.read_text().splitlines() if "SIGCHLD" not in line]
        lines.append([re.sub(r"\b\d{3,}\b", "N", line) for line in shown])
    assert len(lines[0]) > 20
    assert lines[0] == lines[1]


def test_json_and_tables_come_from_the_same_options(tmp_path: Path) -> None:
    """--json, --record and -C; the table counts no stop."""
    log, table = tmp_path / "log", tmp_path / "calls.npy"
    done = subprocess.run(
        [*ACCEL, "trace", "--mechanism", "observe", "-e", "openat", "--json", "-o", log,
         "--record", table, "-C", "cat", "/dev/null"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    opened = [line for line in lines if line["type"] == "syscall"]
    assert '"/dev/null"' in [argument["text"] for argument in opened[-1]["arguments"]]
    assert [line["status"] for line in lines if line["type"] == "exited"] == [0]
    assert re.search(rf" {len(opened)} +[0-9]* +0 openat$", text, re.MULTILINE)
    assert table.stat().st_size == 640 + 128 * len(opened)


def test_a_string_on_a_page_that_is_not_there_yet_is_read_when_the_call_returns(
    tmp_path: Path,
) -> None:
    """The kernel brings the page for the call; an address where nothing is stays an address."""
    source = tmp_path / "late.c"
    source.write_text(
        """
        #include <fcntl.h>
        #include <stdlib.h>
        #include <sys/mman.h>
        #include <unistd.h>
        int main(int argc, char **argv)
        {
            int file = open(argv[1], O_RDONLY);
            const char *late = mmap(0, 4096, PROT_READ, MAP_PRIVATE, file, 0);
            access(late, F_OK);
            access((char *)64, F_OK);
            return 0;
        }
        """
    )
    program = tmp_path / "late"
    subprocess.run([require_program("gcc"), "-o", program, source], check=True)
    path = tmp_path / "path"
    path.write_bytes(b"/some/where\0")
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    log = tmp_path / "log"
    command = ["trace", "--mechanism", "observe", "-e", "access", "-o", str(log)]
    subprocess.run([*ACCEL, *command, program, path], check=True, timeout=60)
    assert 'access("/some/where", F_OK) ' in log.read_text()
    assert "access(0x40, F_OK) " in log.read_text()


# ------------------------------------------------------------------------------- lives and ends


def test_every_thread_and_process_is_followed_from_its_first_call() -> None:
    """However many are born at once, and whether or not their parents wait."""
    stops = told([compiled("forks_many"), "50"], "getppid,getpid,exit_group")
    born = [stop.message for stop in stops if isinstance(stop, EventStop) and "fork" in stop.event]
    ends = {stop.tid for stop in stops if isinstance(stop, (Exited, Killed))}
    assert set(born) < ends
    assert len(born) >= 50


def test_a_descendant_that_outlives_the_command_is_observed_to_its_end() -> None:
    """The run ends with the last of the tree, as that of a tracer."""
    script = "(read line < /proc/self/stat; exec true) & exit 4"
    tracer = Tracer(["sh", "-c", script], mask="execve,exit_group", mechanism="observe")
    stops: list[Stop] = []
    tracer.observe(stops.append)
    assert tracer.run(timeout=60).returncode == 4
    assert len([stop for stop in stops if isinstance(stop, Exited)]) == 2


def test_an_execve_of_a_thread_returns_under_its_new_tid() -> None:
    """The thread takes its leader's tid; the others vanish, and the leader's end is not told."""
    stops = told([compiled("exec_from_thread"), "/bin/true"], "execve,getppid")
    [superseded] = [s for s in stops if isinstance(s, EventStop) and s.event == "superseded"]
    results = [(s.tid, s.result) for s in stops if isinstance(s, SyscallExitStop)]
    assert results[:2] == [(superseded.tid, 0), (superseded.tid, 0)]
    assert [stop.tid for stop in stops if isinstance(stop, Exited)].count(superseded.tid) == 1


LIVES = {"fork", "vfork", "clone", "attached", "exec", "superseded"}


@pytest.mark.parametrize("flags", [(), ("-m32",)], ids=["x86_64", "i386"])
@pytest.mark.parametrize("command", ["spawn_kinds", "exec_from_thread", "threads 4 20"])
def test_lives_are_told_of_threads_whose_calls_are_all_passed_over(
    command: str, flags: tuple[str, ...]
) -> None:
    """In every way that a thread can begin, change and end, in both ABIs."""
    name, *arguments = command.split()

    def lives(mask: str) -> Counter[object]:
        stops = told([compiled(name, *flags), *arguments], mask)
        return Counter(
            stop.event if isinstance(stop, EventStop) else type(stop)
            for stop in stops
            if isinstance(stop, (Exited, Killed)) or getattr(stop, "event", "") in LIVES
        )

    all_told = lives("all")
    assert all_told[Exited] > 1 or all_told["superseded"]
    assert lives("swapon") == all_told


@pytest.mark.parametrize("flags", [(), ("-m32",)], ids=["x86_64", "i386"])
def test_execveat_returns_although_its_number_is_anothers_then(
    flags: tuple[str, ...],
) -> None:
    """The kernel puts that of execve in its place, the new program's ABI's."""
    stops = told([compiled("execveat"), compiled("forks_many", *flags)], "execveat")
    assert [stop.result for stop in stops if isinstance(stop, SyscallExitStop)] == [0]


THREADS = """
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static int ends[2], ready[2];
static void *wait_forever(void *nothing)
{
    char byte;
    write(ready[1], "x", 1);
    read(ends[0], &byte, 1);
    return nothing;
}
int main(int argc, char **argv)
{
    pthread_t threads[3];
    char byte;
    if (pipe(ends) || pipe(ready))
        return 1;
    for (int i = 0; i < 3; i++)
        pthread_create(threads + i, 0, wait_forever, 0);
    for (int i = 0; i < 3; i++)
        read(ready[0], &byte, 1);
    switch (argv[1][0]) {
    case 'k': kill(getpid(), SIGKILL);
    case 't': kill(getpid(), SIGTERM);
    case 's': *(volatile int *)8 = 1;
    }
    exit(7);
}
"""


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A program whose three threads wait when it ends, in the way that it is told."""
    place = tmp_path_factory.mktemp("threads")
    (place / "threads.c").write_text(THREADS)
    command = [require_program("gcc"), "-w", "-pthread", "-o", place / "threads"]
    subprocess.run([*command, place / "threads.c"], check=True)
    return str(place / "threads")


@pytest.mark.parametrize(
    ("how", "ended_by", "is_told"), [("k", 9, False), ("t", 15, True), ("s", 11, True), ("e", 0, 0)]
)
def test_threads_end_by_what_ended_their_process(
    threads: str, how: str, ended_by: int, is_told: bool
) -> None:
    """SIGKILL is told of by no signal line; the calls that the others were in never return."""
    stops = told([threads, how], "read")
    ends = [stop for stop in stops if isinstance(stop, (Exited, Killed))]
    assert len(ends) == 4
    if ended_by:
        assert {stop.signal for stop in ends if isinstance(stop, Killed)} == {ended_by}
    else:
        assert {stop.status for stop in ends if isinstance(stop, Exited)} == {7}
    signals = [stop.signal for stop in stops if isinstance(stop, SignalDeliveryStop)]
    assert signals == ([ended_by] if is_told else [])
    waited = [s for s in stops if isinstance(s, SyscallExitStop) and s.tid != s.pid]
    # One that has just written its byte may not have begun to wait.
    assert {stop.result for stop in waited} <= {None}


def test_a_call_that_was_not_selected_is_not_told_nor_counted() -> None:
    """The mask is applied in the kernel."""
    tracer = Tracer(["cat", "/dev/null"], mask="!openat", mechanism="observe")
    tracer.decide("read", Decision.allow())
    tracer.run(timeout=60)
    assert "close" in tracer.statistics().calls
    assert not {"openat", "read"} & set(tracer.statistics().calls)


@pytest.mark.parametrize(
    ("how", "result"), [("errno", -errno.EUSERS), ("trace", -errno.ENOSYS), ("listener", 4711)]
)
def test_a_call_that_the_programs_own_filter_answers_is_told(how: str, result: int) -> None:
    """It never gets to where calls begin, and returns all the same."""
    stops = told([compiled("own_filter"), how], "getppid,chdir")
    returned = [stop.result for stop in stops if isinstance(stop, SyscallExitStop)]
    assert returned == [result]


# ------------------------------------------------------------------------------- losses


BURST = 1_000_000


class Counting:
    """A sink that counts; it may have to wait at a pipe before it begins."""

    def __init__(self, pipe: int | None = None) -> None:
        self.count = 0
        self.pipe = pipe

    def write(self, batch: Batch) -> None:
        if self.pipe is not None:
            os.read(self.pipe, 1)
            self.pipe = None
        self.count += len(batch)

    def close(self) -> None:
        pass


def test_a_burst_of_a_million_calls_is_told_or_counted_as_lost() -> None:
    """What the program made is what the kernel counted, and what was told and lost together."""
    tracer = Tracer(
        [compiled("getppid_loop"), str(BURST)], mask="getppid", mechanism="observe", stdout=-3
    )
    sink = tracer.record(Counting())
    tracer.run(timeout=120)
    figures = tracer.statistics()
    assert sink.count + figures.lost == BURST
    assert figures.calls["getppid"].calls == BURST
    assert figures.stops == 0


def test_what_finds_no_room_is_lost_and_counted_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink that waits for what the program prints at its end; and no room but the ring."""
    monkeypatch.setattr(observe, "_WAITING_BYTES", 1)
    reading, writing = os.pipe()
    tracer = Tracer(
        [compiled("getppid_loop"), "500000"], mask="getppid", mechanism="observe", stdout=writing
    )
    sink = tracer.record(Counting(reading))
    tracer.start()
    tracer.wait(timeout=120)
    tracer.close()
    os.close(reading)
    os.close(writing)
    figures = tracer.statistics()
    assert figures.lost > 200_000
    assert sink.count + figures.lost == 500_000
    assert figures.calls["getppid"].calls == 500_000


def test_losses_are_said_and_make_the_status_two(tmp_path: Path) -> None:
    """On the command line, where nobody looks at statistics."""
    program = (
        "import sys; from accel.mechanisms import observe; observe._WAITING_BYTES = 1\n"
        "from bpf.probes import observe as probe; probe._PAGES = 1\n"
        "from accel.command_line import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "trace", "--mechanism", "observe", "-e", "getppid",
         "-o", str(tmp_path / "log"), compiled("getppid_loop"), "100000"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    [lost] = re.findall(r"^accel: (\d+) calls came faster", done.stderr, re.MULTILINE)
    written = (tmp_path / "log").read_text()
    assert len(re.findall(r"= \d+$", written, re.MULTILINE)) == 100_000 - int(lost)
    assert done.returncode == 2


def test_the_reader_goes_before_others_only_while_there_is_much_to_read() -> None:
    """Until the first call has been told, and in a burst; it has its own priority afterwards."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with observe._Priority() as priority:
        assert os.getpriority(os.PRIO_PROCESS, 0) == min(own, observe._PRIORITY)
        priority.fall()
        assert os.getpriority(os.PRIO_PROCESS, 0) == own
        priority.rise()
        assert os.getpriority(os.PRIO_PROCESS, 0) == min(own, observe._PRIORITY)
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
    priority.rise()
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_counting_alone_loses_nothing_and_writes_no_record() -> None:
    """The kernel counts; -c needs no more."""
    done = subprocess.run(
        [*ACCEL, "trace", "--mechanism", "observe", "-c", "-e", "getppid", "--",
         compiled("getppid_loop"), "200000"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert re.search(r" 200000 +0 getppid$", done.stderr, re.MULTILINE)
    assert done.returncode == 0


# ------------------------------------------------------------------------------- processes that run


def test_a_process_that_runs_is_observed_with_all_its_threads_and_let_go() -> None:
    """Each from its next call, or the return of the one that it is in; then it runs on."""
    program = (
        "import os, sys, threading\n"
        "def work(): os.write(1, b'x'); os.read(0, 1); os.getppid()\n"
        "threads = [threading.Thread(target=work) for _ in range(3)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
        "os.write(1, b'y'); os.read(0, 1); sys.exit(5)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.read(3) == b"xxx"
        stops: list[Stop] = []
        tracer = Tracer(pid=process.pid, mask="getppid", mechanism="observe")
        tracer.observe(stops.append)
        tracer.start()
        process.stdin.write(b"abc")
        process.stdin.flush()
        assert process.stdout.read(1) == b"y"
        tracer.close()
        assert process.poll() is None
        process.stdin.write(b"d")
        process.stdin.close()
        assert process.wait(timeout=30) == 5
    called = [stop.tid for stop in stops if isinstance(stop, SyscallExitStop)]
    assert len(called) == len(set(called)) == 3
    events = [stop for stop in stops if isinstance(stop, EventStop)]
    assert set(called) < {stop.tid for stop in events if stop.event == "attached"}
    # Of a thread that Python has joined the kernel's part may still be ending.
    assert process.pid in {stop.tid for stop in events if stop.event == "detached"}


def test_observing_ends_with_the_process_that_it_was_attached_to() -> None:
    """Its exit status is told."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        tracer = Tracer(pid=process.pid, mask="read", mechanism="observe")
        stops: list[Stop] = []
        tracer.observe(stops.append)
        tracer.start()
        assert process.stdin is not None
        process.stdin.close()
        tracer.wait(timeout=30)
        tracer.close()
    assert [stop.status for stop in stops if isinstance(stop, Exited)] == [0]


def test_no_such_process_is_an_error() -> None:
    """Nothing is attached."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
        with pytest.raises(PtraceUnavailable, match="no process"):
            Tracer(pid=process.pid, mask="read", mechanism="observe").run(timeout=30)


# ------------------------------------------------------------------------------- ends by others


def test_a_timeout_leaves_nobody_behind() -> None:
    """The children of the command are killed with it: nobody holds its standard output."""
    reading, writing = os.pipe()
    tracer = Tracer(
        ["sh", "-c", "sleep 60 & sleep 60"], mask="fork", mechanism="observe", stdout=writing
    )
    tracer.start()
    os.close(writing)
    with pytest.raises(TimeoutExpired):
        tracer.wait(timeout=0.1)
    assert os.read(reading, 1) == b""
    os.close(reading)
    assert tracer.result is not None
    assert tracer.result.returncode == -SIGKILL


@pytest.mark.parametrize("flags", [(), ("-m32",)], ids=["x86_64", "i386"])
@pytest.mark.parametrize("way", ["fork", "vfork", "clone", "clone3"])
def test_a_child_that_makes_no_call_of_note_is_killed_too(way: str, flags: tuple[str, ...]) -> None:
    """It is known from the end of the call that made it, in which it began."""
    program = compiled("idlers", *flags)
    reading, writing = os.pipe()
    tracer = Tracer([program, way], mask="swapon", mechanism="observe", stdout=writing)
    tracer.start()
    os.close(writing)
    for _ in range(1 if way == "vfork" else 2):
        assert os.read(reading, 1) == b"x"
    with pytest.raises(TimeoutExpired):
        tracer.wait(timeout=0.01)
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_a_signal_to_accel_is_the_commands(tmp_path: Path) -> None:
    """Ctrl-C, for example: the command ends by it, then accel, and the trace is complete."""
    log = tmp_path / "log"
    with subprocess.Popen(
        [*ACCEL, "trace", "--mechanism", "observe", "-e", "write,read", "-o", str(log), "--",
         "sh", "-c", "echo ready; read line"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == -signal.SIGINT
    assert log.read_text().splitlines()[-1].endswith("+++ killed by SIGINT +++")


def test_an_observer_that_raises_ends_the_run() -> None:
    """As with any mechanism; the command is killed."""

    def fail(_stop: Stop) -> None:
        raise ValueError("on purpose")

    tracer = Tracer(["sleep", "60"], mask="all", mechanism="observe")
    tracer.observe(fail)
    with pytest.raises(ValueError, match="on purpose"):
        tracer.run(timeout=30)


def test_a_command_that_cannot_be_executed_is_an_error(tmp_path: Path) -> None:
    """Found by the child itself: its interpreter does not exist."""
    script = tmp_path / "script"
    script.write_text("#!/nonexistent\n")
    script.chmod(0o700)
    with pytest.raises(CommandError) as raised:
        Tracer([script], mask="all", mechanism="observe").run(timeout=30)
    assert raised.value.exit_status == 126


def test_nobody_without_privilege_gets_further_than_one_line() -> None:
    """What is missing, and what to type; nothing runs."""
    if os.geteuid() == 0:
        command = [require_program("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"]
    else:
        command = []
    probe = subprocess.run(
        [*command, sys.executable, "-c", "import accel"], capture_output=True, check=False
    )
    require(probe.returncode == 0, "nobody may not run this Python")
    done = subprocess.run(
        [*command, *ACCEL, "trace", "--mechanism", "observe", "--", "echo", "ran"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "accel: eBPF programs need root; run as root\n"


def test_the_placement_of_a_tracer_that_stops_nothing_is_refused() -> None:
    """There is no stop to make cheaper."""
    tracer = Tracer(["true"], mask="all", mechanism="observe", placement="same-cpu")
    with pytest.raises(SetupError, match="observe stops nothing"):
        tracer.run(timeout=30)
