"""Actions: one word each, named as the kernel does."""

import random

import pytest

from bpf import Action


def test_an_action_is_the_kernels_word():
    """Every factory makes the value that <linux/seccomp.h> defines."""
    assert Action.allow().value == 0x7FFF0000
    assert Action.log().value == 0x7FFC0000
    assert Action.trace(0x102).value == 0x7FF00102
    assert Action.notify().value == 0x7FC00000
    assert Action.errno(1).value == 0x00050001
    assert Action.trap().value == 0x00030000
    assert Action.trap(7).value == 0x00030007
    assert Action.kill_thread().value == 0x00000000
    assert Action.kill_process().value == 0x80000000


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (Action.allow(), "RET_ALLOW"),
        (Action.log(), "RET_LOG"),
        (Action.trace(258), "RET_TRACE(258)"),
        (Action.trace(0), "RET_TRACE(0)"),
        (Action.notify(), "RET_USER_NOTIF"),
        (Action.errno(1), "RET_ERRNO(EPERM)"),
        (Action.errno(0), "RET_ERRNO(0)"),
        (Action.errno(4095), "RET_ERRNO(4095)"),
        (Action.trap(3), "RET_TRAP(3)"),
        (Action.kill_thread(), "RET_KILL_THREAD"),
        (Action.kill_process(), "RET_KILL_PROCESS"),
        (Action(0x7FFF0001), "RET_ALLOW(1)"),
        (Action(0x12345678), "RET_UNKNOWN(0x12345678)"),
    ],
)
def test_an_action_prints_as_the_kernel_spells_it(action, text):
    """str() is the constant's name without SECCOMP_, errnos by name, data in parentheses."""
    assert str(action) == text
    assert repr(action) == f"<Action {text}>"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Action.errno(4096),
        lambda: Action.errno(-1),
        lambda: Action.trace(0x10000),
        lambda: Action.trap(-1),
        lambda: Action(1 << 32),
        lambda: Action(-1),
    ],
)
def test_data_that_the_kernel_would_cut_is_refused(make):
    """An errno above 4095 and data above 16 bits raise ValueError instead of becoming another."""
    with pytest.raises(ValueError, match=r"an errno is|has more|a word of"):
        make()


def test_precedence_is_that_of_stacked_filters():
    """seccomp(2) lists the actions in this order of precedence, data aside."""
    documented = [
        Action.kill_process(),
        Action.kill_thread(),
        Action.trap(9),
        Action.errno(4095),
        Action.notify(),
        Action.trace(0xFFFF),
        Action.log(),
        Action.allow(),
    ]
    shuffled = random.Random(1).sample(documented, len(documented))
    assert sorted(shuffled, key=lambda action: action.precedence) == documented
    assert Action.errno(1).precedence == Action.errno(2).precedence
