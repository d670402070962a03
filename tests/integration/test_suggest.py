"""``accel suggest`` as a user types it: what it says is what accel trace then takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accel import Decision, Tracer
from bpf import ProbesUnavailable
from bpf.probes.observe import Observation, Wanted
from tests.support import require

ACCEL = [sys.executable, "-m", "accel"]
COMMAND = ["find", "/etc/ssl", "-name", "*.cnf"]
ASKS = "import socket; socket.socket().connect_ex(('127.0.0.1', 1))"
CONNECTING = [sys.executable, "-I", "-S", "-B", "-c", ASKS]


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    """Skip where eBPF programs cannot run."""
    try:
        Observation(Wanted({})).close()
    except ProbesUnavailable as error:
        require(False, str(error))


def accel(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run([*ACCEL, *words], capture_output=True, text=True, check=False, timeout=60)


def purposes(*words: str | Path) -> dict[str, dict[str, Any]]:
    """Return what is suggested, by purpose."""
    done = accel("suggest", "--json", *words)
    told = json.loads(done.stderr)
    assert told["schema"] == 1
    return {one["purpose"]: one for one in told["purposes"]}


def stops_of(command: list[str], mask: str, *, exit_only: bool = False) -> int:
    """Trace a command; count the stops of the calls of a mask."""
    tracer = Tracer(command, mask=mask, stdout=-3)
    tracer.observe(lambda _stop: None)
    if exit_only:
        tracer.decide(mask, Decision.exit_only())
    tracer.run(timeout=60)
    return sum(one.stops for one in tracer.statistics().calls.values())


@pytest.mark.parametrize(
    ("purpose", "command"), [("files", COMMAND), ("network", CONNECTING)], ids=["files", "network"]
)
def test_a_mask_costs_the_stops_that_were_suggested(purpose: str, command: list[str]) -> None:
    """Each mask, whole and by exits alone."""
    masks = purposes("--for", purpose, "--", *command)[purpose]["masks"]
    assert masks
    for choice in masks:
        assert stops_of(command, choice["mask"]) == choice["stops"]
        exits = stops_of(command, choice["mask"], exit_only=True)
        assert exits == choice["exit_only_stops"]


def test_a_profile_lets_the_command_run_and_refuses_what_it_did_not_do(tmp_path: Path) -> None:
    """As ``accel trace --rules`` keeps it; ``accel explain`` reads it, too."""
    profile = tmp_path / "find.json"
    done = accel("suggest", "--for", "sandbox", "--profile", profile, "--", *COMMAND)
    assert done.stdout == "/etc/ssl/openssl.cnf\n"
    again = accel("trace", "--rules", profile, "--", *COMMAND)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    more = accel("trace", "--rules", profile, "--", *COMMAND, "-exec", "true", ";")
    assert more.returncode != 0
    assert "Operation not permitted" in more.stderr
    explained = accel("explain", "--rules", profile, "--format", "oci")
    allowed = json.loads(explained.stdout)
    assert allowed["defaultAction"] == "SCMP_ACT_ERRNO"


def test_the_commands_output_is_its_own_and_so_is_its_status(tmp_path: Path) -> None:
    """Suggestions go to standard error, or to a file."""
    command = ["sh", "-c", "echo out; echo err >&2; exit 3"]
    done = accel("suggest", "--", *command)
    assert (done.returncode, done.stdout) == (3, "out\n")
    first, *lines = done.stderr.splitlines()
    assert first == "err"
    assert lines[0].startswith("accel: ")
    assert [line.partition(":")[0] for line in lines[1:] if not line.startswith(" ")] == [
        "files", "network", "sandbox"
    ]  # fmt: skip
    assert "network: no call of this run" in lines
    written = tmp_path / "suggestions"
    done = accel("suggest", "--for", "files", "-o", written, "--", *command)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert written.read_text().splitlines()[-1] == "  -e trace=%file"


def test_a_command_that_a_signal_kills_ends_accel_by_it() -> None:
    """After the suggestions."""
    done = accel("suggest", "--for", "files", "--", "sh", "-c", "kill -USR1 $$")
    assert done.returncode == -10
    assert "  -e trace=" in done.stderr


def test_bad_words_are_told_before_anything_runs() -> None:
    """And what to type instead."""
    for words in ((), ("--for", "fun", "--", "true"), ("--profile", "p", "--", "true")):
        done = accel("suggest", *words)
        assert done.returncode == 2
        assert "error: " in done.stderr
    assert accel("suggest", "--", "/nonexistent").returncode == 127
