"""Thin calls into the kernel: each raises OSError, none knows a class of accel.

Nothing outside this package (and the installer of ``bpf``) touches ctypes.
"""
