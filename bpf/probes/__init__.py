"""eBPF programs, C compiled by bcc when they are wanted, and what reads their results.

Everything here needs root, and bcc, whose Debian package is python3-bpfcc; without them the first
use raises ``bpf.errors.ProbesUnavailable``. Importing this package loads no bcc.
"""

from typing import TYPE_CHECKING, Final

from bpf.on_demand import names_on_demand

if TYPE_CHECKING:
    from bpf.probes.count import Count, Counts
    from bpf.probes.exit_signal import ExitSignals
    from bpf.probes.histogram import Histogram
    from bpf.probes.latency import Latencies, Latency

__all__ = ["Count", "Counts", "ExitSignals", "Histogram", "Latencies", "Latency"]

#: {name: the module that has it}.
_MODULES: Final = {
    "Count": "count",
    "Counts": "count",
    "ExitSignals": "exit_signal",
    "Histogram": "histogram",
    "Latencies": "latency",
    "Latency": "latency",
}

__getattr__, __dir__ = names_on_demand(__name__, _MODULES)
