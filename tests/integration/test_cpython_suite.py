"""CPython's own tests of processes, threads and signals give the same results when traced."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.integration.strace_comparison import ACCEL, environment
from tests.support import require

#: Debian's own interpreter, for whose version its package libpython3.11-testsuite has the tests.
PYTHON = Path("/usr/bin/python3.11")
MODULES = (
    # The longest first: they share two processors.
    "test_signal",
    "test_subprocess",
    "test_threading",
    "test_multiprocessing_main_handling",
    "test_fork1",
    "test_wait4",
    "test_os",
    "test_posix",
)
#: Far above what a module takes (the longest about 50 s); one that reaches it hangs.
LIMIT_SECONDS = 240
#: Modules that run at the same time. They mostly wait.
AT_ONCE = 4

TRACED = (*ACCEL, "-o", os.devnull, "-e", "trace=%file,%process", "--")

Outcomes = Mapping[str, str]


def outcomes(module: str, directory: Path, tracer: Sequence[str] = ()) -> Outcomes:
    """Run one module of the suite; return what each of its tests came to."""
    directory.mkdir(parents=True)
    report = directory / "report.xml"
    command = ["env", "-u", "PYTHONPATH", str(PYTHON), "-m", "test", "--junit-xml", str(report)]
    done = subprocess.run(
        [*tracer, *command, module],
        env=environment(directory, {"TMPDIR": str(directory)}),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert report.exists(), f"{module} wrote no report: {done.stdout}{done.stderr}"
    found = dict(_cases(report))
    assert found, f"{module} has no tests: {done.stdout}{done.stderr}"
    return {**found, "exit status": str(done.returncode)}


def _cases(report: Path) -> Iterator[tuple[str, str]]:
    for case in ET.parse(report).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("skipped", "failure", "error")]
        yield case.attrib["name"], kinds[0] if kinds else case.attrib["result"]


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, tuple[Future[Outcomes], Future[Outcomes]]]]:
    """Start every module alone and traced; tests wait for those they need."""
    require(PYTHON.exists(), f"{PYTHON} is not installed")
    found = subprocess.run(
        [PYTHON, "-c", "import test.test_subprocess"], capture_output=True, check=False
    )
    require(found.returncode == 0, "libpython3.11-testsuite is not installed")
    base = tmp_path_factory.mktemp("cpython")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            module: (
                pool.submit(outcomes, module, base / f"{module}-alone"),
                pool.submit(outcomes, module, base / f"{module}-traced", TRACED),
            )
            for module in MODULES
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_cpythons_suite_gives_the_results_it_gives_alone(module, runs, tmp_path):
    """Test by test; one that differs must be seen to differ without a tracer, too."""
    alone, traced = (run.result() for run in runs[module])
    differing = {name for name in {*alone, *traced} if alone.get(name) != traced.get(name)}
    if differing:
        # Evidence, not suspicion: what alone and alone again differ in is not the tracer's doing.
        again = outcomes(module, tmp_path / "again")
        differing = {name for name in differing if alone.get(name) == again.get(name)}
    assert {name: (alone.get(name), traced.get(name)) for name in sorted(differing)} == {}
    assert len(alone) > 1
