"""``python -m accel`` and the ``accel`` command."""

from accel.command_line import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
