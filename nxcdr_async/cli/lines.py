"""JSON lines for programs, on stdout."""

import os
import re
import sys

import anyio

from nxcdr_async.errors import NxcdrError

_NOT_ON_A_LINE = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")
"""What JSON allows bare in a string though it steers terminals or ends lines: DEL, C1 controls, U+2028 and U+2029."""


class ReaderGoneError(Exception):
    """Whoever read our stdout has closed it, as `head` does."""


async def write_lines(lines: bytes) -> None:
    """Write JSON lines to stdout without keeping the event loop from its work while the reader is slow.

    Raises:
        ReaderGoneError: nobody reads any more.
    """
    await anyio.to_thread.run_sync(_write_all, _NOT_ON_A_LINE.sub(_escaped, lines), abandon_on_cancel=True)


def flush_stdout() -> None:
    """Send what was printed on its way.

    Raises:
        ReaderGoneError: nobody reads any more.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGoneError from None
    except OSError as error:
        raise _not_written(error) from None


def _escaped(found: re.Match[bytes]) -> bytes:
    return f"\\u{ord(found[0].decode()):04x}".encode()


def _write_all(lines: bytes) -> None:
    left = memoryview(lines)
    try:
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]
    except BrokenPipeError:
        raise ReaderGoneError from None
    except OSError as error:
        raise _not_written(error) from None


def _not_written(error: OSError) -> NxcdrError:
    return NxcdrError(f"cannot write the output: {error.strerror}")
