"""Answer what tracing a command costs, and what it would cost another way.

The command is run natively, under every mechanism and decision of accel that can trace it, and
under the other tracers that are installed, in rounds of alternating order. Every run is a process
of its own. What the command does must be the same in all of them; what each run took is a row of a
``Comparison``, which ``as_json`` and ``table`` write::

    request = Request(("find", "/usr", "-name", "core"), calls="openat", runs=3)
    print(table(compare(request, Input(), Progress(None))))
"""

from accel.compare.comparison import Comparison
from accel.compare.inputs import Input
from accel.compare.json_form import as_json
from accel.compare.plot import check_figure, write_figure
from accel.compare.progress import Progress
from accel.compare.rows import Relative, Row, Spread
from accel.compare.table import table
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
