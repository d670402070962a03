"""From a call and its tracee's memory to strace's line, in two steps: entry and exit."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from accel.abi import Abi
from accel.call import Call, Memory
from accel.decision import ERROR_RESULTS
from accel.decoding.context import Begun, Context, DescriptorPath, Options
from accel.decoding.errnos import errno_name, failure
from bpf.value import frozen

if TYPE_CHECKING:
    from accel.decoding.plans import Plan

__all__ = ["Decoder", "Entered", "Left"]

#: Plans are looked up for so many calls; a hostile tracee could invent more.
_KEPT: Final = 4096
#: Calls of which strace prints the comma after the last argument at the exit.
_LATE_COMMA: Final = frozenset({"clone", "fcntl", "fcntl64", "ioctl"})


class Entered:
    """A call that has entered the kernel, and as much of its line as is known by then."""

    __slots__ = ("_context", "_next", "_parts", "_plan", "call", "name", "text")

    def __init__(self, call: Call, plan: Plan, context: Context) -> None:
        #: The call, as it was given.
        self.call = call
        #: The name to print: for socketcall(2) and ipc(2), that of the call behind them.
        self.name = plan.name
        #: The arguments up to the first one that has to wait for the exit.
        self.text = ""
        self._plan = plan
        self._context = context
        #: (name, raw value, text) of what is printed already.
        self._parts: list[tuple[str, int, str]] = []
        #: The step to go on with.
        self._next = 0


@frozen
class Left:
    """The rest of the line of a call that has returned, or never will."""

    #: The arguments that were missing at the entry.
    text: str
    #: What follows ``=``: ``3``, ``-1 ENOENT (No such file or directory)``, ``?``.
    result: str
    #: The name of the error, if the call failed.
    error: str | None
    #: Every argument that was printed: (name, raw value, text).
    arguments: tuple[tuple[str, int, str], ...]


class Decoder:
    """Prints calls as strace does.

    ``string_limit`` bytes of a string and elements of an array are shown (-s); ``descriptor_path``
    tells what a descriptor of a thread leads to (-y; AT_FDCWD stands for the working directory);
    without ``abbreviate`` structs are printed in full (-v). A decoder keeps no state: one serves
    any number of threads.

    Cost: two microseconds (getppid) to ten, and one system call for each string or struct it reads.
    """

    def __init__(
        self,
        *,
        string_limit: int = 32,
        descriptor_path: DescriptorPath | None = None,
        abbreviate: bool = True,
    ) -> None:
        self._options = Options(string_limit, descriptor_path, abbreviate)

    @property
    def string_limit(self) -> int:
        """How many bytes of a string are shown."""
        return self._options.string_limit

    @property
    def asks_about_threads(self) -> bool:
        """Whether lines depend on more than calls and memory: on what descriptors lead to (-y)."""
        return self._options.descriptor_path is not None

    def enter(self, call: Call, memory: Memory) -> Entered:
        """Decode what is final when the call enters the kernel, and keep what will be changed."""
        plan, actual = _plan_of(call.abi, call.number), call
        if plan.unpack is not None:
            actual, name = plan.unpack(call, plan.name, memory)
            plan = _plan_of(call.abi, name)
        context = Context(actual, memory, self._options)
        entered = Entered(call, plan, context)
        for prepare in plan.prepare:
            prepare(context)
        _print(entered)
        context.memory = _NOTHING
        return entered

    def leave(self, entered: Entered, result: int | None, memory: Memory) -> Left:
        """Decode the rest, given the raw signed result; None if the call never returned."""
        context, plan = entered._context, entered._plan  # noqa: SLF001 - ours to keep
        context.memory = memory
        context.leaving = True
        context.result = result
        failed = result is not None and result in ERROR_RESULTS
        context.failed = failed or result is None
        complete = entered._next == len(plan.steps)  # noqa: SLF001 - as above
        text = "" if complete else _print(entered)
        if result is None:
            return Left(text, "?", None, tuple(entered._parts))  # noqa: SLF001 - as above
        if plan.remark is not None:
            plan.remark(context)
        shown = failure(-result) if failed else plan.result(context, result)
        if context.note:
            shown = f"{shown} ({context.note})"
        error = (errno_name(-result) or str(-result)) if failed else None
        return Left(text, shown, error, tuple(entered._parts))  # noqa: SLF001 - as above


@functools.lru_cache(_KEPT)
def _plan_of(abi: Abi, call: int | str) -> Plan:
    """Look up the plan of a call by its number, or by the name it was unpacked to."""
    # Plans are 5 ms of modules, before any subject, and the calls of many a trace never come.
    from accel.decoding.plans import plan_of  # noqa: PLC0415 - see above

    return plan_of(abi, abi.call_name(call) if isinstance(call, int) else call)


def _print(entered: Entered) -> str:
    """Run the steps that can run now."""
    context, parts = entered._context, entered._parts  # noqa: SLF001 - this module's own
    steps, arguments = entered._plan.steps, context.arguments  # noqa: SLF001 - as above
    texts: list[str] = []
    leaving = context.leaving
    begun = was_begun = leaving and bool(parts) and isinstance(parts[-1][2], Begun)
    continued = ""
    for at in range(entered._next, len(steps)):  # noqa: SLF001 - as above
        step_name, position, printer = steps[at]
        value = arguments[position] if position >= 0 else 0
        text = printer(context, value)
        if text is None:
            if not leaving:
                entered._next = at  # noqa: SLF001 - as above
                break
            text = ""
        if begun:
            begun = False
            continued = text
            name, raw, first = parts[-1]
            parts[-1] = name, raw, f"{first}{text}"
            continue
        if text:
            texts.append(text)
            parts.append((step_name, value, text))
        if isinstance(text, Begun):
            entered._next = at  # noqa: SLF001 - as above
            break
    else:
        entered._next = len(steps)  # noqa: SLF001 - as above
        if not leaving:
            entered.text = ", ".join(texts)
            return ""
    joined = ", ".join(texts)
    if not leaving:
        late = isinstance(text, Begun) or entered.name in _LATE_COMMA
        entered.text = joined if late or not joined else f"{joined}, "
        return ""
    if not joined:
        return continued
    comma = was_begun or (entered.name in _LATE_COMMA and entered.text)
    return f"{continued}, {joined}" if comma else joined


class _Nothing:
    """Memory that is gone: between entry and exit the tracee runs."""

    __slots__ = ()

    def read(self, address: int, size: int) -> bytes:
        """Read nothing."""
        del address, size
        return b""


_NOTHING: Final = _Nothing()
