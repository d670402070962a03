"""SyscallMask: strace's grammar, set algebra, and errors that say what to type."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel import classes
from accel.abi import X32_SYSCALL_BIT, Abi
from accel.call import Call
from accel.errors import MaskError, SetupError
from accel.mask import SyscallMask
from bpf.value import replace

OPEN = (Abi.X86_64, 2)
OPEN_I386 = (Abi.I386, 5)
ABIS = (Abi.X86_64, Abi.I386)
NAMED = [(abi, number) for abi in ABIS for number in abi.names]
CLASSES = [
    [(abi, number) for abi in ABIS for number in classes.members(name, abi)]
    for name in classes.NAMES
]


@st.composite
def masks(draw: st.DrawFn) -> SyscallMask:
    """Any mask: named calls, whole classes, numbers without a name, inverted or not."""
    unnamed = st.tuples(st.sampled_from(ABIS), st.integers(0, X32_SYSCALL_BIT - 1))
    calls = draw(st.lists(st.one_of(st.sampled_from(NAMED), unnamed), max_size=12))
    for members in draw(st.lists(st.sampled_from(CLASSES), max_size=2)):
        calls += members
    mask = SyscallMask.of(calls)
    return ~mask if draw(st.booleans()) else mask


def calls() -> st.SearchStrategy[tuple[Abi, int]]:
    return st.one_of(
        st.sampled_from(NAMED),
        st.tuples(st.sampled_from(list(Abi)), st.integers(-1, X32_SYSCALL_BIT + 600)),
    )


# -------------------------------------------------------------------------------------- the algebra


@given(masks(), masks(), calls())
def test_operators_are_those_of_sets(one, other, call):
    """Every operator decides about a call as the sets of all calls would."""
    exists = call[0] is not Abi.X32 and 0 <= call[1] < X32_SYSCALL_BIT
    assert (call in one | other) == (call in one or call in other)
    assert (call in one & other) == (call in one and call in other)
    assert (call in one - other) == (call in one and call not in other)
    assert (call in ~one) == (exists and call not in one)


@given(masks(), masks(), masks())
def test_algebra_obeys_its_laws(one, two, three):
    """Equal sets are equal values, however they were computed."""
    assert ~~one == one
    assert one | two == two | one
    assert one & (two | three) == (one & two) | (one & three)
    assert ~(one | two) == ~one & ~two
    assert one - two == one & ~two
    assert one | ~one == SyscallMask.all()
    assert one & ~one == SyscallMask.none()
    assert hash(one | two) == hash(two | one)


@given(masks())
def test_text_reads_back_as_an_equal_mask(mask):
    """``str`` is in the grammar, and loses nothing."""
    if mask:
        assert SyscallMask(str(mask)) == mask
    assert eval(repr(mask), {"SyscallMask": SyscallMask}) == mask


@given(masks())
def test_iteration_agrees_with_membership(mask):
    """What is listed is selected, in order, and counted."""
    listed = list(mask)
    assert len(listed) == len(mask) == len(set(listed))
    assert all(call in mask for call in listed)
    assert [call for call in NAMED if call in mask] == [
        call for call in listed if call in set(NAMED)
    ]
    for abi in Abi:
        assert mask.numbers(abi) == {number for other, number in listed if other is abi}


def test_a_mask_is_a_value():
    """It is immutable, hashable, copied and pickled by value."""
    mask = SyscallMask("open,close")
    assert {mask: 1}[SyscallMask("close", "open")] == 1
    assert pickle.loads(pickle.dumps(mask)) == copy.deepcopy(mask) == mask
    with pytest.raises(AttributeError):
        mask._inverted = True
    assert mask != "open,close"
    with pytest.raises(TypeError):
        _ = mask | "open"


def test_truth_is_not_length():
    """A mask of numbers that no table knows selects something, though it lists nothing."""
    rest = ~SyscallMask("all@64,all@32")
    assert len(rest) == 0
    assert rest
    assert rest.holds_unnamed
    assert (Abi.X86_64, 5000) in rest
    assert not SyscallMask.none()


# -------------------------------------------------------------------------------------- the grammar


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("open", "open@64,open@32"),
        ("mmap2", "mmap2@32"),
        ("2@64,5@32", "open"),
        ("!!open", "open"),
        ("! open , close", "!open,close"),
        ("open,,close,", "open,close"),
        ("!none", "all"),
        ("!all", "none"),
        ("all,open", "all"),
        ("?all", "all"),
        ("open,?nope,?%nope,?/nope,?9x", "open"),
        ("??open", "open"),
        ("!?nope", "all"),
        ("%net", "%network"),
        ("file", "%file"),
        ("signal", "%signal"),
        ("/^open", "open,openat,openat2,open_by_handle_at,open_tree,open_tree_attr"),
        ("/^signal$", "48@32"),
        ("/^(get|set)uid$@64", "getuid@64,setuid@64"),
        ("%%stat@64", "stat@64,lstat@64,fstat@64,newfstatat@64,statx@64"),
    ],
)
def test_the_grammar_is_straces(text, same):
    """Texts that mean the same make equal masks."""
    assert SyscallMask(text) == SyscallMask(same)


def test_a_name_selects_where_it_exists():
    """A number is never compared across ABIs."""
    assert set(SyscallMask("open")) == {OPEN, OPEN_I386}
    assert set(SyscallMask("waitpid")) == {(Abi.I386, 7)}
    assert set(SyscallMask("5")) == {(Abi.X86_64, 5), OPEN_I386}


def test_several_texts_are_joined():
    """Each has its own inversion."""
    assert SyscallMask("open", "%network") == SyscallMask("open,%network")
    assert SyscallMask("!open", "open") == SyscallMask.all()
    assert SyscallMask(SyscallMask("open")) == SyscallMask("open")


def test_membership_takes_names_pairs_and_calls():
    """Whatever identifies a call can be asked for."""
    mask = SyscallMask("open@64,600")
    call = Call(1, 1, Abi.X86_64, 2, (0, 0, 0, 0, 0, 0))
    assert "open" in mask
    assert "close" not in mask
    assert OPEN in mask
    assert OPEN_I386 not in mask
    assert call in mask
    assert replace(call, abi=Abi.I386) not in mask
    assert (Abi.I386, 600) in mask
    assert object() not in mask
    assert mask.names == {"open"}


@pytest.mark.parametrize("number", [-1, X32_SYSCALL_BIT, X32_SYSCALL_BIT + 2])
def test_no_mask_selects_what_is_no_call(number):
    """Not even the mask of everything holds -1, or a number of x32."""
    assert (Abi.X86_64, number) not in SyscallMask.all()
    with pytest.raises(MaskError, match="no mask can select"):
        SyscallMask.of([(Abi.X86_64, number)])


def test_x32_is_never_selected():
    """It shares x86_64's architecture word, and is refused."""
    assert (Abi.X32, 2) not in SyscallMask.all()
    assert SyscallMask.all().numbers(Abi.X32) == frozenset()
    with pytest.raises(MaskError, match="x32"):
        SyscallMask("open@x32")


# ---------------------------------------------------------------------------------------- the texts


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("close,open", "close,open"),
        ("open@64,close", "close,open@64"),
        ("600", "600"),
        ("600@64", "600@64"),
        ("!open", "!open"),
        ("openat,%network", "%network,openat"),
        ("!%file,read", "!%file,read"),
        ("all@64", "all@64"),
        ("/^ipc$,/^signal$", "/^ipc$,/^signal$"),
    ],
)
def test_masks_print_short(text, written):
    """Names are sorted, classes stand for their members, suffixes only where they matter."""
    assert str(SyscallMask(text)) == written
    assert repr(SyscallMask(text)) == f"SyscallMask({written!r})"


# --------------------------------------------------------------------------------------- the errors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("opnat", "unknown system call 'opnat'; did you mean openat, openat2, open?"),
        ("%netwrk", "unknown class '%netwrk'; did you mean %network, %net?"),
        ("creds", "unknown system call 'creds'; did you mean %creds, read, readv?"),
        ("OPENAT2", "unknown system call 'OPENAT2'; did you mean openat2, openat, open?"),
        ("qqqq", "unknown system call 'qqqq'; ?qqqq forgives that"),
        ("", "the mask '' names no system call; name one, or write all"),
        ("!", "the mask '!' names no system call; name one, or write all"),
        ("?nope", "the mask '?nope' selects no system call; write none to mean that"),
        ("mmap2@64", "x86_64 has no system call 'mmap2'; write mmap2@32"),
        ("open@foo", "'open@foo': there is no ABI 'foo'; use @64 or @32"),
        ("open,!close", "'!close': an exclamation mark inverts the whole set; write it first"),
        ("none,open", "'none' stands alone; leave it out, or the other values"),
        ("/nomatch", "no system call matches '/nomatch'; ?/nomatch forgives that"),
    ],
)
def test_errors_say_what_to_type(text, message):
    """One line names the mistake and the remedy."""
    with pytest.raises(MaskError) as caught:
        SyscallMask(text)
    assert str(caught.value) == message
    assert isinstance(caught.value, SetupError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("text", ["0x5", "5x", "1_0", "1073741824", "9" * 5000, "\u0663"])
def test_numbers_are_decimal_and_small(text):
    """What Python's int would read beyond that is refused, or refused by int itself."""
    with pytest.raises(MaskError, match="is no system call number"):
        SyscallMask(text)


@pytest.mark.parametrize("text", ["/(", "/*", "/a**", "/[", "/\\", "/(?:open)", "/[[:foo:]]"])
def test_a_bad_regex_is_an_error(text):
    """So is one that only Python would understand."""
    with pytest.raises(MaskError, match="bad regular expression"):
        SyscallMask(text)


def test_a_mask_of_nothing_is_an_error():
    """An empty mask must be asked for by name."""
    with pytest.raises(MaskError, match=r"SyscallMask\.none"):
        SyscallMask()


def test_a_plain_name_needs_no_table_of_arguments(monkeypatch):
    """Reading and printing a short mask computes no class."""
    monkeypatch.setattr(classes, "members", None)
    assert str(SyscallMask("openat,close")) == "close,openat"
