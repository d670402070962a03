"""Tags, dialects and bitmaps: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

import ctypes
import errno
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bpf
from accel import Decision, SyscallMask
from accel._kernel import ptrace
from accel.abi import Abi
from accel.errors import AccelError, FilterError, TagError, TraceeError, UnknownTag
from accel.ptrace_vm import (
    Dialect2006,
    Dialect2008,
    Events,
    NotStopped,
    Numbered,
    Request,
    StopError,
    TraceeDied,
    decision,
    failure,
    from_kmview,
    mask_of,
    read_tags,
    resume,
    syscall_mask,
    sysvm,
)

#: No tid: whoever makes a request of it fails.
NOBODY = 0


# --------------------------------------------------------------------- dialects


def test_the_bits_of_2006_are_independent():
    """PTRACE_VM_SKIPCALL=1 and PTRACE_VM_SKIPEXIT=2: four combinations, one of them useless."""
    combinations = [decision(tags, Dialect2006).combination for tags in range(4)]
    assert combinations == [0, 2, 1, 3]
    assert (Dialect2006.PTRACE_VM_SKIPCALL, Dialect2006.PTRACE_VM_SKIPEXIT) == (1, 2)
    assert Dialect2006.PTRACE_VM_TEST == 0x80000000


def test_skipcall_of_2008_implies_skipexit():
    """PTRACE_SYSCALL_SKIPEXIT=2 and PTRACE_SYSCALL_SKIPCALL=6; half of the latter does as much."""
    combinations = {tags: decision(tags, Dialect2008).combination for tags in (0, 2, 4, 6)}
    assert combinations == {0: 0, 2: 1, 4: 3, 6: 3}
    assert Dialect2008.PTRACE_VM_SKIPCALL is Dialect2008.PTRACE_SYSCALL_SKIPCALL
    assert (Dialect2008.PTRACE_VM_SKIPEXIT, Dialect2008.PTRACE_VM_SKIPCALL) == (2, 6)


def test_the_numbered_dialect_leaves_out_one_more_event_each():
    """0, 1 and 2 are the combinations that make sense: 0, 1 and 3."""
    assert [decision(number).combination for number in Numbered] == [0, 1, 3]


def test_the_three_events_make_all_eight_combinations():
    """With TRACESTART in the positive, the tags are the thread's own numbers."""
    for tags in range(8):
        made = decision(tags, Events)
        assert made.combination == tags ^ Events.PTRACE_VM_TRACESTART
        assert (made.start, made.call, made.exit) == read_tags(tags, Events)


def test_a_number_means_what_its_type_says():
    """2 is SKIPEXIT, but SKIPCALL where behaviours are numbered; a plain one is of 2008."""
    assert decision(Dialect2006(2)) == decision(Dialect2008(2)) == decision(2) == Decision.resume()
    assert decision(Numbered(2), value=0) == Decision.skip(0)
    assert decision(6, value=0) == Decision.skip(0)


def test_a_skipped_call_returns_the_value():
    """Without one it is unknown, as the kernel left it; RET_ERRNO cannot return every value."""
    assert decision(6) == Decision.fail(errno.ENOSYS)
    assert decision(1, Dialect2006, value=9) == Decision.skip(9, inspect=True)
    assert decision(3, Events, value=-errno.EPERM) == Decision.nullify(errno.EPERM)
    assert decision(3, Events, value=0) == Decision.nullify()
    assert decision(2, Events) == Decision.emulate()
    with pytest.raises(ValueError, match="errno"):
        decision(3, Events, value=1)


@pytest.mark.parametrize(
    ("tags", "dialect", "bits", "instead"),
    [
        (4, Dialect2006, "0x4", "PTRACE_VM_SKIPCALL=0x1, PTRACE_VM_SKIPEXIT=0x2; SKIPCALL=0x6"),
        (1, Dialect2008, "0x1", "PTRACE_VM_SKIPEXIT=0x2, PTRACE_VM_SKIPCALL=0x6; SKIPCALL=0x1"),
        (0x80000002, Dialect2008, "0x80000000", "PTRACE_VM_SKIPEXIT=0x2"),
        (9, Events, "0x8", "PTRACE_VM_TRACESTART=0x4"),
        (3, Numbered, "0x3", "0, 1 (SKIPEXIT) or 2 (SKIPCALL)"),
        (-1, Dialect2008, "0xfffffffffffffff9", "PTRACE_VM_SKIPEXIT=0x2"),
    ],
)
def test_an_unknown_tag_names_the_known_ones(tags, dialect, bits, instead):
    """As PTRACE_VM_TEST would have told, and what was probably meant."""
    with pytest.raises(UnknownTag) as caught:
        read_tags(tags, dialect)
    assert f"has no bits {bits}" in str(caught.value) or f"has no tag {bits}" in str(caught.value)
    assert instead in str(caught.value)
    assert instead in caught.value.hint


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.sampled_from([Dialect2006, Dialect2008, Events]))
def test_bits_are_known_or_refused(tags, dialect):
    """No bit is ignored: whoever asks for what is not there shall hear of it."""
    known = {Dialect2006: 3, Dialect2008: 6, Events: 7}[dialect]
    if tags in range(8) and not tags & ~known:
        assert len(read_tags(tags, dialect)) == 3
    else:
        with pytest.raises(TagError):
            read_tags(tags, dialect)


def test_tags_of_one_dialect_are_not_read_in_another():
    """SKIPEXIT of 2006 would be SKIPCALL where behaviours are numbered."""
    with pytest.raises(TagError, match="no tag of Numbered"):
        read_tags(Dialect2006.PTRACE_VM_SKIPEXIT, Numbered)
    assert read_tags(Dialect2006.PTRACE_VM_SKIPEXIT, Dialect2006) == (True, True, False)


# --------------------------------------------------------------------- requests


def test_requests_have_the_kernels_numbers():
    """<linux/ptrace.h> and <asm/ptrace-abi.h>; the numbers of 2006 are none of them by name."""
    numbers = {request.name: int(request) for request in Request}
    assert numbers == {
        "CONT": 7,
        "SINGLESTEP": 9,
        "SYSCALL": 24,
        "SYSEMU": 31,
        "SYSEMU_SINGLESTEP": 32,
        "SINGLEBLOCK": 33,
    }
    assert Request.BLOCKSTEP is Request.SINGLEBLOCK


@pytest.fixture
def made(monkeypatch):
    """Collect every ptrace request instead of making it; the stop is a seccomp-stop."""
    requests: list[int] = []

    def record(request, _tid, _addr, data, _what):
        requests.append(request)
        if request == ptrace.PTRACE_GET_SYSCALL_INFO:
            ctypes.memset(data, ptrace.PTRACE_SYSCALL_INFO_SECCOMP, 1)
        return 0

    monkeypatch.setattr(ptrace, "_ptrace", record)
    return requests


def test_requests_of_2006_are_never_made(made):
    """33 would single-block, 27 is nobody's: both are spelled with requests that exist."""
    assert sysvm(NOBODY, Dialect2006.PTRACE_VM_TEST) == 3
    assert made == []
    for tags in range(4):
        sysvm(NOBODY, tags)
    syscall_mask(b"")
    assert not set(made) & {27, 33}


def test_costs_are_as_documented(made):
    """One request; one more to learn the stop; one or two more to skip."""
    costs = []
    for tags, value in ((0, None), (2, None), (6, None), (6, 0)):
        resume(NOBODY, Request.CONT, tags, value=value)
        costs.append(len(made))
        made.clear()
    assert costs == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("request_", "tags", "value", "reason"),
    [
        (Request.CONT, Dialect2006.PTRACE_VM_SKIPCALL, None, "reports no exit-stop"),
        (Request.SYSEMU, Dialect2006.PTRACE_VM_SKIPCALL, 1, "resume with Request.SYSCALL"),
        (Request.SYSCALL, Events.PTRACE_VM_SKIPCALL, None, "PTRACE_VM_TRACESTART"),
        (Request.SYSCALL, Events(0), None, "decided before they do, by a filter"),
        (Request.SYSCALL, 2, 0, "a call that runs"),
        (Request.SYSCALL, 0, 0, "SKIPCALL"),
        (Request.SYSCALL, Dialect2006.PTRACE_VM_TEST, None, "write sysvm"),
    ],
)
def test_an_order_that_no_stop_can_honour_is_refused(made, request_, tags, value, reason):
    """Before anything is asked of the kernel, with what to write instead."""
    with pytest.raises(TagError, match=reason):
        resume(NOBODY, request_, tags, value=value)
    assert made == []


def test_a_value_has_64_bits(made):
    """What does not fit in a register is refused."""
    for value in (1 << 64, -(1 << 63) - 1):
        with pytest.raises(ValueError, match="64 bits"):
            resume(NOBODY, Request.CONT, 6, value=value)
    assert made == []


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ({}, TraceeDied),
        ({"State": "Z (zombie)"}, TraceeDied),
        ({"State": "X (dead)"}, TraceeDied),
        ({"State": "R (running)", "SigPnd": "0000000000000100"}, TraceeDied),
        ({"State": "R (running)", "ShdPnd": "0000000000000100"}, TraceeDied),
        ({"State": "R (running)", "SigPnd": "0000000000000080"}, NotStopped),
        ({"State": "S (sleeping)"}, NotStopped),
    ],
)
def test_a_tracee_that_is_gone_or_going_has_died(monkeypatch, status, error):
    """ESRCH says neither; a SIGKILL that is pending (bit 8) decides it."""
    of_running = {"SigPnd": "0", "ShdPnd": "0", "TracerPid": str(threading.get_native_id())}
    monkeypatch.setattr(failure, "_status", lambda _tid: of_running | status if status else {})
    with pytest.raises(error):
        resume(NOBODY, Request.CONT)


def test_errors_are_in_the_tree():
    """Whoever catches AccelError, or ValueError for bad tags, catches these."""
    assert issubclass(TagError, AccelError)
    assert issubclass(TagError, ValueError)
    assert issubclass(UnknownTag, TagError)
    assert issubclass(StopError, TraceeError)
    assert issubclass(NotStopped, TraceeError)


# --------------------------------------------------------------------- bitmaps


def action(program: bpf.Program, number: int, arch: bpf.Arch = bpf.Arch.X86_64) -> bpf.Action:
    """Tell what the filter returns for a call."""
    return bpf.evaluate(program, bpf.SeccompData(number, arch))


@given(st.binary(max_size=70), st.binary(max_size=70), st.integers(0, 600))
def test_a_bit_stands_for_the_call_of_its_number(bits, i386, number):
    """Set: traced; clear: not; behind the end: traced. The filter and the mask agree."""
    program, mask = syscall_mask(bits, i386=i386), mask_of(bits, i386=i386)
    for arch, abi, packed in (
        (bpf.Arch.X86_64, Abi.X86_64, bits),
        (bpf.Arch.I386, Abi.I386, i386),
    ):
        as_integer = int.from_bytes(packed, "little")
        traced = number >= 8 * len(packed) or bool(as_integer >> number & 1)
        expected = bpf.Action.trace(0) if traced else bpf.Action.allow()
        assert action(program, number, arch) == expected
        assert ((abi, number) in mask) == traced


def test_numbers_out_of_range_are_traced():
    """Beyond the bitmap, negative, x32: what a bitmap of 2006 was indexed with and crashed."""
    program = syscall_mask(bytes(64), i386=bytes(64))
    for number in (512, 0x3FFFFFFF, 0x40000000, 0x40000001, 0x7FFFFFFF, -1, -0x80000000):
        assert action(program, number) == bpf.Action.trace(0)
    assert action(program, 511) == bpf.Action.allow()


def test_other_architectures_are_traced():
    """A bitmap says nothing of their numbers."""
    program = syscall_mask(bytes(64), i386=bytes(64), ret_data=9)
    data = bpf.SeccompData(1, arch=0xC00000B7)  # AUDIT_ARCH_AARCH64
    assert bpf.evaluate(program, data) == bpf.Action.trace(9)


def test_an_untraced_call_does_not_even_run_the_filter():
    """The kernel remembers which numbers are always allowed (Linux 5.11)."""
    program = syscall_mask(bytes(64))
    assert bpf.is_constant_allow(program, bpf.Arch.X86_64, 0)
    assert not bpf.is_constant_allow(program, bpf.Arch.X86_64, 512)


def test_a_bitmap_of_kmview_has_the_opposite_polarity():
    """There a set bit is not forwarded."""
    assert from_kmview(b"\x01\xfe") == b"\xfe\x01"
    assert from_kmview(from_kmview(b"\x5a")) == b"\x5a"


def test_a_bitmap_that_is_too_long_for_a_filter_is_refused():
    """Alternating bits of many numbers need more instructions than a filter may have."""
    with pytest.raises(FilterError, match="clear fewer bits"):
        syscall_mask(b"\x55" * 2048)


def test_an_empty_bitmap_traces_all():
    """The missing tail counts as ones."""
    assert mask_of(b"") == SyscallMask.all()
