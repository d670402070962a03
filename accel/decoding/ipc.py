"""System V and POSIX interprocess communication: semaphores, queues, shared memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from accel.decoding.context import Context, Printer, pointer
from accel.decoding.families import family
from accel.decoding.flags import flag_set, open_mode
from accel.decoding.layouts import Layout, read_at
from accel.decoding.numbers import mode, octal, signed32, user_text
from accel.decoding.signal_lines import signal_name
from accel.decoding.strings import bytes_at, path
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]

_IPC_64: Final = 0x100
_IPC_SET, _IPC_STAT, _IPC_INFO = 1, 2, 3
_O_CREAT: Final = 0o100


def _key(_: Context, value: int) -> str:
    value &= 0xFFFFFFFF
    return hex(value) if value else "IPC_PRIVATE"


def _command(name: str) -> Printer:
    """Print the command of a control call; i386 marks the new layouts with IPC_64."""

    def printer(_: Context, value: int) -> str:
        value &= 0xFFFFFFFF
        if value & _IPC_64:
            return f"IPC_64|{family(name).value(value & ~_IPC_64)}"
        return family(name).value(value)

    return printer


def _permissions(command: int, values: tuple[int, ...]) -> str:
    """Print struct ipc_perm from key, uid, gid, cuid, cgid and mode."""
    key, uid, gid, cuid, cgid, permissions = values
    text = f"{{uid={user_text(uid)}, gid={user_text(gid)}, mode={octal(permissions)}"
    if command == _IPC_SET:
        return text + "}"
    return f"{text}, key={key}, cuid={user_text(cuid)}, cgid={user_text(cgid)}}}"


def _texts(names: str, values: tuple[int, ...]) -> list[str]:
    return [f"{name}={value}" for name, value in zip(names.split(), values, strict=True)]


def _msqid_ds(context: Context, *values: int) -> str:
    command = context.arguments[1] & 0xFF & ~_IPC_64
    permissions = _permissions(command, values[:6])
    stime, rtime, ctime, cbytes, qnum, qbytes, lspid, lrpid = values[6:]
    texts = [f"msg_perm={permissions}"]
    del cbytes
    if command == _IPC_SET:
        texts.append(f"msg_qbytes={qbytes}")
    else:
        names = "msg_stime msg_rtime msg_ctime msg_qnum msg_qbytes msg_lspid msg_lrpid"
        texts += _texts(names, (stime, rtime, ctime, qnum, qbytes, lspid, lrpid))
    return "{" + ", ".join(texts) + "}"


def _shmid_ds(context: Context, *values: int) -> str:
    command = context.arguments[1] & 0xFF & ~_IPC_64
    texts = [f"shm_perm={_permissions(command, values[:6])}"]
    if command != _IPC_SET:
        size, atime, dtime, ctime, cpid, lpid, attached = values[6:]
        names = "shm_segsz shm_cpid shm_lpid shm_nattch shm_atime shm_dtime shm_ctime"
        texts += _texts(names, (size, cpid, lpid, attached, atime, dtime, ctime))
    return "{" + ", ".join(texts) + "}"


def _semid_ds(context: Context, *values: int) -> str:
    command = context.arguments[2] & 0xFF & ~_IPC_64
    texts = [f"sem_perm={_permissions(command, values[:6])}"]
    if command != _IPC_SET:
        texts += _texts("sem_otime sem_ctime sem_nsems", values[6:])
    return "{" + ", ".join(texts) + "}"


def _struct(names: str) -> Callable[..., str]:
    return lambda _, *values: "{" + ", ".join(_texts(names, values)) + "}"


_MSQID: Final = Layout("IIIIII24x" + "QQQQQQii16x", "IIIIIH14x" + "I4xI4xI4xIIIii8x", _msqid_ds)
_SHMID: Final = Layout("IIIIII24x" + "QQQQiiQ16x", "IIIIIH14x" + "II4xI4xI4xiiI8x", _shmid_ds)
_SEMID: Final = Layout("IIIIII24x" + "Q8xQ8xQ16x", "IIIIIH14x" + "I4xI4xI8x", _semid_ds)
_MSGINFO: Final = Layout(
    "iiiiiiiH2x", None, _struct("msgpool msgmap msgmax msgmnb msgmni msgssz msgtql msgseg")
)
_SEMINFO: Final = Layout(
    "iiiiiiiiii",
    None,
    _struct("semmap semmni semmns semmnu semmsl semopm semume semusz semvmx semaem"),
)
_SHMINFO: Final = Layout("QQQQQ32x", "IIIII16x", _struct("shmmax shmmin shmmni shmseg shmall"))
_SHM_INFO: Final = Layout(
    "i4xQQQQQ",
    "iIIIII",
    _struct("used_ids shm_tot shm_rss shm_swp swap_attempts swap_successes"),
)


def _controlled(selector: int, set_: Layout, gets: dict[int, Layout]) -> Printer:
    """Make the printer of what a control call reads (IPC_SET) or writes, by its command."""

    def printer(context: Context, address: int) -> str | None:
        command = context.arguments[selector] & 0xFFFFFFFF & ~_IPC_64
        if command == _IPC_SET:
            return read_at(context, address, set_)
        what = gets.get(command)
        if what is None:
            return pointer(address)
        return read_at(context, address, what) if context.leaving else None

    return printer


_msgctl = _controlled(1, _MSQID, {2: _MSQID, 11: _MSQID, 13: _MSQID, 3: _MSGINFO, 12: _MSGINFO})
_shmctl = _controlled(1, _SHMID, {2: _SHMID, 13: _SHMID, 15: _SHMID, 3: _SHMINFO, 14: _SHM_INFO})
_semctl = _controlled(2, _SEMID, {2: _SEMID, 18: _SEMID, 20: _SEMID, 3: _SEMINFO, 19: _SEMINFO})


def _sembuf(_: Context, index: int, operation: int, flags: int) -> str:
    names = family("semop_flags").flags(flags)
    return f"{{sem_num={index}, sem_op={operation}, sem_flg={names}}}"


def _message(context: Context, address: int) -> str:
    """Print a message of a queue: its type and its bytes."""
    size = context.arguments[2]
    # struct msgbuf has a character of text, and padding.
    raw = context.fetch(address, 2 * context.word)
    if raw is None:
        return pointer(address)
    kind = int.from_bytes(raw[: context.word], "little", signed=True)
    return f"{{mtype={kind}, mtext={bytes_at(context, address + context.word, size)}}}"


def _message_out(context: Context, address: int) -> str | None:
    return _message(context, address) if context.leaving else None


def _mq_attr(context: Context, flags: int, most: int, size: int, current: int) -> str:
    del context
    return (
        f"{{mq_flags={open_mode_bits(flags)}, mq_maxmsg={most}, mq_msgsize={size}, "
        f"mq_curmsgs={current}}}"
    )


def open_mode_bits(value: int) -> str:
    """Print the flags of a queue: O_NONBLOCK is the only one."""
    return family("mq_flags").flags(value & 0xFFFFFFFFFFFFFFFF)


def _mq_attr_new(context: Context, flags: int, most: int, size: int, current: int) -> str:
    del context
    shown = hex(flags & 0xFFFFFFFFFFFFFFFF) if flags else "0"
    return f"{{mq_flags={shown}, mq_maxmsg={most}, mq_msgsize={size}, mq_curmsgs={current}}}"


_MQ_FLAGS: Final = Layout("Qqqq32x", "Iiii16x", _mq_attr)
_MQ: Final = Layout("Qqqq32x", "Iiii16x", _mq_attr_new)


def _mq_open_mode(context: Context, value: int) -> str:
    return mode(context, value) if context.arguments[1] & _O_CREAT else ""


def _mq_open_attributes(context: Context, address: int) -> str:
    return read_at(context, address, _MQ) if context.arguments[1] & _O_CREAT else ""


def _mq_open_flags(_: Context, value: int) -> str:
    return open_mode(value & 0xFFFFFFFF)


_SIGEV_SIGNAL, _SIGEV_THREAD, _SIGEV_THREAD_ID = 0, 2, 4


def _sigevent(_: Context, *values: int) -> str:
    """Print struct sigevent: how to be told, and the value that comes with it."""
    value, signo, notify, first, second = values
    texts = []
    if value:
        texts.append(f"sigev_value={{sival_int={signed32(value)}, sival_ptr={pointer(value)}}}")
    is_signal = notify in (_SIGEV_SIGNAL, _SIGEV_THREAD, _SIGEV_THREAD_ID)
    texts.append(f"sigev_signo={signal_name(signo) if is_signal else signo & 0xFFFFFFFF}")
    texts.append(f"sigev_notify={family('sigevent_notify').value(notify & 0xFFFFFFFF)}")
    if notify == _SIGEV_THREAD_ID:
        texts.append(f"sigev_notify_thread_id={signed32(first)}")
    elif notify == _SIGEV_THREAD:
        texts.append(f"sigev_notify_function={pointer(first)}")
        texts.append(f"sigev_notify_attributes={pointer(second)}")
    return "{" + ", ".join(texts) + "}"


_event = Layout("QiiQQ", "IiiII", _sigevent)


def _sevp(context: Context, address: int) -> str:
    return read_at(context, address, _event)


SUBJECT: Final = Subject(
    layouts={
        "sembuf": Layout("Hhh", None, lambda c, a, b, f: _sembuf(c, a, b, f & 0xFFFF)),
        "mq_attr": _MQ_FLAGS,
        "sigevent": _event,
    },
    arguments={
        "msgget.key": _key,
        "semget.key": _key,
        "shmget.key": _key,
        "shmget.shmflg": flag_set("shm_get_flags", 32),
        "msgctl.cmd": _command("msgctl_command"),
        "msgctl.buf": _msgctl,
        "semctl.cmd": _command("semctl_command"),
        "semctl.arg": _semctl,
        "shmctl.cmd": _command("shmctl_command"),
        "shmctl.buf": _shmctl,
        "msgsnd.msgp": _message,
        "msgrcv.msgp": _message_out,
        "mq_notify.sevp": _sevp,
        "mq_unlink.name": path,
        "mq_open.name": path,
        "mq_open.oflag": _mq_open_flags,
        "mq_open.mode": _mq_open_mode,
        "mq_open.attr": _mq_open_attributes,
    },
)
