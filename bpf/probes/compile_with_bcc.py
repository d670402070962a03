"""Compiles an eBPF program with bcc: ``python3 -I compile_with_bcc.py BCC < TEXT``.

It is run as a process of its own, so that nobody else loads a compiler of 100 MB, has its working
directory changed by it, or meets what it leaves for the end of the interpreter. It prints one line
of JSON, what ``bpf.probes.object`` reads; the compiler and the kernel's verifier say more on
stderr. The program is loaded and attached once, by bcc, for what they would say then.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import sys
from typing import Any, Final

__all__ = ["compiled"]

#: Debian's headers are those of another kernel: what they warn of does not concern the program.
_FLAGS: Final = ("-w",)
#: bcc attaches a function of such a name by itself.
_RAW_TRACEPOINT: Final = "raw_tracepoint__"


def compiled(origin: str, text: str) -> dict[str, object]:
    """Compile ``text`` with the bcc whose ``__init__.py`` is ``origin``; raise what it raises."""
    bcc = _import(origin)
    program = bcc.BPF(text=text.encode(), cflags=_FLAGS)
    lib = sys.modules["bcc.libbcc"].lib
    maps, descriptors = _maps(lib, program.module)
    return {"maps": maps, "descriptors": descriptors, "programs": _programs(lib, program)}


def _import(origin: str) -> Any:
    """Import bcc from where it is, and nothing else from there."""
    spec = importlib.util.spec_from_file_location(
        "bcc", origin, submodule_search_locations=[os.path.dirname(origin)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["bcc"] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ImportError(f"{origin} cannot be imported: {error}") from error
    return module


def _maps(lib: Any, module: int) -> tuple[list[dict[str, object]], list[int]]:
    """Describe the maps of a module of libbcc, <bcc/bpf_module.h>, and tell their descriptors."""

    def ask(name: str, index: int, kind: Any = ctypes.c_int) -> Any:
        function = getattr(lib, name)
        function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_size_t), kind
        return function(module, index)

    lib.bpf_num_tables.argtypes, lib.bpf_num_tables.restype = (ctypes.c_void_p,), ctypes.c_size_t
    count = range(lib.bpf_num_tables(module))
    maps = [
        {
            "name": ask("bpf_table_name", index, ctypes.c_char_p).decode(),
            "type": ask("bpf_table_type_id", index),
            "key_size": ask("bpf_table_key_size_id", index, ctypes.c_size_t),
            "value_size": ask("bpf_table_leaf_size_id", index, ctypes.c_size_t),
            "max_entries": ask("bpf_table_max_entries_id", index, ctypes.c_size_t),
            "flags": ask("bpf_table_flags_id", index),
        }
        for index in count
    ]
    return maps, [ask("bpf_table_fd_id", index) for index in count]


def _programs(lib: Any, program: Any) -> list[dict[str, str]]:
    programs = []
    for name in program.funcs:
        if not name.decode().startswith(_RAW_TRACEPOINT):
            raise ValueError(f"{name.decode()} is not the program of a raw tracepoint")
        start = lib.bpf_function_start(program.module, name)
        code = ctypes.string_at(start, lib.bpf_function_size(program.module, name))
        programs.append({
            "tracepoint": name.decode().removeprefix(_RAW_TRACEPOINT),
            "code": code.hex(),
        })  # fmt: skip
    return programs


def main() -> None:
    """Compile standard input."""
    try:
        told = compiled(sys.argv[1], sys.stdin.read())
    except Exception as error:  # noqa: BLE001 - bcc raises nothing more specific
        told = {"error": str(error)}
    sys.stdout.write("\n" + json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
