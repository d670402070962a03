"""Subject modules are found by an index, and loaded when a call needs them."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

from accel import decoding
from accel.decoding import subject_index
from accel.decoding.subjects import (
    SUBJECTS,
    argument_of,
    layout_of,
    remark_of,
    steps_of,
    subject,
)

KINDS = {
    "arguments": subject_index.ARGUMENTS,
    "calls": subject_index.CALLS,
    "layouts": subject_index.LAYOUTS,
    "remarks": subject_index.REMARKS,
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_index_holds_what_the_modules_have(kind: str) -> None:
    """If not: python tools/generate_indexes.py; and no two modules have the same."""
    entries = [(key, name) for name in SUBJECTS for key in getattr(subject(name), kind)]
    assert sorted(entries) == sorted(KINDS[kind].items())


def test_every_module_with_a_subject_is_listed() -> None:
    """One that is not would never be asked."""
    modules = [module.name for module in pkgutil.iter_modules(decoding.__path__)]
    found = [
        name
        for name in modules
        if hasattr(importlib.import_module(f"accel.decoding.{name}"), "SUBJECT")
    ]
    assert sorted(found) == sorted(SUBJECTS)


def test_entries_are_found_by_their_keys() -> None:
    """Those of one call, those of every call, and none."""
    assert layout_of("epoll_event") is subject("polling").layouts["epoll_event"]
    assert argument_of("accept", "addrlen") is subject("sockets").arguments["accept.addrlen"]
    assert argument_of("poll", "fds") is subject("polling").arguments["*.fds"]
    assert steps_of("clone") is subject("clones").calls["clone"]
    assert remark_of("fcntl") is subject("descriptors").remarks["fcntl"]
    assert not any((layout_of("x"), argument_of("x", "y"), steps_of("x"), remark_of("x")))


def test_a_path_is_printed_without_loading_what_knows_structs() -> None:
    """All subjects take 15 ms, beside a program that may be short."""
    program = """
import sys
from accel import Abi
from accel.decoding.plans import plan_of
plan_of(Abi.X86_64, "openat")
print(*sorted(name for name in sys.modules if name.startswith("accel.decoding.")))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.removeprefix("accel.decoding.") for name in done.stdout.split()}
    # Files print the mode, and their times.
    assert loaded & {*SUBJECTS} == {"files", "times"}
    assert "plans" in loaded
