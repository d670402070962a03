"""Job control: Ctrl-Z, fg and bg work through the tracer, as without it."""

from __future__ import annotations

import os
import pty
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import require_program


class Terminal:
    """An interactive shell on a terminal; ``expect`` waits for its output."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._seen = ""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def expect(self, pattern: str) -> str:
        """Read until ``pattern`` appears; what comes after it is left for the next call."""
        while not (found := re.search(pattern, self._seen)):
            self._seen += os.read(self._master, 4096).decode(errors="replace")
        self._seen = self._seen[found.end() :]
        return found[0]


@contextmanager
def shell() -> Iterator[Terminal]:
    """Start bash with job control on a terminal of its own."""
    bash = require_program("bash")
    pid, master = pty.fork()
    if pid == 0:
        os.environ["PS1"] = "PROMPT> "
        os.execv(bash, [bash, "--norc", "--noprofile", "-i"])
    terminal = Terminal(master)
    try:
        terminal.expect("PROMPT> ")
        yield terminal
    finally:
        # The terminal hangs up: whatever still runs in it gets SIGHUP.
        os.close(master)
        os.waitpid(pid, 0)


def trace(script: str) -> str:
    """Spell the command that traces a shell script."""
    return (
        f"{sys.executable} -m accel trace -o /dev/null -e trace=kill,execve -- sh -c '{script}'\n"
    )


def test_ctrl_z_stops_the_job_and_fg_continues_it() -> None:
    """The shell gets its prompt back; the command goes on where it was."""
    with shell() as terminal:
        terminal.type(trace('echo rea""dy; read line; echo got-$line'))
        terminal.expect("ready")
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.expect("PROMPT> ")
        terminal.type("fg\n")
        terminal.expect("sh -c")
        terminal.type("hello\n")
        terminal.expect("got-hello")
        terminal.expect("PROMPT> ")
        terminal.type("echo status-$?\n")
        assert terminal.expect(r"status-\d+") == "status-0"


def test_a_stopped_job_can_go_on_in_the_background() -> None:
    """bg sends SIGCONT to the whole job; both tracer and tracee go on."""
    with shell() as terminal:
        terminal.type(trace('echo rea""dy; kill -TSTP 0; echo resu""med'))
        terminal.expect("ready")
        terminal.expect("Stopped")
        terminal.expect("PROMPT> ")
        terminal.type("bg\n")
        terminal.expect("resumed")
        terminal.type("wait; echo status-$?\n")
        assert terminal.expect(r"status-\d+") == "status-0"


def test_ctrl_c_ends_a_job_and_the_shell_sees_it() -> None:
    """Status 130, as the command alone would give."""
    with shell() as terminal:
        # A builtin: a shell that is about to fork keeps a SIGINT to itself until its child ends.
        terminal.type(trace('echo rea""dy; read line'))
        terminal.expect("ready")
        terminal.type("\x03")
        terminal.expect("PROMPT> ")
        terminal.type("echo status-$?\n")
        assert terminal.expect(r"status-\d+") == "status-130"
