"""The command `nxcdr`: call records as JSON lines, a demo without an account, and tools around them.

Nothing heavy is imported before a command needs it, so that `nxcdr --help` answers at once.
"""

import sys
from importlib.util import find_spec

WRONG_USAGE = 2


def main() -> None:
    """Run the command line; never returns.

    Raises:
        SystemExit: 0 done, 1 failed, 2 wrong usage, 3 finished with known gaps, 130 stopped.
    """
    missing = [package for package in ("typer", "rich") if find_spec(package) is None]
    if missing:
        sys.stderr.write(f"error: nxcdr needs {' and '.join(missing)}: pip install 'nxcdr-async[cli]'\n")
        raise SystemExit(WRONG_USAGE)
    # Only now, as it imports typer.
    from nxcdr_async.cli.app import app  # noqa: PLC0415 - see above

    app(prog_name="nxcdr")
