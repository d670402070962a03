"""The backward assembler: whatever the distance, jumps arrive."""

import operator
import random

import pytest

from bpf import Action, SeccompData, evaluate, verify
from bpf.assembler import Assembler
from bpf.instruction import BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_JSET


def run(program, number):
    """Answer to a call of ``number``."""
    return evaluate(program, SeccompData(number, 0))


@pytest.mark.parametrize("distance", [0, 1, 252, 253, 254, 255, 256, 257, 600, 3000])
@pytest.mark.parametrize("target", ["return", "block"])
def test_a_branch_reaches_any_distance(distance, target):
    """Targets are reached when near, at the last offset of 8 bits, and beyond, on either side."""
    assembler = Assembler()
    far = assembler.ret(Action.errno(7))
    if target == "block":
        far = assembler.load(4, far)
    near = assembler.ret(Action.errno(8))
    for bits in range(distance):
        near = assembler.mask(bits, near)
    yes_far = assembler.branch(BPF_JEQ, 7, far, near)
    no_far = assembler.branch(BPF_JEQ, 9, yes_far, far)
    both_far = assembler.branch(BPF_JGT, 9, far, no_far)
    program = assembler.program(assembler.load(0, both_far))
    verify(program)
    assert [run(program, number) for number in (7, 8, 9, 10)] == [
        Action.errno(7),
        Action.errno(7),
        Action.errno(8),
        Action.errno(7),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_random_decision_graphs_arrive_where_they_point(seed):
    """A thousand comparisons with targets anywhere decide as the graph they were made of."""
    rng = random.Random(seed)
    tests = {
        BPF_JEQ: operator.eq,
        BPF_JGT: operator.gt,
        BPF_JGE: operator.ge,
        BPF_JSET: operator.and_,
    }
    assembler = Assembler()
    graph = {assembler.ret(Action.errno(errno)): Action.errno(errno) for errno in range(20)}
    labels = list(graph)
    while len(graph) < 1000:
        branch = (rng.choice(list(tests)), rng.randrange(64), *rng.choices(labels, k=2))
        label = assembler.branch(*branch)
        if label not in graph:
            graph[label] = branch
            # Half of the targets are recent, the others lie anywhere.
            labels += [label] * rng.randrange(1, 4)
    start = max(graph)
    program = assembler.program(assembler.load(0, start))
    assert len(program) < 4096
    for number in range(64):
        node = graph[start]
        while not isinstance(node, Action):
            operation, k, yes, no = node
            node = graph[yes if tests[operation](number, k) else no]
        assert run(program, number) == node


def test_what_is_written_once_is_shared():
    """Equal instructions with equal targets have one label; a branch to one place is none."""
    assembler = Assembler()
    allow, fail = assembler.ret(Action.allow()), assembler.ret(Action.errno(1))
    assert assembler.ret(Action.allow()) == allow
    assert assembler.load(0, allow) == assembler.load(0, allow)
    assert assembler.branch(BPF_JEQ, 1, allow, fail) == assembler.branch(BPF_JEQ, 1, allow, fail)
    assert assembler.branch(BPF_JEQ, 1, allow, allow) == allow


def test_a_return_out_of_reach_is_copied():
    """A far return costs one instruction as a jump to it would, but does not execute one more."""
    assembler = Assembler()
    far, near = assembler.ret(Action.allow()), assembler.ret(Action.errno(1))
    for bits in range(300):
        near = assembler.mask(bits, near)
    program = assembler.program(assembler.load(0, assembler.branch(BPF_JEQ, 1, far, near)))
    assert [instruction.k for instruction in program].count(Action.allow().value) == 2
    assert BPF_JMP | BPF_JA not in {instruction.code for instruction in program}
