"""Where bcc is looked for, and what is said where it cannot work; no bcc is needed for that."""

from __future__ import annotations

import mmap
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bpf import ProbesUnavailable
from bpf.probes import loader
from bpf.probes.ring import Ring

BCC = "class BPF(object):\n    text = None\n"
LATTICE = "from .lattice import BCC\n"
STATUS = "Name:\tpython\nCapEff:\t{:016x}\n"
HOST_UIDS = "         0          0 4294967295\n"


def package(directory: Path, text: str) -> str:
    """Make a package of the name bcc."""
    (directory / "bcc").mkdir(parents=True)
    (directory / "bcc/__init__.py").write_text(text)
    return str(directory)


@pytest.fixture
def without_bcc() -> Iterator[None]:
    """Undo an import of bcc, and then of what the test has taken for it."""
    before = forget_bcc()
    yield
    forget_bcc()
    sys.modules.update(before)


def forget_bcc() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.split(".")[0] == "bcc"]
    return {name: sys.modules.pop(name) for name in names}


@pytest.fixture
def privileged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be root of the host, whoever runs the test."""
    monkeypatch.setattr(loader, "_check_privilege", lambda: None)


# ------------------------------------------------------------------------------- finding bcc


def test_debians_bcc_is_found_where_no_venv_looks(tmp_path: Path) -> None:
    """Only if the path has none itself."""
    debian = package(tmp_path / "debian", BCC)
    assert loader.locate([str(tmp_path)], debian) == f"{debian}/bcc/__init__.py"
    own = package(tmp_path / "own", BCC)
    assert loader.locate([own], debian) == f"{own}/bcc/__init__.py"


def test_a_host_without_bcc_is_told_what_to_install(tmp_path: Path) -> None:
    """One line, with the names of the packages."""
    with pytest.raises(ProbesUnavailable) as caught:
        loader.locate([], str(tmp_path))
    assert "python3-bpfcc linux-headers-amd64" in caught.value.hint
    assert str(caught.value).count("\n") == 0


def test_the_package_of_crystal_lattices_is_named(tmp_path: Path) -> None:
    """PyPI's bcc is another thing, and would be imported instead."""
    wrong, debian = package(tmp_path / "venv", LATTICE), package(tmp_path / "debian", BCC)
    with pytest.raises(ProbesUnavailable, match="crystal lattices") as caught:
        loader.locate([wrong], debian)
    assert f"{wrong}/bcc" in str(caught.value)
    assert "pip uninstall bcc" in caught.value.hint


@pytest.mark.usefixtures("without_bcc")
def test_importing_bcc_makes_nothing_else_importable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own modules are found, its neighbours are not, and sys.path is as before."""
    debian = package(tmp_path, "from .version import BPF\n")
    (tmp_path / "bcc/__init__.py").write_text(
        "from .version import NAME\n\nclass BPF: name = NAME\n"
    )
    (tmp_path / "bcc/version.py").write_text("NAME = 'own'\n")
    (tmp_path / "neighbour.py").write_text("")
    monkeypatch.setattr(loader.locate, "__defaults__", (debian,))
    before = list(sys.path)
    assert loader._import_bcc().BPF.name == "own"
    assert sys.modules["bcc.version"].__file__ == f"{debian}/bcc/version.py"
    assert sys.path == before
    with pytest.raises(ImportError):
        __import__("neighbour")


@pytest.mark.usefixtures("without_bcc")
def test_what_python_warns_of_in_bcc_is_nobodys_concern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where warnings are errors, as in these tests."""
    escape = "class BPF: pass\n'\\.'\n"
    with pytest.raises(SyntaxError):
        compile(escape, "bcc", "exec")
    monkeypatch.setattr(loader.locate, "__defaults__", (package(tmp_path, escape),))
    assert loader._import_bcc().BPF


@pytest.mark.usefixtures("without_bcc")
def test_a_bcc_that_cannot_be_imported_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shared library may be missing."""
    broken = "class BPF: pass\nraise OSError('libbcc.so.0: cannot open shared object file')\n"
    monkeypatch.setattr(loader.locate, "__defaults__", (package(tmp_path, broken),))
    with pytest.raises(ProbesUnavailable, match=r"libbcc\.so\.0"):
        loader._import_bcc()
    assert "bcc" not in sys.modules


# ------------------------------------------------------------------------------- privilege


@pytest.mark.parametrize(
    ("capabilities", "uids", "message"),
    [
        (0, HOST_UIDS, "need root; run as root"),
        (1 << 38, HOST_UIDS, "need root; run as root"),
        (1 << 39, HOST_UIDS, "need root; run as root"),
        ((1 << 41) - 1, "0 1000 1\n", "user namespace"),
    ],
)
def test_who_may_not_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capabilities: int, uids: str, message: str
) -> None:
    """Before bcc is loaded, and half of the capabilities are not enough."""
    files = {"/proc/self/status": STATUS.format(capabilities), "/proc/self/uid_map": uids}
    monkeypatch.setattr(loader, "_read", files.__getitem__)
    with pytest.raises(ProbesUnavailable, match=message):
        loader.load("")


@pytest.mark.parametrize("capabilities", [1 << 21, 1 << 38 | 1 << 39])
def test_the_tids_of_another_pid_namespace_are_refused(
    monkeypatch: pytest.MonkeyPatch, capabilities: int
) -> None:
    """The kernel would know other threads by them."""
    files = {"/proc/self/status": STATUS.format(capabilities), "/proc/self/uid_map": HOST_UIDS}
    monkeypatch.setattr(loader, "_read", files.__getitem__)
    monkeypatch.setattr(os, "readlink", lambda _path: "pid:[4026532000]")
    with pytest.raises(ProbesUnavailable, match="PID namespace; run outside the container"):
        loader.load("")


# ------------------------------------------------------------------------------- compiling


class Compiler:
    """Stands for the module bcc."""

    def __init__(self) -> None:
        self.seen = seen = list[object]()

        class BPF:
            def __init__(self, text: bytes, cflags: tuple[str, ...]) -> None:
                seen.extend([text, cflags, os.environ["BCC_KERNEL_SOURCE"]])
                os.chdir("/")
                if text == b"wrong":
                    raise Exception("Failed to attach BPF to raw tracepoint")  # noqa: TRY002

            def cleanup(self) -> None:
                seen.append("cleaned up")

        self.BPF = BPF


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    """Compile with nothing but a list of what was asked for."""
    fake = Compiler()
    monkeypatch.setattr(loader, "_import_bcc", lambda: fake)
    return fake


@pytest.mark.usefixtures("privileged")
def test_the_headers_that_the_user_names_are_used_and_nothing_else_changes(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler changes the working directory, its own only."""
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "/my/headers")
    before = os.getcwd()
    program = loader.load("text")
    assert isinstance(program, compiler.BPF)
    assert compiler.seen == [b"text", ("-w",), "/my/headers"]
    assert (os.getcwd(), os.environ["BCC_KERNEL_SOURCE"]) == (before, "/my/headers")


@pytest.mark.usefixtures("privileged")
def test_what_is_refused_is_one_typed_error(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the cause and the headers that were used; what was attached is attached no more."""
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "/my/headers")
    with pytest.raises(ProbesUnavailable, match="headers /my/headers: Failed to attach") as caught:
        loader.load("wrong")
    assert isinstance(caught.value.__cause__, Exception)
    assert compiler.seen[-1] == "cleaned up"


@pytest.mark.usefixtures("privileged", "compiler")
def test_without_headers_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to install."""
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    monkeypatch.setattr(loader, "find_headers", lambda _release: None)
    with pytest.raises(ProbesUnavailable, match=r"no kernel headers.*linux-headers-amd64"):
        loader.load("text")
    assert "BCC_KERNEL_SOURCE" not in os.environ


# ------------------------------------------------------------------------------- the ring


class FakeRing:
    """A ring in a file: the writer's side of the protocol."""

    SIZE = mmap.PAGESIZE

    def __init__(self) -> None:
        self.file = os.memfd_create("ring")
        os.truncate(self.file, 2 * mmap.PAGESIZE + 2 * self.SIZE)
        self.written = 0

    def write(self, data: bytes, flags: int = 0) -> None:
        """Write a record to both images of the data, then the position behind it."""
        record = struct.pack("=II", len(data) | flags, 0) + data.ljust(
            -(-len(data) // 8) * 8, b"\0"
        )
        for at, byte in enumerate(record):
            place = (self.written + at) % self.SIZE
            for image in (0, self.SIZE):
                os.pwrite(self.file, bytes([byte]), 2 * mmap.PAGESIZE + image + place)
        self.written += len(record)
        os.pwrite(self.file, struct.pack("=Q", self.written), mmap.PAGESIZE)

    @property
    def consumed(self) -> int:
        return struct.unpack("=Q", os.pread(self.file, 8, 0))[0]


@pytest.fixture
def pair():
    """Make both sides of a ring."""
    fake = FakeRing()
    ring = Ring(fake.file, fake.SIZE)
    yield fake, ring
    ring.close()
    os.close(fake.file)


def test_records_are_taken_in_order_and_once(pair) -> None:
    """Of any length; the room is given back."""
    fake, ring = pair
    for data in (b"one", b"eighteen bytes long", b""):
        fake.write(data)
    assert ring.take(bytes) == [b"one", b"eighteen bytes long", b""]
    assert ring.take(bytes) == []
    assert fake.consumed == fake.written


def test_a_record_across_the_end_is_whole(pair) -> None:
    """The data follows itself in memory."""
    fake, ring = pair
    for number in range(500):
        fake.write(bytes([number % 256]) * 33)
        assert ring.take(bytes) == [bytes([number % 256]) * 33]
    assert fake.written > 4 * fake.SIZE


def test_a_record_that_is_being_written_is_waited_for(pair) -> None:
    """So are those behind it: order is kept. One that was given up is passed over."""
    fake, ring = pair
    fake.write(b"given up", flags=1 << 30)
    fake.write(b"before")
    busy = fake.written
    fake.write(b"busy", flags=1 << 31)
    fake.write(b"behind")
    assert ring.take(bytes) == [b"before"]
    assert fake.consumed == busy
    os.pwrite(fake.file, struct.pack("=I", len(b"busy")), 2 * mmap.PAGESIZE + busy)
    assert ring.take(bytes) == [b"busy", b"behind"]


def test_an_interrupted_take_loses_nothing(pair) -> None:
    """Everything is there for the next one."""
    fake, ring = pair
    fake.write(b"one")
    fake.write(b"two")

    def interrupted(record: memoryview) -> bytes:
        if bytes(record) == b"two":
            raise KeyboardInterrupt
        return bytes(record)

    with pytest.raises(KeyboardInterrupt):
        ring.take(interrupted)
    assert ring.take(bytes) == [b"one", b"two"]


def test_what_is_no_ring_is_refused() -> None:
    """And nothing stays mapped."""
    with pytest.raises(OSError, match="Bad file descriptor"):
        Ring(1 << 20, mmap.PAGESIZE)
