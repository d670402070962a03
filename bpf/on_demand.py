"""Names of a package that are loaded when they are first used (PEP 562): no program needs all."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["names_on_demand"]


def names_on_demand(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` of ``package``, given {name: the module that has it}.

    The modules themselves are found, too, as if the package had imported them.
    """
    names = vars(sys.modules[package])

    def load(name: str) -> Any:
        if name in modules:
            module = importlib.import_module(f"{package}.{modules[name]}")
            names[name] = getattr(module, name)
            return names[name]
        if name in modules.values():
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def listed() -> list[str]:
        return sorted({*names, *modules})

    return load, listed
