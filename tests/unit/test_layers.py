"""Imports point one way: the arrows of the design, checked in the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: {layer: the layers it may import}; a module belongs to the longest prefix. "values" are the
#: modules that describe calls, masks, decisions and stops, and know of no process.
VALUES = frozenset(
    "accel.abi accel.arguments accel.call accel.capabilities accel.checks accel.class_index"
    " accel.class_rules accel.classes accel.command accel.costs accel.decision accel.errors"
    " accel.expressions accel.families accel.mask accel.mask_grammar accel.pointees"
    " accel.posix_regex accel.records accel.results accel.role_rules accel.roles accel.scalars"
    " accel.signatures accel.stops accel.string_index accel.value_sets".split()
)
MAY_IMPORT = {
    "bpf.value": set(),
    "bpf.on_demand": set(),
    "bpf.user_cache": set(),
    "bpf": {"bpf"},
    "bpf.probes": {"bpf", "bpf.probes"},
    "values": {"values"},
    "accel._kernel": {"accel._kernel"},
    "accel.decoding": {"values", "accel.decoding"},
    "accel.lowering": {"values", "bpf"},
    "accel.plan": {"values", "bpf", "accel.lowering", "accel.plan_table"},
    "accel.plan_table": {"values", "accel.plan"},
    "accel.plan_listing": {"values", "bpf", "accel.plan", "accel.plan_table"},
    "accel.oci": {"values", "bpf", "accel.decoding", "accel.oci"},
    "accel.judgements": {"values", "accel.plan"},
    "accel.policy": {"values", "accel.plan", "accel.judgements"},
    "accel.tracee": {"values", "accel._kernel"},
    "accel.launch": {"values", "accel._kernel", "bpf"},
    "accel._emit": set(),
    "accel._loop_words": set(),
    "accel._loop_judge": {"accel._loop_words"},
    "accel._loop": {"accel._loop_words", "accel._loop_judge"},
    "accel._notify_loop": {"accel._loop_words", "accel._loop_judge"},
    "accel.jit": {"values", "accel._kernel", "accel._loop", "accel._loop_words"},
    "accel.mechanisms": {
        "values", "bpf", "bpf.probes", "accel._kernel", "accel._emit", "accel._loop",
        "accel.tracee",
        "accel.launch", "accel.mechanisms",
    },
    "accel.tracing_thread": {"values", "accel._kernel", "accel.mechanisms"},
    "accel.supervising_thread": {"values", "bpf", "accel.mechanisms", "accel.tracing_thread"},
    "accel.capture": {"values"},
    "accel.snapshots": {"values", "accel.decoding"},
    "accel.testing": {"values"},
    "accel.ptrace_vm": {"values", "accel._kernel", "bpf", "accel.ptrace_vm"},
    "accel.doctor": {"values", "accel._kernel", "bpf", "bpf.probes", "accel.doctor"},
    "accel.mixed_plan": {"values", "accel.plan", "accel.mechanisms"},
    "accel.exit_choice": {"values", "accel.plan"},
    "accel.observation": {"values", "bpf", "bpf.probes", "accel.plan"},
    "accel.mechanism_choice": {
        "values", "bpf", "accel.plan", "accel.mechanisms", "accel.exit_choice", "accel.observation",
        "accel.mixed_plan",
    },
    "accel.rulebook": {
        "values", "bpf", "accel.plan", "accel.policy", "accel.mechanisms",
        "accel.mechanism_choice", "accel.mixed_plan", "accel.oci",
    },
    "accel.assembly": {
        "values", "bpf", "accel.plan", "accel.mechanisms", "accel.observation",
        "accel.tracing_thread", "accel.supervising_thread", "accel.rulebook",
    },
    "accel.tracer": {
        "values", "bpf", "accel.plan", "accel.policy", "accel.mechanisms", "accel.jit",
        "accel.tracing_thread", "accel.assembly", "accel.capture", "accel.snapshots",
        "accel.rulebook", "accel.writers", "accel.oci",
    },
    "accel.cost_measurement": {"values", "accel._kernel", "accel.tracer"},
    "accel.suggestion": {"values"},
    "accel.injection_grammar": {"values", "accel.decoding"},
    "accel.injection": {"values", "accel.decoding", "accel.injection_grammar"},
    "accel.injection_rules": {"values", "accel.injection", "accel.tracer"},
    "accel": {"values", "accel.tracer"},
    "accel.writers": {"values", "accel.decoding", "accel.writers"},
    "accel.command_line": {
        "values", "accel", "accel.tracer", "accel.writers", "accel.decoding", "accel.doctor",
        "accel.injection", "accel.injection_rules", "accel.command_line", "accel.oci",
        "accel.plan_table", "accel.plan_listing", "accel.cost_measurement", "accel.compare",
        "accel.suggestion", "bpf", "bpf.probes",
    },
    "accel.audit": {"values"},
    "accel.compare": {
        "values", "bpf", "accel", "accel.tracer", "accel.writers", "accel.oci", "accel.audit",
        "accel.compare",
    },
    "accel.__main__": {"accel.command_line"},
    "bench": {
        "values", "accel", "accel.jit", "accel.tracer", "accel.writers", "accel.audit", "bench",
    },
    "examples": {"values", "accel", "accel.writers"},
}  # fmt: skip


def modules() -> Iterator[tuple[str, Path]]:
    """List the modules of the three packages, by name."""
    for package in ("accel", "bpf", "bench"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def layer(module: str) -> str:
    """Find the layer of a module, or of a name in it."""
    if module in VALUES:
        return "values"
    known = [name for name in MAY_IMPORT if module == name or module.startswith(f"{name}.")]
    return max(known, key=len)


MODULES = list(modules())


def imports(path: Path) -> Iterator[str]:
    """List what a module imports of the three packages, wherever in it."""
    known = {name for name, _path in MODULES}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in inner]
        yield from (name for name in names if name.split(".")[0] in ("accel", "bpf", "bench"))


@pytest.mark.parametrize(("module", "path"), MODULES, ids=str)
def test_a_module_imports_only_what_its_layer_may(module: str, path: Path) -> None:
    """Command line, bench → tracer → mechanisms → plan → bpf; everything → values.

    How values are made and names loaded, and where this user's files are, everybody may know.
    """
    allowed = MAY_IMPORT[layer(module)] | {"bpf.value", "bpf.on_demand", "bpf.user_cache"}
    wrong = {name for name in imports(path) if layer(name) not in allowed}
    assert not wrong, f"{module} ({layer(module)}) must not import {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.py")), ids=str)
def test_an_example_imports_only_what_every_user_may(path: Path) -> None:
    """It shows what can be had without looking inside."""
    wrong = {name for name in imports(path) if layer(name) not in MAY_IMPORT["examples"]}
    assert not wrong, f"{path} must not import {', '.join(sorted(wrong))}"


EBPF = ("bpf.probes.bpf_call", "bpf.probes.compile_with_bcc")


@pytest.mark.parametrize(("module", "path"), MODULES, ids=str)
def test_only_the_kernel_layer_touches_ctypes(module: str, path: Path) -> None:
    """And the places of bpf that hand memory to the kernel, bind libseccomp, or call bcc."""
    allowed = ("accel._kernel", "bpf.installer", "bpf.libseccomp", *EBPF)
    if module.startswith(allowed):
        return
    text = path.read_text(encoding="utf-8")
    assert "import ctypes" not in text
    assert "from ctypes" not in text


def test_bcc_is_known_to_those_who_compile_alone() -> None:
    """One finds it; the other is a process of its own, which nobody imports."""
    users = [name for name, path in MODULES if '"bcc"' in path.read_text() and name[:3] == "bpf"]
    assert users == ["bpf.probes.compile_with_bcc", "bpf.probes.compiler"]
    assert not [name for name, path in MODULES if "import compile_with_bcc" in path.read_text()]
    texts = [path.read_text() for _name, path in MODULES]
    assert not [text for text in texts if "import bcc" in text or "from bcc" in text]
