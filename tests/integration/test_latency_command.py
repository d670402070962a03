"""``accel latency`` as a user types it; and what is said where eBPF programs cannot run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bpf import ProbesUnavailable
from bpf.probes import Latency
from tests.integration.test_command_line import ACCEL, accel
from tests.support import compiled, require, require_program

ROOT = Path(__file__).parents[2]
NOBODY = 65534


@pytest.fixture(scope="module", autouse=True)
def possible() -> None:
    """Where it cannot work there is nothing to prove, and this compiles it once."""
    try:
        Latency().close()
    except ProbesUnavailable as error:
        require(False, str(error))


def test_the_command_runs_and_three_histograms_are_told() -> None:
    """Its output is its own, accel's goes to standard error."""
    program = compiled("getppid_loop")
    done = accel("latency", "-e", "trace=getppid", "--", program, "100")
    assert done.returncode == 0
    assert int(done.stdout) > 0
    lines = done.stderr.splitlines()
    assert lines[0].startswith("202 stops of ")
    titles = ["whole stops", "until the tracer knew", "from then until it resumed the tracee"]
    assert [line for line in lines if line in titles] == titles
    counts = [int(line.split(":")[1].split("|")[0]) for line in lines if "->" in line]
    assert sum(counts) == 3 * 202


def test_the_same_in_json_to_a_file(tmp_path: Path) -> None:
    """Where every stop is in every histogram."""
    path = tmp_path / "latency.json"
    command = [compiled("getppid_loop"), "50"]
    done = accel("latency", "-e", "getppid", "--json", "-o", str(path), "--", *command)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(path.read_text())
    assert (told["schema"], told["stops"], told["unseen"], told["lost"]) == (1, 102, 0, 0)
    for part in ("whole", "waiting", "work"):
        assert sum(slot["count"] for slot in told[part]["slots"]) == 102


def test_the_exit_status_is_the_commands() -> None:
    """A status, or a signal."""
    assert accel("latency", "--", "sh", "-c", "exit 3").returncode == 3
    assert accel("latency", "--", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM
    assert accel("latency", "--tracer", "--", "sh", "-c", "exit 4").returncode == 4


def test_another_tracer_is_measured() -> None:
    """accel itself traces nothing then."""
    strace = [require_program("strace"), "-o", os.devnull, compiled("getppid_loop"), "100"]
    done = accel("latency", "--json", "--tracer", "--", *strace)
    told = json.loads(done.stderr)
    assert told["stops"] > 200
    assert sum(slot["count"] for slot in told["work"]["slots"]) == told["stops"]


def test_a_process_that_is_traced_already_is_measured_until_it_ends() -> None:
    """Or until accel is told to end, as by timeout(1)."""
    script = 'echo ready; read line; exec "$0" 100'
    command = ["sh", "-c", script, compiled("getppid_loop")]
    strace = [require_program("strace"), "-o", os.devnull, "-D", *command]
    with subprocess.Popen(strace, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as traced:
        assert traced.stdout is not None
        assert traced.stdin is not None
        assert traced.stdout.readline() == b"ready\n"
        # With -D the command is the child, and strace its grandchild.
        measuring = [*ACCEL, "latency", "--json", "-p", str(traced.pid)]
        with subprocess.Popen(measuring, stderr=subprocess.PIPE) as measured:
            wait_until_it_polls(measured)
            traced.stdin.write(b"\n")
            traced.stdin.close()
            _, told = measured.communicate()
    assert measured.returncode == 0
    assert json.loads(told)["stops"] > 200


def test_measuring_a_process_ends_by_sigterm() -> None:
    """What was measured until then is told."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        measuring = [*ACCEL, "latency", "-p", str(process.pid)]
        with subprocess.Popen(measuring, stderr=subprocess.PIPE) as measured:
            wait_until_it_polls(measured)
            measured.send_signal(signal.SIGTERM)
            _, told = measured.communicate()
        assert (measured.returncode, told) == (0, b"no stops\n")
        assert process.poll() is None
        process.communicate()


def wait_until_it_polls(process: subprocess.Popen[bytes]) -> None:
    """Wait for its poll(2); proc(5), /proc/pid/syscall."""
    path = Path(f"/proc/{process.pid}/syscall")
    while process.poll() is None and not path.read_text().startswith("7 "):
        os.sched_yield()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "give a command after --, or a process with -p PID"),
        (["-p", "1", "--", "true"], 2, "give a command after --, or a process with -p PID"),
        (["-e", "trace=nothing", "--", "true"], 2, "unknown"),
        (["--tracer", "-e", "openat", "--", "true"], 2, "leave -e and --exit-only out"),
        (["-p", "4194304"], 2, "there is no process 4194304"),
        (["-o", "/nonexistent/file", "--", "true"], 2, "cannot write /nonexistent/file"),
        (["--", "nonexistent-command"], 127, "nonexistent-command: command not found"),
        (["--tracer", "--", "nonexistent-command"], 127, "nonexistent-command"),
    ],
)
def test_what_cannot_be_is_said(words: list[str], status: int, said: str) -> None:
    """In a line, and by the status."""
    done = accel("latency", *words)
    assert done.returncode == status
    assert said in done.stderr.splitlines()[-1]


# ------------------------------------------------------------------------------- hosts without


def refused(tmp_path: Path, command: list[str], **environment: str) -> str:
    """Run ``command`` with a cache that is empty; return the one line that it fails with."""
    done = subprocess.run(
        command,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert not (tmp_path / "ran").exists(), "the command ran all the same"
    (line,) = done.stderr.splitlines()
    return line


def latency_of_touch(tmp_path: Path) -> list[str]:
    return ["latency", "--", "touch", str(tmp_path / "ran")]


def hiding(*directories: str) -> list[str]:
    """Run a command where directories are empty; mount_namespaces(7)."""
    mounts = "".join(
        f"mount -t tmpfs none {name} && " for name in directories if os.path.isdir(name)
    )
    return [require_program("unshare"), "--mount", "sh", "-c", f'{mounts} exec "$@"', "sh"]


def test_without_root_one_line_says_so(tmp_path: Path) -> None:
    """Nobody, who may trace his own processes all the same."""
    program = (
        "import encodings.ascii, os, sys\n"  # Python itself may be root's alone.
        "import accel.command_line.latency\n"
        "from accel.command_line import main\n"
        f"os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "main(sys.argv[1:])\n"
    )
    line = refused(tmp_path, [sys.executable, "-c", program, *latency_of_touch(tmp_path)])
    assert line == "accel: eBPF programs need root; run as root"


def test_without_bcc_one_line_says_what_to_install(tmp_path: Path) -> None:
    """Debian's package, and the headers with it."""
    hidden = hiding("/usr/lib/python3/dist-packages/bcc")
    line = refused(tmp_path, [*hidden, *ACCEL, *latency_of_touch(tmp_path)])
    assert line == (
        "accel: bcc, which compiles eBPF programs, is not installed;"
        " sudo apt install python3-bpfcc linux-headers-amd64"
    )


def test_the_unrelated_package_of_that_name_is_recognised(tmp_path: Path) -> None:
    """PyPI's bcc is about crystal lattices: it is named, and how to be rid of it."""
    (tmp_path / "site/bcc").mkdir(parents=True)
    (tmp_path / "site/bcc/__init__.py").write_text("from .lattice import BCC\n")
    line = refused(
        tmp_path,
        [*ACCEL, *latency_of_touch(tmp_path)],
        PYTHONPATH=f"{tmp_path}/site:{os.environ.get('PYTHONPATH', '')}",
    )
    assert line == (
        f"accel: {tmp_path}/site/bcc is a package of crystal lattices with the same name as bcc;"
        " python3 -m pip uninstall bcc; sudo apt install python3-bpfcc linux-headers-amd64"
    )


def test_without_headers_one_line_says_what_to_install(tmp_path: Path) -> None:
    """Of whatever kernel."""
    hidden = hiding("/usr/src", f"/lib/modules/{os.uname().release}")
    line = refused(tmp_path, [*hidden, *ACCEL, *latency_of_touch(tmp_path)])
    assert line == (
        "accel: no kernel headers are installed, which bcc needs;"
        " sudo apt install python3-bpfcc linux-headers-amd64"
    )
