"""What rules say, without any program: the oracle of the compiler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bpf.action import Action
from bpf.arch import X32_SYSCALL_BIT, Arch
from bpf.data import SeccompData
from bpf.rule import Rule
from bpf.value import frozen

__all__ = ["Model"]

_WORD = 0xFFFFFFFF


@frozen
class Model:
    """Rules of each architecture, and what happens to the calls that none is about."""

    rules: Mapping[Arch, Sequence[Rule]]
    default: Action
    unknown_arch: Action
    x32: Action

    def decide(self, call: SeccompData) -> Action:
        """Find the first rule that a call matches; one after the other, as slow as that is."""
        if call.arch not in self.rules:
            return self.unknown_arch
        arch = Arch(call.arch)
        if arch == Arch.X86_64 and call.number >= X32_SYSCALL_BIT:
            return self.x32
        for rule in self.rules[arch]:
            if rule.number == call.number and _matches(rule, arch, call):
                return rule.action
        return self.default


def _matches(rule: Rule, arch: Arch, call: SeccompData) -> bool:
    # An int 0x80 in 64-bit code leaves the upper halves; the kernel's i386 calls do not see them.
    registers = _WORD if arch == Arch.I386 else ~0
    return all(one.holds(call.arguments[one.index] & registers) for one in rule.conditions)
