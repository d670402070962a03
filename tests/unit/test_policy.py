"""The user's answers at run time: what None means, who wants exits, what is no answer."""

from __future__ import annotations

import errno

import pytest

from accel import Abi, Call, Decision, SyscallEntryStop, SyscallExitStop, SyscallMask
from accel.errors import HandlerError
from accel.plan import EntryHandler, Plan, Rule
from accel.policy import ExitHandler, ExitRule, HandlerPolicy
from accel.results import CallCounter

MASK = SyscallMask.parse("getppid")


class NoMemory:
    """The memory of a tracee that points to nothing."""

    def read(self, address: int, size: int) -> bytes:
        """Read nothing."""
        del address, size
        return b""


CALL = Call(1, 1, Abi.X86_64, 110, (0, 0, 0, 0, 0, 0))
ENTRY = SyscallEntryStop(CALL, NoMemory())


def policy(
    handler: EntryHandler | None = None,
    *exit_handlers: ExitHandler,
    observed: bool = False,
    exits_observed: bool = False,
) -> HandlerPolicy:
    """Make the policy of a plan with one rule for getppid."""
    plan = Plan((Rule(MASK, None, handler, observed=observed),))
    return HandlerPolicy(
        plan, [ExitRule(MASK, each) for each in exit_handlers], exits_observed=exits_observed
    )


def decided(answers: HandlerPolicy) -> tuple[Decision, int]:
    """Let the rule decide; tell how many handlers ran, too."""
    counter = CallCounter()
    return answers.decide(0, ENTRY, counter), counter.handler_calls


def test_none_lets_the_call_run_without_an_exit_stop() -> None:
    """Nobody wants to see the result: one stop."""
    assert decided(policy(lambda _stop: None)) == (Decision.resume(), 1)


def test_none_takes_an_exit_stop_where_results_are_observed() -> None:
    """The call is in the mask, and somebody reads exits."""
    watched = policy(lambda _stop: None, observed=True, exits_observed=True)
    assert decided(watched) == (Decision.inspect(), 1)
    unwatched = policy(lambda _stop: None, observed=True)
    assert decided(unwatched) == (Decision.resume(), 1)


def test_an_exit_handler_takes_an_exit_stop() -> None:
    """It could see no result otherwise."""
    assert decided(policy(None, lambda _stop: None)) == (Decision.inspect(), 0)


def test_an_explicit_resume_takes_no_exit_stop() -> None:
    """Only a wanted exit-stop is ever taken."""
    explicit = policy(lambda _stop: Decision.resume(), observed=True, exits_observed=True)
    assert decided(explicit) == (Decision.resume(), 1)


@pytest.mark.parametrize(
    ("returned", "taken"),
    [
        (Decision.allow(), Decision.resume()),
        (Decision.nullify(errno.EPERM), Decision.fail(errno.EPERM)),
        (Decision.skip(3, inspect=True), Decision.skip(3, inspect=True)),
    ],
)
def test_a_handlers_answer_is_read_at_its_stop(returned: Decision, taken: Decision) -> None:
    """The stop has happened: allow() is resume() there, nullify() is fail()."""
    assert decided(policy(lambda _stop: returned)) == (taken, 1)


@pytest.mark.parametrize(
    "wrong", [Decision.exit_only(), Decision.emulate(), 5, "skip", True, OSError(5)]
)
def test_an_impossible_answer_is_an_error(wrong: object) -> None:
    """It says what can be returned."""
    with pytest.raises(HandlerError, match="return"):
        policy(lambda _stop: wrong).decide(0, ENTRY, CallCounter())  # type: ignore[arg-type,return-value]


def test_the_last_exit_handler_that_answers_wins() -> None:
    """None keeps what another has put there."""
    answers = policy(None, lambda _s: 1, lambda _s: 2, lambda _s: None)
    stop = SyscallExitStop(CALL, 7, NoMemory())
    counter = CallCounter()
    assert answers.returned(stop, counter) == 2
    assert counter.handler_calls == 3


def test_what_a_handler_raises_is_kept() -> None:
    """As the cause of HandlerError."""

    def fail(_stop: object) -> None:
        raise LookupError("nobody")

    with pytest.raises(HandlerError) as entry:
        policy(fail).decide(0, ENTRY, CallCounter())
    with pytest.raises(HandlerError) as exit_:
        policy(None, fail).returned(SyscallExitStop(CALL, 7, NoMemory()), CallCounter())
    assert isinstance(entry.value.__cause__, LookupError)
    assert isinstance(exit_.value.__cause__, LookupError)


@pytest.mark.parametrize(
    ("decision", "is_answered"),
    [
        (Decision.skip(3), True),
        (Decision.skip(3).with_signal(10), False),
        (Decision.resume().delayed(entry_ns=1), False),
    ],
)
def test_the_loop_neither_sends_signals_nor_waits(decision: Decision, is_answered: bool) -> None:
    """It has no answer to such calls, and Python sees their stops."""
    plan = Plan((Rule(MASK, decision),))
    answers = HandlerPolicy(plan, calls_observed=False).loop_answers()
    assert bool(answers) is is_answered
