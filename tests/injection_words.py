"""What strace 6.1 takes for -e inject= and -e fault=, and what it refuses."""

from __future__ import annotations

#: After ``geteuid:``.
ACCEPTED = [
    "error=ENOENT", "error=enoent", "error=EOPNOTSUPP", "error=ERESTARTSYS", "error=ENOTSUPP",
    "error=1", "error=4095", "error=+5", "error=05", "error= 5", "signal=USR1", "signal=SIGUSR1",
    "signal=sigusr1", "signal=usr1", "signal=1", "signal=64", "signal=RTMIN", "signal=SIGRTMIN",
    "signal=SIGRT_1", "signal=RT_32", "signal=rt_2", "signal=IO", "signal=PWR", "signal=STKFLT",
    "signal=KILL", "signal=32", "error=1:when=1", "error=1:when=65535", "error=1:when=1+",
    "error=1:when=1+2", "error=1:when=1+65535", "error=1:when=1..1", "error=1:when=1..65534",
    "error=1:when=1..2+", "error=1:when=1..2+3", "error=1:when=+1", "error=1:when=01",
    "error=1:when=3..3", "error=1:when=1++5", "error=1:when=1..+2", "error=1:when= 1",
    "error=1:when=1:when=2", "when=3:error=1", "delay_enter=1", "delay_enter=0", "delay_enter=1s",
    "delay_enter=1ms", "delay_enter=1us", "delay_enter=1ns", "delay_enter=1.5s", "delay_enter=.5",
    "delay_enter=1.", "delay_enter=1e3", "delay_enter=1e3us", "delay_enter=+5",
    "delay_enter=0.5ms", "delay_enter=9223372036854775807", "delay_enter=05", "delay_enter=1.s",
    "delay_enter=1.5", "delay_enter=9223372036854775807s", "delay_enter=-0", "delay_enter=+1.5",
    "delay_enter=1E2", "delay_enter= 5", "delay_enter=1:delay_exit=2", "retval=0", "retval=1",
    "retval=-1", "retval=+1", "retval=0x10", "retval=0XfF", "retval=010",
    "retval=18446744073709551615", "retval=-18446744073709551615", "retval=-9223372036854775809",
    "retval=00", "retval= 1", "error=1:syscall=getpid", "error=1:syscall=getuid",
    "error=1:syscall=gettid", "error=1:syscall=getppid", "error=1:syscall=getegid", ":error=1",
    "error=1:", "::error=1::when=2::",
]  # fmt: skip
REFUSED = [
    "error=EWOULDBLOCK", "error=EDEADLOCK", "error=ENOTSUP", "error=0", "error=4096", "error=0x5",
    "error=-1", "error=SUCCESS", "error=ENOENTX", "error=5x", "error=99999999999999999999",
    "error=5 ", "error=", "signal=0", "signal=65", "signal=RTMAX", "signal=SIGRTMAX", "signal=IOT",
    "signal=CLD", "signal=POLL", "signal=LOST", "signal=SIGRTMIN+1", "signal=RT_0", "signal=SIG1",
    "signal=+1", "signal=-1", "signal=SIGSIGUSR1", "signal=", "error=1:when=0",
    "error=1:when=65536", "error=1:when=1+0", "error=1:when=1+65536", "error=1:when=2..1",
    "error=1:when=1..65535", "error=1:when=1.", "error=1:when=1..", "error=1:when=..",
    "error=1:when=1..+", "error=1:when=+", "error=1:when=1+2+3", "error=1:when=1..2..3",
    "error=1:when=-1", "error=1:when=x", "error=1:when=1-2", "error=1:when=", "error=1:when=1 ",
    "delay_enter=1m", "delay_enter=-1", "delay_enter=-0.5", "delay_enter=s", "delay_enter=1S",
    "delay_enter=1sec", "delay_enter=inf", "delay_enter=nan", "delay_enter=1e400",
    "delay_enter=9223372036854775808", "delay_enter=.s", "delay_enter=1e", "delay_enter=0x10",
    "delay_enter=1ms1", "delay_enter=1e+", "delay_enter=", "delay_enter=1 ms",
    "retval=18446744073709551616", "retval=abc", "retval=0b1", "retval=08", "retval=0x",
    "retval=1x", "retval=--1", "retval=", "retval=1 ", "error=1:syscall=openat",
    "error=1:syscall=getpgid", "error=1:syscall=?getpid", "error=1:syscall=39",
    "error=1:syscall=umask", "error=1:syscall=sched_yield", "error=1:syscall=getuid32",
    "error=1:syscall=GETPID", "error=1:syscall=%pure", "error=1:syscall=getpid:syscall=gettid",
    "syscall=getpid", "foo", "when", "when=1", "error", "ERROR=1", "error =1", "error=1:error=2",
    "error=1:retval=1", "retval=1:error=1", "retval=1:retval=1", "signal=1:signal=2",
    "delay_enter=1:delay_enter=2", "delay_exit=1:delay_exit=1", "",
]  # fmt: skip
#: The whole text after ``-e fault=``.
FAULTS = [
    "geteuid", "geteuid:when=2", "geteuid:error=5", "geteuid:error=5:syscall=getpid",
]  # fmt: skip
REFUSED_FAULTS = [
    "geteuid:signal=1", "geteuid:delay_enter=1", "geteuid:retval=1", "", ":",
]  # fmt: skip
