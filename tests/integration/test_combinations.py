"""Every combination does what it says, by every mechanism that claims it."""

from __future__ import annotations

import pytest

from bench.audit import AuditUnavailable
from tests.integration.combinations import Case, cases, examine
from tests.support import require


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_result_effect_arguments_and_stops_are_as_declared(case: Case) -> None:
    """The program's result, whether the call ran, what was told, and the kernel's stops."""
    try:
        finding = examine(case)
    except AuditUnavailable as error:
        require(condition=False, reason=str(error))
    assert finding.wrong == ()
