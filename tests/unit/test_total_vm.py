"""The machine's calls on paths against those of the kernel that runs this test."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel import Abi, Call, SyscallEntryStop
from accel.testing import FakeMemory
from examples.total_vm.console import PipeNode
from examples.total_vm.descriptor_calls import DescriptorCalls
from examples.total_vm.descriptors import DescriptorTable, OpenRegularFile, Pipe
from examples.total_vm.dispatch import calls_of
from examples.total_vm.files import Files
from examples.total_vm.guest import Guest
from examples.total_vm.nodes import Directory, File, Node, SymbolicLink
from examples.total_vm.path_calls import PathCalls
from examples.total_vm.trees import copy_of
from examples.total_vm.vfs import VirtualFileSystem

Operation = tuple[str, ...]


class Kernel:
    """The handlers of the machine, called as if a guest had stopped."""

    def __init__(self, tree: VirtualFileSystem) -> None:
        self.files = Files(tree)
        subsystems = (PathCalls(self.files), DescriptorCalls(self.files))
        self.handlers = {name: handle for one in subsystems for name, handle in calls_of(one)}

    def __call__(self, name: str, *arguments: int | bytes) -> int:
        """Call ``name``; arguments that are bytes are passed by address."""
        memory, registers = {}, []
        for position, argument in enumerate(arguments):
            if isinstance(argument, bytes):
                address = 0x10000 * (position + 1)
                memory[address] = argument + b"\0"
                registers.append(address)
            else:
                registers.append(argument & (1 << 64) - 1)
        registers += [0] * (6 - len(registers))
        call = Call(1, 1, Abi.X86_64, Abi.X86_64.numbers[name], tuple(registers))  # type: ignore[arg-type]
        try:
            answer = self.handlers[name](Guest(SyscallEntryStop(call, FakeMemory(memory))))
        except OSError as failure:
            return -(failure.errno or 0)
        assert isinstance(answer, int)
        return answer


def in_the_machine(kernel: Kernel, operation: Operation) -> int:
    """Do it, and return 0 or -errno."""
    name, *paths = operation
    encoded = [path.encode() for path in paths]
    if name == "create":
        fd = kernel("open", *encoded, os.O_CREAT | os.O_WRONLY, 0o644)
        return kernel("close", fd) if fd >= 0 else fd
    if name in ("mkdir", "access"):
        return kernel(name, *encoded, {"mkdir": 0o755, "access": os.F_OK}[name])
    return kernel(name, *encoded)


def on_the_host(operation: Operation) -> int:
    """Do it in the working directory, and return 0 or -errno."""
    name, *paths = operation
    calls: dict[str, Callable[..., object]] = {
        "create": lambda path: os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)),
        "mkdir": lambda path: os.mkdir(path, 0o755),
        "access": os.stat,
        "link": lambda old, new: os.link(old, new, follow_symlinks=False),
    }
    try:
        (calls.get(name) or getattr(os, name))(*paths)
    except OSError as failure:
        return -(failure.errno or 0)
    return 0


def outline(node: Node) -> object:
    """Say what a node is, as far as two file systems must agree on it."""
    if isinstance(node, Directory):
        return node.links, node.mode, {name: outline(one) for name, one in node.entries.items()}
    return node.links, node.mode, node.target if isinstance(node, SymbolicLink) else node.size


#: Few names, so that operations meet.
NAMES = st.sampled_from(["a", "a", "a", "b", "b", ".", ".."])
# Below a directory that nothing can leave: the host's top has a parent, the machine's has none.
PATHS = st.builds(
    lambda names, end: "/".join(("d/d/d/d", *names)) + end,
    st.lists(NAMES, min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
)
TARGETS = st.lists(NAMES, min_size=1, max_size=2).map("/".join)
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["mkdir", "rmdir", "unlink", "create", "access"]), PATHS),
    st.tuples(st.sampled_from(["rename", "link"]), PATHS, PATHS),
    st.tuples(st.just("symlink"), TARGETS, PATHS),
)


@given(st.lists(OPERATIONS, max_size=10))
@settings(max_examples=200)
def test_any_operations_on_names_end_as_those_of_the_host(operations: list[Operation]) -> None:
    """Same errno each, and the same tree in the end: links counted, modes kept."""
    before = os.open(".", os.O_RDONLY)
    mask = os.umask(0o022)
    try:
        with tempfile.TemporaryDirectory() as top:
            os.chdir(top)
            os.makedirs("d/d/d/d")
            kernel = Kernel(copy_of(top))
            for operation in operations:
                assert in_the_machine(kernel, operation) == on_the_host(operation), operation
            assert outline(kernel.files.tree.root) == outline(copy_of(top).root)
            os.fchdir(before)  # A directory that is anybody's cannot be removed.
    finally:
        os.umask(mask)
        os.fchdir(before)
        os.close(before)


def test_descriptors_of_one_open_file_share_its_position() -> None:
    """dup(2): what one has read the other does not read again; the lowest number is taken."""
    file = File()
    file.write_at(0, b"abcdef")
    table = DescriptorTable()
    first = table.add(OpenRegularFile(file, os.O_RDWR))
    second = table.add(table[first])
    assert (first, second) == (0, 1)
    assert table[first].read(2) + table[second].read(2) == b"abcd"
    table.close(first)
    assert table.add(table[second]) == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        table.close(7)


def test_a_gap_before_what_is_written_reads_as_zeros() -> None:
    """lseek(2) past the end, then write(2); blocks are whole pages."""
    file = File()
    opened = OpenRegularFile(file, os.O_WRONLY)
    opened.seek(3, os.SEEK_END)
    opened.write(b"x")
    assert (bytes(file.content), file.blocks) == (b"\0\0\0x", 8)
    with pytest.raises(OSError, match="Bad file descriptor"):
        opened.read(1)


def test_a_pipe_ends_when_its_last_writer_has_closed_it() -> None:
    """An empty one that the guest could still fill would make it wait for itself: EDEADLK."""
    table, pipe = DescriptorTable(), Pipe(PipeNode())
    reading, writing = table.add(pipe.reading), table.add(pipe.writing)
    table[writing].write(b"abc")
    assert table[reading].read(10) == b"abc"
    with pytest.raises(OSError, match="deadlock") as raised:
        table[reading].read(1)
    assert raised.value.errno == errno.EDEADLK
    table.close(writing)
    assert table[reading].read(1) == b""
