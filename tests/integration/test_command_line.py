"""``accel trace`` as a user types it: output, exit status, bad input, signals."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import compiled

ACCEL = [sys.executable, "-m", "accel"]


def accel(*words: str, **popen: object) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [*ACCEL, *words], capture_output=True, text=True, check=False, timeout=60, **popen
    )


# ------------------------------------------------------------------------------- output


def test_lines_are_straces() -> None:
    """Name, arguments, column 40, result, and the end of the process."""
    done = accel("trace", "-e", "trace=openat", "--", "cat", "/dev/null", "/nonexistent")
    lines = done.stderr.splitlines()
    assert 'openat(AT_FDCWD, "/dev/null", O_RDONLY) = 3' in lines
    missing = 'openat(AT_FDCWD, "/nonexistent", O_RDONLY) = -1 ENOENT (No such file or directory)'
    assert missing in lines
    assert lines[-1] == "+++ exited with 1 +++"
    assert done.returncode == 1


def test_short_lines_are_padded_to_column_40() -> None:
    """Where strace puts the equals sign."""
    done = accel("trace", "-e", "trace=exit_group,close", "--", "true")
    assert "exit_group(0)                           = ?" in done.stderr.splitlines()
    assert "close(3)                                = 0" in done.stderr.splitlines()


def test_a_file_gets_every_line_with_its_pid(tmp_path: Path) -> None:
    """As strace -f -o does; the command's output stays its own."""
    log = tmp_path / "log"
    done = accel(
        "trace", "-o", str(log), "-e", "execve", "--", "sh", "-c", "echo out; echo err >&2"
    )
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert all(re.match(r"\d+ +(execve\(|\+\+\+)", line) for line in log.read_text().splitlines())


def test_an_interrupted_line_is_resumed() -> None:
    """The parent's wait4 is cut by what the child does, and completed after it."""
    command = "(exec true); exit 0"
    done = accel("trace", "-e", "trace=wait4,execve", "--", "sh", "-c", command)
    assert " <unfinished ...>\n" in done.stderr
    assert re.search(r"<\.\.\. wait4 resumed>.*= \d+\n", done.stderr)
    assert re.search(r'\[pid +\d+\] execve\("[^"]*true", \["true"\], 0x', done.stderr)


def test_signals_and_deaths_are_shown() -> None:
    """In strace's words."""
    done = accel("trace", "-e", "trace=kill", "--", "sh", "-c", "kill -USR1 $$")
    assert re.search(r"--- SIGUSR1 \{si_signo=SIGUSR1, si_code=SI_USER, si_pid=\d+", done.stderr)
    assert done.stderr.splitlines()[-1] == "+++ killed by SIGUSR1 +++"
    assert done.returncode == -signal.SIGUSR1


def test_signals_can_be_left_out() -> None:
    """-e signal=none shows calls alone."""
    done = accel("trace", "-e", "signal=none", "-e", "kill", "--", "sh", "-c", "kill -CONT $$")
    assert "--- SIG" not in done.stderr
    assert "kill(" in done.stderr


def test_json_lines_are_lossless(tmp_path: Path) -> None:
    """One object a line; registers in hexadecimal; bytes escaped."""
    log = tmp_path / "log"
    name = os.fsdecode(b"/nonexistent/\xff\n")
    accel("trace", "--json", "-o", str(log), "-e", "openat", "-s", "999", "--", "cat", name)
    records = [json.loads(line) for line in log.read_text(encoding="ascii").splitlines()]
    assert {record["schema"] for record in records} == {1}
    assert records[-1]["type"] == "exited"
    call = next(r for r in records if r["type"] == "syscall" and r["error"] == "ENOENT"
                and "nonexistent" in r["arguments"][1]["text"])  # fmt: skip
    assert call["name"] == "openat"
    assert call["arguments"][0] == {"name": "dirfd", "raw": "0xffffff9c", "text": "AT_FDCWD"}
    assert call["arguments"][1]["text"] == r'"/nonexistent/\377\n"'
    assert call["result"] == -2


def test_a_summary_counts_calls_errors_and_stops() -> None:
    """-c prints a table and no calls; -C both."""
    program = compiled("getppid_loop")
    done = accel("trace", "-c", "-e", "trace=getppid", "--", program, "50")
    row = next(line.split() for line in done.stderr.splitlines() if line.endswith(" getppid"))
    assert row[3:] == ["50", "100", "getppid"]
    assert "getppid()" not in done.stderr
    both = accel("trace", "-C", "-e", "trace=getppid", "--", program, "5")
    assert both.stderr.count("getppid()") == 5
    assert both.stderr.splitlines()[-1].endswith(" total")


def test_success_and_failure_can_be_chosen() -> None:
    """-z shows calls that succeeded, -Z those that failed."""
    words = ["-e", "trace=openat", "--", "cat", "/dev/null", "/nonexistent"]
    good, bad = accel("trace", "-z", *words).stderr, accel("trace", "-Z", *words).stderr
    assert '"/dev/null", O_RDONLY) = 3' in good
    assert "ENOENT" not in good
    assert '"/nonexistent", O_RDONLY) = -1 ENOENT' in bad
    assert "= 3" not in bad


def test_calls_can_be_chosen_by_path() -> None:
    """-P shows what uses a path, by name or by descriptor."""
    done = accel("trace", "-P", "/etc/hostname", "--", "cat", "/etc/hostname")
    lines = done.stderr.splitlines()
    assert 'openat(AT_FDCWD, "/etc/hostname", O_RDONLY) = 3' in lines
    assert any(line.startswith("read(3, ") for line in lines)
    assert not any("libc.so" in line for line in lines)


def test_descriptors_can_be_shown_with_their_paths() -> None:
    """-y, for arguments and results."""
    done = accel("trace", "-y", "-e", "trace=openat,read", "--", "cat", "/etc/hostname")
    assert '"/etc/hostname", O_RDONLY) = 3</etc/hostname>' in done.stderr
    assert "read(3</etc/hostname>, " in done.stderr


@pytest.mark.parametrize(
    ("option", "pattern"),
    [
        ("-t", r"\d\d:\d\d:\d\d execve"),
        ("-tt", r"\d\d:\d\d:\d\d\.\d{6} execve"),
        ("-ttt", r"\d{10}\.\d{6} execve"),
        ("-r", r" +0\.000000 execve"),
        ("-T", r"execve\(.* = 0 <\d+\.\d{6}>"),
    ],
)
def test_times_are_shown_as_strace_shows_them(option: str, pattern: str) -> None:
    """Of the day, since the last line, or spent in the call."""
    done = accel("trace", option, "-e", "trace=execve", "--", "true")
    assert re.match(pattern, done.stderr.splitlines()[0])


def test_strings_are_cut_where_asked() -> None:
    """-s counts bytes."""
    done = accel("trace", "-s", "4", "-e", "trace=openat", "--", "cat", "/etc/hostname")
    # Paths are never cut, strings are: strace's rule.
    assert '"/etc/hostname"' in done.stderr
    written = accel("trace", "-s", "4", "-e", "trace=write", "--", "echo", "abcdefgh")
    assert 'write(1, "abcd"..., 9)' in written.stderr


def test_the_filter_can_be_dumped() -> None:
    """The disassembly on standard output; nothing runs."""
    done = accel("trace", "--dump-filter", "-e", "trace=openat", "--", "touch", "/nonexistent/x")
    assert done.returncode == 0
    assert "RET_TRACE" in done.stdout
    assert done.stderr == ""


# ------------------------------------------------------------------------------- exit status


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_the_exit_status_is_the_commands(status: int) -> None:
    """Whatever it is."""
    assert accel("trace", "-e", "execve", "sh", "-c", f"exit {status}").returncode == status


def test_what_was_registered_for_the_end_is_done_though_accel_leaves_at_once() -> None:
    """A rules file or a plug-in may have asked for it; what it prints is not lost."""
    script = (
        "import atexit, sys; from accel.__main__ import main;"
        "atexit.register(print, 'the end'); sys.argv[1:] = ['trace', '-qq', '-e', 'bpf', 'true'];"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "the end\n")


def test_what_standard_output_cannot_take_is_said() -> None:
    """As Python says it at its end: a full disk is no success."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(
            [sys.executable, "-m", "accel", "trace", "--help"],
            check=False, env=buffered, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 120
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGINT])
def test_a_death_by_signal_is_accels_too(number: signal.Signals) -> None:
    """So that a shell or make sees what happened."""
    done = accel("trace", "-e", "execve", "--", "sh", "-c", f"kill -{int(number)} $$")
    assert done.returncode == -number


def test_accel_waits_for_the_last_process(tmp_path: Path) -> None:
    """A child that outlives the command is traced to its end, as strace -f does."""
    log = tmp_path / "log"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = f"(read line < {pipe}; exit 9) & exit 4"
    command = [*ACCEL, "trace", "-o", str(log), "-e", "exit_group", "--", "sh", "-c", script]
    with subprocess.Popen(command) as process:
        pipe.write_text("go on\n")
        assert process.wait(60) == 4
    assert "exit_group(9" in log.read_text()


# ------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["-e", "trace=opnat", "--", "true"], 2, "did you mean openat"),
        (["-e", "trace=%fil", "--", "true"], 2, "%file"),
        (["-e", "trace=", "--", "true"], 2, "mask"),
        (["-e", "trace=none", "--", "true"], 2, "no system call is selected"),
        (["-e", "trace=/(", "--", "true"], 2, "/("),
        (["-e", "wrong=1", "--", "true"], 2, "-e trace="),
        (["-e", "signal=WRONG", "--", "true"], 2, "kill -l"),
        (["--", "no-such-command"], 127, "command not found"),
        (["--", "/no/such/file"], 127, "not found"),
        (["--", "/etc/passwd"], 126, "permission denied"),
        (["--", "/etc"], 126, "is a directory"),
        (["-o", "/no/such/directory/log", "--", "true"], 2, "cannot write"),
        (["-o", "/etc", "--", "true"], 2, "cannot write"),
        (["-p", "999999999"], 2, "no process 999999999"),
        ([], 2, "nothing to trace"),
        (["-p", "1", "--", "true"], 2, "not both"),
        (["-s", "-1", "--", "true"], 2, "-s"),
    ],
)
def test_bad_input_is_one_clear_line(words: list[str], status: int, text: str) -> None:
    """What is wrong and what to do; no traceback; nothing started."""
    done = accel("trace", *words)
    assert done.returncode == status
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    # argparse adds its usage above its line.
    assert len([line for line in done.stderr.splitlines() if line.startswith("accel")]) == 1
    assert done.stdout == ""


def test_a_run_that_cannot_begin_leaves_the_old_file(tmp_path: Path) -> None:
    """-o replaces a file only when there is something to put there."""
    log = tmp_path / "log"
    log.write_text("precious\n")
    new = tmp_path / "new"
    assert accel("trace", "-o", str(log), "--", "no-such-command").returncode == 127
    assert accel("trace", "-o", str(log), "-p", "999999999").returncode == 2
    assert accel("trace", "-o", str(new), "-p", "999999999").returncode == 2
    assert log.read_text() == "precious\n"
    assert not new.exists()


def test_a_run_that_cannot_begin_leaves_the_old_records_and_no_new_file(tmp_path: Path) -> None:
    """A file of records is opened last, as opening it takes what it held."""
    records, trace, wrong = tmp_path / "old.npy", tmp_path / "new.txt", tmp_path / "records.txt"
    records.write_bytes(b"what it held")
    ran = accel(
        "trace", "-o", str(trace), "--record", str(records), "--", "no-such-program-anywhere"
    )
    assert ran.returncode == 127
    assert records.read_bytes() == b"what it held"
    ran = accel("trace", "-o", str(trace), "--record", str(wrong), "--", "true")
    assert ran.returncode == 2
    assert os.listdir(tmp_path) == ["old.npy"]


def test_a_process_that_is_traced_already_is_refused() -> None:
    """The error names the tracer that has it."""
    command = [*ACCEL, "trace", "-e", "read", "--", "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        assert first.stderr is not None
        seen = b""
        # A call that blocks is shown before it returns.
        while b"read(0, " not in seen:
            seen += os.read(first.stderr.fileno(), 4096)
        tasks = Path(f"/proc/{first.pid}/task").glob("*/children")
        children = " ".join(task.read_text() for task in tasks).split()
        (cat,) = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == "cat\n"]
        done = accel("trace", "-p", cat)
        first.communicate(b"")
    assert done.returncode == 2
    assert "already traced by" in done.stderr


def test_a_full_disk_is_said_and_does_not_stop_the_command() -> None:
    """Records are lost loudly; the command ends as it would; accel fails."""
    done = accel(
        "trace", "-o", "/dev/full", "-e", "openat", "--", "sh", "-c", "cat /dev/null; echo ok"
    )
    assert done.stdout == "ok\n"
    assert "No space left on device; the trace is incomplete" in done.stderr
    assert re.search(r"\d+ lines of the trace could not be written", done.stderr)
    assert done.returncode == 2


# ------------------------------------------------------------------------------- signals to accel


def _alive(group: int) -> list[str]:
    """List the members of a process group that run; a zombie waits for init only."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append(stat.parent.name)
    return found


def _waiting_command(tmp_path: Path, trap: str = "") -> tuple[list[str], Path]:
    """Make a command that says when it runs, through a FIFO, and then waits for a signal."""
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)
    script = f"{trap} echo > {fifo}; while :; do sleep 1000; done"
    return [*ACCEL, "trace", "-e", "execve", "--", "sh", "-c", script], fifo


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_accel_ends_the_command(tmp_path: Path, number: signal.Signals) -> None:
    """It is passed on; accel ends as the command does; nothing stays behind."""
    command, fifo = _waiting_command(tmp_path)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    with process:
        fifo.read_text()
        process.send_signal(number)
        assert process.wait(60) == -number
    assert not _alive(process.pid)


def test_a_command_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    """After two seconds of grace."""
    command, fifo = _waiting_command(tmp_path, "trap '' TERM;")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    with process:
        fifo.read_text()
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    assert not _alive(process.pid)


def test_ctrl_c_at_a_terminal_reaches_the_command_first() -> None:
    """A command that handles SIGINT goes on, and ends as it likes; the second one kills."""
    handles = "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.05; done"
    assert _at_terminal(handles, presses=1) == 5
    stubborn = "trap 'echo caught' INT; echo ready; while :; do sleep 0.05; done"
    assert _at_terminal(stubborn, presses=2) == -signal.SIGINT


def _at_terminal(script: str, presses: int) -> int:
    """Run a script under accel on a terminal, press Ctrl-C, and tell accel's exit status."""
    pid, master = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [*ACCEL, "trace", "-o", "/dev/null", "--", "sh", "-c", script])
    output = b""
    for expected in [b"ready", *[b"caught"] * (presses - 1)]:
        while expected not in output:
            output += os.read(master, 4096)
        output = b""
        os.write(master, b"\x03")
    try:
        while os.read(master, 4096):
            pass
    except OSError:  # EIO: the terminal's last process has gone.
        pass
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# ------------------------------------------------------------------------------- attaching


def test_a_running_process_can_be_traced_and_let_go() -> None:
    """Plain stops, said in one line; at the end the process runs on."""
    script = "while read line; do :; done; exit 3"
    with subprocess.Popen(["bash", "-c", script], stdin=subprocess.PIPE) as target:
        assert target.stdin is not None
        command = [*ACCEL, "trace", "-e", "trace=read", "-p", str(target.pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            said = tracer.stderr.readline() + tracer.stderr.readline()
            assert "every call stops twice" in said
            assert f"Process {target.pid} attached" in said
            target.stdin.write(b"hello\n")
            target.stdin.flush()
            lines = [tracer.stderr.readline() for _line in range(2)]
            assert any('"h", 1)' in line for line in lines), lines
            tracer.send_signal(signal.SIGINT)
            assert tracer.wait(60) == 0
        status = Path(f"/proc/{target.pid}/status").read_text()
        assert "TracerPid:\t0\n" in status
        assert "State:\tS" in status
        target.stdin.close()
        assert target.wait(60) == 3


def test_a_killed_tracer_does_not_hurt_a_process_it_attached_to() -> None:
    """EXITKILL is for commands that accel started."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as target:
        command = [*ACCEL, "trace", "-e", "trace=read", "-p", str(target.pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            while "attached" not in tracer.stderr.readline():
                pass
            tracer.kill()
        assert target.communicate(b"alive")[0] == b"alive"
        assert target.returncode == 0
