"""Classic BPF as immutable values: compile, verify, evaluate, disassemble, install.

A filter of this package does, in ten lines::

    arch = load(arch)
    if arch not in rules:           return unknown_arch    # nothing is known of its numbers
    nr = load(nr)
    if arch == X86_64 and nr & X32: return x32             # another table behind the same arch
    for rule in rules[arch][nr]:                           # a binary tree finds them
        for condition in rule.conditions:                  # an int by its low word only
            if not condition(load(args[condition.index])):
                break
        else:                       return rule.action     # the first that matches decides
    return default                                         # nothing but arch and nr was loaded

Whatever is not selected takes the way from the first line to the last. It loads no argument, so
that a ``default`` of RET_ALLOW stays in the kernel's always-allow cache and costs nothing.

Each name is loaded when it is first used.
"""

from typing import TYPE_CHECKING, Final

from bpf.on_demand import names_on_demand

if TYPE_CHECKING:
    from bpf.action import Action
    from bpf.arch import Arch
    from bpf.cache import is_constant_allow
    from bpf.compiler import compile  # noqa: A004  as re.compile: always written bpf.compile
    from bpf.condition import Condition
    from bpf.data import SeccompData
    from bpf.disassembler import disassemble
    from bpf.errors import CompileError, InvalidProgram, LibraryMissing, ProbesUnavailable
    from bpf.evaluator import evaluate
    from bpf.exit_selection import ExitSample, ExitSelection, ResultCondition
    from bpf.installer import FilterMemory, install, needs_no_new_privs
    from bpf.instruction import Instruction
    from bpf.program import Program
    from bpf.rule import Rule
    from bpf.verifier import verify

__all__ = [
    "Action",
    "Arch",
    "CompileError",
    "Condition",
    "ExitSample",
    "ExitSelection",
    "FilterMemory",
    "Instruction",
    "InvalidProgram",
    "LibraryMissing",
    "ProbesUnavailable",
    "Program",
    "ResultCondition",
    "Rule",
    "SeccompData",
    "compile",
    "disassemble",
    "evaluate",
    "install",
    "is_constant_allow",
    "needs_no_new_privs",
    "verify",
]

#: {name: the module that has it}.
_MODULES: Final = {
    "Action": "action",
    "Arch": "arch",
    "CompileError": "errors",
    "Condition": "condition",
    "ExitSample": "exit_selection",
    "ExitSelection": "exit_selection",
    "FilterMemory": "installer",
    "Instruction": "instruction",
    "InvalidProgram": "errors",
    "LibraryMissing": "errors",
    "ProbesUnavailable": "errors",
    "Program": "program",
    "ResultCondition": "exit_selection",
    "Rule": "rule",
    "SeccompData": "data",
    "compile": "compiler",
    "disassemble": "disassembler",
    "evaluate": "evaluator",
    "install": "installer",
    "is_constant_allow": "cache",
    "needs_no_new_privs": "installer",
    "verify": "verifier",
}

__getattr__, __dir__ = names_on_demand(__name__, _MODULES)
