"""libseccomp, used for one thing: a switch over system call numbers as a binary tree.

libseccomp translates numbers between architectures by name, knows no number newer than itself,
refuses actions equal to the default and merges 64-bit comparisons wrongly before 2.6.1
(GHSA-4q85). None of this touches a filter for its native architecture whose rules compare no
arguments: there a number is a number. So each case becomes such a rule, whose action merely says
which case it is, and what libseccomp exports is moved into the program that is being written.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Final

from bpf import data
from bpf.action import SECCOMP_RET_ACTION_FULL, SECCOMP_RET_DATA, SECCOMP_RET_TRACE
from bpf.arch import X32_SYSCALL_BIT
from bpf.assembler import Assembler, Label
from bpf.errors import CompileError, LibraryMissing
from bpf.instruction import (
    BPF_ABS,
    BPF_JA,
    BPF_JEQ,
    BPF_JGE,
    BPF_JGT,
    BPF_JMP,
    BPF_K,
    BPF_LD,
    BPF_RET,
    BPF_W,
    Instruction,
    unpack,
)

__all__ = ["switch"]

_LOAD: Final = BPF_LD | BPF_W | BPF_ABS
_JUMP: Final = BPF_JMP | BPF_JA
_RETURN: Final = BPF_RET | BPF_K
_BRANCHES: Final = {BPF_JMP | op | BPF_K: op for op in (BPF_JEQ, BPF_JGT, BPF_JGE)}

_SONAME: Final = "libseccomp.so.2"
#: SCMP_FLTATR_CTL_OPTIMIZE: a binary tree instead of a list.
_OPTIMIZE: Final = 8
_BINARY_TREE: Final = 2


def switch(assembler: Assembler, cases: Mapping[int, Label], default: Label) -> Label:
    """Write "go to the case of the number in the accumulator, or to ``default``".

    Numbers are at least 0 and have no x32 bit; of any other only ``default`` is reached. Raise
    LibraryMissing without libseccomp, CompileError if it does what this module does not know.
    """
    if not cases:
        return default
    labels = list(dict.fromkeys(cases.values()))
    marks = {label: mark for mark, label in enumerate(labels)}
    exported = _export({number: marks[label] for number, label in cases.items()}, len(labels))
    return _transplant(exported, [*labels, default], assembler)


def _export(cases: Mapping[int, int], default: int) -> tuple[Instruction, ...]:
    """Let libseccomp compile {number: mark}; each mark is returned as the data of RET_TRACE."""
    library = _library()
    rules = library.seccomp_init(SECCOMP_RET_TRACE | default)
    try:
        _check(0 if rules else -errno.ENOMEM)
        library.seccomp_attr_set(rules, _OPTIMIZE, _BINARY_TREE)  # libseccomp 2.4 has lists only.
        # From the highest number on: libseccomp then finds the place of each at once.
        for number in sorted(cases, reverse=True):
            action = SECCOMP_RET_TRACE | cases[number]
            _check(library.seccomp_rule_add_exact_array(rules, action, number, 0, None))
        with open(os.memfd_create("seccomp-bpf", os.MFD_CLOEXEC), "rb", buffering=0) as file:
            _check(library.seccomp_export_bpf(rules, file.fileno()))
            return unpack(os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0))
    except OSError as error:
        raise CompileError(f"libseccomp cannot compile the filter: {error.strerror}") from error
    finally:
        library.seccomp_release(rules)  # Of NULL, too.


def _transplant(
    exported: Sequence[Instruction], labels: Sequence[Label], assembler: Assembler
) -> Label:
    """Write what follows libseccomp's own prologue, its returns replaced by ``labels``."""
    entry = _skip_prologue(exported)
    reached = _reached(exported, entry)
    written: dict[int, Label] = {}
    for pc in sorted(reached, reverse=True):
        instruction = exported[pc]
        if instruction.code == _RETURN:
            written[pc] = labels[_mark(instruction)]
        elif instruction.code == _JUMP:
            written[pc] = written[pc + 1 + instruction.k]
        else:
            yes, no = (written[pc + 1 + jump] for jump in (instruction.jt, instruction.jf))
            operation = _BRANCHES[instruction.code]
            written[pc] = assembler.branch(operation, instruction.k, yes, no)
    return written[entry]


def _skip_prologue(exported: Sequence[Instruction]) -> int:
    """Go where a call of the native architecture without x32 bit gets, its number loaded."""
    pc, word = 0, None
    while True:
        instruction = exported[pc]
        following = pc + 1
        if instruction.code == _LOAD:
            pc, word = following, instruction.k
        elif word == data.ARCH and instruction.code == BPF_JMP | BPF_JEQ | BPF_K:
            pc = following + instruction.jt
        elif word == data.NR and instruction.k == X32_SYSCALL_BIT:
            pc = following + instruction.jf
        elif word == data.NR:
            return pc
        else:
            raise _unknown(pc, instruction)


def _reached(exported: Sequence[Instruction], entry: int) -> set[int]:
    """Find the instructions reached from ``entry``, all of them branches, jumps and marks."""
    reached = {entry}
    for pc, instruction in enumerate(exported):
        if pc not in reached or instruction.code == _RETURN:
            continue
        if instruction.code == _JUMP:
            reached.add(pc + 1 + instruction.k)
        elif instruction.code in _BRANCHES:
            reached.update((pc + 1 + instruction.jt, pc + 1 + instruction.jf))
        else:
            raise _unknown(pc, instruction)
    return reached


def _mark(instruction: Instruction) -> int:
    if instruction.k & SECCOMP_RET_ACTION_FULL != SECCOMP_RET_TRACE:
        raise CompileError(f"libseccomp returned {instruction.k:#x} for a call of its own")
    return instruction.k & SECCOMP_RET_DATA


def _unknown(pc: int, instruction: Instruction) -> CompileError:
    return CompileError(f"libseccomp wrote what accel does not know: {pc}: {instruction}")


@functools.cache
def _library() -> ctypes.CDLL:
    """Load libseccomp and declare what is called of it, as in seccomp.h."""
    try:
        library = ctypes.CDLL(_SONAME)
    except OSError as error:
        raise LibraryMissing("libseccomp is not installed: apt-get install libseccomp2") from error
    rules = ctypes.c_void_p  # scmp_filter_ctx
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_init.restype = rules
    library.seccomp_release.argtypes = (rules,)
    library.seccomp_release.restype = None
    library.seccomp_attr_set.argtypes = (rules, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_rule_add_exact_array.argtypes = (
        rules, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p
    )  # fmt: skip
    library.seccomp_export_bpf.argtypes = (rules, ctypes.c_int)
    return library


def _check(result: int) -> None:
    """Raise OSError for a negative errno, which is how libseccomp fails."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
