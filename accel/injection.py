"""Faults to inject, as values, in the words of ``strace -e inject=`` and ``-e fault=``.

``Injection.parse("openat:error=ENOENT:when=3+")`` lets every openat of a thread fail from its third
on. What strace refuses is refused here: see ``injection_grammar``. ``injection_rules.inject`` makes
rules of them.
"""

from __future__ import annotations

from accel.decision import ERROR_RESULTS
from accel.decoding import errno_name, signal_name
from accel.injection_grammar import Fields, read, time_text
from accel.mask import SyscallMask
from bpf.value import frozen

__all__ = ["Injection", "When"]


@frozen
class When:
    """Which calls of a thread, counted from 1: ``first`` to ``last``, each ``step``-th.

    A step of 0 means the first alone.
    """

    first: int = 1
    last: int | None = None
    step: int = 1

    def holds(self, count: int) -> bool:
        """Tell whether the ``count``-th call is one of them."""
        if count < self.first or (self.last is not None and count > self.last):
            return False
        past = count - self.first
        return past % self.step == 0 if self.step else past == 0

    def __str__(self) -> str:
        text = str(self.first) if self.last is None else f"{self.first}..{self.last}"
        if self.step == (0 if self.last is None else 1):
            return text
        return f"{text}+" if self.step == 1 else f"{text}+{self.step}"


@frozen
class Injection:
    """What happens to some calls of each thread, instead of or besides what they do."""

    mask: SyscallMask
    #: The call does not run and returns this: -errno for an error; None: it runs.
    result: int | None = None
    #: The signal sent at the stop before the call; 0: none.
    signal: int = 0
    #: How long the thread waits before and after the call, in nanoseconds; None: not at all.
    delay_enter_ns: int | None = None
    delay_exit_ns: int | None = None
    when: When = When()
    #: The call that strace makes in place of the one that does not run. It has no effect, nor has
    #: its result: here none is made.
    syscall: str = ""

    @classmethod
    def parse(cls, text: str, *, fault: bool = False) -> Injection:
        """Read strace's text after ``-e inject=``, or with ``fault`` after ``-e fault=``.

        Raise InjectionError for what strace would not take; MaskError for its set of calls.
        """
        fields: Fields = read(text, fault=fault)
        return cls(
            mask=fields.mask,
            result=fields.result,
            signal=fields.signal or 0,
            delay_enter_ns=fields.delay_enter,
            delay_exit_ns=fields.delay_exit,
            when=When(*fields.when),
            syscall=fields.syscall,
        )

    @property
    def is_constant(self) -> bool:
        """Whether every call is answered alike, and nothing else happens."""
        is_delayed = self.delay_enter_ns is not None or self.delay_exit_ns is not None
        is_answer = self.result is not None and not self.signal and not is_delayed
        return is_answer and self.when == When()

    def __str__(self) -> str:
        words = [str(self.mask)]
        if self.result is not None:
            is_error = self.result in ERROR_RESULTS
            error = errno_name(-self.result) or str(-self.result)
            words.append(f"error={error}" if is_error else f"retval={self.result}")
        if self.syscall:
            words.append(f"syscall={self.syscall}")
        if self.signal:
            words.append(f"signal={signal_name(self.signal)}")
        delays = (("enter", self.delay_enter_ns), ("exit", self.delay_exit_ns))
        words += [
            f"delay_{where}={time_text(delay)}" for where, delay in delays if delay is not None
        ]
        if self.when != When():
            words.append(f"when={self.when}")
        return ":".join(words)
