"""What is public is listed, sorted, documented."""

from __future__ import annotations

import ast
import importlib
import inspect

import pytest

from tests.unit.test_layers import MODULES

PUBLIC = [(name, path) for name, path in MODULES if not name.endswith("__main__")]


@pytest.mark.parametrize(("module", "path"), PUBLIC, ids=str)
def test_every_module_lists_its_names_and_says_what_it_is_for(module: str, path: object) -> None:
    """``__all__`` is sorted and complete, and there is a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))  # type: ignore[attr-defined]
    assert ast.get_docstring(tree), f"{module} has no docstring"
    if module.startswith(("accel.decoding.constants", "bench.", "bpf.instruction")):
        return
    loaded = importlib.import_module(module)
    if module in ("accel._kernel", "bench") and not hasattr(loaded, "__all__"):
        return
    assert sorted(loaded.__all__) == sorted(set(loaded.__all__))
    for name in loaded.__all__:
        assert hasattr(loaded, name), f"{module}.{name} is listed and missing"


@pytest.mark.parametrize("package", ["accel", "bpf"])
def test_every_public_name_is_documented(package: str) -> None:
    """One imperative sentence first; constants are documented where they are."""
    loaded = importlib.import_module(package)
    for name in loaded.__all__:
        thing = getattr(loaded, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        assert inspect.getdoc(thing), f"{package}.{name} has no docstring"
        if inspect.isclass(thing):
            for method, function in vars(thing).items():
                if not method.startswith("_") and inspect.isfunction(function):
                    assert inspect.getdoc(function), f"{package}.{name}.{method}"
