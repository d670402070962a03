"""Which rules notify, what they compile to, and what is refused: no process is made."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import bpf
from accel import Abi, Decision, Tracer, arg, path
from accel._kernel.notify_probe import Notifications
from accel.errors import MaskError, SetupError, UnsupportedKernel
from accel.mechanisms import listener
from accel.plan_table import rows

REFUSAL = UnsupportedKernel("another filter has the listener", hint="run outside of it")


@pytest.fixture(autouse=True)
def works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a listener be had, without trying."""
    monkeypatch.setattr(listener, "support", Notifications)


@pytest.fixture
def refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no listener be had."""

    def refuse() -> Notifications:
        raise REFUSAL

    monkeypatch.setattr(listener, "support", refuse)


def mechanisms(tracer: Tracer) -> list[str]:
    """Tell who is to answer each rule."""
    return [row.mechanism for row in rows(tracer.plan)]


def answer(tracer: Tracer, name: str, *arguments: int, abi: Abi = Abi.X86_64) -> bpf.Action:
    """Ask the filter about a call."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    data = bpf.SeccompData(abi.numbers[name], abi.audit_arch, 0, padded)
    return bpf.evaluate(tracer.program, data)


def test_everything_that_comes_at_all_notifies() -> None:
    """The filter answers what it can, and stops nothing: there is no tracer."""
    tracer = Tracer(["true"], mask="read", mechanism="user-notify")
    tracer.decide("getuid", Decision.skip(0))
    tracer.decide("close", Decision.allow(), where=arg.fd == 3)
    tracer.decide("close", Decision.skip(7))
    assert mechanisms(tracer) == ["filter", "filter", "user-notify", "user-notify"]
    assert answer(tracer, "getuid") == bpf.Action.errno(0)
    assert answer(tracer, "close", 3) == bpf.Action.allow()
    assert answer(tracer, "close", 4) == bpf.Action.notify()
    assert answer(tracer, "close", 4, abi=Abi.I386) == bpf.Action.notify()
    assert answer(tracer, "read") == bpf.Action.notify()
    assert answer(tracer, "write") == bpf.Action.allow()
    # What is a blind spot is seen, too.
    assert answer(tracer, "io_uring_setup") == bpf.Action.notify()
    assert not [one for one in tracer.program if one.action == bpf.Action.trace(0xFFFF)]


def test_one_filter_stops_and_notifies() -> None:
    """Each rule its calls."""
    tracer = Tracer(["true"], placement="none")
    tracer.decide("getuid", Decision.skip(0))
    tracer.decide("socket", Decision.skip(5000), mechanism="user-notify")
    tracer.decide("openat", Decision.inspect())
    assert mechanisms(tracer) == ["filter", "user-notify", "seccomp-trace"]
    plan = tracer.plan
    assert plan.is_mixed
    assert answer(tracer, "getuid") == bpf.Action.errno(0)
    assert answer(tracer, "socket") == bpf.Action.notify()
    assert answer(tracer, "openat") == bpf.Action.trace(plan.ret_data_of(2))


def test_what_injects_notifies_by_itself() -> None:
    """Nobody has to ask for it."""
    tracer = Tracer(["true"], placement="none")
    tracer.decide("openat", Decision.inject_bytes(b"text"), where=path.within("/secret"))
    tracer.decide("getppid", Decision.skip(5))
    assert mechanisms(tracer) == ["user-notify", "seccomp-trace"]
    row = rows(tracer.plan)[0]
    assert (row.stops, row.notifications, row.tier) == ((0, 0), 1, "handler")
    assert "inject_bytes(b'text')" in str(tracer.plan)
    assert "0, 1 notification" in str(tracer.plan)


def test_calls_that_always_stop_do_not_where_they_notify() -> None:
    """A placement is hidden from them no more: they were asked for."""
    tracer = Tracer(["true"])
    tracer.decide("sched_getaffinity", Decision.skip(8), mechanism="user-notify")
    assert answer(tracer, "sched_getaffinity") == bpf.Action.notify()


def test_without_a_listener_what_can_stop_stops(refuses: None) -> None:
    """One line says so; a rule that no stop can keep, and a mechanism asked for, are refused."""
    del refuses
    tracer = Tracer(["true"])
    tracer.decide("socket", Decision.skip(5000), mechanism="user-notify")
    assert mechanisms(tracer) == ["seccomp-trace"]
    assert tracer.plan.notes == (
        "calls that were to notify stop instead: another filter has the listener",
    )
    tracer.decide("openat", Decision.inject_fd(0))
    with pytest.raises(UnsupportedKernel, match="another filter has the listener"):
        _ = tracer.plan
    tracer = Tracer(["true"], mask="openat", mechanism="user-notify")
    with pytest.raises(UnsupportedKernel, match="run outside of it"):
        _ = tracer.plan


@pytest.mark.parametrize(
    "add",
    [
        lambda tracer: tracer.decide("openat", Decision.inspect(), mechanism="user-notify"),
        lambda tracer: tracer.decide("openat", Decision.exit_only(), mechanism="user-notify"),
        lambda tracer: tracer.decide("openat", Decision.emulate(), mechanism="user-notify"),
        lambda tracer: tracer.decide(
            "openat", Decision.resume().delayed(entry_ns=5), mechanism="user-notify"
        ),
        lambda tracer: tracer.decide("openat", Decision.inject_fd(0), mechanism="seccomp-trace"),
        lambda tracer: tracer.decide("openat", Decision.skip(5), mechanism="exit-event"),
    ],
)
def test_what_a_rules_mechanism_cannot_do_is_refused_at_once(add: Callable[[Tracer], None]) -> None:
    """With what to type instead."""
    with pytest.raises(SetupError, match="use "):
        add(Tracer(["true"]))


def test_calls_that_come_two_ways_are_not_recorded_together() -> None:
    """Two threads would write to one ring."""
    tracer = Tracer(["true"], mask="read")
    tracer.decide("openat", Decision.inject_bytes(b""))
    tracer.record(_Nowhere())
    with pytest.raises(SetupError, match="cannot be recorded together"):
        _ = tracer.plan


class _Nowhere:
    def write(self, _batch: object) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def test_a_judged_rule_and_those_behind_it_come_one_way() -> None:
    """Else a call that it lets pass would have to come again; other calls do not matter."""
    tracer = Tracer(["true"])
    tracer.decide("openat,open", Decision.fail(1), where=path.within("/etc"))
    tracer.decide("open", Decision.inject_bytes(b""))
    with pytest.raises(SetupError, match=r"open: .* a call can come by one"):
        _ = tracer.plan
    tracer = Tracer(["true"])
    tracer.decide("openat", Decision.fail(1), where=path.within("/etc"))
    tracer.decide("open", Decision.inject_bytes(b""))
    assert mechanisms(tracer) == ["seccomp-trace", "user-notify"]


def test_decisions_that_inject_are_values() -> None:
    """They print as they are written, and are refused what makes no sense."""
    assert str(Decision.inject_fd(3, cloexec=True)) == "inject_fd(3, cloexec=True)"
    assert str(Decision.inject_bytes(b"x" * 99)) == "inject_bytes(99 bytes)"
    assert Decision.inject_bytes(b"a") == Decision.inject_bytes(b"a") != Decision.inject_bytes(b"b")
    assert Decision.inject_fd(3).combination == 3
    assert Decision.inject_fd(3).constant_errno is None
    with pytest.raises(ValueError, match="0 or more"):
        Decision.inject_fd(-1)


def test_an_empty_selection_is_an_error() -> None:
    """As by any mechanism."""
    with pytest.raises(MaskError, match="no system call is selected"):
        Tracer(["true"], mechanism="user-notify").plan.check()


def test_supervisors_are_one_or_more() -> None:
    """None would answer nothing."""
    with pytest.raises(SetupError, match="one at least"):
        Tracer(["true"], supervisors=0)
