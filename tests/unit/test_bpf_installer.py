"""What of the installer can be seen without installing; the rest is in test_bpf_kernel.py."""

import ctypes
import struct

from bpf import Action, FilterMemory, Instruction, Program


def test_filter_memory_is_a_struct_sock_fprog():
    """At ``address`` are the length and a pointer to the instructions, for as long as it lives."""
    program = Program((Instruction(0x20, k=0), Instruction(0x06, k=Action.allow().value)))
    memory = FilterMemory(program)
    length, pointer = struct.unpack("=H6xQ", ctypes.string_at(memory.address, 16))
    assert length == 2
    assert ctypes.string_at(pointer, 16) == bytes(program)
