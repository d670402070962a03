"""``accel explain`` as a user types it, and what its filters do in a process that nobody traces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import compiled, require_program

ACCEL = [sys.executable, "-m", "accel"]
PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30},
        {"names": ["sync"], "action": "SCMP_ACT_KILL_PROCESS"},
        {
            "names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
            "args": [{"index": 1, "value": 15, "op": "SCMP_CMP_EQ"}],
        },
    ],
}  # fmt: skip
READ_ONLY = "Read-only file system"


def accel(*words: str, **popen: object) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [*ACCEL, *words], capture_output=True, text=True, check=False, timeout=60, **popen
    )


@pytest.fixture
def profile(tmp_path: Path) -> str:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(PROFILE))
    return str(path)


def test_nothing_runs_and_the_plan_is_told() -> None:
    """The plan of accel trace: Python looks at every stop."""
    done = accel("explain", "-e", "trace=openat")
    assert done.returncode == 0
    assert done.stderr == ""
    head, row = done.stdout.splitlines()
    assert head.split() == ["rule", "decision", "tier", "mechanism", "stops", "why"]
    assert row.split()[:5] == ["openat", "observe", "handler", "seccomp-trace", "2"]


def test_json_goes_to_a_file(profile: str, tmp_path: Path) -> None:
    """Of a profile every rule is the kernel's."""
    target = tmp_path / "plan.json"
    done = accel("explain", "--rules", profile, "--format", "json", "-o", str(target))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    read = json.loads(target.read_text())
    assert read["schema"] == 1
    assert {rule["tier"] for rule in read["rules"]} == {"kernel"}
    assert {rule["stops"] for rule in read["rules"]} == {0}


@pytest.mark.parametrize("loader", ["load_filter", "bwrap"])
def test_a_raw_filter_works_without_accel(profile: str, tmp_path: Path, loader: str) -> None:
    """Installed from its file, it refuses and kills as the profile says, and allows the rest."""
    target = tmp_path / "filter"
    assert accel("explain", "--rules", profile, "--format", "raw", "-o", str(target)).stderr == ""
    assert target.stat().st_size % 8 == 0

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        if loader == "load_filter":
            words = [compiled("load_filter"), str(target), *command]
            return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        bwrap = require_program("bwrap")
        with target.open("rb") as file:
            words = [bwrap, "--dev-bind", "/", "/", "--seccomp", str(file.fileno()), *command]
            return subprocess.run(
                words, capture_output=True, text=True, check=False, timeout=60,
                pass_fds=[file.fileno()],
            )  # fmt: skip

    assert READ_ONLY in run("mkdir", str(tmp_path / "made")).stderr
    assert not (tmp_path / "made").exists()
    assert run("sync").returncode in (-31, 128 + 31)
    assert run("sh", "-c", "kill -15 $$; echo lives; kill -9 $$").stdout == "lives\n"
    assert run("nproc").returncode == 0


def test_a_raw_filter_that_needs_a_tracer_says_so(tmp_path: Path) -> None:
    """Its calls fail where there is none."""
    done = accel("explain", "-e", "openat", "--format", "raw", "-o", str(tmp_path / "filter"))
    assert done.returncode == 0
    assert done.stderr == "accel: without a tracer these calls fail with ENOSYS: openat\n"


def test_a_command_runs_under_a_profile(profile: str, tmp_path: Path) -> None:
    """And under the one that is written from it; what -e names and it allows is traced."""
    written = tmp_path / "written.json"
    accel("explain", "--rules", profile, "--format", "oci", "-o", str(written))
    for rules in (profile, str(written)):
        made = str(tmp_path / "made")
        done = accel("trace", "--rules", rules, "-e", "exit_group", "--", "mkdir", made)
        assert done.returncode == 1
        assert READ_ONLY in done.stderr
        assert "exit_group(1)" in done.stderr
        killed = accel("trace", "--rules", rules, "--", "sync")
        assert killed.returncode == -31


def test_the_filter_is_listed(profile: str) -> None:
    """Call by call, with its rules."""
    done = accel("explain", "--rules", profile, "--format", "asm")
    assert done.returncode == 0
    assert "; mkdir, mkdirat: rule 1" in done.stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-e", "nosuch"], "unknown system call 'nosuch'"),
        (["-e", "openat", "--format", "oci"], "a container has no tracer for openat"),
        (["-e", "openat", "-p", "1", "--format", "asm"], "ptrace-syscall installs no filter"),
        (["--rules", "/nonexistent"], "cannot read /nonexistent: No such file or directory"),
        (["--rules", "/dev/null"], "/dev/null: this is no JSON"),
        (["-e", "openat", "-o", "/nonexistent/file"], "cannot write /nonexistent/file"),
    ],
)
def test_bad_input_is_one_clear_line(words: list[str], text: str) -> None:
    """And the exit status is accel's own failure."""
    done = accel("explain", *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_profile_is_not_kept_in_a_running_process(profile: str) -> None:
    """No filter can be installed there: nothing is traced without it."""
    done = accel("trace", "--rules", profile, "-p", str(os.getpid()))
    assert done.returncode == 2
    assert "a profile is kept by a filter" in done.stderr


def test_a_full_disk_and_a_closed_pipe_are_told() -> None:
    """As by the other commands."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*ACCEL, "explain", "-e", "openat"], stdout=full, stderr=subprocess.PIPE, text=True,
            check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert "cannot write to standard output: No space left" in done.stderr
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*ACCEL, "explain", "-e", "openat"], stdout=writer, stderr=subprocess.PIPE, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (2, "")
