"""Asynchronous input and output: io_submit(2) and its kin, and io_uring."""

from __future__ import annotations

from typing import Final

from accel.decoding.choices import indirect, plain_pointer, whatever_result
from accel.decoding.context import Begun, Context, hex_text, pointer
from accel.decoding.families import family
from accel.decoding.iovecs import ALL, address_only, iovecs_at
from accel.decoding.layouts import Layout, array_at, number, read_at, read_in
from accel.decoding.numbers import descriptor_text, signed32
from accel.decoding.scheduling import priority_text
from accel.decoding.signals import sigset_at, sigset_in
from accel.decoding.strings import bytes_at
from accel.decoding.subject import Subject
from accel.decoding.times import timespec, timespec_long

__all__ = ["SUBJECT"]

_PREAD, _PWRITE, _POLL, _PREADV, _PWRITEV = 0, 1, 5, 7, 8
_RESFD, _IOPRIO = 1, 2


def _iocb_header(context: Context, values: tuple[int, ...]) -> list[str]:
    data, key, rw_flags, opcode, priority, target, _, _, _, _, flags, _ = values
    texts = [f"aio_data={hex_text(data)}"]
    if key:
        texts.append(f"aio_key={key}")
    if rw_flags:
        texts.append(f"aio_rw_flags={family('rwf_flags').flags(rw_flags)}")
    name = family("aio_command").names.get(opcode)
    texts.append(f"aio_lio_opcode={name or f'{opcode} /* IOCB_CMD_??? */'}")
    if flags & _IOPRIO:
        texts.append(f"aio_reqprio={priority_text(priority & 0xFFFF)}")
    elif priority:
        texts.append(f"aio_reqprio={priority}")
    texts.append(f"aio_fildes={descriptor_text(context, target - ((target >> 31) << 32))}")
    return texts


def _iocb(context: Context, *values: int) -> str:
    """Print struct iocb, each command with what it uses."""
    opcode, address, size, offset = values[3], values[6], values[7], values[8]
    flags, event = values[10], values[11]
    texts = _iocb_header(context, values)
    valid = not size >> 63
    tail = [f"aio_offset={offset}"]
    if opcode in (_PREAD, _PWRITE):
        shown = (
            bytes_at(context, address, size) if opcode == _PWRITE and valid else hex_text(address)
        )
        texts += [f"aio_buf={shown}", f"aio_nbytes={size}", *tail]
    elif opcode in (_PREADV, _PWRITEV):
        if valid:
            show = bytes_at if opcode == _PWRITEV else address_only
            texts.append(f"aio_buf={iovecs_at(context, address, size, ALL, show)}")
        else:
            texts += [f"aio_buf={hex_text(address)}", f"aio_nbytes={size}"]
        texts += tail
    elif opcode == _POLL:
        texts.append(f"aio_buf={family('poll_events').flags(address)}")
    else:
        return "{" + ", ".join(texts) + "}"
    if flags:
        texts.append(f"aio_flags={family('aio_flags').flags(flags)}")
    if flags & _RESFD:
        texts.append(f"aio_resfd={descriptor_text(context, event - ((event >> 31) << 32))}")
    elif event:
        texts.append(f"aio_resfd={hex_text(event)}")
    return "{" + ", ".join(texts) + "}"


def _iocb_cancelled(context: Context, *values: int) -> str:
    return "{" + ", ".join(_iocb_header(context, values)) + "}"


_IOCB: Final = "QIIHhIQQq8xII"
_iocb_layout = Layout(_IOCB, None, lambda c, *v: _iocb(c, *_with_pad(v)))
_cancelled_layout = Layout(_IOCB, None, lambda c, *v: _iocb_cancelled(c, *_with_pad(v)))


def _with_pad(values: tuple[int, ...]) -> tuple[int, ...]:
    """Put a zero where the reserved field is: names stay aligned with struct iocb."""
    return (*values[:9], 0, *values[9:])


def _iocb_pointer(context: Context, raw: bytes) -> str:
    return read_at(context, int.from_bytes(raw, "little"), _iocb_layout)


def _submitted(context: Context, address: int) -> str:
    """Print the control blocks of io_submit(2)."""
    count = _long(context, context.arguments[1])
    if count < 0:
        return pointer(address)
    return array_at(context, address, count, context.word, _iocb_pointer)


def _long(context: Context, value: int) -> int:
    bits = 8 * context.word
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _event(_: Context, data: int, block: int, result: int, second: int) -> str:
    return f"{{data={hex_text(data)}, obj={hex_text(block)}, res={result}, res2={second}}}"


_event_layout = Layout("QQqq", None, _event)


def _events(context: Context, address: int) -> str | None:
    if not context.leaving:
        return None
    count = (context.result or 0) & 0xFFFFFFFFFFFFFFFF
    return array_at(context, address, count, _event_layout.size(context), _event_layout.show)


def _aio_sigset(context: Context, address: int) -> str:
    raw = context.fetch(address, 2 * context.word)
    if raw is None:
        return pointer(address)
    mask, size = (int.from_bytes(raw[at : at + context.word], "little") for at in (0, context.word))
    return f"{{sigmask={sigset_at(context, mask, size, context.word)}, sigsetsize={size}}}"


# ------------------------------------------------------------------------------------ io_uring

_SQ: Final = "head tail ring_mask ring_entries flags dropped array".split()
_CQ: Final = "head tail ring_mask ring_entries overflow cqes flags".split()
_SETUP_ATTACH_WQ: Final = 32


class _Params:
    """The printer of struct io_uring_params: asked for at the entry, offsets at the exit."""

    __slots__ = ()

    def __call__(self, context: Context, address: int) -> str | None:
        raw = context.fetch(address, 120)
        if not context.leaving:
            if raw is None:
                return pointer(address)
            context.saved[1] = True
            return Begun(self._asked(context, raw))
        if raw is None:
            return "}"
        words = [int.from_bytes(raw[at : at + 4], "little") for at in range(0, 120, 4)]
        sq = ", ".join(_offsets(_SQ, words[10:20]))
        cq = ", ".join(_offsets(_CQ, words[20:30]))
        features = family("io_uring_features").flags(words[5])
        return (
            f", sq_entries={words[0]}, cq_entries={words[1]}, features={features}, "
            f"sq_off={{{sq}}}, cq_off={{{cq}}}}}"
        )

    @staticmethod
    def _asked(context: Context, raw: bytes) -> str:
        words = [int.from_bytes(raw[at : at + 4], "little") for at in range(0, 40, 4)]
        text = (
            f"{{flags={family('io_uring_setup_flags').flags(words[2])}, "
            f"sq_thread_cpu={hex_text(words[3])}, sq_thread_idle={words[4]}"
        )
        if words[2] & _SETUP_ATTACH_WQ:
            text += f", wq_fd={descriptor_text(context, signed32(words[6]))}"
        if any(words[7:10]):
            text += f", resv=[{', '.join(hex_text(word) for word in words[7:10])}]"
        return text


def _offsets(names: list[str], words: list[int]) -> list[str]:
    """Print where the parts of a ring are; reserved fields if they are not zero."""
    texts = [f"{name}={value}" for name, value in zip(names, words[:7], strict=True)]
    reserved = int.from_bytes(
        b"".join(word.to_bytes(4, "little") for word in words[8:10]), "little"
    )
    if words[7]:
        texts.append(f"resv1={hex_text(words[7])}")
    if reserved:
        texts.append(f"resv2={hex_text(reserved)}")
    return texts


SUBJECT: Final = Subject(
    layouts={"io_event": _event_layout},
    arguments={
        "io_setup.ctx_idp": indirect(number("Q", "I", pointer)),
        "io_destroy.ctx_id": plain_pointer,
        "io_submit.ctx_id": plain_pointer,
        "io_cancel.ctx_id": plain_pointer,
        "io_getevents.ctx_id": plain_pointer,
        "io_pgetevents.ctx_id": plain_pointer,
        "io_pgetevents_time64.ctx_id": plain_pointer,
        "io_submit.iocbpp": _submitted,
        "io_cancel.iocb": read_in(_cancelled_layout),
        "io_getevents.events": _events,
        "io_pgetevents.events": _events,
        "io_pgetevents_time64.events": _events,
        "io_getevents.timeout": whatever_result(read_in(timespec_long)),
        "io_pgetevents.timeout": whatever_result(read_in(timespec_long)),
        "io_pgetevents_time64.timeout": whatever_result(read_in(timespec)),
        "io_pgetevents.sigmask": whatever_result(_aio_sigset),
        "io_pgetevents_time64.sigmask": whatever_result(_aio_sigset),
        "io_uring_setup.params": _Params(),
        "io_uring_enter.argp": sigset_in(5),
        "mq_timedreceive.abs_timeout": whatever_result(read_in(timespec_long)),
        "mq_timedreceive_time64.abs_timeout": whatever_result(read_in(timespec)),
    },
)
