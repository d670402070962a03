"""PTRACE_VM on this kernel: which stops each request with each tag leads to, and what ran.

The tracee makes mkdir, getppid, mkdir; the test decides on the first of them. That mkdir ran shows
in the file system, what it returned in what the tracee writes.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import bpf
from accel import Tracer
from accel._kernel import ptrace
from accel.abi import Abi
from accel.ptrace_vm import (
    Dialect2006,
    Dialect2008,
    NotStopped,
    Request,
    StopError,
    TagError,
    TraceeDied,
    UnknownTag,
    decision,
    mask_of,
    resume,
    syscall_mask,
    sysvm,
)
from bpf import instruction as op
from tests.integration.vm_tracee import (
    ABIS,
    ALL_TAGS,
    LIMIT,
    SKIPCALL,
    SKIPEXIT,
    VALUE,
    Started,
    Tags,
    TwoDirectories,
    bitmap,
    describe_stop,
    selecting,
)
from tests.support import compiled

STEPPING = (Request.SINGLESTEP, Request.SINGLEBLOCK, Request.SYSEMU_SINGLESTEP)


@pytest.fixture(params=ABIS, ids=lambda abi: abi.value)
def abi(request):
    return request.param


@pytest.fixture(params=["seccomp", "entry"])
def stopped(request, abi, tmp_path):
    """A tracee at its first mkdir, at the stop that a filter makes, or PTRACE_SYSCALL."""
    program = selecting("mkdir") if request.param == "seccomp" else None
    with TwoDirectories(abi, tmp_path, program) as tracee:
        yield tracee


@pytest.fixture
def at_seccomp(tmp_path):
    with TwoDirectories(Abi.X86_64, tmp_path, selecting("mkdir")) as tracee:
        yield tracee


@pytest.fixture
def at_entry(tmp_path):
    with TwoDirectories(Abi.X86_64, tmp_path) as tracee:
        yield tracee


# --------------------------------------------------------------------- every request, every tag


def next_stop(request: Request, wanted: Tags, *, has_filter: bool) -> str:
    """Tell what must be reported after the decision on the first mkdir."""
    if request in STEPPING:
        return "SIGTRAP"
    if request is Request.SYSEMU:
        return "entry getppid"
    if request is Request.SYSCALL and wanted.exit:
        return "exit 0" if wanted.call else f"exit {VALUE}"
    return "seccomp mkdir" if has_filter else "exited 0"


@pytest.mark.parametrize("request_", Request, ids=lambda request: request.name)
@pytest.mark.parametrize("wanted", ALL_TAGS, ids=lambda wanted: repr(wanted.tags))
def test_a_request_with_tags_leads_to_its_stops_and_to_no_other(stopped, request_, wanted):
    """Of the call what the tags leave happens; then the tracee runs as the request says."""
    has_filter = describe(stopped) == "seccomp mkdir"
    value = None if wanted.call else VALUE
    before = stopped.instruction_pointer
    if wanted.exit and not wanted.call and request_ is not Request.SYSCALL:
        with pytest.raises(TagError, match="reports no exit-stop"):
            resume(stopped.tid, request_, wanted.tags, value=value)
        return
    if request_ is Request.SYSCALL and not wanted.exit and not has_filter:
        with pytest.raises(StopError, match="followed by an exit-stop"):
            resume(stopped.tid, request_, wanted.tags, value=value)
        assert describe(stopped) == "entry mkdir"
        return
    resume(stopped.tid, request_, wanted.tags, value=value)
    seen = [stopped.wait()]
    assert seen == [next_stop(request_, wanted, has_filter=has_filter)]
    if request_ in STEPPING:
        # PTRACE_SYSEMU_SINGLESTEP leaves out the stop behind the call, and runs an instruction.
        is_behind_call = stopped.instruction_pointer == before
        assert is_behind_call == (request_ is not Request.SYSEMU_SINGLESTEP)
    seen += stopped.finish()
    assert seen.count("seccomp mkdir") == has_filter
    assert len(seen) == 1 + has_filter + (seen[0] not in ("seccomp mkdir", "exited 0"))
    parent = -errno.ENOSYS if request_ is Request.SYSEMU else 1
    assert stopped.results() == (0 if wanted.call else VALUE, parent, 0)
    assert [path.exists() for path in stopped.paths] == [wanted.call, True]


def describe(tracee: Started) -> str:
    """Tell at which stop the tracee is still."""
    return describe_stop(tracee.tid, 0)


def test_a_total_virtual_machine_skips_every_call_in_one_stop(at_entry):
    """User-Mode Linux's case: each call is answered where PTRACE_SYSEMU reports it."""
    tid = at_entry.tid
    for value, following in ((1, "entry getppid"), (2, "entry mkdir"), (3, "entry write")):
        resume(tid, Request.SYSEMU, SKIPCALL | SKIPEXIT, value=value)
        assert at_entry.wait() == following
    arguments = ptrace.get_syscall_info(tid).arguments
    with open(f"/proc/{tid}/mem", "rb", buffering=0) as memory:
        written = os.pread(memory.fileno(), arguments[2], arguments[1])
    assert [int.from_bytes(written[at : at + 8], "little") for at in (0, 8, 16)] == [1, 2, 3]
    assert not any(path.exists() for path in at_entry.paths)


@pytest.mark.parametrize("value", [-errno.EACCES, 0, 1, 0x7FFFFFFF])
def test_a_skipped_call_returns_the_value(stopped, value):
    """Results and errnos alike, in both ABIs."""
    resume(stopped.tid, Request.CONT, SKIPCALL | SKIPEXIT, value=value)
    stopped.run_out()
    assert stopped.results() == (value, 1, 0)
    assert not stopped.paths[0].exists()


def test_a_value_of_64_bits_is_returned_whole(at_seccomp):
    """An address, say, as mmap(2) would return it."""
    resume(at_seccomp.tid, Request.CONT, SKIPCALL | SKIPEXIT, value=0x7FFF_0000_1000)
    at_seccomp.run_out()
    assert at_seccomp.results()[0] == 0x7FFF_0000_1000


def test_without_a_value_a_skipped_call_is_unknown_to_the_tracee(stopped):
    """As in the patch of 2008: rax stays as the kernel has set it, -ENOSYS."""
    resume(stopped.tid, Request.CONT, Dialect2008.PTRACE_VM_SKIPCALL)
    stopped.run_out()
    assert stopped.results() == (-errno.ENOSYS, 1, 0)


def test_without_a_value_a_skipped_call_returns_what_the_tracer_has_put_into_rax(stopped):
    """As in the patch of 2008, whose users set the register themselves."""
    ptrace.poke_user(stopped.tid, "rax", 77)
    resume(stopped.tid, Request.CONT, Dialect2008.PTRACE_VM_SKIPCALL)
    stopped.run_out()
    assert stopped.results() == (77, 1, 0)


def test_the_exit_stop_of_a_skipped_call_can_change_its_result(stopped):
    """The combination that the thread calls useless: SKIPCALL of 2006 without SKIPEXIT."""
    resume(stopped.tid, Request.SYSCALL, SKIPCALL, value=7)
    assert stopped.wait() == "exit 7"
    ptrace.poke_user(stopped.tid, "rax", 99)
    stopped.finish()
    assert stopped.results() == (99, 1, 0)


# --------------------------------------------------------------------- dialects


def test_sysvm_speaks_2006(stopped):
    """PTRACE_SYSVM with a plain 1: the call is skipped, its exit-stop kept."""
    assert sysvm(stopped.tid, 1, value=VALUE) == 0
    assert stopped.wait() == f"exit {VALUE}"
    stopped.finish()
    assert not stopped.paths[0].exists()


@pytest.mark.parametrize(("tags", "runs"), [(2, True), (3, False)])
def test_sysvm_skips_the_exit_stop(at_seccomp, tags, runs):
    """PTRACE_SYSVM with SKIPEXIT, and with both bits: the next stop is the next call's."""
    sysvm(at_seccomp.tid, tags)
    assert at_seccomp.wait() == "seccomp mkdir"
    assert at_seccomp.finish() == ["exited 0"]
    assert at_seccomp.paths[0].exists() == runs


def test_sysvm_without_tags_is_ptrace_syscall(stopped):
    """PTRACE_SYSVM with 0: both stops."""
    sysvm(stopped.tid)
    assert stopped.wait() == "exit 0"
    assert stopped.finish()[-1] == "exited 0"


def test_sysvm_in_the_words_of_2008_implies_skipexit(at_seccomp):
    """The same tag's name, six instead of one: no exit-stop follows."""
    sysvm(at_seccomp.tid, Dialect2008.PTRACE_VM_SKIPCALL, value=VALUE)
    assert at_seccomp.wait() == "seccomp mkdir"
    at_seccomp.finish()
    assert at_seccomp.results() == (VALUE, 1, 0)


def test_sysvm_tests_for_its_tags_without_resuming(stopped):
    """PTRACE_VM_TEST: both tags are supported, and the tracee is where it was."""
    before = describe(stopped)
    assert sysvm(stopped.tid, Dialect2006.PTRACE_VM_TEST) == 3
    assert describe(stopped) == before


def test_a_plain_number_given_to_resume_is_of_2008(at_seccomp):
    """2 is SKIPEXIT there, 6 SKIPCALL, and 1 nothing."""
    with pytest.raises(UnknownTag):
        resume(at_seccomp.tid, Request.SYSCALL, 1)
    resume(at_seccomp.tid, Request.SYSCALL, 6, value=VALUE)
    assert at_seccomp.wait() == "seccomp mkdir"
    resume(at_seccomp.tid, Request.SYSCALL, 2)
    assert at_seccomp.wait() == "exited 0"
    assert at_seccomp.results() == (VALUE, 1, 0)


# --------------------------------------------------------------------- where tags are refused


def test_tags_are_refused_at_an_exit_stop(stopped):
    """The call is over; without tags the tracee goes on."""
    resume(stopped.tid, Request.SYSCALL)
    assert stopped.wait() == "exit 0"
    for request in Request:
        with pytest.raises(StopError, match="exit-stop is over"):
            resume(stopped.tid, request, SKIPEXIT)
    assert describe(stopped) == "exit 0"
    resume(stopped.tid, Request.CONT)
    assert stopped.wait() in ("seccomp mkdir", "exited 0")


def test_tags_are_refused_at_a_signal_delivery_stop(at_seccomp):
    """There is no call to decide on; the signal can still be delivered."""
    os.kill(at_seccomp.tid, signal.SIGWINCH)
    resume(at_seccomp.tid, Request.CONT)
    assert at_seccomp.wait() == "SIGWINCH"
    with pytest.raises(StopError, match="no call to decide on"):
        resume(at_seccomp.tid, Request.CONT, SKIPEXIT)
    resume(at_seccomp.tid, Request.CONT, signal=signal.SIGWINCH)
    assert at_seccomp.wait() == "seccomp mkdir"


def test_tags_are_refused_at_a_group_stop_and_other_events():
    """PTRACE_EVENT_STOP is no call either."""
    with Started(["true"], every_call=True) as tracee:
        with pytest.raises(StopError, match="no call to decide on"):
            resume(tracee.tid, Request.CONT, SKIPEXIT)
        assert tracee.finish() == ["exited 0"]


def test_tags_need_marked_syscall_stops():
    """Without PTRACE_O_TRACESYSGOOD the kernel does not tell an entry-stop: the error says so."""
    with Started(["true"], every_call=True, options=ptrace.PTRACE_O_EXITKILL) as tracee:
        ptrace.syscall(tracee.tid)
        assert tracee.wait() == "SIGTRAP"
        with pytest.raises(StopError, match="PTRACE_O_TRACESYSGOOD"):
            resume(tracee.tid, Request.SYSCALL, SKIPCALL)


def test_a_signal_at_a_seccomp_stop_is_refused_since_the_kernel_drops_it(at_seccomp):
    """That it does is tested, too: of what the test sends by the raw request nothing arrives."""
    with pytest.raises(StopError, match="tgkill"):
        resume(at_seccomp.tid, Request.CONT, signal=signal.SIGTERM)
    assert describe(at_seccomp) == "seccomp mkdir"
    ptrace.cont(at_seccomp.tid, signal.SIGTERM)
    assert at_seccomp.wait() == "seccomp mkdir"
    assert at_seccomp.finish() == ["exited 0"]


def test_a_signal_at_an_entry_stop_is_sent(at_entry):
    """It comes after the call, which the tags decide on."""
    resume(at_entry.tid, Request.CONT, SKIPCALL | SKIPEXIT, value=1, signal=signal.SIGTERM)
    assert at_entry.wait() == "SIGTERM"
    assert not at_entry.paths[0].exists()


def test_a_running_tracee_is_not_stopped():
    """Nothing waits for it to stop: the error comes at once."""
    with Started(["sleep", "infinity"], every_call=True) as tracee:
        resume(tracee.tid, Request.CONT)
        for tags in (0, SKIPCALL | SKIPEXIT):
            with pytest.raises(NotStopped, match="it is not stopped"):
                resume(tracee.tid, Request.CONT, tags)


def test_the_tracee_of_another_thread_is_named_as_such(stopped):
    """Requests come from the thread that attached: the error tells which that is."""
    with ThreadPoolExecutor(1) as pool, pytest.raises(NotStopped) as caught:
        pool.submit(resume, stopped.tid, Request.CONT).result()
    assert f"thread {threading.get_native_id()} traces it" in str(caught.value)


def test_a_process_that_nobody_traces_is_named_as_such():
    """The caller has to attach to it first."""
    with pytest.raises(NotStopped, match="attach first"):
        resume(os.getppid(), Request.CONT)


@pytest.mark.parametrize("tags", [0, SKIPCALL | SKIPEXIT])
def test_a_tracee_that_was_killed_at_its_stop_has_died(stopped, tags):
    """ESRCH of a zombie is TraceeDied, whichever request was the first to meet it."""
    os.kill(stopped.tid, signal.SIGKILL)
    os.waitid(os.P_PID, stopped.tid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(TraceeDied):
        resume(stopped.tid, Request.CONT, tags)
    assert stopped.wait() == "killed SIGKILL"
    with pytest.raises(TraceeDied):
        resume(stopped.tid, Request.CONT, tags)


def test_a_bare_number_is_no_request(stopped):
    """33 was PTRACE_SYSVM and would single-block: nothing is done."""
    before = describe(stopped)
    with pytest.raises(TypeError, match="33 is no Request"):
        resume(stopped.tid, 33)  # type: ignore[arg-type]
    assert describe(stopped) == before


# --------------------------------------------------------------------- filters


def test_a_bitmap_stops_the_calls_whose_bit_is_set(abi, tmp_path):
    """Of all others nobody hears; what a bitmap says of one ABI it does not say of another."""
    with TwoDirectories(abi, tmp_path, selecting("mkdir", "getppid")) as tracee:
        assert tracee.finish() == ["seccomp getppid", "seccomp mkdir", "exited 0"]
        assert tracee.results() == (0, 1, 0)


def test_what_a_bitmap_is_too_short_for_is_traced(abi, tmp_path):
    """The missing tail counts as ones: with an empty bitmap everything stops."""
    flags = ("-m32",) if abi is Abi.I386 else ()
    argv = [compiled("ptrace_vm", *flags), str(tmp_path / "first"), str(tmp_path / "second")]
    with Started(argv, syscall_mask(b"")) as tracee:
        assert tracee.wait() == "seccomp execve"
        seen = tracee.finish()
        assert {"seccomp mkdir", "seccomp getppid", "seccomp exit_group"} <= set(seen)


def test_the_bitmap_gives_the_filter_data_to_the_tracer(tmp_path):
    """PTRACE_GETEVENTMSG tells which filter has stopped the call."""
    program = syscall_mask(bitmap(Abi.X86_64, "mkdir"), ret_data=0x123)
    with TwoDirectories(Abi.X86_64, tmp_path, program) as tracee:
        assert ptrace.get_event_message(tracee.tid) == 0x123


@pytest.mark.parametrize(
    ("every_call", "result"), [(True, -errno.EACCES), (False, VALUE)], ids=["entry", "seccomp"]
)
def test_filters_judge_a_call_that_was_skipped_at_its_entry_stop(tmp_path, every_call, result):
    """Its number is then -1, which a filter may refuse; at a seccomp-stop it is not asked again."""
    program = bpf.Program(
        (
            bpf.Instruction(op.BPF_LD | op.BPF_W | op.BPF_ABS, k=0),
            bpf.Instruction(op.BPF_JMP | op.BPF_JEQ | op.BPF_K, 1, 0, 0xFFFFFFFF),
            bpf.Instruction(op.BPF_JMP | op.BPF_JEQ, 1, 2, Abi.X86_64.numbers["mkdir"]),
            bpf.Instruction(op.BPF_RET, k=bpf.Action.errno(errno.EACCES).value),
            bpf.Instruction(op.BPF_RET, k=bpf.Action.trace(0).value),
            bpf.Instruction(op.BPF_RET, k=bpf.Action.allow().value),
        )
    )
    with TwoDirectories(Abi.X86_64, tmp_path, program, every_call=every_call) as tracee:
        resume(tracee.tid, Request.CONT, SKIPCALL | SKIPEXIT, value=VALUE)
        assert tracee.run_out() == ["seccomp mkdir", "exited 0"]
        assert tracee.results() == (result, 1, 0)


def test_a_filter_is_inherited_and_fails_the_calls_of_a_child_without_a_tracer(tmp_path):
    """The mask of 2006 was gone in a forked child; a filter stays, and asks for a tracer."""
    path = tmp_path / "new"
    script = f"mkdir {path} 2> {tmp_path}/error; test $? != 0"
    with Started(["sh", "-c", script], selecting("mkdir")) as tracee:
        assert tracee.run_out() == ["SIGCHLD", "exited 0"]
    assert not path.exists()
    assert os.strerror(errno.ENOSYS) in (tmp_path / "error").read_text()


def test_the_mask_of_a_bitmap_selects_the_same_calls_for_a_tracer(tmp_path):
    """One bitmap, both ways to use it."""
    tracer = Tracer(
        [compiled("ptrace_vm"), str(tmp_path / "first"), str(tmp_path / "second")],
        mask=mask_of(bitmap(Abi.X86_64, "mkdir"), i386=bitmap(Abi.I386)),
        capture_output=True,
    )
    seen: list[str] = []

    @tracer.on_entry("mkdir")
    def skip(stop):
        seen.append(stop.name)
        return decision(Dialect2008.PTRACE_VM_SKIPCALL, value=-errno.EROFS)

    tracer.run(timeout=LIMIT)
    assert seen == ["mkdir", "mkdir"]
    assert list(tmp_path.iterdir()) == []
