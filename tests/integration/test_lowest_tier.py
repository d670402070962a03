"""What needs no look is answered without a stop, in programs that nobody here wrote."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from accel import Decision, Tracer, arg
from accel.stops import SyscallEntryStop
from tests.support import require_program

FAKE_ROOT = "getuid,geteuid,getgid,getegid"


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (("id", "-u"), b"0\n"),
        ((sys.executable, "-c", "import os; print(os.getuid(), os.getegid())"), b"0 0\n"),
        (("tar", "-C", "/etc", "-cf", "/dev/null", "hostname"), b""),
    ],
    ids=["id", "python3", "tar"],
)
def test_a_fake_root_takes_no_stop(command: tuple[str, ...], printed: bytes) -> None:
    """Four constants in the filter; everything else is real, and of nobody."""
    for program in ("setpriv", command[0]):
        require_program(program)
    tracer = Tracer(["setpriv", "--reuid=65534", "--clear-groups", *command], capture_output=True)
    tracer.decide(FAKE_ROOT, Decision.skip(0))
    assert tracer.run(timeout=60).stdout == printed
    assert tracer.result is not None
    assert tracer.result.returncode == 0
    assert tracer.statistics().stops_by_kind.keys() == {"event"}


def test_writes_to_one_descriptor_are_virtual_and_others_take_no_stop(tmp_path: Path) -> None:
    """The filter tells them apart by a scalar argument."""
    script = (
        "import os\n"
        "log = os.open('log', os.O_WRONLY | os.O_CREAT)\n"
        "for number in range(50):\n"
        "    os.write(1, b'%d\\n' % number)\n"
        "    os.write(log, b'real\\n')\n"
        "    os.write(2, b'real\\n')\n"
    )
    written: list[bytes] = []
    tracer = Tracer([sys.executable, "-c", script], cwd=tmp_path, capture_output=True)

    @tracer.on_entry("write", where=arg.fd == 1)
    def keep(stop: SyscallEntryStop) -> Decision:
        written.append(stop.read(stop.args.buf, stop.args.count))
        return Decision.skip(stop.args.count)

    result = tracer.run(timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"real\n" * 50)
    assert (tmp_path / "log").read_bytes() == b"real\n" * 50
    assert written == [b"%d\n" % number for number in range(50)]
    assert tracer.statistics().stops_by_kind["seccomp"] == 50
    assert tracer.statistics().calls["write"].stops == 50
