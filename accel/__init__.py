"""Stop a process only at the system calls you name.

``SyscallMask`` says which calls; ``Tracer`` runs a command and stops it there, and nowhere else;
``Decision`` is what a stop is answered with; ``arg`` writes conditions on scalar arguments,
``path`` and ``sockaddr`` on what a call points to, ``result`` on what it returned. Errors are drawn
as a tree in ``accel.errors``; what the kernel can report is listed in ``accel.stops``.

Each name is loaded when it is first used.
"""

from typing import TYPE_CHECKING, Final

from bpf.on_demand import names_on_demand

if TYPE_CHECKING:
    from accel.abi import Abi
    from accel.arguments import arg, result
    from accel.call import Call
    from accel.decision import Decision
    from accel.errors import (
        AccelError,
        CommandError,
        HandlerError,
        MaskError,
        SetupError,
        TimeoutExpired,
        TraceeDied,
    )
    from accel.mask import SyscallMask
    from accel.pointees import path, sockaddr
    from accel.results import CallStatistics, Result, Statistics
    from accel.stops import (
        EventStop,
        Exited,
        GroupStop,
        Killed,
        SignalDeliveryStop,
        Stop,
        SyscallEntryStop,
        SyscallExitStop,
    )
    from accel.tracer import Tracer

__all__ = [
    "Abi",
    "AccelError",
    "Call",
    "CallStatistics",
    "CommandError",
    "Decision",
    "EventStop",
    "Exited",
    "GroupStop",
    "HandlerError",
    "Killed",
    "MaskError",
    "Result",
    "SetupError",
    "SignalDeliveryStop",
    "Statistics",
    "Stop",
    "SyscallEntryStop",
    "SyscallExitStop",
    "SyscallMask",
    "TimeoutExpired",
    "TraceeDied",
    "Tracer",
    "arg",
    "path",
    "result",
    "sockaddr",
]

#: {name: the module that has it}.
_MODULES: Final = {
    "Abi": "abi",
    "AccelError": "errors",
    "Call": "call",
    "CallStatistics": "results",
    "CommandError": "errors",
    "Decision": "decision",
    "EventStop": "stops",
    "Exited": "stops",
    "GroupStop": "stops",
    "HandlerError": "errors",
    "Killed": "stops",
    "MaskError": "errors",
    "Result": "results",
    "SetupError": "errors",
    "SignalDeliveryStop": "stops",
    "Statistics": "results",
    "Stop": "stops",
    "SyscallEntryStop": "stops",
    "SyscallExitStop": "stops",
    "SyscallMask": "mask",
    "TimeoutExpired": "errors",
    "TraceeDied": "errors",
    "Tracer": "tracer",
    "arg": "arguments",
    "path": "pointees",
    "result": "arguments",
    "sockaddr": "pointees",
}

__getattr__, __dir__ = names_on_demand(__name__, _MODULES)
