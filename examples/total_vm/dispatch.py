"""Which method answers which call: ``@syscall``, as SYSCALL_DEFINE in the kernel's source."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from accel import Decision

from .guest import Guest

__all__ = ["Answer", "Handler", "calls_of", "syscall"]

#: A result, or a Decision of accel; what fails raises OSError.
Answer = int | Decision
Handler = Callable[[Guest], Answer]
Method = TypeVar("Method", bound=Callable[..., Answer])

_MARK: Final = "_answers"


def syscall(name: str, **instead: int | str) -> Callable[[Method], Method]:
    """Mark the method that answers the call ``name``; several marks, several calls.

    It gets what its parameters name: the ``guest``, and arguments by the kernel's names. For a
    parameter in ``instead`` it gets that number, or the argument of that name: open(2) is an
    openat(2) whose ``dirfd`` is always AT_FDCWD.
    """

    def mark(method: Method) -> Method:
        setattr(method, _MARK, {**getattr(method, _MARK, {}), name: instead})
        return method

    return mark


def calls_of(subsystem: object) -> Iterator[tuple[str, Handler]]:
    """List the calls that the marked methods of ``subsystem`` answer, each with its handler."""
    for _name, method in inspect.getmembers(subsystem, inspect.ismethod):
        for call, instead in getattr(method, _MARK, {}).items():
            yield call, _handler(method, instead)


def _handler(method: Callable[..., Answer], instead: Mapping[str, int | str]) -> Handler:
    sources = [instead.get(name, name) for name in inspect.signature(method).parameters]
    return lambda guest: method(*(_value(guest, source) for source in sources))


def _value(guest: Guest, source: int | str) -> Any:
    if source == "guest":
        return guest
    return source if isinstance(source, int) else getattr(guest.args, source)
