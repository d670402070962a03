"""Programs and instructions as values."""

import pytest

from bpf import Action, Instruction, Program

LOAD_NR = Instruction(0x20, k=0)
IS_GETPID = Instruction(0x15, 0, 1, 39)
FAIL = Instruction(0x06, k=Action.errno(1).value)
ALLOW = Instruction(0x06, k=Action.allow().value)
NO_GETPID = (LOAD_NR, IS_GETPID, FAIL, ALLOW)


def test_bytes_are_struct_sock_filter():
    """bytes() gives code, jt, jf and k of each instruction in 8 bytes, as the kernel reads them."""
    assert bytes(IS_GETPID) == b"\x15\x00\x00\x01\x27\x00\x00\x00"
    program = Program(NO_GETPID)
    assert bytes(program) == b"".join(bytes(instruction) for instruction in NO_GETPID)
    assert len(bytes(program)) == 8 * len(program) == 32


def test_from_bytes_reads_bytes_back():
    """Program.from_bytes(bytes(program)) equals program."""
    program = Program(NO_GETPID)
    assert Program.from_bytes(bytes(program)) == program
    assert Program.from_bytes(b"") == Program(())


def test_incomplete_bytes_are_refused():
    """A length that is no multiple of 8 is a truncated file, not a program."""
    with pytest.raises(ValueError, match="31 bytes"):
        Program.from_bytes(bytes(Program(NO_GETPID))[:-1])


def test_programs_with_equal_instructions_are_one_value():
    """Equal programs have equal hashes; unequal ones, and other types, are unequal."""
    assert {Program(NO_GETPID), Program(NO_GETPID)} == {Program(NO_GETPID)}
    assert Program(NO_GETPID) != Program(NO_GETPID[1:])
    assert Program(NO_GETPID) != NO_GETPID


def test_a_program_is_a_sequence_that_cannot_change():
    """Instructions are iterated and indexed; no attribute can be set."""
    program = Program(NO_GETPID)
    assert tuple(program) == NO_GETPID
    assert program[2] == FAIL
    assert repr(program) == "<Program of 4 instructions>"
    with pytest.raises(AttributeError):
        program.instructions = ()
    with pytest.raises(AttributeError):
        LOAD_NR.k = 4


@pytest.mark.parametrize(
    "fields", [(0x10000, 0, 0, 0), (0x15, 256, 0, 0), (0x15, 0, -1, 0), (0x06, 0, 0, 1 << 32)]
)
def test_an_instruction_that_cannot_be_encoded_cannot_be_made(fields):
    """A jump of more than 255 instructions raises ValueError where it is made, not at install."""
    with pytest.raises(ValueError, match="struct sock_filter"):
        Instruction(*fields)
