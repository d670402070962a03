"""Disassembly: every instruction of classic BPF, in words."""

import pytest

from bpf import Action, Arch, Instruction, Program, disassemble


@pytest.mark.parametrize(
    ("instruction", "text"),
    [
        (Instruction(0x20, k=0), "ld   nr"),
        (Instruction(0x20, k=4), "ld   arch"),
        (Instruction(0x20, k=8), "ld   instruction_pointer.low"),
        (Instruction(0x20, k=12), "ld   instruction_pointer.high"),
        (Instruction(0x20, k=16), "ld   args[0].low"),
        (Instruction(0x20, k=60), "ld   args[5].high"),
        (Instruction(0x80), "ld   len"),
        (Instruction(0x81), "ldx  len"),
        (Instruction(0x00, k=10), "ld   #0xa"),
        (Instruction(0x01, k=10), "ldx  #0xa"),
        (Instruction(0x60, k=15), "ld   M[15]"),
        (Instruction(0x61, k=0), "ldx  M[0]"),
        (Instruction(0x02, k=1), "st   M[1]"),
        (Instruction(0x03, k=2), "stx  M[2]"),
        (Instruction(0x04, k=1), "add  0x1"),
        (Instruction(0x0C), "add  x"),
        (Instruction(0x54, k=0xFF), "and  0xff"),
        (Instruction(0x84), "neg"),
        (Instruction(0xA4, k=1), "xor  0x1"),
        (Instruction(0x07), "tax"),
        (Instruction(0x87), "txa"),
        (Instruction(0x05, k=3), "ja   4"),
        (Instruction(0x15, 1, 2, 0x40), "jeq  0x40, 2, 3"),
        (Instruction(0x1D, 1, 2), "jeq  x, 2, 3"),
        (Instruction(0x25, 0, 9, 1), "jgt  0x1, 1, 10"),
        (Instruction(0x35, 0, 9, 1), "jge  0x1, 1, 10"),
        (Instruction(0x45, 0, 9, 1), "jset 0x1, 1, 10"),
        (Instruction(0x06, k=Action.trace(258).value), "ret  RET_TRACE(258)"),
        (Instruction(0x16), "ret  A"),
        (Instruction(0x28, 1, 2, 3), ".code 0x28, 1, 2, 0x3"),
        (Instruction(0x94, k=3), ".code 0x94, 0, 0, 0x3"),
    ],
)
def test_each_instruction_has_its_own_text(instruction, text):
    """Loads name their word, jumps their lines, returns their action; what is unknown is shown."""
    assert disassemble([instruction]) == f"   0: {text}"


def test_numbers_are_named_where_the_architecture_is_known():
    """A comparison of nr is annotated with its name under the architecture checked before."""
    jeq, ld, ret = 0x15, 0x20, 0x06
    program = Program(
        (
            Instruction(ld, k=4),
            Instruction(jeq, 0, 3, Arch.I386.value),
            Instruction(ld, k=0),
            Instruction(jeq, 0, 4, 102),
            Instruction(ret, k=Action.errno(38).value),
            Instruction(ld, k=0),
            Instruction(jeq, 0, 1, 102),
            Instruction(ret, k=Action.allow().value),
            Instruction(ret, k=Action.allow().value),
        )
    )
    names = {(Arch.I386, 102): "socketcall", (Arch.X86_64, 102): "getuid"}
    assert disassemble(program, lambda arch, number: names.get((arch, number))).splitlines() == [
        "   0: ld   arch",
        "   1: jeq  0x40000003, 2, 5           ; I386",
        "   2: ld   nr",
        "   3: jeq  102, 4, 8                  ; socketcall",
        "   4: ret  RET_ERRNO(ENOSYS)",
        "   5: ld   nr",
        "   6: jeq  102, 7, 8",
        "   7: ret  RET_ALLOW",
        "   8: ret  RET_ALLOW",
    ]


def test_nothing_is_named_where_ways_from_different_architectures_meet():
    """After a join only what holds on every way is known."""
    program = (
        Instruction(0x20, k=4),
        Instruction(0x15, 0, 0, Arch.I386.value),
        Instruction(0x20, k=0),
        Instruction(0x15, 0, 0, 102),
        Instruction(0x06),
    )
    assert "; socketcall" not in disassemble(program, lambda _arch, _number: "socketcall")


def test_str_of_a_program_is_its_disassembly():
    """str(program) lists the program without names; invalid programs are listed too."""
    program = Program((Instruction(0x05, k=99), Instruction(0x06)))
    assert str(program) == disassemble(program) == "   0: ja   100\n   1: ret  RET_KILL_THREAD"
    assert str(Program(())) == ""
