"""What integration tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bench.audit import AuditUnavailable, KernelStopCount
from tests.support import require


@pytest.fixture
def count() -> Iterator[KernelStopCount]:
    """The kernel's count of stops, from here to the end of the test."""
    with ExitStack() as stack:
        try:
            counter = stack.enter_context(KernelStopCount())
        except AuditUnavailable as error:
            require(condition=False, reason=str(error))
        yield counter
