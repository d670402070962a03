"""The interpreter and the verifier, instruction by instruction.

That they agree with the kernel is shown in tests/integration/test_bpf_kernel.py.
"""

import pytest

from bpf import Action, Instruction, InvalidProgram, Program, SeccompData, evaluate, verify
from bpf.instruction import (
    BPF_A,
    BPF_ABS,
    BPF_ADD,
    BPF_ALU,
    BPF_AND,
    BPF_DIV,
    BPF_IMM,
    BPF_JA,
    BPF_JEQ,
    BPF_JGE,
    BPF_JGT,
    BPF_JMP,
    BPF_JSET,
    BPF_K,
    BPF_LD,
    BPF_LDX,
    BPF_LEN,
    BPF_LSH,
    BPF_MEM,
    BPF_MISC,
    BPF_MUL,
    BPF_NEG,
    BPF_OR,
    BPF_RET,
    BPF_RSH,
    BPF_ST,
    BPF_STX,
    BPF_SUB,
    BPF_TAX,
    BPF_TXA,
    BPF_W,
    BPF_X,
    BPF_XOR,
)

CALL = SeccompData(
    -1,
    0xC000003E,
    0x0000_7FFF_1234_5678,
    tuple(0x1111_1111_0000_0000 * (index + 1) + index for index in range(6)),
)


def result(*instructions):
    """Run instructions that leave their result in A."""
    program = Program((*map(instruction, instructions), Instruction(BPF_RET | BPF_A)))
    return evaluate(program, CALL).value


def instruction(fields):
    """Make an instruction of (code, k)."""
    return Instruction(fields[0], k=fields[1])


def load(value):
    """Load a constant into A."""
    return (BPF_LD | BPF_IMM, value)


def loadx(value):
    """Load a constant into X."""
    return (BPF_LDX | BPF_IMM, value)


@pytest.mark.parametrize(
    ("offset", "word"),
    [
        (0, 0xFFFFFFFF),
        (4, 0xC000003E),
        (8, 0x12345678),
        (12, 0x7FFF),
        (16, 0),
        (20, 0x11111111),
        (56, 5),
        (60, 0x66666666),
    ],
)
def test_loads_see_struct_seccomp_data(offset, word):
    """LD|W|ABS loads the word at its offset; a 64-bit member has its low word first."""
    assert result((BPF_LD | BPF_W | BPF_ABS, offset)) == word


@pytest.mark.parametrize(
    ("operation", "a", "b", "expected"),
    [
        (BPF_ADD, 0xFFFFFFFF, 2, 1),
        (BPF_SUB, 1, 2, 0xFFFFFFFF),
        (BPF_MUL, 0x10000, 0x10001, 0x10000),
        (BPF_DIV, 0xFFFFFFFF, 0x10, 0x0FFFFFFF),
        (BPF_OR, 0xF0, 0x0F, 0xFF),
        (BPF_AND, 0xF0, 0x3C, 0x30),
        (BPF_XOR, 0xF0, 0x3C, 0xCC),
        (BPF_LSH, 0x80000001, 4, 0x10),
        (BPF_RSH, 0x80000001, 4, 0x08000000),
    ],
)
def test_arithmetic_is_modulo_two_to_the_32(operation, a, b, expected):
    """Each operation takes its operand from the instruction or from X and wraps at 32 bits."""
    assert result(load(a), (BPF_ALU | operation | BPF_K, b)) == expected
    assert result(load(a), loadx(b), (BPF_ALU | operation | BPF_X, 0)) == expected


def test_negation_is_twos_complement():
    """NEG of 1 is 0xffffffff, of 0 is 0."""
    assert result(load(1), (BPF_ALU | BPF_NEG, 0)) == 0xFFFFFFFF
    assert result(load(0), (BPF_ALU | BPF_NEG, 0)) == 0


def test_dividing_by_x_of_zero_returns_zero():
    """The program ends there, with SECCOMP_RET_KILL_THREAD."""
    program = Program(
        (
            *map(instruction, (load(7), loadx(0), (BPF_ALU | BPF_DIV | BPF_X, 0))),
            Instruction(BPF_RET | BPF_K, k=Action.allow().value),
        )
    )
    assert evaluate(program, CALL) == Action.kill_thread()


def test_registers_memory_and_length_move():
    """TAX, TXA, ST, STX, LD M, LDX M and both LEN loads move what they say."""
    assert result(load(5), (BPF_MISC | BPF_TAX, 0), load(0), (BPF_MISC | BPF_TXA, 0)) == 5
    assert result(load(6), (BPF_ST, 15), load(0), (BPF_LD | BPF_MEM, 15)) == 6
    assert result(loadx(7), (BPF_STX, 0), (BPF_LD | BPF_MEM, 0)) == 7
    recall_x = (load(8), (BPF_ST, 1), load(0), (BPF_LDX | BPF_MEM, 1), (BPF_MISC | BPF_TXA, 0))
    assert result(*recall_x) == 8
    assert result((BPF_LD | BPF_W | BPF_LEN, 0)) == 64
    assert result((BPF_LDX | BPF_W | BPF_LEN, 0), (BPF_MISC | BPF_TXA, 0)) == 64


@pytest.mark.parametrize(
    ("operation", "a", "b", "holds"),
    [
        (BPF_JEQ, 5, 5, True),
        (BPF_JEQ, 5, 6, False),
        (BPF_JGT, 5, 5, False),
        (BPF_JGT, 0x80000000, 5, True),
        (BPF_JGE, 5, 5, True),
        (BPF_JGE, 4, 0xFFFFFFFF, False),
        (BPF_JSET, 6, 4, True),
        (BPF_JSET, 6, 9, False),
    ],
)
def test_comparisons_are_unsigned(operation, a, b, holds):
    """Each comparison goes to jt if it holds and to jf if not, with a constant and with X."""
    for source, before in ((BPF_K, ()), (BPF_X, (loadx(b),))):
        program = Program(
            (
                *map(instruction, (*before, load(a))),
                Instruction(BPF_JMP | operation | source, 1, 2, b if source == BPF_K else 0),
                Instruction(BPF_RET | BPF_K, k=1),
                Instruction(BPF_RET | BPF_K, k=2),
                Instruction(BPF_RET | BPF_K, k=3),
            )
        )
        assert evaluate(program, CALL).value == (2 if holds else 3)


def test_ja_skips_as_many_instructions_as_it_says():
    """JA jumps over k instructions, which may be more than 255."""
    skipped = [Instruction(BPF_RET | BPF_K, k=1)] * 300
    program = Program(
        (Instruction(BPF_JMP | BPF_JA, k=300), *skipped, Instruction(BPF_RET | BPF_K, k=2))
    )
    assert evaluate(program, CALL).value == 2


RETURN = Instruction(BPF_RET | BPF_K, k=Action.allow().value)
STORE = Instruction(BPF_ST, k=3)
RECALL = Instruction(BPF_LD | BPF_MEM, k=3)


@pytest.mark.parametrize(
    ("instructions", "reason"),
    [
        ((), "1 to 4096 instructions, this one has 0"),
        ((RETURN,) * 4097, "this one has 4097"),
        ((Instruction(BPF_LD | BPF_W | BPF_ABS, k=2), RETURN), "0: offset 2 is no word"),
        ((Instruction(BPF_LD | BPF_W | BPF_ABS, k=64), RETURN), "offset 64 is no word"),
        ((Instruction(0x28, k=0), RETURN), "0: code 0x28 is not allowed"),
        ((Instruction(0x94, k=2), RETURN), "0x94 is not allowed"),
        ((RETURN, Instruction(0x1FF), RETURN), "1: code 0x1ff is not allowed"),
        ((Instruction(BPF_ALU | BPF_DIV, k=0), RETURN), "division by zero"),
        ((Instruction(BPF_ALU | BPF_LSH, k=32), RETURN), "shift by 32 bits"),
        ((Instruction(BPF_ALU | BPF_RSH, k=99), RETURN), "shift by 99 bits"),
        ((Instruction(BPF_ST, k=16), RETURN), r"M\[16\] does not exist"),
        ((RECALL, RETURN), r"0: M\[3\] was not written before"),
        ((Instruction(BPF_JMP | BPF_JA, k=1), RETURN), "jump past the end"),
        ((Instruction(BPF_JMP | BPF_JEQ, 1, 0), RETURN), "jump past the end"),
        ((Instruction(BPF_JMP | BPF_JSET, 0, 1), RETURN), "jump past the end"),
        ((RETURN, Instruction(BPF_MISC | BPF_TAX)), "the last instruction is no return"),
    ],
)
def test_what_the_kernel_refuses_is_refused_with_a_reason(instructions, reason):
    """verify() and evaluate() raise InvalidProgram and say which instruction is wrong, and why."""
    program = Program(tuple(instructions))
    with pytest.raises(InvalidProgram, match=reason):
        verify(program)
    with pytest.raises(InvalidProgram, match=reason):
        evaluate(program, CALL)


def test_memory_must_be_written_on_every_way():
    """A word of M that only one of two ways has written may not be read where they meet."""
    jump = Instruction(BPF_JMP | BPF_JEQ, 0, 1, 5)
    with pytest.raises(InvalidProgram, match=r"2: M\[3\]"):
        verify(Program((jump, STORE, RECALL, RETURN)))
    verify(Program((STORE, jump, STORE, RECALL, RETURN)))
    # Nothing gets to an instruction behind a jump unless it jumps there: it may read anything.
    verify(Program((Instruction(BPF_JMP | BPF_JA, k=1), RECALL, RETURN)))


def test_the_longest_program_is_valid():
    """4096 instructions are accepted."""
    verify(Program((RETURN,) * 4096))
