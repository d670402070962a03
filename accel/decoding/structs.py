"""What several subjects need for structs."""

from __future__ import annotations

from accel.decoding.context import Context

__all__ = ["tail"]


def tail(context: Context, address: int, known: int, size: int) -> list[str]:
    """Print the bytes of an extensible struct after the ``known`` ones, unless they are zero."""
    size = min(size, 4096)
    if size <= known:
        return []
    raw = context.fetch(address + known, size - known)
    if raw is None:
        return ["???"]
    if not any(raw):
        return []
    limit = context.options.string_limit
    text = "".join(f"\\x{byte:02x}" for byte in raw[:limit])
    return [f'/* bytes {known}..{size - 1} */ "{text}"{"..." if len(raw) > limit else ""}']
