"""Conditions in real runs: the kernel's filter, and the stops at which memory is judged."""

from __future__ import annotations

import errno
import importlib.util
import os
import random
import socket
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from accel import Abi, Decision, SyscallEntryStop, SyscallMask, Tracer, arg, path, result, sockaddr
from accel.errors import SetupError
from accel.plan import Plan, Rule
from tests.random_rules import DrawnRule, calls, first_match, rules
from tests.support import compiled, require

RULE_SETS = 500
CALLS = 100
#: What the kernel answers to calls that no rule is about: none is really made.
NOBODY = 4095


@pytest.fixture(params=["python", "numba"])
def answering_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds whichever loop answers the stops that no Python code looks at."""
    if request.param == "numba":
        require(importlib.util.find_spec("numba"), "numba is not installed")
    monkeypatch.setenv("ACCEL_LOOP", request.param)


def traced(tracer: Tracer) -> list[str]:
    """Run a tracer whose command prints lines; return them."""
    done = tracer.run(timeout=60)
    assert done.returncode == 0
    assert done.stdout is not None
    return done.stdout.decode().splitlines()


def script(source: str, *arguments: str) -> list[str]:
    """Write the command of a Python program, without site: it opens few files."""
    return [sys.executable, "-IS", "-c", source, *arguments]


TRY = """
import os, sys
for name in sys.argv[1:]:
    try:
        os.close(os.open(name, os.O_RDONLY))
    except OSError as error:
        print(error.errno)
    else:
        print(0)
"""


# ------------------------------------------------------------------------------- the kernel agrees


def test_the_kernel_decides_as_the_model_on_random_rules_and_calls() -> None:
    """500 filters of random conditions: a program makes 100 calls under each and tells its errnos.

    Each rule fails its calls with an errno of its own, so that the answer names it.
    """
    rng = random.Random(4711)
    jobs = bytearray()
    expected: list[int] = []
    seen: Counter[bool] = Counter()
    for _ in range(RULE_SETS):
        drawn, plan = _filter_alone(rng)
        program = plan.compile()
        jobs += struct.pack("=II", len(program), CALLS) + bytes(program)
        expected.append(0)
        for made in calls(rng, drawn, CALLS):
            jobs += struct.pack("=Ii6Q", made.abi is Abi.I386, made.number, *made.arguments)
            first = first_match(drawn, made)
            seen[first is None] += 1
            expected.append(-(NOBODY if first is None else 1 + first))
    done = subprocess.run([compiled("bpf_probe")], input=jobs, stdout=subprocess.PIPE, check=True)
    assert [value for (value,) in struct.iter_unpack("=q", done.stdout)] == expected
    assert len(expected) == RULE_SETS * (1 + CALLS)
    assert min(seen.values()) > 1000


def _filter_alone(rng: random.Random) -> tuple[list[DrawnRule], Plan]:
    """Draw rules whose calls a filter answers all by itself: here nobody traces."""
    rest = Rule(SyscallMask.all(), Decision.nullify(NOBODY))
    while True:
        drawn = rules(rng, [Decision.allow()], memory_too=False)
        failing = [_failing(one.rule, 1 + at) for at, one in enumerate(drawn)]
        plan = Plan((*failing, rest)).fitted()
        if not any(rule.judged for rule in plan.rules):
            return drawn, plan


def _failing(rule: Rule, number: int) -> Rule:
    return Rule(rule.mask, Decision.nullify(number), where=rule.where)


# ------------------------------------------------------------------------------- paths


@pytest.mark.usefixtures("answering_loop")
def test_a_subtree_is_refused_and_everything_else_runs(tmp_path: Path) -> None:
    """within() takes dots out of a path; what only looks like it is not within."""
    inside, beside = tmp_path / "in", tmp_path / "inner"
    inside.write_text("")
    beside.write_text("")
    spellings = [
        str(inside),
        f"{tmp_path}/./x/../in",
        str(beside),
        f"{inside.parent}/../{tmp_path.name}/inner",
    ]
    tracer = Tracer(script(TRY, *spellings), capture_output=True)
    tracer.decide("open,openat", Decision.fail(errno.EACCES), where=path.within(inside))
    assert traced(tracer) == [str(errno.EACCES)] * 2 + ["0"] * 2


@pytest.mark.usefixtures("answering_loop")
def test_a_rule_that_memory_rules_out_leaves_the_call_to_the_next(tmp_path: Path) -> None:
    """The first of three rules that holds decides, at one stop."""
    names = [tmp_path / name for name in "abc"]
    for name in names:
        name.write_text("")
    tracer = Tracer(script(TRY, *map(str, names)), capture_output=True)
    tracer.decide("openat", Decision.fail(errno.EPERM), where=path == names[0])
    tracer.decide("openat", Decision.fail(errno.EACCES), where=path == names[1])
    told: list[bytes] = []

    @tracer.on_entry("openat", where=path.startswith(tmp_path))
    def last(stop: SyscallEntryStop) -> Decision:
        told.append(stop.read_string(stop.args[1]))
        return Decision.fail(errno.ENOTDIR)

    assert traced(tracer) == [str(errno.EPERM), str(errno.EACCES), str(errno.ENOTDIR)]
    assert told == [os.fsencode(names[2])]


def test_scalar_conditions_spare_the_stops_of_those_on_memory(tmp_path: Path) -> None:
    """Only calls whose registers fit stop to be judged, counted; the others run."""
    target = tmp_path / "target"
    source = f"""
import os
for _ in range(20):
    os.close(os.open({str(tmp_path)!r}, os.O_RDONLY | os.O_DIRECTORY))
for flags in (os.O_RDONLY, os.O_WRONLY | os.O_CREAT):
    try:
        os.close(os.open({str(target)!r}, flags))
        print(0)
    except OSError as error:
        print(error.errno)
"""
    tracer = Tracer(script(source), capture_output=True)
    tracer.decide(
        "openat",
        Decision.fail(errno.EROFS),
        where=(arg.flags & os.O_CREAT) & path.within(tmp_path),
    )
    assert traced(tracer) == [str(errno.ENOENT), str(errno.EROFS)]
    assert tracer.statistics().calls["openat"].stops == 1


@pytest.mark.parametrize("mechanism", ["auto", "seccomp-trace", "ptrace-syscall", "sysemu"])
def test_every_mechanism_that_stops_before_a_call_judges_memory(
    mechanism: str, tmp_path: Path
) -> None:
    """The same answers, whatever the stop is."""
    for name in "ab":
        (tmp_path / name).write_text("")
    tracer = Tracer(
        script(TRY, f"{tmp_path}/a", f"{tmp_path}/b"),
        capture_output=True,
        mechanism=mechanism,  # type: ignore[arg-type]
    )
    tracer.decide("openat", Decision.fail(errno.EACCES), where=path == tmp_path / "a")
    assert traced(tracer) == [str(errno.EACCES), "0"]


def test_exit_only_of_a_path_is_told_once_and_of_that_path_alone(tmp_path: Path) -> None:
    """What a path is can be seen before the call only, so that it stops there, untold."""
    for name in "ab":
        (tmp_path / name).write_text("")
    tracer = Tracer(script(TRY, f"{tmp_path}/a", f"{tmp_path}/b"), capture_output=True)
    tracer.decide("openat", Decision.exit_only(), where=(path == tmp_path / "a") & (result >= 0))
    told: list[object] = []
    tracer.observe(told.append)
    assert traced(tracer) == ["0", "0"]
    opened = [stop for stop in told if getattr(stop, "name", "") == "openat"]
    assert [type(stop).__name__ for stop in opened] == ["SyscallExitStop"]


def test_exit_events_alone_cannot_look_at_memory() -> None:
    """They have no stop before the call; said before anything runs."""
    tracer = Tracer(["true"], mechanism="exit-event")
    tracer.decide("openat", Decision.exit_only(), where=path == "/etc/passwd")
    with pytest.raises(SetupError, match="has no such stop"):
        tracer.check()


# ------------------------------------------------------------------------------- socket addresses


@pytest.mark.usefixtures("answering_loop")
def test_connections_are_refused_by_family_and_port() -> None:
    """One port of two is refused; a Unix address has none, and a family."""
    source = """
import socket, sys
ports = [int(port) for port in sys.argv[1:]]
for address in [("127.0.0.1", port) for port in ports] + ["/nowhere"]:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as one:
        print(one.connect_ex(address))
"""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        ports = [each.getsockname()[1] for each in (one, two)]
        tracer = Tracer([sys.executable, "-c", source, *map(str, ports)], capture_output=True)
        tracer.decide("connect", Decision.fail(errno.EACCES), where=sockaddr.port == ports[0])
        tracer.decide(
            "connect", Decision.fail(errno.EPERM), where=sockaddr.family == socket.AF_UNIX
        )
        assert traced(tracer) == [str(errno.EACCES), "0", str(errno.EPERM)]


# ------------------------------------------------------------------------------- moved up a tier


@pytest.mark.usefixtures("answering_loop")
def test_conditions_that_are_too_many_for_a_filter_are_judged_at_the_stop() -> None:
    """A write to one of 300 descriptors is skipped; no filter lists them, and the plan says so."""
    source = "import os\nfor fd in (1, 2): os.write(fd, b'0\\n')"
    tracer = Tracer(script(source), capture_output=True)
    tracer.decide("write", Decision.skip(2), where=arg.fd.one_of(*range(2, 700, 2)))
    tracer.decide("write", Decision.nullify(errno.EBADF), where=arg.fd == 999)
    assert traced(tracer) == ["0"]
    assert tracer.result is not None
    assert tracer.result.stderr == b""
    assert any("more than 256 alternatives" in note for note in tracer.plan.notes)
    assert tracer.statistics().calls["write"].stops == 2


def test_rules_that_do_not_fit_move_to_the_stop_and_decide_as_before() -> None:
    """500 exact writes are answered, some by the filter and some by a stop, alike."""
    source = """
import os, sys
for n in range(500):
    try:
        os.write(1, bytes(n))
    except OSError as error:
        print(error.errno, file=sys.stderr)
"""
    tracer = Tracer(script(source), capture_output=True)
    for n in range(500):
        tracer.decide("write", Decision.fail(20 + n % 7), where=(arg.count == n) & (arg.fd == 1))
    assert any("has no room" in note for note in tracer.plan.notes)
    assert len(tracer.program) <= 4096
    assert traced(tracer) == []
    assert tracer.result is not None
    assert [int(line) for line in tracer.result.stderr.split()] == [20 + n % 7 for n in range(500)]
    assert 0 < tracer.statistics().calls["write"].stops < 500 + 500


# ------------------------------------------------------------------------------- the race


def test_memory_that_changes_after_the_look_is_a_race_and_the_plan_says_so(tmp_path: Path) -> None:
    """A handler of the next rule shows it: the path is another by then, and the call runs."""
    for name in "ab":
        (tmp_path / name).write_text(name)
    source = f"import os\nfd = os.open({str(tmp_path / 'a')!r}, 0)\nprint(os.read(fd, 1).decode())"
    tracer = Tracer(script(source), capture_output=True)
    tracer.decide("openat", Decision.fail(errno.EACCES), where=path == tmp_path / "b")

    @tracer.on_entry("openat", where=path == tmp_path / "a")
    def another_thread(stop: SyscallEntryStop) -> None:
        stop.write(stop.args[1], os.fsencode(tmp_path / "b"))

    assert any("a race" in note for note in tracer.plan.notes)
    assert traced(tracer) == ["b"]
