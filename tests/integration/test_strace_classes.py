"""strace's classes and grammar, compared with accel's call by call.

tests/programs/every_call.c enters the kernel once with every number; strace prints those that
``-e trace=SET`` selects. Every difference is listed here with its reason: a new one fails, and so
does one that is gone.
"""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

import pytest

from accel import classes
from accel.abi import Abi
from accel.errors import MaskError
from accel.mask import SyscallMask
from tests.support import compiled, require, require_program

ABIS = (Abi.X86_64, Abi.I386)
#: What every_call does on its way, as x86_64, whichever ABI it tries then.
SETUP = {59: "execve", 157: "prctl", 317: "seccomp"}

#: Calls that the kernel no longer has, and accel's tables neither.
REMOVED = {
    Abi.X86_64: "_sysctl afs_syscall create_module get_kernel_syms getpmsg nfsservctl putpmsg "
    "query_module security tuxcall uselib vserver",
    Abi.I386: "_sysctl afs_syscall bdflush break create_module ftime get_kernel_syms getpmsg gtty "
    "idle lock mpx nfsservctl prof profil putpmsg query_module stty ulimit uselib vserver",
}

#: (ABI, class, call): why accel has it and strace 6.1 does not.
ONLY_OURS = {
    (Abi.X86_64, "%desc", "close_range"): "it closes descriptors; strace forgot it",
    (Abi.I386, "%desc", "close_range"): "as above",
    (Abi.X86_64, "%desc", "epoll_ctl_old"): "it takes descriptors; never implemented",
    (Abi.X86_64, "%desc", "epoll_wait_old"): "as above",
    (Abi.I386, "%clock", "stime"): "it sets the system clock; strace forgot it",
    (Abi.I386, "%network", "socketcall"): "strace classifies the call that it multiplexes; a mask "
    "selects numbers, and must stop at the multiplexer",
}

#: (ABI, class, call): why strace 6.1 has it and accel does not.
ONLY_STRACES = {
    (Abi.I386, "%desc", "socketcall"): "no call on sockets is in %desc but the multiplexer",
}


def strace(abi: Abi, trace: str) -> subprocess.CompletedProcess[str]:
    """Run every_call under strace -e trace=TRACE; what it prints becomes ``stdout``."""
    flags = ["-static", "-nostdlib", *(["-DI386"] if abi is Abi.I386 else [])]
    program = compiled("every_call", *flags)
    log = Path(f"{program}.log")
    command = [require_program("strace"), "-n", "-o", str(log), "-e", f"trace={trace}", program]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    done.stdout = log.read_text() if log.exists() else ""
    log.unlink(missing_ok=True)
    return done


def traced(abi: Abi, trace: str) -> dict[int, str]:
    """Collect the numbers and names of the calls that strace selects, of those it knows."""
    done = strace(abi, trace)
    require(done.returncode != 1, f"strace cannot trace here: {done.stderr}")
    lines = re.findall(r"^\[ *(\d+)\] (\w+)\(", done.stdout, re.MULTILINE)
    # strace prints a number that it does not know whatever was selected.
    calls = {(int(number), name) for number, name in lines if not name.startswith("syscall_0x")}
    return dict(calls - set(SETUP.items()) if abi is Abi.I386 else calls)


@functools.cache
def known(abi: Abi) -> dict[int, str]:
    """Collect the calls that both strace and accel know."""
    return {number: name for number, name in traced(abi, "all").items() if number in abi.names}


def selected(abi: Abi, trace: str) -> set[str]:
    return set(traced(abi, trace).values()) & set(known(abi).values())


@pytest.mark.parametrize("abi", ABIS, ids=lambda abi: abi.value)
def test_strace_names_calls_alike(abi):
    """A number has one name to both, but for calls that the kernel has removed."""
    everything = traced(abi, "all")
    assert {name for number, name in everything.items() if number not in abi.names} == set(
        REMOVED[abi].split()
    )
    assert known(abi).items() <= abi.names.items()
    assert len(known(abi)) > 300


@pytest.mark.parametrize("abi", ABIS, ids=lambda abi: abi.value)
@pytest.mark.parametrize("name", classes.NAMES)
def test_classes_are_straces(abi, name):
    """Each class selects strace's calls, but for those listed with their reasons."""
    theirs = selected(abi, name)
    ours = {abi.call_name(number) for number in classes.members(name, abi) if number in known(abi)}
    assert ours - theirs == {call for it, cls, call in ONLY_OURS if (it, cls) == (abi, name)}
    assert theirs - ours == {call for it, cls, call in ONLY_STRACES if (it, cls) == (abi, name)}


@pytest.mark.parametrize(
    "trace",
    [
        "none",
        "!all",
        "!open",
        "!!open",
        "open,close",
        "open,,close,",
        "all,open",
        "?nope,open",
        "??open",
        "5",
        "5@64",
        "5@32",
        "open@32",
        "%file@32",
        "!%desc,%signal",
        "%net,file,signal",
        "ipc",
        "/^open",
        "/(get|set)uid(32)?$",
        "/[[:alpha:]]read",
        r"/\bstat",
        "/at$@64",
        "?/nomatch,read",
        "%%stat,%%statfs,%clock@64",
    ],
)
def test_texts_select_what_they_select_in_strace(trace):
    """The grammar is strace's: the same text, the same calls."""
    mask = SyscallMask(trace)
    for abi in ABIS:
        ours = {name for number, name in known(abi).items() if (abi, number) in mask}
        excused = {call for it, _, call in [*ONLY_OURS, *ONLY_STRACES] if it is abi}
        assert (ours ^ selected(abi, trace)) - excused == set()


@pytest.mark.parametrize(
    "trace",
    [
        *("nope", "%nope", "/nomatch", "mmap2@64", "open@foo", "none,open", "open,!close", "OPEN"),
        *("", "!", "0x5", "5x", "-1", "/(", "/*", "/o@pen", "creds", "%all", "$open"),
    ],
)
def test_texts_that_strace_refuses_are_refused(trace):
    """What is no mask to strace is none to accel."""
    require("open(" in strace(Abi.X86_64, "open").stdout, "strace cannot trace here")
    assert strace(Abi.X86_64, trace).returncode == 1
    with pytest.raises(MaskError):
        SyscallMask(trace)
