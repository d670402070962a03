"""Measure what tracing costs: ``python -m bench`` compares accel with native runs and with strace.

Every figure is a ratio to the native run of the same round, and counts only if the output was the
same; stops are counted, by the kernel where it lets us (``bench.audit``), never estimated.
"""
