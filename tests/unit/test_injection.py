"""The grammar of strace's -e inject= and -e fault=, and the values that it makes."""

from __future__ import annotations

import errno
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel import MaskError, SyscallMask
from accel.errors import InjectionError
from accel.injection import Injection, When
from tests.injection_words import ACCEPTED, FAULTS, REFUSED, REFUSED_FAULTS


@pytest.mark.parametrize("words", ACCEPTED)
def test_what_strace_takes_is_taken(words: str) -> None:
    """And prints as a text that says the same."""
    injection = Injection.parse(f"geteuid:{words}")
    assert injection.mask == SyscallMask("geteuid")
    assert Injection.parse(str(injection)) == injection


@pytest.mark.parametrize("words", REFUSED)
def test_what_strace_refuses_is_refused(words: str) -> None:
    """With a hint of what to write."""
    with pytest.raises(InjectionError) as caught:
        Injection.parse(f"geteuid:{words}")
    assert caught.value.hint


@pytest.mark.parametrize("text", FAULTS)
def test_a_fault_is_an_error(text: str) -> None:
    """ENOSYS unless it is named."""
    injection = Injection.parse(text, fault=True)
    assert injection.result == (-5 if "error=5" in text else -errno.ENOSYS)


@pytest.mark.parametrize("text", REFUSED_FAULTS)
def test_a_fault_is_nothing_but_an_error(text: str) -> None:
    """What -e inject= has besides is refused, as in strace."""
    with pytest.raises((InjectionError, MaskError)):
        Injection.parse(text, fault=True)


@pytest.mark.parametrize("text", ["", ":", ":error=1", "nosuch:error=1", ",:error=1"])
def test_a_set_that_strace_refuses_is_refused(text: str) -> None:
    """As that of -e trace= would be."""
    with pytest.raises((InjectionError, MaskError)):
        Injection.parse(text)


@pytest.mark.parametrize("word", ["poke_enter=@arg1=00", "poke_exit=@arg1=00"])
def test_memory_is_not_written_by_an_injection(word: str) -> None:
    """strace does; here a handler can, and the error says so."""
    with pytest.raises(InjectionError, match=r"stop\.write"):
        Injection.parse(f"read:{word}")


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ("error=ENOENT", "result", -errno.ENOENT),
        ("retval=0x10", "result", 16),
        ("retval=010", "result", 8),
        ("retval=-1", "result", -1),
        ("retval=18446744073709551615", "result", -1),
        ("retval=9223372036854775808", "result", -(1 << 63)),
        ("signal=RTMIN", "signal", 32),
        ("signal=RT_1", "signal", 33),
        ("signal=int", "signal", signal.SIGINT),
        ("delay_enter=2", "delay_enter_ns", 2_000),
        ("delay_enter=2us", "delay_enter_ns", 2_000),
        ("delay_exit=2ms", "delay_exit_ns", 2_000_000),
        ("delay_exit=1.5s", "delay_exit_ns", 1_500_000_000),
        ("delay_exit=7ns", "delay_exit_ns", 7),
        ("delay_exit=0", "delay_exit_ns", 0),
        ("error=1:when=3", "when", When(3, None, 0)),
        ("error=1:when=3+", "when", When(3, None, 1)),
        ("error=1:when=3+2", "when", When(3, None, 2)),
        ("error=1:when=3..5", "when", When(3, 5, 1)),
        ("error=1:when=3..5+", "when", When(3, 5, 1)),
        ("error=1:when=3..9+2", "when", When(3, 9, 2)),
        ("error=1:syscall=getpid", "syscall", "getpid"),
    ],
)
def test_a_word_says_this(words: str, field: str, value: object) -> None:
    """The values of strace(1), in units that are written on the fields."""
    assert getattr(Injection.parse(f"geteuid:{words}"), field) == value


WHENS = st.builds(
    lambda first, last, step, ends: When(
        first, first + last if ends else None, step if step or not ends else 1
    ),
    st.integers(1, 60_000),
    st.integers(0, 5_000),
    st.integers(0, 65_535),
    st.booleans(),
)
RESULTS = st.none() | st.integers(-5_000, 5_000) | st.integers(-(1 << 63), (1 << 63) - 1)
DELAYS = st.none() | st.integers(0, 10**18)
INJECTIONS = st.builds(
    Injection,
    mask=st.sampled_from(["openat", "%network", "!write", "all", "getuid,geteuid", "read@32"]).map(
        SyscallMask.parse
    ),
    result=RESULTS,
    signal=st.integers(0, 64),
    delay_enter_ns=DELAYS,
    delay_exit_ns=DELAYS,
    when=WHENS,
    syscall=st.sampled_from(["", "getpid"]),
).filter(
    lambda one: (
        (one.result, one.signal, one.delay_enter_ns, one.delay_exit_ns) != (None, 0, None, None)
    )
)


@given(INJECTIONS)
def test_an_injection_reads_back_from_its_text(injection: Injection) -> None:
    """Whatever it is: the text says all of it."""
    assert Injection.parse(str(injection)) == injection


def counted_down(when: When, calls: int) -> list[int]:
    """Tell which calls strace takes: as tamper_with_syscall_entering() in its syscall.c counts."""
    first, last, taken = when.first, when.last, []
    for call in range(1, calls + 1):
        if first == 0 or last == 0:
            continue
        last = None if last is None else last - 1
        first -= 1
        if first == 0:
            first = when.step
            taken.append(call)
    return taken


@given(
    st.integers(1, 8),
    st.none() | st.integers(0, 12),
    st.integers(0, 5),
)
def test_when_holds_for_the_calls_that_strace_counts(
    first: int, more: int | None, step: int
) -> None:
    """Its countdown and our arithmetic agree on every form."""
    when = When(first, None if more is None else first + more, step)
    calls = range(1, 30)
    assert [call for call in calls if when.holds(call)] == counted_down(when, len(calls))


@pytest.mark.parametrize(
    ("words", "is_constant"),
    [
        ("error=ENOENT", True),
        ("retval=3", True),
        ("error=ENOENT:when=1+", True),
        ("error=ENOENT:when=1", False),
        ("error=ENOENT:when=1..9", False),
        ("error=ENOENT:signal=INT", False),
        ("error=ENOENT:delay_exit=1", False),
        ("signal=INT", False),
    ],
)
def test_one_answer_for_all_calls_needs_no_count(words: str, is_constant: bool) -> None:
    """That is what can be left to the filter."""
    assert Injection.parse(f"openat:{words}").is_constant is is_constant
