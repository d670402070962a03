"""Packages that only some writers need: imported when such a writer is made, not before."""

from __future__ import annotations

import importlib
from typing import Any

from accel.errors import SetupError

__all__ = ["extra"]


def extra(module: str, user: str) -> Any:
    """Import a module of the extra ``arrow``; if it is missing, SetupError says what to install.

    ``user`` is who needs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise SetupError(
            f"{user} needs {package}, which is not installed",
            hint="pip install 'syscall-accel[arrow]'",
        ) from error
