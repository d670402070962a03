"""POSIX extended regular expressions mean here what they mean to strace."""

from __future__ import annotations

import pytest

from accel.posix_regex import compile_posix


@pytest.mark.parametrize(
    ("pattern", "matches", "misses"),
    [
        ("^open", "openat", "reopen"),
        ("at$", "openat", "attach"),
        ("(get|set)uid", "setuid32", "getgid"),
        ("o{2}", "foo", "fo"),
        ("o{,1}b", "b", "a"),
        ("^[^a-c]+$", "xyz", "xaz"),
        ("[]x]", "a]", "a["),
        (r"[\w]", "w", "a"),
        (r"[a\]", "\\", "b"),
        ("[a&&b]", "&", "c"),
        ("[[:upper:]_]", "a_b", "ab"),
        ("^[[:alpha:]]+$", "read", "read2"),
        (r"\bget", "x get", "xget"),
        (r"\<get", "get", "xget"),
        (r"get\>", "xget", "getx"),
        (r"\.", "a.b", "ab"),
        (r"(.)\1", "foo", "fo"),
        (r"\d", "d", "1"),
        ("a|", "anything", None),
    ],
)
def test_patterns_match_as_posix_says(pattern, matches, misses):
    """Brackets, intervals, classes and GNU's escapes are POSIX's, not Python's."""
    search = compile_posix(pattern).search
    assert search(matches)
    assert misses is None or not search(misses)


@pytest.mark.parametrize(
    "pattern",
    ["(", ")", "[", "[a", "*a", "a**", "a+?", "(?:a)", "(?i)a", "{2}", "a{x}", "a\\", "[[:foo:]]"],
)
def test_what_posix_does_not_define_is_refused(pattern):
    """A pattern that could mean two things means neither."""
    with pytest.raises(ValueError, match=r"\w"):
        compile_posix(pattern)


def test_collating_symbols_are_refused():
    """They depend on the locale."""
    with pytest.raises(ValueError, match="collating"):
        compile_posix("[[.a.]]")
