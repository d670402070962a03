"""A kernel in Python, as a command."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

import examples.total_vm
from tests.integration.static_guests import Outcome, static_busybox

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def busybox() -> str:
    """Debian's static busybox."""
    return static_busybox()


def command_line(*arguments: str, stdin: bytes = b"") -> Outcome:
    """Run ``python -m examples.total_vm``."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.total_vm", *arguments],
        input=stdin, capture_output=True, check=False, cwd=ROOT, timeout=60,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


SESSIONS = re.split(r"^    \$ ", examples.total_vm.__doc__ or "", flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.partition("\n")[0])
def test_the_docstring_shows_what_is_printed(session: str) -> None:
    """Each ``$`` line is typed into a shell."""
    command, _newline, rest = session.partition("\n")
    shown = "".join(f"{line[4:]}\n" for line in rest.partition("\n\n")[0].splitlines())
    python = f'python() {{ "{sys.executable}" "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-c", python + command], capture_output=True, text=True, check=False, cwd=ROOT,
        timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (shown, "")


def test_the_exit_status_is_the_guests() -> None:
    """Also that of a guest that a signal killed, as shells say it."""
    assert command_line("--", "sh", "-c", "exit 7").status == 7
    assert command_line("--", "sh", "-c", "kill -TERM $$").status == 143


def test_streams_are_those_of_the_command_line() -> None:
    """Standard input is read, and both outputs are written, as they come."""
    outcome = command_line("--", "sh", "-c", "read x; echo out $x; echo err >&2", stdin=b"in\n")
    assert outcome == Outcome(0, b"out in\n", b"err\n")


def test_a_directory_is_copied_and_never_written(tmp_path: Path) -> None:
    """--root and --cwd; what the guest does to its copy nobody else sees."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work/text").write_text("before\n")
    script = "read x < text; echo after > text; read y < text; echo $x $y"
    arguments = ("--root", str(tmp_path), "--cwd", "/work", "--", "sh", "-c", script)
    assert command_line(*arguments) == Outcome(0, b"before after\n", b"")
    assert (tmp_path / "work/text").read_text() == "before\n"


def test_the_clock_can_be_set() -> None:
    """--time; a machine that starts a day after 1970 says so."""
    outcome = command_line("--time", "86400", "--", "date", "+%F")
    assert outcome == Outcome(0, b"1970-01-02\n", b"")


def test_ctrl_c_ends_the_machine_and_its_guest_while_they_wait_for_input() -> None:
    """The kernel kills the guest with its tracer: PTRACE_O_EXITKILL."""
    command = [sys.executable, "-m", "examples.total_vm", "--", "sh", "-c", "echo ready; read x"]
    with subprocess.Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE) as machine:
        assert machine.stdout is not None
        assert machine.stdout.readline() == b"ready\n"
        guest = os.pidfd_open(traced_child_of(machine.pid))
        machine.send_signal(signal.SIGINT)
        assert machine.wait(timeout=60) == -signal.SIGINT
        # A pidfd is readable when its process has ended: pidfd_open(2).
        ended, _, _ = select.select([guest], [], [], 60)
        assert ended == [guest]
        os.close(guest)


def traced_child_of(pid: int) -> int:
    """Find the child that is traced, whichever thread made it; accel has helpers, too."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = " ".join((task / "children").read_text() for task in tasks).split()
    untraced = "TracerPid:\t0\n"
    (child,) = (
        child for child in children if untraced not in Path(f"/proc/{child}/status").read_text()
    )
    return int(child)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--", "/no/such/program"), 127, b"total_vm: /no/such/program: command not found"),
        (("--root", "/no/such", "--", "ls"), 2, b"total_vm: [Errno 2]"),
        (("--cwd", "/etc/motd", "--", "ls"), 2, b"total_vm: [Errno 20]"),
        ((), 2, b"usage: python -m examples.total_vm"),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(
    arguments: tuple[str, ...], status: int, message: bytes
) -> None:
    """No traceback."""
    outcome = command_line(*arguments)
    assert outcome.status == status
    assert outcome.stderr.startswith(message)
