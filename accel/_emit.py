"""From a function that numba compiles to bytes that run without numba."""

from __future__ import annotations

from typing import Any, Final

import llvmlite.binding
from numba import int64

__all__ = ["machine_code"]

_TRIPLE: Final = "x86_64-unknown-linux-gnu"


def machine_code(function: Any) -> bytes:
    """Compile ``int64 function(int64)`` to position-independent code that refers to nothing else.

    It is entered at its first byte, as int f(int64 *result, void **exception, int64 argument): how
    numba's own code calls it. Raise RuntimeError if the function uses anything but registers and
    memory that it is told of: constants, helpers of numba's runtime, exceptions.
    """
    llvm: Any = llvmlite.binding
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    function.compile((int64,))
    [compiled] = function.overloads.values()
    module = llvm.parse_assembly(compiled.library.get_llvm_str())
    for part in (*module.functions, *module.global_variables):
        if part.name != compiled.fndesc.mangled_name and not part.is_declaration:
            part.linkage = "internal"  # Inlined, or left out if nobody uses it.
    # For any CPU of the architecture: the code may be in a home directory that machines share.
    target = llvm.Target.from_triple(_TRIPLE).create_target_machine(
        cpu="x86-64", opt=3, reloc="pic", codemodel="small"
    )
    builder = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    sections = llvm.ObjectFileRef.from_data(target.emit_object(module)).sections()
    found = {(section.name() or b"").decode(): bytes(section.data()) for section in sections}
    needed = [name for name in found if name.startswith((".rela.text", ".rodata", ".data", ".bss"))]
    if needed or ".text" not in found:
        raise RuntimeError(f"{compiled.fndesc.qualname} is not self-contained: it has {needed}")
    return found[".text"]
