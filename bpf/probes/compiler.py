"""Compiles eBPF programs: where bcc is found, and what it needs.

bcc is no package of PyPI: the one of that name there is about crystal lattices. Distributions ship
it for their own Python (Debian: python3-bpfcc), where no virtual environment sees it; it is pure
Python over a shared library, so any Python can import it from there.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from typing import Any, Final

from bpf.errors import ProbesUnavailable
from bpf.probes.headers import find_headers, merged
from bpf.probes.object import Object, read_object

__all__ = ["DIST_PACKAGES", "INSTALL", "compile_object", "locate"]

#: Where Debian puts the modules of its own Python.
DIST_PACKAGES: Final = "/usr/lib/python3/dist-packages"
INSTALL: Final = "sudo apt install python3-bpfcc linux-headers-amd64"
_UNINSTALL: Final = f"python3 -m pip uninstall bcc; {INSTALL}"

#: bcc's own name for the tree of headers.
_HEADERS: Final = "BCC_KERNEL_SOURCE"
_SCRIPT: Final = os.path.join(os.path.dirname(__file__), "compile_with_bcc.py")


def compile_object(text: str) -> Object:
    """Compile a program of raw tracepoints, in a process of its own.

    Raise ProbesUnavailable, in one line; if the compiler or the kernel refuses, they say more on
    stderr. Cost: about 0.7 s.
    """
    origin = locate(sys.path)
    with _headers() as tree:
        told = _run(origin, text, tree)
        try:
            if "error" not in told:
                return read_object(told)
            reason = told["error"]
        except (ValueError, KeyError, TypeError) as error:
            reason = f"what it made cannot be read: {error!r}"
    raise ProbesUnavailable(
        f"bcc does not compile or attach the program, with the headers {tree}: {reason}",
        "uname -r  # Linux 5.19 has what it needs",
    )


def _run(origin: str, text: str, tree: str) -> dict[str, Any]:
    """Run the compiler; return what it tells, with ``error`` if that is nothing."""
    command = [sys.executable or "/usr/bin/python3", "-I", "-W", "ignore", _SCRIPT, origin]
    ended = subprocess.run(
        command, input=text, stdout=subprocess.PIPE, check=False, text=True,
        env={**os.environ, _HEADERS: tree},
    )  # fmt: skip
    try:
        told = json.loads(ended.stdout.rpartition("\n\n")[2] or ended.stdout)
    except ValueError:
        told = {"error": f"the compiler ended with status {ended.returncode}"}
    return told if isinstance(told, dict) else {"error": "the compiler told nothing"}


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
