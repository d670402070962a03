"""Decisions: eight combinations, as values."""

from __future__ import annotations

import errno

import pytest

from accel import Decision

FACTORIES = {
    0: Decision.inspect(),
    1: Decision.resume(),
    2: Decision.skip(7, inspect=True),
    3: Decision.skip(7),
    4: Decision.exit_only(),
    5: Decision.allow(),
    6: Decision.emulate(),
    7: Decision.nullify(errno.EPERM),
}


@pytest.mark.parametrize(("number", "decision"), FACTORIES.items())
def test_each_factory_names_its_combination(number: int, decision: Decision) -> None:
    """The thread numbered the combinations of START, CALL and EXIT 0 to 7."""
    assert decision.combination == number


def test_decisions_compare_and_hash_by_value() -> None:
    """Two decisions that say the same are the same."""
    assert Decision.fail(errno.EPERM) == Decision.skip(-errno.EPERM)
    assert len({Decision.skip(1), Decision.skip(1), Decision.skip(2)}) == 2


@pytest.mark.parametrize(
    ("decision", "text"),
    [
        (Decision.inspect(), "inspect()"),
        (Decision.skip(4242), "skip(4242)"),
        (Decision.skip(0, inspect=True), "skip(0, inspect=True)"),
        (Decision.fail(errno.ENOENT), "fail(ENOENT)"),
        (Decision.nullify(), "nullify()"),
        (Decision.nullify(errno.EACCES), "nullify(EACCES)"),
        (Decision.allow(), "allow()"),
    ],
)
def test_a_decision_prints_as_the_factory_that_makes_it(decision: Decision, text: str) -> None:
    """What is printed can be typed."""
    assert str(decision) == text


@pytest.mark.parametrize(
    ("decision", "answer"),
    [
        (Decision.skip(0), 0),
        (Decision.fail(errno.EPERM), errno.EPERM),
        (Decision.skip(-4095), 4095),
        (Decision.skip(-4096), None),
        (Decision.skip(1), None),
        (Decision.skip(0, inspect=True), None),
        (Decision.resume(), None),
        (Decision.nullify(5), 5),
    ],
)
def test_a_constant_that_the_filter_can_return_is_known(
    decision: Decision, answer: int | None
) -> None:
    """SECCOMP_RET_ERRNO answers with 0 and with errnos up to 4095, nothing else."""
    assert decision.constant_errno == answer


@pytest.mark.parametrize("bad", [0, -1, 4096])
def test_fail_takes_an_errno_only(bad: int) -> None:
    """An errno of 0 would be a success; one above 4095 would be a result."""
    with pytest.raises(ValueError, match="errno"):
        Decision.fail(bad)


def test_a_result_has_64_bits() -> None:
    """What does not fit in a register is refused at once."""
    with pytest.raises(ValueError, match="64 bits"):
        Decision.skip(1 << 64)


def test_a_decision_may_send_a_signal_and_delay() -> None:
    """Besides what it decides, which stays what it was; and it prints as it is written."""
    decision = Decision.inspect().with_signal(10).delayed(entry_ns=5, exit_ns=7)
    assert decision.combination == 0
    assert (decision.signal, decision.entry_delay_ns, decision.exit_delay_ns) == (10, 5, 7)
    assert str(decision) == "inspect().with_signal(10).delayed(entry_ns=5, exit_ns=7)"
    assert str(Decision.skip(3).delayed(entry_ns=5)) == "skip(3).delayed(entry_ns=5)"
    assert Decision.inspect() != decision
    assert not decision.is_plain
    assert Decision.inspect().is_plain


@pytest.mark.parametrize(
    "decision", [Decision.fail(1).with_signal(9), Decision.fail(1).delayed(entry_ns=1)]
)
def test_the_filter_sends_no_signal_and_waits_for_nothing(decision: Decision) -> None:
    """So such an error needs a stop."""
    assert decision.constant_errno is None


@pytest.mark.parametrize("signal", [0, 65, -1])
def test_what_is_no_signal_is_refused(signal: int) -> None:
    """There are 64."""
    with pytest.raises(ValueError, match="1 to 64"):
        Decision.resume().with_signal(signal)


@pytest.mark.parametrize("number", [4, 5, 6, 7])
def test_signals_and_delays_need_a_stop_before_the_call(number: int) -> None:
    """There they are decided on."""
    with pytest.raises(ValueError, match="no stop before the call"):
        FACTORIES[number].with_signal(9)
    with pytest.raises(ValueError, match="no stop before the call"):
        FACTORIES[number].delayed(entry_ns=1)


def test_a_delay_is_in_a_stop_and_not_negative() -> None:
    """A call that does not stop after it cannot be kept there."""
    with pytest.raises(ValueError, match="no stop after the call"):
        Decision.resume().delayed(exit_ns=1)
    with pytest.raises(ValueError, match="0 or more"):
        Decision.resume().delayed(entry_ns=-1)
