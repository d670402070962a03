"""What compiled code is made of: words of tables, system calls, copies of tracee memory.

All of it becomes part of the loops, see ``accel._loop``.
"""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from __future__ import annotations

from typing import Any, Final

import llvmlite.binding
from llvmlite import ir
from numba import int64, njit, void
from numba.extending import intrinsic

__all__ = ["add", "read", "read_block", "read_string"]

# Inline assembly is parsed when code is compiled, not when it comes from a cache.
llvmlite.binding.initialize_native_asmparser()

_SYS_PROCESS_VM_READV: Final = 310
_STRING_LIMIT, _UNTERMINATED, _PAGE = 4096, 1 << 15, 4096
_SHORT: Final = 256  # Most strings are paths, and shorter; a page takes longer to copy.
#: A control word, and three more: struct iovec of here, and of there.
_VECTORS: Final = 76


@intrinsic
def _syscall(_typing: Any, number: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:  # noqa: ARG001, PLR0917 - numba reads the names
    """Make a system call; return its result, or -errno."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        instruction = ir.InlineAsm(
            ir.FunctionType(word, [word] * 7),
            "syscall",
            "={rax},{rax},{rdi},{rsi},{rdx},{r10},{r8},{r9},~{rcx},~{r11},~{memory}",
            side_effect=True,
        )
        return builder.call(instruction, arguments)

    return int64(*[int64] * 7), generate


def _word_at(builder: Any, table: Any, index: Any) -> Any:
    word = ir.IntType(64)
    return builder.gep(builder.inttoptr(table, word.as_pointer()), [index])


@intrinsic
def _get(_typing: Any, table: Any, index: Any) -> Any:  # noqa: ARG001 - numba reads the names
    """Read a word of a table."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(_word_at(builder, *arguments))

    return int64(int64, int64), generate


@intrinsic
def _set(_typing: Any, table: Any, index: Any, value: Any) -> Any:  # noqa: ARG001 - numba reads the names
    """Write a word of a table."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        table, index, value = arguments
        builder.store(value, _word_at(builder, table, index))
        return context.get_dummy_value()

    return void(int64, int64, int64), generate


@intrinsic
def _publish(_typing: Any, table: Any, index: Any, value: Any) -> Any:  # noqa: ARG001 - numba reads the names
    """Write a word that tells another thread that all words before it are written."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        table, index, value = arguments
        builder.store_atomic(value, _word_at(builder, table, index), "release", 8)
        return context.get_dummy_value()

    return void(int64, int64, int64), generate


@intrinsic
def _byte(_typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba reads the names
    """Read a byte of this process."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        byte = builder.load(builder.inttoptr(arguments[0], ir.IntType(8).as_pointer()))
        return builder.zext(byte, ir.IntType(64))

    return int64(int64), generate


@intrinsic
def _call(_typing: Any, function: Any, record: Any, state: Any, control: Any) -> Any:  # noqa: ARG001 - numba reads the names
    """Call a function of the user's, compiled by ``accel.jit``: word f(record, state, control)."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        pointer = ir.FunctionType(word, [word] * 3).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], pointer), arguments[1:])

    return int64(int64, int64, int64, int64), generate


@njit(inline="always")
def add(table: int, index: int, value: int) -> None:
    """Add to a word of a table."""
    _set(table, index, _get(table, index) + value)


# ------------------------------------------------------------------------- tracee memory


@njit
def read(control: int, tid: int, address: int, target: int, size: int) -> int:
    """Copy up to ``size`` bytes of a page of tracee memory; return how many, or -errno."""
    vectors = control + 8 * _VECTORS
    _set(vectors, 0, target)
    _set(vectors, 1, size)
    _set(vectors, 2, address)
    _set(vectors, 3, size)
    return _syscall(_SYS_PROCESS_VM_READV, tid, vectors, 1, vectors + 16, 1, 0)


@njit
def read_string(control: int, tid: int, address: int, target: int) -> int:
    """Copy a C string of at most PATH_MAX bytes; return its length, flagged if it has no NUL."""
    size = 0
    while address != 0 and size < _STRING_LIMIT:
        part = _PAGE - ((address + size) & (_PAGE - 1))  # A read over the end of a mapping fails.
        part = min(part, _STRING_LIMIT - size, _SHORT if size == 0 else _PAGE)
        part = read(control, tid, address + size, target + size, part)
        if part <= 0:
            break
        for at in range(size, size + part):
            if _byte(target + at) == 0:
                return at
        size += part
    return size | _UNTERMINATED


@njit
def read_block(control: int, tid: int, address: int, target: int, size: int) -> int:
    """Copy ``size`` bytes, fewer where memory ends; return how many, flagged: there is no NUL."""
    copied = 0
    while address != 0 and copied < size:
        part = min(size - copied, _PAGE - ((address + copied) & (_PAGE - 1)))
        part = read(control, tid, address + copied, target + copied, part)
        if part <= 0:
            break
        copied += part
    return copied | _UNTERMINATED
