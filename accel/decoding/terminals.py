"""Terminals: their modes, size and modem lines, as ioctl(2) reads and sets them."""

from __future__ import annotations

import struct
from typing import Any, Final

from accel.decoding.choices import Table, named, nothing, once_left
from accel.decoding.context import Context, hex_text, pointer
from accel.decoding.families import family
from accel.decoding.layouts import Layout, read_in, read_out
from accel.decoding.numbers import signed
from accel.decoding.strings import bytes_at

__all__ = ["TERMINAL"]

_CBAUD, _CSIZE, _CIBAUD, _IBSHIFT = 0o10017, 0o60, 0o2003600000, 16
#: The parts of c_oflag that are numbers: (mask, family).
_DELAYS: Final = (
    (0o400, "terminal_newline"), (0o3000, "terminal_return"), (0o14000, "terminal_tab"),
    (0o20000, "terminal_backspace"), (0o40000, "terminal_vertical"), (0o100000, "terminal_form"),
)  # fmt: skip
_NCC, _NCCS = 8, 19


def _output(value: int) -> str:
    texts = [family(name).value(value & mask) for mask, name in _DELAYS]
    for mask, _ in _DELAYS:
        value &= ~mask
    # strace leaves the separator there when nothing follows.
    return "|".join([*texts, "|".join(family("terminal_output").parts(value))])


def _control(value: int) -> str:
    speeds = family("terminal_speed")
    texts = [speeds.value(value & _CBAUD)]
    if value & _CIBAUD:
        texts.append(f"{speeds.value((value & _CIBAUD) >> _IBSHIFT)}<<IBSHIFT")
    texts.append(family("terminal_size").value(value & _CSIZE))
    rest = value & ~(_CBAUD | _CIBAUD | _CSIZE)
    return "|".join([*texts, "|".join(family("terminal_control").parts(rest))])


def _modes(iflag: int, oflag: int, cflag: int, lflag: int) -> list[str]:
    return [
        f"c_iflag={'|'.join(family('terminal_input').parts(iflag))}",
        f"c_oflag={_output(oflag)}",
        f"c_cflag={_control(cflag)}",
        f"c_lflag={'|'.join(family('terminal_local').parts(lflag))}",
    ]


def _rest(line: int, characters: bytes) -> list[str]:
    names = family("terminal_character").names
    texts = [f"[{names.get(at, at)}]={hex_text(value)}" for at, value in enumerate(characters)]
    return [f"c_line={family('line_discipline').value(line)}", f"c_cc=[{', '.join(texts)}]"]


def _termios(context: Context, *values: Any) -> str:
    """Print struct termios or termio, and of termios2 the speeds at its end."""
    texts = _modes(*values[:4])
    if context.options.abbreviate:
        return "{" + ", ".join([*texts, "..."]) + "}"
    texts += _rest(*values[4:6])
    texts += [
        f"{name}={value}" for name, value in zip(("c_ispeed", "c_ospeed"), values[6:], strict=False)
    ]
    return "{" + ", ".join(texts) + "}"


def _winsize(_: Context, rows: int, columns: int, width: int, height: int) -> str:
    return f"{{ws_row={rows}, ws_col={columns}, ws_xpixel={width}, ws_ypixel={height}}}"


_termios_layout = Layout(f"IIIIB{_NCCS}s", None, _termios)
_termios2_layout = Layout(f"IIIIB{_NCCS}sII", None, _termios)
_termio_layout = Layout(f"HHHHB{_NCC}sx", None, _termios)
_winsize_layout = Layout("HHHH", None, _winsize)


def _int(context: Context, address: int) -> str:
    raw = context.fetch(address, 4)
    return pointer(address) if raw is None else f"[{struct.unpack('<i', raw)[0]}]"


def _modem(context: Context, address: int) -> str:
    raw = context.fetch(address, 4)
    if raw is None:
        return pointer(address)
    return f"[{family('modem_flags').flags(struct.unpack('<I', raw)[0])}]"


def _character(context: Context, address: int) -> str:
    return bytes_at(context, address, 1)


_int_out = once_left(_int)
_get = read_out(_termios_layout)
_set = read_in(_termios_layout)
_set_termio = read_in(_termio_layout)
_set_termios2 = read_in(_termios2_layout)
_number = signed(32)

#: The argument of each request.
TERMINAL: Final[Table] = {
    0x5401: (_get,),  # TCGETS
    0x5402: (_set,),  # TCSETS
    0x5403: (_set,),  # TCSETSW
    0x5404: (_set,),  # TCSETSF
    0x5405: (read_out(_termio_layout),),  # TCGETA
    0x5406: (_set_termio,),  # TCSETA
    0x5407: (_set_termio,),  # TCSETAW
    0x5408: (_set_termio,),  # TCSETAF
    0x5409: (_number,),  # TCSBRK
    0x540A: (named("terminal_flow"),),  # TCXONC
    0x540B: (named("terminal_flush"),),  # TCFLSH
    0x540C: (nothing,),  # TIOCEXCL
    0x540D: (nothing,),  # TIOCNXCL
    0x540E: (_number,),  # TIOCSCTTY
    0x540F: (_int_out,),  # TIOCGPGRP
    0x5410: (_int,),  # TIOCSPGRP
    0x5411: (_int_out,),  # TIOCOUTQ
    0x5412: (_character,),  # TIOCSTI
    0x5413: (read_out(_winsize_layout),),  # TIOCGWINSZ
    0x5414: (read_in(_winsize_layout),),  # TIOCSWINSZ
    0x5415: (once_left(_modem),),  # TIOCMGET
    0x5416: (_modem,),  # TIOCMBIS
    0x5417: (_modem,),  # TIOCMBIC
    0x5418: (_modem,),  # TIOCMSET
    0x5419: (_int_out,),  # TIOCGSOFTCAR
    0x541A: (_int,),  # TIOCSSOFTCAR
    0x541D: (nothing,),  # TIOCCONS
    0x541F: (nothing,),  # TIOCSSERIAL
    0x5420: (_int,),  # TIOCPKT
    0x5422: (nothing,),  # TIOCNOTTY
    0x5423: (_int,),  # TIOCSETD
    0x5424: (_int_out,),  # TIOCGETD
    0x5425: (_number,),  # TCSBRKP
    0x5427: (nothing,),  # TIOCSBRK
    0x5428: (nothing,),  # TIOCCBRK
    0x5429: (_int_out,),  # TIOCGSID
    0x5437: (nothing,),  # TIOCVHANGUP
    0x5456: (_get,),  # TIOCGLCKTRMIOS
    0x5457: (_set,),  # TIOCSLCKTRMIOS
    0x802C542A: (read_out(_termios2_layout),),  # TCGETS2
    0x402C542B: (_set_termios2,),  # TCSETS2
    0x402C542C: (_set_termios2,),  # TCSETSW2
    0x402C542D: (_set_termios2,),  # TCSETSF2
    0x80045430: (_int_out,),  # TIOCGPTN
    0x40045431: (_int,),  # TIOCSPTLCK
    0x80045432: (_int_out,),  # TIOCGDEV
    0x80045440: (_int_out,),  # TIOCGEXCL
}
