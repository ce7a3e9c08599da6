"""The command `nxcdr`: call records as JSON lines, a demo without an account, and tools around them.

A command and what it needs (the SDK, rich, DuckDB, the emulator's web server) are imported when it is asked for, so
that `nxcdr --help` does not wait for any of them.
"""

import sys
from importlib.util import find_spec

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.terminal import flush_or_discard, open_closed_streams


def main() -> None:
    """Run the command line; never returns.

    Raises:
        SystemExit: 0 done, 1 failed, 2 wrong usage, 3 finished with known gaps, 75 the store is in use, 130 stopped.
    """
    open_closed_streams()
    missing = [package for package in ("typer", "rich") if find_spec(package) is None]
    if missing:
        sys.stderr.write(f"error: nxcdr needs {' and '.join(missing)}: install the package with its extra cli\n")
        raise SystemExit(ExitCode.WRONG_USAGE)
    from nxcdr_async.cli.app import app  # noqa: PLC0415 - imports typer, which may be missing

    try:
        app(prog_name="nxcdr")
    finally:
        flush_or_discard(sys.stderr)
