"""Writes a program from its last instruction to its first.

Jumps of classic BPF only go forward. Written backwards, every target exists when the jump to it is
written, so its distance is known, and a jump that would not reach can be given a step in between.
"""

from __future__ import annotations

from typing import Final, NewType

from bpf.action import Action
from bpf.instruction import (
    BPF_ABS,
    BPF_ALU,
    BPF_AND,
    BPF_JA,
    BPF_JMP,
    BPF_K,
    BPF_LD,
    BPF_RET,
    BPF_W,
    MAX_OFFSET,
    Instruction,
)
from bpf.program import Program

__all__ = ["Assembler", "Label"]

#: A written instruction: how many there are from it to the end of the program, itself included.
Label = NewType("Label", int)

_RET: Final = BPF_RET | BPF_K


class Assembler:
    """A program under construction; each method writes what comes *before* its targets.

    The same instruction with the same targets is written once and shared.
    """

    def __init__(self) -> None:
        # The last instruction of the program comes first.
        self._code: list[Instruction] = []
        self._written: dict[tuple[int, ...], Label] = {}
        # Where a jump that cannot reach its target goes instead.
        self._steps: dict[Label, Label] = {}

    def ret(self, action: Action) -> Label:
        """Return ``action``."""
        return self._write(_RET, action.value, ())

    def load(self, offset: int, then: Label) -> Label:
        """Load the word at ``offset`` of struct seccomp_data into the accumulator."""
        return self._write(BPF_LD | BPF_W | BPF_ABS, offset, (then,))

    def mask(self, bits: int, then: Label) -> Label:
        """Clear all but ``bits`` in the accumulator."""
        return self._write(BPF_ALU | BPF_AND | BPF_K, bits, (then,))

    def branch(self, operation: int, k: int, yes: Label, no: Label) -> Label:
        """Compare the accumulator with ``k`` by BPF_JEQ, BPF_JGT, BPF_JGE or BPF_JSET."""
        if yes == no:
            return yes
        return self._write(BPF_JMP | operation | BPF_K, k, (yes, no))

    def program(self, start: Label) -> Program:
        """Return the program that begins at ``start``."""
        self._continue_at(start)
        return Program(tuple(reversed(self._code)))

    def _write(self, code: int, k: int, targets: tuple[Label, ...]) -> Label:
        key = (code, k, *targets)
        label = self._written.get(key)
        if label is None:
            jt = jf = 0
            if len(targets) == 1:
                self._continue_at(targets[0])
            elif targets:
                # The step for the second target may move the first one away, by one.
                yes = self._reachable(targets[0], MAX_OFFSET - 1)
                no = self._reachable(targets[1], MAX_OFFSET)
                jt, jf = self._distance(yes), self._distance(no)
            label = self._written[key] = self._append(Instruction(code, jt, jf, k))
        return label

    def _reachable(self, target: Label, limit: int) -> Label:
        """Return ``target``, or a step on the way to it, at most ``limit`` instructions ahead."""
        if self._distance(target) <= limit:
            return target
        step = self._steps.get(target)
        if step is None or self._distance(step) > limit:
            self._continue_at(target)
            step = self._steps[target] = Label(len(self._code))
        return step

    def _continue_at(self, target: Label) -> None:
        """Make ``target`` what runs next: by its place, a copy if it is a return, or a jump."""
        distance = self._distance(target)
        if distance:
            instruction = self._code[target - 1]
            is_return = instruction.code == _RET
            jump = Instruction(BPF_JMP | BPF_JA, k=distance)
            self._append(instruction if is_return else jump)

    def _append(self, instruction: Instruction) -> Label:
        self._code.append(instruction)
        return Label(len(self._code))

    def _distance(self, target: Label) -> int:
        return len(self._code) - target
