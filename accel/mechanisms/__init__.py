"""How stops are obtained: one loop, and what differs between the mechanisms.

``seccomp-trace`` installs a filter before the command executes and hears of selected calls only;
``exit-event`` stops calls that have returned, and needs no filter; ``ptrace-syscall`` stops at
every call twice; ``sysemu`` at every call once, which then does not run; ``observe``, a loop of its
own, stops nothing. Each is loaded by the run that uses it.
"""

__all__: list[str] = []
