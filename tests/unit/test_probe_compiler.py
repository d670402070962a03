"""Where bcc is looked for, how it is run, and what is said where it cannot work."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from bpf import ProbesUnavailable
from bpf.probes import compiler, object_cache, privilege
from bpf.probes.loader import load
from bpf.probes.object import Code, MapShape, Object, read_object

BCC = "class BPF(object):\n    text = None\n"
LATTICE = "from .lattice import BCC\n"
STATUS = "Name:\tpython\nCapEff:\t{:016x}\n"
HOST_UIDS = "         0          0 4294967295\n"


def package(directory: Path, text: str) -> str:
    """Make a package of the name bcc."""
    (directory / "bcc").mkdir(parents=True)
    (directory / "bcc/__init__.py").write_text(text)
    return str(directory)


# ------------------------------------------------------------------------------- finding bcc


def test_debians_bcc_is_found_where_no_venv_looks(tmp_path: Path) -> None:
    """Only if the path has none itself."""
    debian = package(tmp_path / "debian", BCC)
    assert compiler.locate([str(tmp_path)], debian) == f"{debian}/bcc/__init__.py"
    own = package(tmp_path / "own", BCC)
    assert compiler.locate([own], debian) == f"{own}/bcc/__init__.py"


def test_a_host_without_bcc_is_told_what_to_install(tmp_path: Path) -> None:
    """One line, with the names of the packages."""
    with pytest.raises(ProbesUnavailable) as caught:
        compiler.locate([], str(tmp_path))
    assert "python3-bpfcc linux-headers-amd64" in caught.value.hint
    assert str(caught.value).count("\n") == 0


def test_the_package_of_crystal_lattices_is_named(tmp_path: Path) -> None:
    """PyPI's bcc is another thing, and would be imported instead."""
    wrong, debian = package(tmp_path / "venv", LATTICE), package(tmp_path / "debian", BCC)
    with pytest.raises(ProbesUnavailable, match="crystal lattices") as caught:
        compiler.locate([wrong], debian)
    assert f"{wrong}/bcc" in str(caught.value)
    assert "pip uninstall bcc" in caught.value.hint


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
    """Before anything is compiled, and half of the capabilities are not enough."""
    files = {"/proc/self/status": STATUS.format(capabilities), "/proc/self/uid_map": uids}
    monkeypatch.setattr(privilege, "_read", files.__getitem__)
    with pytest.raises(ProbesUnavailable, match=message):
        load("")


@pytest.mark.parametrize("capabilities", [1 << 21, 1 << 38 | 1 << 39])
def test_the_tids_of_another_pid_namespace_are_refused(
    monkeypatch: pytest.MonkeyPatch, capabilities: int
) -> None:
    """The kernel would know other threads by them."""
    files = {"/proc/self/status": STATUS.format(capabilities), "/proc/self/uid_map": HOST_UIDS}
    monkeypatch.setattr(privilege, "_read", files.__getitem__)
    monkeypatch.setattr(os, "readlink", lambda _path: "pid:[4026532000]")
    with pytest.raises(ProbesUnavailable, match="PID namespace; run outside the container"):
        load("")


# ------------------------------------------------------------------------------- compiling


def failing(reason: str) -> str:
    """Write a bcc that compiles nothing."""
    return f"import os\nclass BPF:\n    def __init__(self, text, cflags):\n        {reason}\n"


@pytest.fixture
def bcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Have a package found in place of bcc."""

    def use(text: str) -> str:
        directory = package(tmp_path, text)
        monkeypatch.setattr(compiler, "locate", lambda _path: f"{directory}/bcc/__init__.py")
        return directory

    monkeypatch.setenv("BCC_KERNEL_SOURCE", "/my/headers")
    return use


def test_what_is_refused_is_one_typed_error(bcc) -> None:
    """With the cause, and the headers: those that the user names, if any."""
    bcc(failing("raise Exception(os.environ['BCC_KERNEL_SOURCE'] + text.decode() + cflags[0])"))
    with pytest.raises(ProbesUnavailable, match="headers /my/headers: /my/headerstext-w; uname -r"):
        compiler.compile_object("text")


def test_a_bcc_that_cannot_be_imported_is_named(bcc) -> None:
    """Its shared library may be missing."""
    directory = bcc("class BPF: pass\nraise OSError('libbcc.so.0: cannot open shared object')\n")
    with pytest.raises(ProbesUnavailable, match=rf"{directory}/bcc.*libbcc\.so\.0"):
        compiler.compile_object("text")


def test_a_compiler_that_is_killed_is_an_error(bcc) -> None:
    """A machine without memory kills it."""
    bcc(failing("os.kill(os.getpid(), 9)"))
    with pytest.raises(ProbesUnavailable, match="ended with status -9"):
        compiler.compile_object("text")


def test_a_compiler_finds_its_own_modules_and_no_others(bcc, tmp_path: Path) -> None:
    """What lies beside bcc is not imported by its name; what Python warns of in it is no error."""
    text = "from .part import NAME\n'\\.'\n" + failing("raise Exception(NAME + neighbour())")
    text += "def neighbour():\n    try: import neighbour\n    except ImportError: return ' alone'\n"
    directory = bcc(text)
    (tmp_path / "bcc/part.py").write_text("NAME = 'part'\n")
    (tmp_path / "neighbour.py").write_text("")
    with pytest.raises(ProbesUnavailable, match="part alone"):
        compiler.compile_object("text")
    assert directory == str(tmp_path)


def test_without_headers_one_line_says_what_to_install(
    bcc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is run."""
    bcc(failing("raise Exception('run')"))
    monkeypatch.delenv("BCC_KERNEL_SOURCE")
    monkeypatch.setattr(compiler, "find_headers", lambda _release: None)
    with pytest.raises(ProbesUnavailable, match=r"no kernel headers.*linux-headers-amd64"):
        compiler.compile_object("text")


# ------------------------------------------------------------------------------- objects


def load_map(descriptor: int) -> bytes:
    """Write BPF_LD_MAP_FD(BPF_REG_1, descriptor), which is two instructions."""
    return struct.pack("=BBhi", 0x18, 0x11, 0, descriptor) + bytes(8)


CONSTANT = struct.pack("=BBhi", 0x18, 0x01, 0, 7) + bytes(8)
EXIT = struct.pack("=BBhi", 0x95, 0, 0, 0)
MAPS = (MapShape("first", 1, 4, 8, 16, 0), MapShape("second", 27, 0, 0, 4096, 0))
TOLD = {
    "maps": [
        {"name": "first", "type": 1, "key_size": 4, "value_size": 8, "max_entries": 16, "flags": 0},
        {
            "name": "second",
            "type": 27,
            "key_size": 0,
            "value_size": 0,
            "max_entries": 4096,
            "flags": 0,
        },
    ],
    "descriptors": [9, 7],
    "programs": [
        {
            "tracepoint": "sys_enter",
            "code": (load_map(7) + CONSTANT + load_map(9) + EXIT).hex(),
        }
    ],
}


def test_code_names_maps_by_their_place() -> None:
    """A constant that has the number of a descriptor is none."""
    code = load_map(0) + CONSTANT + load_map(0) + EXIT
    assert read_object(TOLD) == Object(MAPS, (Code("sys_enter", code, ((0, 1), (32, 0))),))


def test_loading_puts_descriptors_there() -> None:
    """Whatever numbers the kernel gives them."""
    [code] = read_object(TOLD).programs
    assert code.with_descriptors([33, 44]) == load_map(44) + CONSTANT + load_map(33) + EXIT


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "accel"


def test_an_object_is_kept(cache: Path) -> None:
    """For the same text and kernel, and no other; nobody else can read or write the file."""
    compiled = read_object(TOLD)
    assert object_cache.find("text") is None
    assert object_cache.keep("text", compiled)
    assert object_cache.find("text") == compiled
    assert object_cache.find("other") is None
    [file] = cache.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.chmod(0o622),
        lambda file: os.chown(file, 1000, -1) if not os.geteuid() else file.unlink(),
        lambda file: file.write_text(file.read_text()[:-30]),
        lambda file: file.write_bytes(file.read_bytes().replace(b"first", b"f\xfcrst")),
        lambda file: file.write_text("accel probe 1\n" + file.read_text().partition("\n")[2]),
        lambda file: file.write_text(file.read_text().replace("program", "progrom")),
        lambda file: file.write_text(file.read_text().replace(" 4096", "")),
        lambda file: file.write_text(file.read_text().replace(" 4096", " many")),
        lambda file: file.write_text(file.read_text().replace(" 32:0", " 33:0")),
        lambda file: file.write_text(file.read_text().replace(" 32:0", " 32:2")),
        lambda file: file.write_text(file.read_text().replace(" 32:0", " 480:0")),
        lambda file: file.write_text(file.read_text().replace("sys_enter", "sys_enter 95")),
        lambda file: file.write_text(""),
    ],
)
def test_a_file_that_cannot_be_trusted_or_read_is_not_there(cache: Path, harm) -> None:
    """It is compiled again, and nothing is said."""
    object_cache.keep("text", read_object(TOLD))
    [file] = cache.iterdir()
    harm(file)
    assert object_cache.find("text") is None


def test_without_a_place_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is in the way; or the path is relative, which no cache may be."""
    (tmp_path / "file").write_text("")
    for place in (str(tmp_path / "file"), "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", place)
        assert not object_cache.keep("text", read_object(TOLD))
        assert object_cache.find("text") is None


def test_the_oldest_make_room(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else of the cache does."""
    monkeypatch.setattr(object_cache, "_MOST", 3)
    cache.mkdir()
    (cache / "loop-1").write_text("")
    for age in range(5, 0, -1):
        object_cache.keep(f"text {age}", read_object(TOLD))
        newest = max(cache.glob("probe-*"), key=lambda file: file.stat().st_mtime_ns)
        os.utime(newest, (1000 - age, 1000 - age))
    assert [age for age in range(1, 6) if object_cache.find(f"text {age}")] == [1, 2, 3]
    assert (cache / "loop-1").exists()
