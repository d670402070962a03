"""What the kernel says about a signal: siginfo_t."""

from __future__ import annotations

import struct
from typing import Final

from accel.abi import Abi
from accel.decoding.context import Context, hex_text, pointer
from accel.decoding.errnos import errno_name
from accel.decoding.families import family
from accel.decoding.layouts import Layout
from accel.decoding.numbers import user_text
from accel.decoding.signal_lines import signal_name
from accel.decoding.subject import Subject
from accel.decoding.times import ticks
from bpf.value import frozen

__all__ = ["SUBJECT", "SigInfo", "siginfo"]

#: sizeof(siginfo_t) in every ABI.
SIZE: Final = 128
_SIGILL, _SIGTRAP, _SIGBUS, _SIGFPE, _SIGSEGV, _SIGCHLD, _SIGIO, _SIGSYS = (
    4,
    5,
    7,
    8,
    11,
    17,
    29,
    31,
)
_SI_TKILL, _SI_SIGIO, _SI_TIMER, _SI_USER, _SI_NOINFO = -6, -5, -2, 0, 0x7FFF
_CLD_EXITED: Final = 1
_SEGV_BNDERR, _SEGV_PKUERR = 3, 4
_BUS_MCEERR: Final = (4, 5)
_TRAP_PERF: Final = 6
_CODES: Final = {
    _SIGILL: "sigill_code",
    _SIGTRAP: "sigtrap_code",
    _SIGBUS: "sigbus_code",
    _SIGFPE: "sigfpe_code",
    _SIGSEGV: "sigsegv_code",
    _SIGCHLD: "sigchld_code",
    _SIGIO: "sigpoll_code",
    _SIGSYS: "sigsys_code",
}


@frozen
class SigInfo:
    """A siginfo_t: what every signal has, and the bytes that mean something else for each."""

    signo: int
    errno: int
    code: int
    #: The union that follows si_code.
    rest: bytes
    #: Whether pointers and longs have 32 bits.
    i386: bool = False

    @classmethod
    def parse(cls, raw: bytes, *, i386: bool = False) -> SigInfo:
        """Take apart the bytes of a siginfo_t, 128 as PTRACE_GETSIGINFO gives them."""
        raw = raw.ljust(SIZE, b"\0")
        signo, number, code = struct.unpack_from("<iii", raw)
        return cls(signo, number, code, raw[12 if i386 else 16 :], i386)

    def __str__(self) -> str:
        """Print it as strace does: ``{si_signo=SIGINT, si_code=SI_KERNEL, ...}``."""
        if not self.signo:
            return "{}"
        texts = [f"si_signo={signal_name(self.signo)}", f"si_code={self._code()}"]
        if self.code != _SI_NOINFO:
            if self.errno:
                texts.append(f"si_errno={errno_name(self.errno) or self.errno & 0xFFFFFFFF}")
            texts += self._sent() if self.code <= 0 else self._caused()
        return "{" + ", ".join(texts) + "}"

    def _code(self) -> str:
        code = self.code & 0xFFFFFFFF
        name = _SENT.get(self.code)
        if name is None and self.signo in _CODES:
            name = family(_CODES[self.signo]).names.get(code)
        return name or hex_text(code)

    def _get(self, wide: str, compat: str, offset: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
        values: tuple[int, ...] = struct.unpack_from(
            "<" + (compat if self.i386 else wide), self.rest, offset[self.i386]
        )
        return values

    def _source(self) -> list[str]:
        pid, uid = self._get("iI", "iI")
        return [f"si_pid={pid}", f"si_uid={user_text(uid)}"]

    def _value(self, *, always: bool) -> list[str]:
        # The union sigval follows two ints: pid and uid, or timer id and overrun.
        (number,) = self._get("i", "i", (8, 8))
        (address,) = self._get("Q", "I", (8, 8))
        if not always and not address:
            return []
        return [f"si_int={number}", f"si_ptr={pointer(address)}"]

    def _sent(self) -> list[str]:
        """Print what a process, a timer or a queue sent."""
        if self.code in (_SI_USER, _SI_TKILL):
            return self._source()
        if self.code == _SI_TIMER:
            timer, overrun = self._get("Ii", "Ii")
            return [
                f"si_timerid={hex_text(timer)}",
                f"si_overrun={overrun}",
                *self._value(always=True),
            ]
        if self.code == _SI_SIGIO:
            return self._band()
        return self._source() + self._value(always=False)

    def _band(self) -> list[str]:
        band, descriptor = self._get("qi", "ii")
        return [f"si_band={band}", f"si_fd={descriptor}"]

    def _caused(self) -> list[str]:
        """Print what the kernel has to say about what the thread, or its child, did."""
        if self.signo == _SIGCHLD:
            return self._child()
        if self.signo == _SIGSYS:
            return self._bad_call()
        if self.signo == _SIGIO:
            return self._band() if 1 <= self.code <= 6 else []
        if self.signo in (_SIGILL, _SIGTRAP, _SIGBUS, _SIGFPE, _SIGSEGV):
            return self._fault()
        source = self._source() if any(self._get("ii", "ii")) else []
        return source + self._value(always=False)

    def _child(self) -> list[str]:
        (status,) = self._get("i", "i", (8, 8))
        user, system = self._get("QQ", "II", (16, 12))
        shown = str(status) if self.code == _CLD_EXITED else signal_name(status)
        texts = [f"si_status={shown}", f"si_utime={ticks(user)}", f"si_stime={ticks(system)}"]
        return self._source() + texts

    def _fault(self) -> list[str]:
        (address,) = self._get("Q", "I")
        texts = [f"si_addr={pointer(address)}"]
        if self.signo == _SIGBUS and self.code in _BUS_MCEERR:
            (bits,) = self._get("H", "H", (8, 4))
            texts.append(f"si_addr_lsb={bits:#x}" if bits else "si_addr_lsb=0")
        elif self.signo == _SIGSEGV and self.code == _SEGV_BNDERR:
            lower, upper = self._get("QQ", "II", (16, 8))
            texts += [f"si_lower={pointer(lower)}", f"si_upper={pointer(upper)}"]
        elif self.signo == _SIGSEGV and self.code == _SEGV_PKUERR:
            (key,) = self._get("I", "I", (16, 8))
            texts.append(f"si_pkey={key}")
        elif self.signo == _SIGTRAP and self.code == _TRAP_PERF:
            (data,) = self._get("Q", "I", (8, 4))
            texts.append(f"si_perf_data={data:#x}" if data else "si_perf_data=0")
        return texts

    def _bad_call(self) -> list[str]:
        address, number, arch = self._get("QiI", "IiI")
        abi = Abi.of(arch, number)
        name = abi.names.get(number) if abi else None
        shown = str(number & 0xFFFFFFFF)
        if name:
            native = (abi is Abi.I386) == self.i386
            shown = f"__NR_{name}" if native else f"{shown} /* {name} */"
        return [
            f"si_call_addr={pointer(address)}",
            f"si_syscall={shown}",
            f"si_arch={family('audit_arch').value(arch)}",
        ]


_SENT: Final = {
    0: "SI_USER", 0x80: "SI_KERNEL", -1: "SI_QUEUE", -2: "SI_TIMER", -3: "SI_MESGQ",
    -4: "SI_ASYNCIO", -5: "SI_SIGIO", -6: "SI_TKILL", -7: "SI_DETHREAD", -60: "SI_ASYNCNL",
    0x7FFF: "SI_NOINFO",
}  # fmt: skip


def _siginfo(context: Context, raw: bytes) -> str:
    return str(SigInfo.parse(raw, i386=context.i386))


siginfo = Layout(f"{SIZE}s", None, _siginfo)

SUBJECT: Final = Subject(layouts={"siginfo": siginfo})
