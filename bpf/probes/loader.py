"""The only place that knows bcc: where it is found, what it needs, how it is called.

bcc is no package of PyPI: the one of that name there is about crystal lattices. Distributions ship
it for their own Python (Debian: python3-bpfcc), where no virtual environment sees it; it is pure
Python over a shared library, so any Python can import it from there.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib.util
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import PathFinder
from typing import Any, Final, TypeVar

from bpf.errors import ProbesUnavailable
from bpf.probes.headers import find_headers, merged

__all__ = ["DIST_PACKAGES", "INSTALL", "load", "locate", "missed", "source", "unload"]

T = TypeVar("T")

#: Where Debian puts the modules of its own Python.
DIST_PACKAGES: Final = "/usr/lib/python3/dist-packages"
INSTALL: Final = "sudo apt install python3-bpfcc linux-headers-amd64"
_UNINSTALL: Final = f"python3 -m pip uninstall bcc; {INSTALL}"

#: The environment is the process's.
_compiling: Final = threading.Lock()
#: bcc's own name for the tree of headers.
_HEADERS: Final = "BCC_KERNEL_SOURCE"
#: Debian's headers are those of another kernel: what they warn of does not concern the program.
_FLAGS: Final = ("-w",)

# <linux/capability.h>: CAP_PERFMON and CAP_BPF, or CAP_SYS_ADMIN; capabilities(7).
_BPF_CAPABILITIES: Final = 1 << 38 | 1 << 39
_CAP_SYS_ADMIN: Final = 1 << 21
#: The map of the initial user namespace; user_namespaces(7).
_EVERY_UID: Final = ["0", "0", "4294967295"]
#: The inode of the initial PID namespace: PROC_PID_INIT_INO, include/linux/proc_ns.h.
_INITIAL_PIDS: Final = "pid:[4026531836]"
#: clone(2), <linux/sched.h>.
_CLONE_FS: Final = 0x200


def load(text: str, *, since: str = "5.8") -> Any:
    """Compile a program, load it and attach what its macros say; return bcc's ``BPF``.

    ``since`` is the version of Linux that has what the program needs. Raise ProbesUnavailable, in one line; if the compiler or the kernel refuses, they say more on
    stderr. Cost: about 0.3 s, and once a process 0.1 s for the import of bcc.
    """
    _check_privilege()
    bcc = _import_bcc()
    with _compiling, _headers() as tree, _environment(_HEADERS, tree):
        try:
            return _apart(lambda: _make(bcc, text))
        except Exception as error:
            raise ProbesUnavailable(
                f"bcc does not compile or attach the program, with the headers {tree}: {error}",
                f"uname -r  # Linux {since} has what it needs",
            ) from error


def unload(program: Any) -> None:
    """Detach a program and free it, which bcc would do when the interpreter ends."""
    program.cleanup()
    atexit.unregister(program.cleanup)


def missed(program: Any) -> int:
    """Count how often the kernel did not run a part of a program, as that CPU was running it.

    proc(5), /proc/self/fdinfo: recursion_misses, kernel commit 9ed9e9ba2337 (Linux 5.12).
    """
    pattern = re.compile(r"^recursion_misses:\s*(\d+)$", re.MULTILINE)
    texts = [_read(f"/proc/self/fdinfo/{part.fd}") for part in program.funcs.values()]
    return sum(int(number) for text in texts for number in pattern.findall(text))


def _make(bcc: Any, text: str) -> Any:
    """Call the constructor, which may fail when a part of the program is attached already."""
    program = bcc.BPF.__new__(bcc.BPF)
    try:
        program.__init__(text=text.encode(), cflags=_FLAGS)
    except BaseException:
        unload(program)
        raise
    return program


def source(name: str) -> str:
    """Read a program that is shipped beside this module."""
    with open(os.path.join(os.path.dirname(__file__), name), encoding="ascii") as file:
        return file.read()


def _check_privilege() -> None:
    capabilities = int(
        re.findall(r"^CapEff:\s*(\w+)$", _read("/proc/self/status"), re.MULTILINE)[0], 16
    )
    has_bpf = capabilities & _BPF_CAPABILITIES == _BPF_CAPABILITIES
    if not (has_bpf or capabilities & _CAP_SYS_ADMIN):
        raise ProbesUnavailable("eBPF programs need root", "run as root")
    if _read("/proc/self/uid_map").split() != _EVERY_UID:
        raise ProbesUnavailable(
            "eBPF programs need root, and this is the root of a user namespace only",
            "run outside the container",
        )
    if os.readlink("/proc/self/ns/pid") != _INITIAL_PIDS:
        raise ProbesUnavailable(
            "eBPF programs know threads by the tids of the host, and this is another PID namespace",
            "run outside the container",
        )


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


# ---------------------------------------------------------------------------- finding bcc


def locate(path: Sequence[str], packaged: str = DIST_PACKAGES) -> str:
    """Find bcc's ``__init__.py`` in ``path`` or where Debian puts it; import nothing.

    Raise ProbesUnavailable if there is none, or the unrelated package has its name.
    """
    found = _module(path)
    if found and not _defines_bpf(found):
        raise ProbesUnavailable(
            f"{os.path.dirname(found)} is a package of crystal lattices with the same name as bcc",
            _UNINSTALL,
        )
    found = found or _module((packaged,))
    if not found or not _defines_bpf(found):
        raise ProbesUnavailable("bcc, which compiles eBPF programs, is not installed", INSTALL)
    return found


def _module(path: Sequence[str]) -> str:
    spec = PathFinder.find_spec("bcc", list(path))
    return spec.origin or "" if spec is not None else ""


def _defines_bpf(origin: str) -> bool:
    with open(origin, encoding="utf-8", errors="replace") as file:
        return re.search(r"^class BPF\b", file.read(), re.MULTILINE) is not None


def _import_bcc() -> Any:
    """Import bcc from where it is, and nothing else from there."""
    origin = locate(sys.path)
    loaded = sys.modules.get("bcc")
    if loaded is not None and hasattr(loaded, "BPF"):
        return loaded
    spec = importlib.util.spec_from_file_location(
        "bcc", origin, submodule_search_locations=[os.path.dirname(origin)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["bcc"] = importlib.util.module_from_spec(spec)
    try:
        with warnings.catch_warnings():
            # Its source has escapes such as "\.", of which a Python warns that compiles it anew.
            warnings.simplefilter("ignore")
            spec.loader.exec_module(module)
    except Exception as error:
        for name in [name for name in sys.modules if name.split(".")[0] == "bcc"]:
            del sys.modules[name]
        raise ProbesUnavailable(f"{origin} cannot be imported: {error}", INSTALL) from error
    return module


# ---------------------------------------------------------------------------- what bcc needs


@contextlib.contextmanager
def _headers() -> Iterator[str]:
    """Provide a tree of headers: the one that the user names, or what is installed."""
    named = os.environ.get(_HEADERS)
    if named:
        yield named
        return
    headers = find_headers(os.uname().release)
    if headers is None:
        raise ProbesUnavailable("no kernel headers are installed, which bcc needs", INSTALL)
    with merged(headers) as tree:
        yield tree


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _apart(make: Callable[[], T]) -> T:
    """Call ``make`` in a thread with a working directory of its own.

    While bcc compiles, it changes to the directory of the headers; other threads open relative
    paths meanwhile. unshare(2), CLONE_FS.
    """
    made: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_FS):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), "unshare")  # noqa: TRY301
            made.append(make())
        except BaseException as error:  # noqa: BLE001 - raised again where it was called
            errors.append(error)

    thread = threading.Thread(target=run, name="accel-bcc")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return made[0]
