"""How long stops take, of real tracees."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from time import monotonic_ns

import pytest

from accel import Decision, Tracer
from accel._kernel import ptrace
from bpf import ProbesUnavailable
from bpf.probes import Latencies, Latency
from tests.integration.test_probe_count import DECISIONS, resume, state, waiting
from tests.support import compiled, require

#: Long, compared with what the scheduler of a busy machine may add to most stops.
SLOW_NS = 4_000_000


@pytest.fixture
def latency() -> Iterator[Latency]:
    """Measure the stops of what this process starts, until the test ends."""
    try:
        measuring = Latency()
    except ProbesUnavailable as error:
        require(False, str(error))
        raise
    with measuring:
        measuring.follow_tracer(os.getpid())
        yield measuring
        assert measuring.read().lost == 0


def spend(nanoseconds: int) -> None:
    """Be busy."""
    end = monotonic_ns() + nanoseconds
    while monotonic_ns() < end:
        pass


def check(measured: Latencies, stops: int) -> None:
    """Each stop is in each histogram, and the parts make the whole."""
    parts = measured.whole, measured.waiting, measured.work
    assert [histogram.count for histogram in parts] == [stops] * 3
    assert measured.unseen == 0
    whole, waiting_, work = (histogram.nanoseconds for histogram in parts)
    assert whole == waiting_ + work > 0


@pytest.mark.parametrize("mechanism", ["seccomp-trace", "ptrace-syscall"])
@pytest.mark.parametrize(("configure", "per_call"), DECISIONS)
def test_the_histograms_have_every_stop_of_the_tracer(
    latency: Latency, configure: Callable[[Tracer], None], per_call: int, mechanism: str
) -> None:
    """However it answers, and by whatever mechanism."""
    calls = 300
    tracer = Tracer(
        [compiled("getppid_loop"), str(calls)],
        capture_output=True,
        mechanism=mechanism,  # type: ignore[arg-type]
    )
    configure(tracer)
    tracer.run()
    stops = tracer.statistics().stops
    check(latency.read(), stops)
    assert stops >= per_call * calls + 2


def test_stops_of_many_processes_and_kinds_are_measured(latency: Latency) -> None:
    """Forks, signals, and threads at the same time."""
    script = 'for i in 1 2 3; do ls / | cat | wc; done; "$0" 8 50; sh -c "kill -TERM \\$\\$"; true'
    tracer = Tracer(["sh", "-c", script, compiled("threads")], mask="all", capture_output=True)
    tracer.observe(lambda _stop: None)
    tracer.run()
    check(latency.read(), tracer.statistics().stops)


def test_a_slow_handler_is_the_tracers_work(latency: Latency) -> None:
    """Not waiting for it: most of a stop is spent where the handler spends it."""
    calls = 20
    tracer = Tracer([compiled("getppid_loop"), str(calls)], capture_output=True)

    @tracer.on_entry("getppid")
    def slow(_stop: object) -> Decision:
        spend(SLOW_NS)
        return Decision.resume()

    tracer.run()
    measured = latency.read()
    check(measured, calls + 2)
    assert measured.work.nanoseconds >= calls * SLOW_NS
    at_least = sum(count for lowest, _, count in measured.work.rows() if lowest * 2 > SLOW_NS)
    assert at_least >= calls
    assert measured.waiting.nanoseconds < measured.work.nanoseconds


def test_a_tracer_that_comes_late_is_waited_for(latency: Latency) -> None:
    """What it does then is short."""
    with waiting(["sh", "-c", "kill -USR1 $$"]) as program:
        ptrace.seize(program.pid, ptrace.PTRACE_O_EXITKILL)
        assert program.stdin is not None
        program.stdin.close()
        while state(program.pid) != "t":
            os.sched_yield()
        spend(25 * SLOW_NS)
        _, status = os.waitpid(program.pid, 0)
        assert os.WSTOPSIG(status) == signal.SIGUSR1
        ptrace.cont(program.pid)
    measured = latency.read()
    check(measured, 1)
    assert measured.waiting.nanoseconds >= 25 * SLOW_NS > measured.work.nanoseconds


def test_a_stop_that_a_kill_ends_is_in_the_whole_alone(latency: Latency) -> None:
    """Its tracer was never told."""
    with waiting(["sh", "-c", "kill -USR1 $$"]) as program:
        ptrace.seize(program.pid, ptrace.PTRACE_O_EXITKILL)
        assert program.stdin is not None
        program.stdin.close()
        while state(program.pid) != "t":
            os.sched_yield()
        subprocess.run(["sh", "-c", f"kill -KILL {program.pid}"], check=True)
    measured = latency.read()
    assert (measured.stops, measured.unseen) == (1, 1)
    assert (measured.waiting.count, measured.work.count) == (0, 0)


def test_after_the_block_the_measure_stays(latency: Latency) -> None:
    """And nothing is measured any more."""
    tracer = Tracer([compiled("getppid_loop"), "10"], capture_output=True)
    resume(tracer)
    tracer.run()
    latency.close()
    measured = latency.read()
    again = Tracer([compiled("getppid_loop"), "10"], capture_output=True)
    resume(again)
    again.run()
    assert latency.read() == measured
    check(measured, 12)
