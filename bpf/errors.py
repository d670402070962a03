"""What can be wrong with a filter.

ValueError
├── CompileError        the rules do not fit in a seccomp filter
│   └── LibraryMissing  pyseccomp or libseccomp is not installed
└── InvalidProgram      the kernel would refuse these instructions
"""

from __future__ import annotations

__all__ = ["CompileError", "InvalidProgram", "LibraryMissing"]


class CompileError(ValueError):
    """Rules that cannot be compiled."""


class LibraryMissing(CompileError):
    """The compiler is not installed."""


class InvalidProgram(ValueError):
    """Instructions that the kernel refuses."""
