"""Run a command in sandlock under a Python handler: sandlock_handler.py MODE NUMBER COMMAND..."""

import os
import sys

import sandlock  # type: ignore[import-not-found]  # a peer; installed or not


class Answer(sandlock.Handler):  # type: ignore[misc]  # as above
    """Answers every call alike."""

    def __init__(self, action: sandlock.NotifAction) -> None:
        super().__init__()
        self._action = action

    def handle(self, _context: object) -> sandlock.NotifAction:
        """Return the action."""
        return self._action


def main() -> int:
    """Run the command; pass on what it wrote."""
    mode, number, *command = sys.argv[1:]
    skips = mode == "skipcall"
    action = sandlock.NotifAction.returns(4242) if skips else sandlock.NotifAction.continue_()
    box = sandlock.Sandbox(fs_readable=["/"], fs_writable=[os.getcwd()])
    result = box.run_with_handlers(command, [(int(number), Answer(action))])
    sys.stdout.buffer.write(result.stdout)
    sys.stderr.buffer.write(result.stderr)
    return int(result.exit_code)


sys.exit(main())
