"""How the loops find the rule of a call that the filter does not tell: all that is compiled for it.

``judge`` evaluates the tables of ``accel.mechanisms.judge_tables``, for calls that stop and for
calls that come by notification; ``accel.mechanisms.twin_judge`` is the same in Python.
"""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from __future__ import annotations

from typing import Final

from numba import njit

from accel._loop_words import _PAGE, _SHORT, _STRING_LIMIT, _byte, _get, _set, read

__all__ = ["judge"]

_EFAULT: Final = 14
_MAX_NUMBER: Final = 1024
#: The control word that has the address of the tables.
_JUDGEMENT: Final = 100
# The layout of the tables: a copy, as in ``_loop``.
_UNKNOWN: Final = (1 << 17) - 1
_FROM, _UNSIGNED, _SIGNED, _EQUALS, _STARTS, _WITHIN, _FAMILY, _PORT = 0, 1, 2, 3, 4, 5, 6, 7
_KIND, _ARGUMENT, _THEN, _OTHERWISE, _LOW, _HIGH, _DETAIL, _CHECK_WORDS = 0, 1, 2, 3, 4, 5, 6, 8
_CHAINS, _LOOKS, _LOOK_WORDS = 6, 8, 520
_UNSEEN, _ABSENT = -4096, -4097  # No errno is as large.
_BIAS: Final = -(1 << 63)
#: No address of user space is as large; the rest are negative.
_END: Final = (1 << 63) - 1
_AF_INET, _AF_INET6 = 2, 10
_SLASH, _DOT = 0x2F, 0x2E


@njit
def _look_at_path(control: int, tid: int, address: int, target: int) -> int:
    """Copy a path; return its length, ABSENT where the kernel would find none, or -errno."""
    size = 0
    while 0 < address <= _END - _STRING_LIMIT and size < _STRING_LIMIT:
        part = _PAGE - ((address + size) & (_PAGE - 1))  # A read over the end of a mapping fails.
        part = min(part, _STRING_LIMIT - size, _SHORT if size == 0 else _PAGE)
        part = read(control, tid, address + size, target + size, part)
        if part <= 0:
            return part if part < 0 and part != -_EFAULT else _ABSENT
        for at in range(size, size + part):
            if _byte(target + at) == 0:
                return at
        size += part
    return _ABSENT


@njit
def _look_at_address(control: int, tid: int, address: int, target: int, size: int) -> int:
    """Copy up to ``size`` bytes, fewer where the memory ends; return how many, or -errno."""
    done = 0
    while 0 < address <= _END - size and done < size:
        part = min(size - done, _PAGE - ((address + done) & (_PAGE - 1)))
        part = read(control, tid, address + done, target + done, part)
        if part <= 0:
            return part if part < 0 and part != -_EFAULT else done
        done += part
    return done


@njit
def _is_equal(one: int, other: int, size: int) -> bool:
    """Compare bytes of this process."""
    for at in range(size):  # noqa: SIM110 - compiled
        if _byte(one + at) != _byte(other + at):
            return False
    return True


@njit
def _end_of_name(text: int, start: int, size: int) -> int:
    """Find where the name in a path ends that begins at ``start``."""
    end = start
    while end < size and _byte(text + end) != _SLASH:
        end += 1
    return end


@njit
def _is_within(text: int, size: int, root: int, length: int) -> bool:
    """Tell whether a path is ``root``, or below it, when dots and double slashes are taken out.

    Of the names that are left of the path so far, the first ``matched`` are those of the root, of
    which the next begins at ``wanted``.
    """
    if size == 0 or _byte(text) != _SLASH:
        return False
    names, matched, wanted = 0, 0, 1
    start = 1
    while start < size:
        end = _end_of_name(text, start, size)
        dots = end - start if _byte(text + start) == _DOT else 0
        if dots == 2 and _byte(text + start + 1) == _DOT:
            names = max(names - 1, 0)
            if matched > names:
                matched = names
                wanted -= 1
                while _byte(root + wanted - 1) != _SLASH:
                    wanted -= 1
        elif end > start and dots != 1:
            if names == matched and wanted < length:
                same = _end_of_name(root, wanted, length) - wanted == end - start
                if same and _is_equal(text + start, root + wanted, end - start):
                    matched += 1
                    wanted += end - start + 1
            names += 1
        start = end + 1
    return wanted >= length


@njit
def _path_holds(kind: int, text: int, size: int, operand: int, length: int) -> bool:
    if kind == _WITHIN:
        return _is_within(text, size, operand, length)
    fits = size == length or (kind == _STARTS and size > length)
    return fits and _is_equal(text, operand, length)


@njit
def _field(kind: int, address: int, size: int) -> int:
    """Read a number of a socket address; -1 if it has none."""
    if size < 2:
        return -1
    family = _byte(address) | _byte(address + 1) << 8
    if kind == _FAMILY:
        return family
    if size < 4 or (family != _AF_INET and family != _AF_INET6):  # noqa: PLR1714 - compiled
        return -1
    return _byte(address + 2) << 8 | _byte(address + 3)


@njit
def _look(control: int, tid: int, check: int, arguments: int, width: int) -> int:
    """Look at what an argument points to, unless it was; return what LOOKED says, or -errno."""
    table = _get(control, _JUDGEMENT)
    argument = _get(check, _ARGUMENT)
    looked = _get(table, argument)
    if looked != _UNSEEN:
        return looked
    address = _get(arguments, argument) & width
    target = table + 8 * (_LOOKS + _LOOK_WORDS * argument)
    if _get(check, _KIND) <= _WITHIN:
        looked = _look_at_path(control, tid, address, target)
    else:
        detail = _get(check, _DETAIL)
        size = _get(arguments, detail) & 0xFFFFFFFF if detail >= 0 else 4
        looked = _look_at_address(control, tid, address, target, min(size, 4))
    _set(table, argument, looked)
    return looked


@njit
def _number_of(control: int, check: int, ret_data: int, arguments: int, width: int) -> int:
    """Find the number that a check compares, of a register or a socket address looked at."""
    kind, argument, detail = _get(check, _KIND), _get(check, _ARGUMENT), _get(check, _DETAIL)
    if kind == _FROM:
        return ret_data
    if kind >= _FAMILY:
        table = _get(control, _JUDGEMENT)
        address = table + 8 * (_LOOKS + _LOOK_WORDS * argument)
        return _field(kind, address, _get(table, argument))
    value = _get(arguments, argument) & width
    if kind == _UNSIGNED:
        return (value & detail) ^ _BIAS
    return value << detail >> detail


@njit
def judge(control: int, tid: int, call: int, ret_data: int, arguments: int) -> int:
    """Find the answer to a call of which the filter knows no more than RET_DATA; or UNKNOWN.

    Rules before the one that RET_DATA names are not asked; 0 asks all. ``call`` is the call's index
    in the counters, ``arguments`` the address of its six words. The answer is an index in the table
    of answers, JUDGED and up; where that has no action, as UNKNOWN has none, Python has to judge.
    The tracee must be stopped, or wait for the answer to a notification. Cost: one
    process_vm_readv(2) for each argument that is looked at, if it is short.
    """
    table = _get(control, _JUDGEMENT)
    width = 0xFFFFFFFF if call >= _MAX_NUMBER else -1
    for argument in range(6):
        _set(table, argument, _UNSEEN)
    check = _get(_get(table, _CHAINS), call)
    while check > 0:
        kind = _get(check, _KIND)
        looked = _look(control, tid, check, arguments, width) if kind >= _EQUALS else 0
        if looked < 0 and looked != _ABSENT:
            return _UNKNOWN
        if _EQUALS <= kind <= _WITHIN:
            text = table + 8 * (_LOOKS + _LOOK_WORDS * _get(check, _ARGUMENT))
            operand, length = _get(check, _LOW), _get(check, _HIGH)
            holds = looked >= 0 and _path_holds(kind, text, looked, operand, length)
        else:
            number = _number_of(control, check, ret_data, arguments, width)
            holds = _get(check, _LOW) <= number <= _get(check, _HIGH)
        check = _get(check, _THEN if holds else _OTHERWISE)
    return -1 - check if check < 0 else _UNKNOWN
