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
