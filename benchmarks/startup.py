"""How long it takes until the package can be used.

    python benchmarks/startup.py [--runs 9]

Three times, each the shortest of several runs in fresh interpreters with warm caches: `import nxcdr_async`, and that
with the first use of `CdrSession`, which brings all that it needs, both less the start of an interpreter that imports
nothing; and `python -m nxcdr_async --help`, whole. Two have limits in absolute times, not ratios, because the customer
who waits for a shell or a cold function asked for them so; they are meant for a machine of today that is not busy.
Also, none of the extras may come with either import.
"""

import json
import os
import subprocess
import sys
import time
from tempfile import TemporaryDirectory
from typing import Any

from shared.limits import Limit
from shared.report import finish, parser_of, table

EXTRAS = frozenset({"typer", "rich", "duckdb", "pyarrow", "psycopg", "pytest", "hypothesis", "opentelemetry"})
"""What the package uses only if it is asked to: whoever does not ask must not wait for it, nor need to have it."""

BARE, IMPORT, HELP = ("-c", "pass"), ("-c", "import nxcdr_async"), ("-m", "nxcdr_async", "--help")
SESSION = ("-c", "from nxcdr_async import CdrSession")
TELL_MODULES = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"

BYTECODE = TemporaryDirectory(prefix="nxcdr-startup-")

LIMITS = (
    Limit("import in ms", 100, "by the customer's wish, in absolute time"),
    Limit("help in ms", 400, "by the customer's wish, in absolute time"),
    Limit("extras imported", 0, "extras are for those who ask for them"),
)


def run(*arguments: str) -> str:
    """Run an interpreter and return what it printed; it keeps its bytecode, as that of an installed package is kept."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = BYTECODE.name
    command = [sys.executable, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout


def seconds_of(*arguments: str) -> float:
    """Return how long an interpreter runs."""
    before = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - before


def shortest(runs: int) -> dict[tuple[str, ...], float]:
    """Return the shortest time of each command in milliseconds, all of them in turn, a run to warm up left out."""
    commands = (BARE, IMPORT, SESSION, HELP)
    for command in commands:
        run(*command)
    times = [[seconds_of(*command) for command in commands] for _ in range(runs)]
    return {command: 1000 * min(column) for command, column in zip(commands, zip(*times, strict=True), strict=True)}


def imported_extras() -> list[str]:
    """Return the extras that come with a session's class, but not those any interpreter here starts with."""
    bare = set(json.loads(run("-c", TELL_MODULES)))
    return sorted((set(json.loads(run("-c", f"{SESSION[1]}; {TELL_MODULES}"))) - bare) & EXTRAS)


def figures_of(times: dict[tuple[str, ...], float], extras: list[str]) -> dict[str, float]:
    """Return the figures that have limits."""
    return {
        "import in ms": times[IMPORT] - times[BARE],
        "first session in ms": times[SESSION] - times[BARE],
        "help in ms": times[HELP],
        "extras imported": float(len(extras)),
    }


def main() -> int:
    """Measure, print and check."""
    parser = parser_of(__doc__)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    times, extras = shortest(options.runs), imported_extras()
    rows: list[dict[str, Any]] = [
        {"command": f"python {' '.join(command)}", "shortest ms": times[command]} for command in times
    ]
    print(table(rows))
    print(f"extras imported: {', '.join(extras) or 'none'}")
    return finish("startup", rows, figures_of(times, extras), LIMITS, options.json)


if __name__ == "__main__":
    sys.exit(main())
