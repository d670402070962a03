"""Decoding: from a call and its tracee's memory to the line that strace would print.

decoder = Decoder()
entered = decoder.enter(call, memory)          # at the entry of the call
left = decoder.leave(entered, result, memory)  # at its exit
line = f"{entered.name}({entered.text}{left.text}) = {left.result}"
"""

from accel.decoding.decoder import Decoder, Entered, Left
from accel.decoding.errnos import errno_name
from accel.decoding.signal_lines import format_exit, format_signal, signal_name

__all__ = [
    "Decoder",
    "Entered",
    "Left",
    "errno_name",
    "format_exit",
    "format_signal",
    "signal_name",
]
