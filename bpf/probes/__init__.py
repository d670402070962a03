"""eBPF programs, C compiled by bcc when they are wanted, and what reads their results.

Everything here needs root, and bcc, whose Debian package is python3-bpfcc; without them the first
use raises ``bpf.errors.ProbesUnavailable``. Importing this package loads no bcc.
"""

from bpf.probes.count import Count, Counts
from bpf.probes.exit_signal import ExitSignals
from bpf.probes.histogram import Histogram
from bpf.probes.latency import Latencies, Latency

__all__ = ["Count", "Counts", "ExitSignals", "Histogram", "Latencies", "Latency"]
