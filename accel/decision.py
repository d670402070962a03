"""What the tracer answers: which of START, CALL and EXIT happen, and with which value."""

from __future__ import annotations

import errno as _errno
from collections.abc import Callable
from typing import Any

from bpf.value import frozen, replace

__all__ = ["ERROR_RESULTS", "RESUME", "Answer", "Decision", "Injected"]

_MAX_ERRNO = 4095
#: The results that are errors, as the kernel has it.
ERROR_RESULTS = range(-_MAX_ERRNO, 0)
#: <asm/signal.h>: _NSIG.
_LAST_SIGNAL = 64
#: So much of what is injected is written out.
_SHOWN_BYTES = 16


@frozen
class Injected:
    """What a call returns that does not run: a new descriptor of the tracee's."""

    #: A descriptor of this process, or what an anonymous file is to hold.
    source: int | bytes
    cloexec: bool = False

    def __str__(self) -> str:
        option = ", cloexec=True" if self.cloexec else ""
        if isinstance(self.source, int):
            return f"inject_fd({self.source}{option})"
        return f"inject_bytes({_shortened(self.source)}{option})"


@frozen
class Decision:
    """One of the eight combinations of START, CALL and EXIT, from the thread of 2008.

    START is the stop before the call, CALL the call itself, EXIT the stop after it. Make one with a
    factory below; each names its combination.
    """

    start: bool
    call: bool
    exit: bool
    #: What the tracee sees returned where the call does not run: a result, or -errno.
    value: int | None = None
    #: The signal that it gets at the stop before the call; 0: none.
    signal: int = 0
    #: How long it stays in its stops, in nanoseconds: in that before the call, in that after it.
    entry_delay_ns: int = 0
    exit_delay_ns: int = 0
    #: The descriptor that it gets as the call's result; only by notification.
    injected: Injected | None = None

    @classmethod
    def inspect(cls) -> Decision:
        """Run the call and stop again after it (0: two stops)."""
        return cls(start=True, call=True, exit=True)

    @classmethod
    def resume(cls) -> Decision:
        """Run the call and do not stop after it (1, SKIPEXIT: one stop)."""
        return RESUME

    @classmethod
    def skip(cls, value: int = 0, *, inspect: bool = False) -> Decision:
        """Do not run the call; it returns ``value`` (3, SKIPCALL: one stop; 2 with ``inspect``).

        A constant ``value`` from -4095 to 0 that needs no inspection is answered in the filter.
        """
        if not -(1 << 63) <= value < 1 << 64:
            raise ValueError(f"a result has 64 bits, {value} does not fit")
        return cls(start=True, call=False, exit=inspect, value=value)

    @classmethod
    def fail(cls, errno: int) -> Decision:
        """Do not run the call; it fails with ``errno`` (3)."""
        if not 0 < errno <= _MAX_ERRNO:
            raise ValueError(f"an errno is a number from 1 to {_MAX_ERRNO}, not {errno}")
        return cls(start=True, call=False, exit=False, value=-errno)

    @classmethod
    def exit_only(cls) -> Decision:
        """Run the call and stop only after it (4: one stop)."""
        return cls(start=False, call=True, exit=True)

    @classmethod
    def allow(cls) -> Decision:
        """Run the call without any stop (5: no stop)."""
        return cls(start=False, call=True, exit=False)

    @classmethod
    def emulate(cls, value: int = -_errno.ENOSYS) -> Decision:
        """Stop once, instead of the call (6, PTRACE_SYSEMU: one stop).

        That stop is told as the call's exit, and its handlers say what it returns; if they keep
        silent it returns ``value``, as the kernel has it.
        """
        return cls(start=False, call=False, exit=True, value=value)

    @classmethod
    def nullify(cls, errno: int = 0) -> Decision:
        """Do not run the call, nor stop (7: no stop): it returns 0, or fails with ``errno``."""
        if not 0 <= errno <= _MAX_ERRNO:
            raise ValueError(f"an errno is a number from 0 to {_MAX_ERRNO}, not {errno}")
        return cls(start=False, call=False, exit=False, value=-errno)

    @classmethod
    def inject_fd(cls, descriptor: int, *, cloexec: bool = False) -> Decision:
        """Do not run the call; it returns a copy of a descriptor of this process (3).

        The copy is the tracee's, of the same open file; with ``cloexec`` it is closed at execve(2).
        The descriptor must stay open until the last call has been answered so. Needs user-notify;
        cost: one ioctl(2). If the tracee has too many descriptors, the call fails with EMFILE.
        """
        if descriptor < 0:
            raise ValueError(f"a descriptor is a number, 0 or more, not {descriptor}")
        injected = Injected(descriptor, cloexec)
        return cls(start=True, call=False, exit=False, injected=injected)

    @classmethod
    def inject_bytes(cls, content: bytes, *, cloexec: bool = False) -> Decision:
        """Do not run the call; it returns a descriptor of an anonymous file that holds ``content``.

        Each call gets a file of its own, at its beginning, which can be read and mapped, not
        written (memfd_create(2), sealed). Else as ``inject_fd``; cost: seven system calls.
        """
        injected = Injected(bytes(content), cloexec)
        return cls(start=True, call=False, exit=False, injected=injected)

    def with_signal(self, signal: int) -> Decision:
        """Also send the tracee a signal before the call, as if the kernel did (SI_KERNEL).

        A call that blocks is interrupted by it. Raise ValueError for what is no signal, or if there
        is no stop before the call. If the tracee takes the signal by sigwaitinfo(2) or signalfd(2),
        it reads there that the tracer sent it.
        """
        if not 0 < signal <= _LAST_SIGNAL:
            raise ValueError(f"a signal is a number from 1 to {_LAST_SIGNAL}, not {signal}")
        if not self.start:
            raise ValueError(f"{self} has no stop before the call to send a signal at")
        return replace(self, signal=signal)

    def delayed(self, *, entry_ns: int = 0, exit_ns: int = 0) -> Decision:
        """Also keep the tracee in its stops for so many nanoseconds, or a little longer.

        Other tracees run on meanwhile. Raise ValueError for a negative time, or for a stop that
        this decision does not have. Cost: one process that sleeps.
        """
        if entry_ns < 0 or exit_ns < 0:
            raise ValueError("a delay is a number of nanoseconds, 0 or more")
        if not self.start:
            raise ValueError(f"{self} has no stop before the call to decide on a delay at")
        if exit_ns and not self.exit:
            raise ValueError(f"{self} has no stop after the call to stay in")
        return replace(self, entry_delay_ns=entry_ns, exit_delay_ns=exit_ns)

    @property
    def is_plain_skip(self) -> bool:
        """Whether it is ``skip()`` or ``fail()``, and nothing besides."""
        return (
            self.start
            and not (self.call or self.exit or self.signal or self.entry_delay_ns)
            and self.value is not None
        )

    @property
    def is_plain(self) -> bool:
        """Whether there is neither signal nor delay: then no tracer is needed for them."""
        return not (self.signal or self.is_delayed)

    @property
    def is_delayed(self) -> bool:
        """Whether the tracee stays in a stop."""
        return bool(self.entry_delay_ns or self.exit_delay_ns)

    @property
    def combination(self) -> int:
        """The number that the thread gave this combination: 0 to 7."""
        return (not self.start) * 4 + (not self.call) * 2 + (not self.exit)

    @property
    def constant_errno(self) -> int | None:
        """The errno with which SECCOMP_RET_ERRNO can answer; 0 means "returned 0"."""
        if self.call or self.exit or self.value is None or not -_MAX_ERRNO <= self.value <= 0:
            return None
        if not self.is_plain:
            return None
        return -self.value

    def __str__(self) -> str:
        text = self._factory
        if self.signal:
            text += f".with_signal({self.signal})"
        delays = (("entry_ns", self.entry_delay_ns), ("exit_ns", self.exit_delay_ns))
        if self.is_delayed:
            text += f".delayed({', '.join(f'{name}={value}' for name, value in delays if value)})"
        return text

    @property
    def _factory(self) -> str:
        if self.injected is not None:
            return str(self.injected)
        name = ("inspect", "resume", "skip", "skip", "exit_only", "allow", "emulate", "nullify")[
            self.combination
        ]
        if name == "nullify":
            return f"nullify({_error_name(-(self.value or 0))})" if self.value else "nullify()"
        if name == "emulate" and self.value not in (None, -_errno.ENOSYS):
            return f"emulate({self.value})"
        if name != "skip":
            return f"{name}()"
        value = self.value or 0
        if not self.exit and value in ERROR_RESULTS:
            return f"fail({_error_name(-value)})"
        return f"skip({value}{', inspect=True' if self.exit else ''})"


#: What most stops are answered with.
RESUME = Decision(start=True, call=True, exit=False)


@frozen
class Answer:
    """What the loop answers the calls of a rule with, where no Python code needs to see the stop.

    ``entry`` and ``exit`` are the addresses of a compiled function of the user's, which decides
    instead, and of its array; see ``accel.jit``.
    """

    decision: Decision
    #: The position of that rule in its plan.
    rule: int = 0
    is_recorded: bool = True
    #: The only handler in Python, if nobody else looks at these calls: the loop has it asked what
    #: a call gets or, if the decision has an exit-stop, which result.
    asks: Callable[[Any], object] | None = None
    entry: tuple[int, int] = (0, 0)
    exit: tuple[int, int] = (0, 0)


def _shortened(content: bytes) -> str:
    return repr(content) if len(content) <= _SHOWN_BYTES else f"{len(content)} bytes"


def _error_name(number: int) -> str:
    return _errno.errorcode.get(number, str(number))
