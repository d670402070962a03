"""What can be wrong with a filter, or keep a probe from running.

ValueError
├── CompileError        the rules do not fit in a seccomp filter
│   └── LibraryMissing  libseccomp is not installed
└── InvalidProgram      the kernel would refuse these instructions
RuntimeError
└── ProbesUnavailable   eBPF programs cannot run here; ``hint`` says what to type
"""

from __future__ import annotations

__all__ = ["CompileError", "InvalidProgram", "LibraryMissing", "ProbesUnavailable"]


class CompileError(ValueError):
    """Rules that cannot be compiled."""


class LibraryMissing(CompileError):
    """The compiler is not installed."""


class InvalidProgram(ValueError):
    """Instructions that the kernel refuses."""


class ProbesUnavailable(RuntimeError):
    """An eBPF program that cannot be compiled or attached on this host, by this process."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.args[0]}; {self.hint}"
