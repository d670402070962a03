"""The kernel's own count of ptrace-stops, as ``accel.audit`` makes it."""

from __future__ import annotations

from accel.audit import KernelStopCount
from accel.errors import AuditUnavailable

__all__ = ["AuditUnavailable", "KernelStopCount"]
