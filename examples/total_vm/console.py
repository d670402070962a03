"""The guest's standard streams; to the guest they are pipes, not a terminal."""

from __future__ import annotations

import io
import os
import stat
from typing import BinaryIO, ClassVar

from .descriptors import DescriptorTable, OpenFile
from .nodes import Node

__all__ = ["Console", "PipeNode"]


class PipeNode(Node):
    """What fstat(2) says of a pipe."""

    kind: ClassVar[int] = stat.S_IFIFO


class Console:
    """Three streams of the host, or of nobody: then output is kept.

    The guest reads ``stdin`` as it wants: give a stream without a buffer of its own, or bytes.
    """

    def __init__(
        self,
        stdin: bytes | BinaryIO = b"",
        stdout: BinaryIO | None = None,
        stderr: BinaryIO | None = None,
    ) -> None:
        self.stdin = io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin
        self.stdout = stdout or io.BytesIO()
        self.stderr = stderr or io.BytesIO()

    @property
    def output(self) -> bytes:
        """What the guest has written to a standard output that is kept."""
        return _kept(self.stdout)

    @property
    def errors(self) -> bytes:
        """What the guest has written to a standard error that is kept."""
        return _kept(self.stderr)

    def open(self, descriptors: DescriptorTable) -> None:
        """Make the three streams descriptors 0, 1 and 2."""
        descriptors.put(0, _Stream(self.stdin, os.O_RDONLY))
        descriptors.put(1, _Stream(self.stdout, os.O_WRONLY))
        descriptors.put(2, _Stream(self.stderr, os.O_WRONLY))


def _kept(stream: BinaryIO) -> bytes:
    assert isinstance(stream, io.BytesIO), "it went to a stream of the host"
    return stream.getvalue()


class _Stream(OpenFile):
    def __init__(self, stream: BinaryIO, flags: int) -> None:
        super().__init__(PipeNode(permissions=0o600, links=1), flags)
        self._stream = stream

    def _read(self, count: int) -> bytes:
        return self._stream.read(count) or b""

    def _write(self, data: bytes) -> int:
        written = self._stream.write(data)
        self._stream.flush()
        return written
