"""Names of packages that are loaded when they are first used."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

import accel
import accel.writers
import bpf

PACKAGES = (accel, accel.writers, bpf)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_all_public_names_can_be_loaded_and_are_listed(package: ModuleType) -> None:
    """What a package promises is there, and stays the same object."""
    for name in package.__all__:
        assert getattr(package, name) is getattr(package, name)
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_no_public_name_is_that_of_a_module(package: ModuleType) -> None:
    """An import of the module would otherwise put it where the name was."""
    for name in package.__all__:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"{package.__name__}.{name}")


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_an_unknown_name_is_an_attribute_error(package: ModuleType) -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'no'"):
        _ = package.no


def test_importing_the_package_loads_no_name_but_finds_modules_behind_them() -> None:
    """``accel.errors`` is found by those who have imported ``accel`` alone."""
    program = (
        "import sys, accel\n"
        "assert not any(name.startswith('accel.') for name in sys.modules)\n"
        "print(accel.errors.MaskError.__name__, accel.Tracer.__name__)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert (shown.stdout, shown.stderr) == ("MaskError Tracer\n", "")
