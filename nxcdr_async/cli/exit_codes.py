"""How a command of `nxcdr` ends, in the one number a shell gets to see."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes."""

    DONE = 0
    FAILED = 1
    WRONG_USAGE = 2
    KNOWN_GAPS = 3
    BUSY = 75
    STOPPED = 130
