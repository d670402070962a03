"""Answer what tracing a command costs, and what it would cost another way.

The command is run natively, under every mechanism and decision of accel that can trace it, and
under the other tracers that are installed, in rounds of alternating order. Every run is a process
of its own. What the command does must be the same in all of them; what each run took is a row of a
``Comparison``, which ``as_json`` and ``table`` write::

    request = Request(("find", "/usr", "-name", "core"), calls="openat", runs=3)
    print(table(compare(request, Input(), Progress(None))))

Each name is loaded when it is first used: the process of a run needs none of them.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from accel.compare.comparison import Comparison
    from accel.compare.inputs import Input
    from accel.compare.json_form import as_json
    from accel.compare.plot import check_figure, write_figure
    from accel.compare.progress import Progress
    from accel.compare.rows import Relative, Row, Spread
    from accel.compare.tables import table
    from accel.compare.whole import Request, compare

__all__ = [
    "Comparison",
    "Input",
    "Progress",
    "Relative",
    "Request",
    "Row",
    "Spread",
    "as_json",
    "check_figure",
    "compare",
    "table",
    "write_figure",
]

#: {name: the module that has it}; none of these has a name of the first, which it would take.
_LATER: Final = {
    "Comparison": "comparison",
    "Input": "inputs",
    "Progress": "progress",
    "Relative": "rows",
    "Request": "whole",
    "Row": "rows",
    "Spread": "rows",
    "as_json": "json_form",
    "check_figure": "plot",
    "compare": "whole",
    "table": "tables",
    "write_figure": "plot",
}


def __getattr__(name: str) -> Any:
    """Load what has ``name`` (PEP 562)."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
