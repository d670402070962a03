"""``accel compare`` on real commands: counts that the kernel confirms, output that is the same."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accel.audit import KernelStopCount
from accel.compare.subjects import MECHANISMS
from accel.errors import AuditUnavailable
from tests.integration.terminal import Terminal
from tests.support import require, require_program

ACCEL = [sys.executable, "-m", "accel", "compare"]
ROOT = Path(__file__).parents[2]
#: Those that need no compiler to start, and let calls run.
QUICK = ",".join(set(MECHANISMS) - {"exit-event:ebpf", "observe", "sysemu"})
#: The one that has least to start.
ONE = ("--runs", "1", "--only", "ptrace-syscall")


def accel(*words: str, **popen: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end; standard input is empty."""
    popen.setdefault("stdin" if "input" not in popen else "timeout", subprocess.DEVNULL)
    popen["timeout"] = 120
    popen["env"] = {**os.environ, "PYTHONPATH": str(ROOT), **popen.get("env", {})}
    return subprocess.run([*ACCEL, *words], capture_output=True, text=True, check=False, **popen)


def compared(*words: str, **popen: Any) -> dict[str, Any]:
    """Compare, and read what was written as JSON; nothing may have been different."""
    done = accel("--json", *words, **popen)
    assert (done.returncode, done.stderr) == (0, "")
    read: dict[str, Any] = json.loads(done.stdout)
    assert read["schema"] == 1
    assert read["faults"] == []
    return read


def row(read: dict[str, Any], mechanism: str, decision: str = "", tier: str = "") -> dict[str, Any]:
    """Find a row."""
    (found,) = [
        one
        for one in read["rows"]
        if one["mechanism"] == mechanism and decision in ("", one["decision"])
        and tier in ("", one["tier"])
    ]  # fmt: skip
    return dict(found)


@pytest.fixture
def audit() -> None:
    """The kernel's count can be had."""
    try:
        with KernelStopCount():
            pass
    except AuditUnavailable as error:
        require(condition=False, reason=str(error))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory with something to find, compile, pack and look up."""
    for number in range(50):
        directory = tmp_path / "tree" / f"{number}"
        directory.mkdir(parents=True)
        (directory / "file").write_text(f"{number}\n")
    (tmp_path / "program.c").write_text("int main(void) { return 0; }\n")
    return tmp_path


def git(work: Path, *words: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *words], cwd=work, check=True, capture_output=True)


COMMANDS = {
    "find": ["find", "tree", "-name", "file"],
    "gcc": ["gcc", "-c", "program.c", "-o", "program.o"],
    "tar": ["tar", "-cf", "tree.tar", "tree"],
    "git": ["git", "-C", "tree", "log", "--stat"],
    # Not whatever the name leads to: where that is a script, its own children stop, too.
    "python3": [sys.executable, "-c", "import json; print(json.dumps([1]))"],
}


@pytest.mark.parametrize("program", COMMANDS)
@pytest.mark.usefixtures("audit")
def test_the_kernel_confirms_every_count_on_real_programs(work: Path, program: str) -> None:
    """And the naive tracer stops at least 50 times as often as one of %network."""
    require_program(program)
    if program == "git":
        git(work / "tree", "init", "-q")
        git(work / "tree", "add", ".")
        git(work / "tree", "commit", "-q", "-m", "all")
    words = ("--audit", "--runs", "1", "--only", QUICK, "-e", "trace=%network")
    read = compared(*words, "--", *COMMANDS[program], cwd=work)
    traced = read["rows"][1:]
    assert len(traced) >= 6
    assert [one for one in traced if one["audited_stops"] != one["stops"]] == []
    naive = row(read, "ptrace-syscall")
    selecting = row(read, "seccomp-trace", "inspect()", "loop")
    assert naive["stops"] >= 50 * selecting["stops"]
    assert read["rows"][0]["audited_stops"] == 0
    assert naive["syscalls"] == read["rows"][0]["syscalls"] > 0


@pytest.mark.usefixtures("audit")
def test_every_mechanism_and_every_other_tracer_has_a_row_or_a_reason(work: Path) -> None:
    """Stops, handler calls and notifications apart; an exit-stop more than SKIPEXIT for each.

    perf and bpftrace end with a status of their own, and say something: that is seen through.
    """
    require_program("strace")
    script = 'test "$(cat)" = "int main(void) { return 0; }"; find tree; echo err >&2; exit 3'
    with (work / "program.c").open() as file:
        words = ("--audit", "--runs", "1", "-e", "openat", "--", "sh", "-ec", script)
        read = compared(*words, cwd=work, stdin=file)
    assert read["notes"] == ["the command ends with exit status 3, also natively: err"]
    resumed = row(read, "seccomp-trace", "resume()", "loop")
    handled = row(read, "seccomp-trace", "resume()", "handler")
    inspected = row(read, "seccomp-trace", "inspect()", "loop")
    assert resumed["selected"] > 50
    events = resumed["stops"] - resumed["selected"]
    assert 0 < events < 50
    assert handled["stops"] == resumed["stops"]
    assert inspected["stops"] == 2 * resumed["selected"] + events
    assert (handled["handler_calls"], resumed["handler_calls"]) == (resumed["selected"], 0)
    assert row(read, "native")["tracer_cpu_seconds"] is None
    for one in read["rows"][1:]:
        assert one["tracer_cpu_seconds"] > 0, one
        assert one["stops"] in (None, one["audited_stops"])
    strace = row(read, "strace")
    assert strace["stops"] is None
    assert strace["audited_stops"] >= row(read, "ptrace-syscall")["stops"]
    assert strace["includes_start"]
    named = {one["mechanism"] for one in read["rows"]} | {one["name"] for one in read["absent"]}
    for name in ("exit-event:perf", "exit-event:ebpf", "sysemu", "strace --seccomp-bpf",
                 "bpftrace", "perf trace"):  # fmt: skip
        assert any(one.startswith(name) for one in named), name


def test_a_table_is_what_people_get(work: Path) -> None:
    """Two rounds; the numbers of calls above, reasons below."""
    figure = work / "figure.svg"
    words = ("--runs", "2", "--only", "ptrace-syscall", "--plot", str(figure))
    done = accel(*words, "--", *COMMANDS["find"], cwd=work)
    assert done.returncode == 0
    assert "find tree -name file" in figure.read_text()
    lines = done.stdout.splitlines()
    assert lines[0] == "find tree -name file"
    assert "system calls, " in lines[1]
    assert lines[2].startswith("median of 2 interleaved runs; Linux ")
    assert [line.split()[0] for line in lines[6:8]] == ["native", "ptrace-syscall"]
    assert "100 %" in lines[7]


# ------------------------------------------------------------------------------- what must be equal


def test_a_command_that_behaves_differently_when_it_is_traced_is_reported() -> None:
    """A loud line for each, and exit status 1; the figures are there all the same."""
    script = "grep -q 'TracerPid:.0$' /proc/self/status && echo alone"
    done = accel("--runs", "2", *ONE[2:], "--", "sh", "-c", script)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    what = "exit status, standard output not as in the native run"
    assert lines == [f"accel: *** ptrace-syscall inspect(): run {n}: {what}" for n in (1, 2)]
    assert "ptrace-syscall" in done.stdout


def test_output_that_is_never_the_same_is_said_and_not_compared() -> None:
    """Here a pid; what else there is must be equal still."""
    read = compared(*ONE, "--", "sh", "-c", "echo $$; exit 3")
    assert "not compared: standard output" in read["notes"][0]
    assert "ends with exit status 3" in read["notes"][1]


def test_a_command_that_fails_is_compared_and_says_why() -> None:
    """Its last words, as nothing else of its output is shown."""
    read = compared(*ONE, "--", "ls", "/nonexistent")
    assert "exit status 2, also natively: ls: cannot access '/nonexistent'" in read["notes"][0]


def test_a_command_that_changes_what_it_finds_needs_a_copy(tmp_path: Path) -> None:
    """The second run fails, and the reason is said."""
    done = accel(*ONE, "--", "mkdir", str(tmp_path / "new"))
    assert done.returncode == 2
    assert "native runs end differently (exit status 0 or 1)" in done.stderr
    assert "--copy PATH" in done.stderr


def test_a_profile_is_kept_in_the_filter_and_at_stops(tmp_path: Path) -> None:
    """With the same result, and a stop for each call that is answered, or for every call twice."""
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30}],
    }))  # fmt: skip
    made = [str(tmp_path / name) for name in "abc"]
    words = ("--runs", "1", "--only", "seccomp-trace,ptrace-syscall", "-e", "mkdir")
    script = 'for d; do mkdir "$d"; rmdir "$d" 2>/dev/null; done; true'
    read = compared(*words, "--rules", str(profile), "--", "sh", "-c", script, "sh", *made)
    skipped = row(read, "seccomp-trace", "skip()")
    assert skipped["stops"] == row(read, "seccomp-trace", "nullify()")["stops"] + 3
    assert skipped["selected"] == row(read, "ptrace-syscall", "skip()")["selected"] == 3
    naive = row(read, "ptrace-syscall", "skip()")
    assert naive["stops"] > 2 * naive["syscalls"] > 1000
    assert (naive["stops_of_naive"], skipped["family"]) == (1, "ruled")
    assert "the profile changes what the command does" in read["notes"][0]


# ------------------------------------------------------------------------------- standard input


@pytest.mark.parametrize("source", ["pipe", "file", "rest of a file"])
def test_every_run_reads_all_of_standard_input(tmp_path: Path, source: str) -> None:
    """A pipe is read once, for all; of a file that was read from, the rest."""
    text = "read this\n"
    check = ("--", "sh", "-c", f'test "$(cat)" = "{text.strip()}"')
    if source == "pipe":
        read = compared(*ONE, *check, input=text)
    else:
        path = tmp_path / "input"
        path.write_text(text if source == "file" else f"line\n{text}")
        with path.open("rb", buffering=0) as file:
            file.read(0 if source == "file" else 5)
            read = compared(*ONE, *check, stdin=file)
    assert read["notes"] == []


def test_processes_that_are_left_behind_count_in_every_time() -> None:
    """The tracer waits for the last of them, so the native time is to its end, too."""
    read = compared(*ONE, "--", "sh", "-c", "sleep 1 & exit 0")
    what = "the command leaves processes behind: times last until these have ended"
    assert read["notes"] == [what]
    assert all(one["wall_seconds"] >= 1 for one in read["rows"])


# ------------------------------------------------------------------------------- copies


def state(path: Path) -> list[tuple[str, int, int, bytes]]:
    """Describe a tree: names, inodes, times, contents."""
    return [
        (str(one), one.stat().st_ino, one.stat().st_mtime_ns,
         one.read_bytes() if one.is_file() else b"")
        for one in sorted([path, *path.rglob("*")])
    ]  # fmt: skip


CHANGES = "rm tree/0/file; echo more >> tree/1/file; mkdir tree/new; mv tree/2 tree/3/moved"


def test_each_run_gets_a_fresh_copy_and_the_original_is_not_touched(work: Path) -> None:
    """It is the same inode with the same times; a path that is not there is removed each time."""
    before = state(work)
    script = f"{CHANGES}; mkdir output; find tree | sort"
    words = ("--copy", "tree", "--copy", "output", "--copy", "tree/0")
    compared(*ONE, *words, "--", "sh", "-ec", script, cwd=work)
    assert [entry for entry in state(work) if entry[0] != str(work)] == before[1:]


def test_the_directory_of_the_comparison_can_be_copied(work: Path) -> None:
    """Each run is in its copy."""
    before = state(work)
    compared(*ONE, "--copy", ".", "--", "sh", "-ec", f"{CHANGES}; ls tree", cwd=work)
    assert state(work) == before


def test_what_runs_leave_in_copied_paths_must_be_equal(work: Path) -> None:
    """A command that writes something else when it is traced."""
    script = "grep TracerPid: /proc/self/status | cut -c12 > tree/0/file"
    done = accel(*ONE, "--copy", "tree", "--", "sh", "-ec", script, cwd=work)
    assert done.returncode == 1
    assert "--copy paths not as in the native run" in done.stderr
    assert (work / "tree/0/file").read_text() == "0\n"


def waiting(work: Path) -> tuple[list[str], Path]:
    """Make a comparison whose command has changed its copy and then waits for ever."""
    fifo = work / "ready"
    os.mkfifo(fifo)
    script = f"{CHANGES}; echo $PPID > {fifo}; exec cat {fifo}"
    return [*ACCEL, *ONE, "--copy", "tree", "--", "sh", "-ec", script], fifo


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_that_ends_the_comparison_leaves_nothing_behind(
    work: Path, number: signal.Signals
) -> None:
    """Neither changes nor processes, not even if it is killed."""
    before = state(work / "tree")
    command, fifo = waiting(work)
    with subprocess.Popen(
        command, cwd=work, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        runner = int(fifo.read_text())
        assert state(work / "tree") != before
        end = os.pidfd_open(runner)
        process.send_signal(number)
        # Who gives the originals back has its standard error, too.
        _out, said = process.communicate(timeout=60)
    assert select.select([end], [], [], 60)[0], "the run goes on"
    os.close(end)
    assert process.returncode == -number
    assert said == b""
    assert state(work / "tree") == before


def test_ctrl_c_at_a_terminal_ends_it_in_order(work: Path) -> None:
    """The progress that was drawn is wiped away, and all is as before."""
    before = state(work / "tree")
    command, fifo = waiting(work)
    script = 'cd "$0"; exec "$@"'
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    with Terminal(["sh", "-c", script, str(work), *command], variables) as terminal:
        fifo.read_text()
        terminal.until(b"] 0/3 native")
        terminal.type(b"\x03")
        terminal.until(b"\r\x1b[K")
        assert terminal.wait() == 130
    assert state(work / "tree") == before


def test_what_waits_to_be_given_back_is_not_touched(work: Path) -> None:
    """After a crash of the machine the original is elsewhere: what to type is said."""
    kept = work / "tmp" / "accel-compare-kept-x"
    kept.mkdir(parents=True)
    (kept / "paths").write_text(f"{work / 'tree'}\n")
    before = state(work / "tree")
    words = ("--copy", "tree", "--", "true")
    done = accel(*ONE, *words, cwd=work, env={"TMPDIR": str(work / "tmp")})
    assert done.returncode == 2
    assert f"mv {kept / '0'} {work / 'tree'}" in done.stderr
    assert state(work / "tree") == before


# ------------------------------------------------------------------------------- what goes wrong


def test_a_full_disk_is_told() -> None:
    """As by the other commands."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*ACCEL, *ONE, "--", "true"], stdout=full, stderr=subprocess.PIPE, text=True,
            stdin=subprocess.DEVNULL, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert "cannot write to standard output: No space left" in done.stderr


def test_a_command_that_asks_a_terminal_does_not_wait_for_one() -> None:
    """It has none, where it would stop in the background for ever."""
    script = 'cd "$0"; exec "$@"'
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    asking = [*ACCEL, *ONE, "--", "sh", "-c", "read answer < /dev/tty || exit 7"]
    with Terminal(["sh", "-c", script, str(ROOT), *asking], variables) as terminal:
        terminal.until(b"ends with exit status 7")
        assert terminal.wait() == 0


def test_a_command_that_kills_its_tracer_costs_no_traceback() -> None:
    """Even natively somebody waits for it."""
    done = accel(*ONE, "--", "sh", "-c", "kill -9 $PPID")
    assert done.returncode == 2
    assert "ended before its report (killed by signal 9)" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_root_only_the_audit_is_lost(work: Path) -> None:
    """It is one clear line, with what to type; without it the comparison works."""
    setpriv = require_program("setpriv")
    require(os.geteuid() == 0, "only root can become somebody else")
    # It may read what this Python needs, wherever that is, and nothing else that others may not.
    allowed = "-all,+dac_read_search"
    before = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={allowed}",
              "--ambient-caps=+dac_read_search", f"--bounding-set={allowed}"]  # fmt: skip
    words = (*ONE, "-e", "trace=openat", "--", *COMMANDS["find"])

    def unprivileged(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, *ACCEL, "--json", *more, *words], cwd=work, capture_output=True, text=True,
            check=False, stdin=subprocess.DEVNULL, timeout=120,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    refused = unprivileged("--audit")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.endswith("; run as root, or leave --audit out\n")
    assert refused.stderr.count("\n") == 1
    done = unprivileged()
    assert (done.returncode, done.stderr) == (0, "")
    read = json.loads(done.stdout)
    assert row(read, "ptrace-syscall")["stops"] > 50
