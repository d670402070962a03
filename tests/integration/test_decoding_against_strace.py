"""Every line that accel prints is the one that strace prints, call by call."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from accel.abi import Abi
from tests.integration.answered_calls import (
    accel_lines,
    program,
    random_calls,
    strace_lines,
    write_script,
)
from tests.support import require, require_program

#: The last call that strace 6.1 knows, in both ABIs.
NEWEST = 450
TIMES = 12

#: Lines of strace that accel prints otherwise, and why.
DIFFERENCES = {
    # What few programs use is not taken apart: a pointer is printed as one.
    r"bpf\(\w+, \{": "the attributes of bpf(2)",
    r"perf_event_open\(\{": "struct perf_event_attr",
    r"io_uring_register\(": "the arguments of io_uring_register(2)",
    r"keyctl\(KEYCTL_(PKEY|DH|CAPABILITIES|SET_REQKEY)": "asymmetric keys and key derivation",
    r"ptrace\(PTRACE_(SET|GET)(FP)?REGS|ptrace\(PTRACE_SECCOMP_GET_META": "registers",
    r"ptrace\(PTRACE_(PEEK|POKE)USER, -?\d+, \d\*\w+\+": "offsets within a register",
    r"prctl\(PR_(SVE|SME|PAC|SET_TAGGED|GET_TAGGED|SET_FP|GET_FP)": "other architectures",
    r"ioctl\(": "requests of rare drivers, and on i386 those whose numbers hold a size",
    r".*AF_(AX25|IPX|X25|BLUETOOTH|RXRPC|IEEE802154|NFC|QIPCRTR|XDP|MCTP)": "rare address families",
    r"quotactl(_fd)?\(": "the structs of quotactl(2)",
    r"(shmat|semctl|msgrcv|ipc)\(": "what ipc(2) finds and leaves in memory",
    r".*SOL_(RDS|LLC|RXRPC|TIPC)": "options of rare socket families",
    # strace is wrong, or nearly.
    r"(_new)?p?select(6|6_time64)?\(": "brackets that strace prints once too often, and ()",
    r"prctl\(PR_GET_SPECULATION_CTRL": "strace repeats the note of an earlier call",
    r"modify_ldt\(": "strace takes some large results for errors",
    r"(p?poll(_time64)?|recvmmsg(_time64)?)\(": "strace's buffers end notes early",
}


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.I386], ids=lambda abi: abi.value)
def test_random_calls_look_as_strace_prints_them(abi: Abi, tmp_path: Path) -> None:
    """Any call, arguments, memory and result: the lines are equal, or a listed difference."""
    require_program("strace")
    version = subprocess.run(["strace", "-V"], capture_output=True, text=True, check=True).stdout
    require("version 6.1" in version, "the lines of strace 6.1 are the reference")
    calls = random_calls(abi, 1, TIMES, NEWEST)
    script = tmp_path / "script"
    write_script(script, calls)
    command = [program(abi), str(script)]
    expected, found = strace_lines(command, tmp_path / "log"), accel_lines(command)
    assert len(expected) == len(found) == len(calls)
    unexplained = [
        f"strace {theirs}\naccel  {ours}"
        for theirs, ours in zip(expected, found, strict=True)
        if theirs != ours and not any(re.match(pattern, theirs) for pattern in DIFFERENCES)
    ]
    assert not unexplained, "\n".join(["", *unexplained])
    equal = sum(a == b for a, b in zip(expected, found, strict=True))
    assert equal >= 0.98 * len(calls), f"only {equal} of {len(calls)} lines are equal"
