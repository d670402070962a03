"""Functions of the user's that run inside the loop, compiled by numba: no Python at the stop.

``@tracer.on_entry("openat", jit=True)`` compiles a function of two parameters::

    from accel import jit

    @tracer.on_entry("openat", jit=True)
    def hide(call, state):
        if jit.starts_with(call, call.arguments[1], b"/secret"):
            state[0] += 1
            return jit.SKIP, -errno.ENOENT
        return jit.RESUME, 0

``call`` is a ``JitCall``; ``state`` an array of 16 int64 that lives as long as the rule, zero at
first, and that Python reads as ``hide.state``. The function returns RESUME, SKIP or INSPECT and a
value: what a skipped call returns. At an exit (``on_exit``) it returns KEEP or REPLACE and the new
result. A decision alone stands for a value of 0.

With several supervisors it runs in all of them at once, on one ``state``: two that add to the same
word may lose one.

Another thread of the tracee can change memory between ``starts_with`` and the kernel's own read:
judging it and then letting the call run is a race; skipping the call is none.

Importing this module imports numba.
"""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from llvmlite import ir
from numba import carray, cfunc, int64, njit, types
from numba.core.errors import NumbaError
from numba.extending import intrinsic

from accel import _loop, _loop_words
from accel._kernel.machine_code import function as c_function
from accel._kernel.words import Words
from accel.decision import Decision
from accel.errors import HandlerError, SetupError
from accel.records import ABIS
from accel.stops import SyscallEntryStop, SyscallExitStop

__all__ = [
    "INSPECT",
    "KEEP",
    "REPLACE",
    "RESUME",
    "SKIP",
    "JitCall",
    "JitHandler",
    "compile_handler",
    "equals",
    "read",
    "read_string",
    "starts_with",
]

#: Let the call run; one stop.
RESUME: Final = 1
#: Do not run the call: it returns the value.
SKIP: Final = 2
#: Let the call run and stop again after it; two stops.
INSPECT: Final = 3
#: At an exit: leave the result as it is.
KEEP: Final = 0
#: At an exit: the tracee sees the value instead.
REPLACE: Final = 1

STATE_WORDS: Final = 16
MEMORY_SIZE: Final = 4096
_RECORD_WORDS: Final = 16


class JitCall(NamedTuple):
    """What a compiled function sees of a call. All numbers are int64: registers are signed here."""

    number: int
    #: 0: x86_64; 1: i386.
    abi: int
    tid: int
    pid: int
    arguments: tuple[int, int, int, int, int, int]
    #: At an exit; 0 at an entry.
    result: int
    #: 4,096 bytes, uint8, that ``read`` and ``read_string`` fill.
    memory: Any
    #: Where the loop keeps its words.
    control: int


@intrinsic
def _array_at(_typing: Any, address: Any, kind: Any) -> Any:  # noqa: ARG001 - numba reads the names
    """Turn an address into a pointer to the type of ``kind``."""

    def generate(_context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        width = signature.return_type.dtype.bitwidth
        return builder.inttoptr(arguments[0], ir.IntType(width).as_pointer())

    return types.CPointer(kind.dtype)(int64, kind), generate


@njit
def read(call: JitCall, address: int, size: int) -> int:
    """Copy up to ``size`` bytes of tracee memory, 4,096 at most, to ``call.memory``.

    Return how many: fewer where the memory ends. Cost: one process_vm_readv(2) a page.
    """
    size = min(size, MEMORY_SIZE)
    done = 0
    while done < size:
        part = min(size - done, 4096 - ((address + done) & 4095))
        part = _loop_words.read(
            call.control, call.tid, address + done, call.memory.ctypes.data + done, part
        )
        if part <= 0:
            break
        done += part
    return done


@njit
def read_string(call: JitCall, address: int) -> int:
    """Copy a C string to ``call.memory``; return its length, -1 if there is none up to PATH_MAX."""
    size = _loop_words.read_string(call.control, call.tid, address, call.memory.ctypes.data)
    return -1 if size & 0x8000 else size


@njit
def starts_with(call: JitCall, address: int, prefix: bytes) -> bool:
    """Tell whether the bytes at ``address`` begin with ``prefix``, at most 4,096 bytes."""
    if read(call, address, len(prefix)) != len(prefix):
        return False
    for at in range(len(prefix)):  # noqa: SIM110 - compiled
        if call.memory[at] != prefix[at]:
            return False
    return True


@njit
def equals(call: JitCall, address: int, text: bytes) -> bool:
    """Tell whether the C string at ``address`` is ``text``."""
    if read(call, address, len(text) + 1) != len(text) + 1 or call.memory[len(text)] != 0:
        return False
    for at in range(len(text)):  # noqa: SIM110 - compiled
        if call.memory[at] != text[at]:
            return False
    return True


@njit(inline="always")
def _call_at(record: int, control: int) -> JitCall:
    numbers = _loop_words._get(record, 3)  # noqa: SLF001 - one of its words
    identity = _loop_words._get(record, 2)  # noqa: SLF001 - as above
    arguments = (
        _loop_words._get(record, 4), _loop_words._get(record, 5), _loop_words._get(record, 6),  # noqa: SLF001
        _loop_words._get(record, 7), _loop_words._get(record, 8), _loop_words._get(record, 9),  # noqa: SLF001
    )  # fmt: skip
    memory = carray(_array_at(_loop_words._get(control, _loop._MEMORY), types.uint8), MEMORY_SIZE)  # noqa: SLF001
    return JitCall(
        numbers & 0xFFFFFFFF, (numbers >> 32) & 1, identity & 0xFFFFFFFF, identity >> 32,
        arguments, _loop_words._get(record, 10), memory, control,  # noqa: SLF001
    )  # fmt: skip


class JitHandler:
    """A compiled function, for the loop by its address and for Python as a handler."""

    def __init__(self, function: Callable[..., Any], compiled: Any) -> None:
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        #: What it was compiled from.
        self.function = function
        #: Where it is: int64 f(int64 record, int64 state, int64 control).
        self.address: int = compiled.address
        self._compiled = compiled
        self._state = Words(STATE_WORDS)
        #: The words that the function keeps: 16 int64.
        self.state = self._state.view
        self.state_address = self._state.address
        #: A record, control words and memory of our own, where there is no loop.
        self._record, self._control = Words(_RECORD_WORDS), Words(96)
        self._memory = Words(MEMORY_SIZE // 8 + 64)
        self._control.view[_loop._MEMORY] = self._memory.address  # noqa: SLF001 - one of its words

    def decide(self, stop: SyscallEntryStop) -> Decision:
        """Answer a stop that came to Python."""
        action, value = self._run(stop, 0)
        if action == SKIP:
            return Decision.skip(value)
        if action in (RESUME, INSPECT):
            return Decision.resume() if action == RESUME else Decision.inspect()
        raise HandlerError(
            f"{self.__name__} returned {action}, or raised: return RESUME, SKIP or INSPECT"
        )

    def replace(self, stop: SyscallExitStop) -> int | None:
        """Return the result to put in the place of the kernel's; None to keep that."""
        action, value = self._run(stop, stop.result or 0)
        return value if action else None

    def _run(self, stop: SyscallEntryStop | SyscallExitStop, result: int) -> tuple[int, int]:
        words = self._record.view
        words[2] = stop.tid | stop.pid << 32
        words[3] = stop.number | ABIS.index(stop.abi) << 32
        for at, argument in enumerate(stop.args):
            words[4 + at] = argument - (argument >> 63 << 64)
        words[10] = result
        action = c_function(self.address, 3)(
            self._record.address, self.state_address, self._control.address
        )
        return action, self._control.view[_loop._NEW_VALUE]  # noqa: SLF001 - one of its words


def compile_handler(function: Callable[..., Any]) -> JitHandler:
    """Compile a handler of entries or exits; raise SetupError with numba's reason if it cannot."""
    return JitHandler(function, _compiled(function))


_CALL: Final = types.NamedTuple(
    (
        int64, int64, int64, int64, types.UniTuple(int64, 6), int64,
        types.Array(types.uint8, 1, "C"), int64,
    ),
    JitCall,
)  # fmt: skip
_STATE: Final = types.Array(int64, 1, "C")


def _compiled(function: Callable[..., Any]) -> Any:
    try:
        user = njit(function)
        user.compile((_CALL, _STATE))
        [overload] = user.overloads.values()
        return _WRAPPERS[_returns_a_pair(overload.signature.return_type, function)](user)
    except NumbaError as error:
        raise SetupError(
            f"numba cannot compile {function.__name__}:\n{error}",
            hint="leave jit=True out, and it runs in Python",
        ) from error


def _returns_a_pair(kind: Any, function: Callable[..., Any]) -> bool:
    if isinstance(kind, types.Integer):
        return False
    if isinstance(kind, types.BaseTuple) and len(kind) == 2:
        return True
    raise SetupError(
        f"{function.__name__} returns {kind}, not a decision and a value",
        hint="return jit.SKIP, -errno.EACCES on every path, for example, or jit.RESUME, 0",
    )


def _of_pairs(user: Any) -> Any:
    @cfunc(int64(int64, int64, int64))
    def entered(record: int, state: int, control: int) -> int:
        words = carray(_array_at(state, types.int64), STATE_WORDS)
        action, value = user(_call_at(record, control), words)
        _loop_words._set(control, _loop._NEW_VALUE, value)  # noqa: SLF001 - one of its words
        return action

    return entered


def _of_actions(user: Any) -> Any:
    @cfunc(int64(int64, int64, int64))
    def entered(record: int, state: int, control: int) -> int:
        words = carray(_array_at(state, types.int64), STATE_WORDS)
        action = user(_call_at(record, control), words)
        _loop_words._set(control, _loop._NEW_VALUE, 0)  # noqa: SLF001 - one of its words
        return action

    return entered


_WRAPPERS: Final = {True: _of_pairs, False: _of_actions}
