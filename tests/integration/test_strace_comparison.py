"""The comparison itself: it reads strace's format, and a difference does not escape it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.integration.strace_comparison import (
    STRACE,
    Event,
    Outcome,
    Scenario,
    compare_calls,
    compare_effects,
    normalise,
    parse_log,
    run_alone,
    run_traced,
)
from tests.support import require_program

SCENARIO = Scenario("any", ("true",), "all")

LOG = """\
10    execve("/bin/sh", ["sh"], 0x7ffd3fe1a0b8 /* 9 vars */) = 0
10    clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>
11    getppid()                         = 10
10    <... clone resumed>, child_tidptr=0x7f3b2c1e8a10) = 11
10    wait4(-1,  <unfinished ...>
11    write(1, ") = 5 <unfinished ...>", 22) = 22
11    exit_group(3)                     = ?
11    +++ exited with 3 +++
10    <... wait4 resumed>[{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 11
10    --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=11, si_uid=0, si_utime=0} ---
10    futex(0x7f3b2c1e8990, FUTEX_WAIT, 2, NULL <unfinished ...>
10    +++ killed by SIGKILL +++
"""


def outcome(log: str) -> Outcome:
    """Make an outcome of which only the log matters."""
    return Outcome(0, "", "", {}, log)


def test_calls_in_two_parts_become_one():
    """What a switch to another process cut in two is whole again, where it ended."""
    events = parse_log(LOG)
    assert str(events[2]) == (
        "clone(child_stack=NULL, flags=SIGCHLD, child_tidptr=0x7f3b2c1e8a10) = 11"
    )
    assert str(events[6]) == "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 11"
    # A string that looks like the end of a call, or like a cut, is neither.
    assert Event(11, "write", '1, ") = 5 <unfinished ...>", 22', "22") in events
    assert Event(10, "futex", "0x7f3b2c1e8990, FUTEX_WAIT, 2, NULL", "?") in events
    assert len(events) == 10


def test_a_thread_that_executes_resumes_under_the_leaders_pid():
    """strace names the thread that takes over, and ends its call as the leader's."""
    log = (
        '12    execve("again", ["again"], 0x5589c0a2 /* 1 var */ <unfinished ...>\n'
        "10    +++ superseded by execve in pid 12 +++\n"
        "10    <... execve resumed>)             = 0\n"
    )
    assert [(event.pid, event.call) for event in parse_log(log)] == [(10, ""), (10, "execve")]


@pytest.mark.parametrize(
    "line", ["getppid() = 1", "10    getppid() 1", "10    <... read resumed>)"]
)
def test_a_line_that_is_not_in_the_format_is_an_error(line):
    """Nothing is skipped in silence: what cannot be read cannot be equal."""
    with pytest.raises(ValueError, match=r"getppid|read"):
        parse_log(line)


def test_what_differs_between_runs_for_good_reason_is_equal():
    """Pids, addresses and processor times are no differences."""
    later = LOG.replace("11", "4711").replace("0x7f3b2c1e8", "0x7e1100aa0")
    later = later.replace("si_utime=0", "si_utime=1 /* 0.01 s */").replace("10 ", "4710 ")
    assert compare_calls(SCENARIO, outcome(LOG), outcome(later)) == ""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("exit_group(3)", "exit_group(4)"),
        ("= 22", "= 21"),
        ("SIGCHLD, si_code=CLD_EXITED", "SIGCHLD, si_code=CLD_KILLED"),
        ("+++ exited with 3 +++", "+++ exited with 0 +++"),
        ("flags=SIGCHLD", "flags=CLONE_VM|SIGCHLD"),
        ("11    getppid()                         = 10\n", ""),
        ("= 11\n10    wait4", "= -1 EAGAIN (Resource temporarily unavailable)\n10    wait4"),
    ],
)
def test_what_does_not_is_told(before, after):
    """One argument, one result, one line, one signal: each is found and shown."""
    assert before in LOG
    told = compare_calls(SCENARIO, outcome(LOG), outcome(LOG.replace(before, after)))
    assert "- 1 x " in told


def test_the_number_of_equal_calls_matters():
    """The logs are compared as multisets."""
    told = compare_calls(SCENARIO, outcome(LOG), outcome(LOG + LOG))
    assert "+ 1 x exit_group(3) = ?" in told
    assert normalise(parse_log(LOG + LOG), SCENARIO)["exit_group(3) = ?"] == 2


def test_races_are_left_out_and_made_up_text_replaced():
    """As a scenario says, and only so."""
    scenario = replace(
        SCENARIO, races=(r"^--- SIGCHLD",), made_up=((r"WEXITSTATUS\(s\) == \d", "STATUS"),)
    )
    other = LOG.replace("WEXITSTATUS(s) == 3", "WEXITSTATUS(s) == 4").replace("CLD_EXITED", "X")
    assert compare_calls(SCENARIO, outcome(LOG), outcome(other)) != ""
    assert compare_calls(scenario, outcome(LOG), outcome(other)) == ""


def test_effects_are_status_output_and_files(tmp_path):
    """Each difference in what a command leaves behind is named."""
    require_program("strace")
    commands = (
        "echo one > file; ln -s here link; echo out; exit 3",
        "echo two > file; ln -s there link; mkdir new; echo err >&2; exit 4",
    )
    scenarios = [Scenario("sh", ("sh", "-c", command), "openat") for command in commands]
    first, second = (run_alone(scenario, tmp_path) for scenario in scenarios)
    told = compare_effects(first, second).splitlines()
    assert [line.split(":")[0] for line in told] == [
        "exit status",
        "standard output",
        "- out",
        "standard error",
        "+ err",
        "file file",
        "file link",
        "file new",
    ]
    assert compare_effects(first, run_traced(scenarios[0], tmp_path, STRACE)) == ""
