"""The machine: a table of handlers, and the one place where a call may go on to the host."""

from __future__ import annotations

import errno
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from subprocess import DEVNULL
from typing import Any, Final

from accel import Abi, AccelError, Decision, EventStop, Result, Stop, SyscallEntryStop, Tracer

from .boot import hide_vdso
from .clock import Clock, TimeCalls
from .console import Console
from .descriptor_calls import DescriptorCalls
from .dispatch import Answer, calls_of
from .files import Files
from .guest import Guest, error
from .memory_calls import PASSED, MemoryCalls
from .nodes import Directory
from .path_calls import PathCalls
from .process_calls import Identity, ProcessCalls
from .vfs import VirtualFileSystem

__all__ = ["ENVIRONMENT", "Machine"]

ENVIRONMENT: Final[Mapping[str, str]] = {"HOME": "/root", "PATH": "/bin", "USER": "root"}


class Machine:
    """A kernel for one program: it answers every call from its own state.

    ``log`` hears what the guest asked for and the machine does not have. A machine is used once.
    """

    def __init__(
        self,
        tree: VirtualFileSystem,
        console: Console,
        *,
        clock: Clock | None = None,
        identity: Identity | None = None,
        log: Callable[[str], None] = lambda _line: None,
    ) -> None:
        #: How often each call was answered here, and how often the host ran it.
        self.answered: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self._files = Files(tree)
        console.open(self._files.descriptors)
        self._log = log
        self._is_booted = False
        subsystems = (
            MemoryCalls(),
            TimeCalls(clock or Clock()),
            ProcessCalls(identity or Identity(), log),
            PathCalls(self._files),
            DescriptorCalls(self._files),
        )
        self._handlers = dict(itertools.chain.from_iterable(map(calls_of, subsystems)))

    def enter(self, directory: bytes) -> None:
        """Let the guest start in a directory of its tree; raise OSError if there is none."""
        node = self._files.tree.lookup(directory, self._files.tree.root)
        if not isinstance(node, Directory):
            raise error(errno.ENOTDIR)
        self._files.working_directory = node

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] = ENVIRONMENT,
        mechanism: str | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Run a static program of the host to its end; return how it ended.

        ``mechanism`` is that of the Tracer, which chooses one itself if it is None.
        """
        chosen: dict[str, Any] = {} if mechanism is None else {"mechanism": mechanism}
        streams: dict[str, Any] = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL}
        tracer = Tracer(argv, env=env, cwd="/", **streams, **chosen)
        self.attach(tracer)
        return tracer.run(timeout)

    def attach(self, tracer: Tracer) -> None:
        """Become the kernel of what ``tracer`` will run."""
        tracer.observe(self.observe, exits=False, calls=False)
        tracer.on_entry("all")(self.answer)

    def observe(self, stop: Stop, /) -> None:
        """Prepare the program when it has been loaded; raise AccelError for what cannot be seen."""
        if isinstance(stop, EventStop):
            if stop.event == "exec":
                hide_vdso(stop.pid)
                self._is_booted = True
            elif stop.event == "blind-spot":
                raise AccelError(f"the guest cannot be contained: {stop.detail}")

    def answer(self, stop: SyscallEntryStop) -> Decision:
        """Answer a call of the guest, or let the host run it if it is one of PASSED."""
        if not self._is_booted:
            # The launching child executes the program: how a machine is switched on.
            return self._decided(stop.name, Decision.resume())
        return self._decided(stop.name, self._result(stop))

    def _result(self, stop: SyscallEntryStop) -> Answer:
        handler = self._handlers.get(stop.name) if stop.abi is Abi.X86_64 else None
        if handler is None:
            self._log(f"{stop.name} of {stop.abi.value} is not implemented")
            return -errno.ENOSYS
        try:
            return handler(Guest(stop))
        except OSError as failure:
            return -(failure.errno or errno.EIO)

    def _decided(self, call: str, answer: Answer) -> Decision:
        if isinstance(answer, Decision):
            if call not in PASSED:
                raise AccelError(f"{call} would reach the host")
            self.passed[call] += 1
            return answer
        self.answered[call] += 1
        return Decision.skip(answer)
