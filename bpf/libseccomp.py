"""libseccomp, used for one thing: a switch over system call numbers as a binary tree.

libseccomp translates numbers between architectures by name, knows no number newer than itself,
refuses actions equal to the default and merges 64-bit comparisons wrongly before 2.6.1
(GHSA-4q85). None of this touches a filter for its native architecture whose rules compare no
arguments: there a number is a number. So each case becomes such a rule, whose action merely says
which case it is, and what libseccomp exports is moved into the program that is being written.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import functools
import importlib.util
import os
from collections.abc import Mapping, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, Final

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

#: SCMP_FLTATR_CTL_OPTIMIZE: a binary tree instead of a list.
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
    pyseccomp = _pyseccomp()
    try:
        rules = pyseccomp.SyscallFilter(pyseccomp.TRACE(default))
        with contextlib.suppress(OSError):  # libseccomp 2.4 has lists only.
            rules.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, _BINARY_TREE)
        # From the highest number on: libseccomp then finds the place of each at once.
        for number in sorted(cases, reverse=True):
            rules.add_rule_exactly(pyseccomp.TRACE(cases[number]), number)
        with open(os.memfd_create("seccomp-bpf", os.MFD_CLOEXEC), "w+b", buffering=0) as file:
            rules.export_bpf(file)
            return unpack(os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0))
    except OSError as error:
        raise CompileError(f"libseccomp cannot compile the filter: {error.strerror}") from error


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
def _pyseccomp() -> ModuleType:
    """Import pyseccomp, in 1 ms instead of 30.

    While it is imported, pyseccomp asks ctypes.util.find_library for two libraries, which runs
    ldconfig twice and imports tempfile and subprocess first. Their sonames are no secret: this copy
    of pyseccomp, and nothing else in the process, sees a ctypes whose find_library knows them.
    """
    spec = importlib.util.find_spec("pyseccomp")
    if spec is None or spec.loader is None:
        raise LibraryMissing("pyseccomp is not installed: pip install pyseccomp")
    answers = SimpleNamespace(**vars(ctypes))
    answers.util = SimpleNamespace(find_library=_find_library)

    def import_(name: str, *rest: Any) -> Any:
        return answers if name in ("ctypes", "ctypes.util") else builtins.__import__(name, *rest)

    module = importlib.util.module_from_spec(spec)
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": import_}
    try:
        spec.loader.exec_module(module)
    except RuntimeError as error:
        raise LibraryMissing("libseccomp is not installed: apt-get install libseccomp2") from error
    return module


def _find_library(name: str) -> str | None:
    """Do as ctypes.util.find_library, but ask the dynamic linker before anything else."""
    with contextlib.suppress(KeyError, OSError):
        soname = {"c": "libc.so.6", "seccomp": "libseccomp.so.2"}[name]
        ctypes.CDLL(soname)
        return soname
    from ctypes.util import find_library  # noqa: PLC0415  slow to import, and hardly ever needed

    return find_library(name)
